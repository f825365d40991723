"""Opening TensorFlow and Keras models: what their reader and their judge share.

Every source becomes a function of named tensors (``function.Opened``) or, where it was saved by TensorFlow 1, a graph
and the values of its variables (``graphs.OpenedGraph``). Only ``source`` and what it uses import TensorFlow.
"""
