"""What the models of the cases are fed, what Keras gives for it, and how near others must come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras_layer_cases import LayerCase
from reading import assert_equal

RTOL, ATOL = 1e-4, 2e-5


def feeds_of(case: LayerCase) -> list[list[np.ndarray]]:
    """The arrays of a case in two batches, and twice as large where sizes are free."""
    feeds = [list(case.arrays), [array[:2] for array in case.arrays]]
    if case.free:
        axis = case.free[0]
        feeds.append([np.concatenate([a, a], axis) if a.ndim > axis else a for a in case.arrays])
    return feeds


def by_keras(model: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the model gives when it is called eagerly, at inference: left alone, random layers would train."""
    tensors = [tf.constant(array) for array in arrays]
    given = tensors if len(tensors) > 1 else tensors[0]
    return [np.asarray(t) for t in tf.nest.flatten(model(given, training=False))]


def assert_near(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> None:
    """Assert that all outputs are the same, up to the noise of floats."""
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert_equal(one, other, RTOL, ATOL)
