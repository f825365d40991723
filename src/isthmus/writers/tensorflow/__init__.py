"""The TensorFlow writer: a hub becomes one `tf.function` a signature, and a SavedModel."""
