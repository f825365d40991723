"""Opening TensorFlow and Keras models: what their reader and their judge share. TensorFlow is imported here.

Every source becomes a function of named tensors (``function.Opened``) or, where it was saved by TensorFlow 1, a graph
and the values of its variables (``graph.OpenedGraph``).
"""
