"""Eigenvectors and singular vectors, whose signs nothing decides: what they are made of must come out again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnxruntime")

import tensorflow as tf
from reading import run_hub

from isthmus.errors import Unsupported
from isthmus.readers.tensorflow import read_tensorflow

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(11)
SHAPES = [(1, 1), (2, 2), (3, 3), (2, 3, 6, 6), (17, 17)]
OBLONG = [(1, 4), (4, 1), (3, 5), (5, 3), (2, 6, 4), (12, 20)]


def _normal(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


def _hub(function: object, shape: tuple[int | None, ...], dtype: type = np.float32) -> object:
    return read_tensorflow(tf.function(function, input_signature=[tf.TensorSpec(shape, dtype)]))


def _transposed(x: np.ndarray) -> np.ndarray:
    return np.swapaxes(x, -1, -2)


def _is_orthogonal(x: np.ndarray) -> bool:
    return bool(np.allclose(_transposed(x) @ x, np.eye(x.shape[-1]), atol=1e-5))


@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_symmetric_matrix_comes_out_of_its_eigenvectors(shape: tuple[int, ...], free: bool) -> None:
    x = _normal(shape)
    hub = _hub(tf.linalg.eigh, (None,) * len(shape) if free else shape)
    values, vectors = run_hub(hub, x)  # TensorFlow reads the lower half alone
    symmetric = np.tril(x) + _transposed(np.tril(x, -1))
    np.testing.assert_allclose(values, tf.linalg.eigvalsh(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(vectors * values[..., None, :] @ _transposed(vectors), symmetric, atol=1e-5)
    assert _is_orthogonal(vectors)
    assert [note.topic for note in hub.notes] == ["signs"]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [*SHAPES, *OBLONG])
def test_a_matrix_comes_out_of_its_singular_vectors(shape: tuple[int, ...], full: bool) -> None:
    x = _normal(shape)
    s, u, v = run_hub(_hub(lambda x: tf.linalg.svd(x, full_matrices=full), shape), x)
    expected = tf.linalg.svd(x, full_matrices=full)
    assert (u.shape, v.shape) == (tuple(expected[1].shape), tuple(expected[2].shape))
    np.testing.assert_allclose(s, expected[0], rtol=1e-4, atol=1e-5)
    count = s.shape[-1]
    again = u[..., :count] * s[..., None, :] @ _transposed(v[..., :count])
    np.testing.assert_allclose(again, x, atol=1e-5)
    assert _is_orthogonal(u) and _is_orthogonal(v)


@pytest.mark.parametrize("shape", OBLONG)
def test_singular_vectors_of_free_sizes(shape: tuple[int, ...]) -> None:
    x = _normal(shape, np.float64)
    s, u, v = run_hub(_hub(lambda x: tf.linalg.svd(x), (None,) * len(shape), np.float64), x)
    np.testing.assert_allclose(u * s[..., None, :] @ _transposed(v), x, atol=1e-12)


def test_vectors_beyond_the_singular_values_need_sizes() -> None:
    with pytest.raises(Unsupported, match="depends on sizes that are free"):
        _hub(lambda x: tf.linalg.svd(x, full_matrices=True), (None, None))


def test_a_matrix_of_less_than_full_rank() -> None:
    x = _normal((6, 2)) @ _normal((2, 5))
    s, u, v = run_hub(_hub(lambda x: tf.linalg.svd(x), (6, 5)), x)
    assert (s[2:] < 1e-5).all()
    np.testing.assert_allclose(u * s[None] @ v.T, x, atol=1e-5)
    (inverse,) = run_hub(_hub(tf.linalg.pinv, (6, 5)), x)
    np.testing.assert_allclose(inverse, tf.linalg.pinv(x), atol=1e-4)
