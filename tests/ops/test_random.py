"""Random numbers: their distribution, type and shape; a seed; dropout in both modes."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import Node
from onnx import TensorProto

pytestmark = [pytest.mark.tensorflow]

MANY = (200, 100)
TYPES = [(TensorProto.FLOAT, np.float32), (TensorProto.DOUBLE, np.float64), (TensorProto.FLOAT16, np.float16)]


def drawn(node: Node, form: str = "plain") -> list[np.ndarray]:
    from conformance import run_tensorflow

    return run_tensorflow(node.model(form), node.feeds(form))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind, dtype", TYPES)
def test_normal_and_uniform(kind: int, dtype: type) -> None:
    given = {"shape": MANY, "dtype": kind, "seed": 1.0}
    (normal,) = drawn(Node("RandomNormal", [], given | {"mean": 2.0, "scale": 3.0}))
    assert normal.dtype == dtype and normal.shape == MANY
    assert abs(normal.astype(float).mean() - 2) < 0.1 and abs(normal.astype(float).std() - 3) < 0.1
    (uniform,) = drawn(Node("RandomUniform", [], given | {"low": -1.0, "high": 3.0}))
    assert uniform.dtype == dtype and uniform.min() >= -1 and uniform.max() <= 3
    assert abs(uniform.astype(float).mean() - 1) < 0.1


@pytest.mark.parametrize("form", ["plain", "free"])
@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike"])
def test_like(op: str, form: str) -> None:
    (made,) = drawn(Node(op, [np.zeros((3, 4), np.float64)]), form)
    assert made.shape == (3, 4) and made.dtype == np.float64
    (made,) = drawn(Node(op, [np.zeros((3, 4), np.int32)], {"dtype": TensorProto.FLOAT}), form)
    assert made.shape == (3, 4) and made.dtype == np.float32


def test_a_seed_repeats_and_its_absence_does_not() -> None:
    seeded = Node("RandomNormal", [], {"shape": (50,), "seed": 3.5})
    np.testing.assert_array_equal(drawn(seeded)[0], drawn(seeded)[0])
    free = Node("RandomNormal", [], {"shape": (50,)})
    assert (drawn(free)[0] != drawn(free)[0]).any()


def test_bernoulli_and_multinomial() -> None:
    p = np.full(MANY, 0.3, np.float32)
    (made,) = drawn(Node("Bernoulli", [p], {"dtype": TensorProto.INT64, "seed": 1.0}))
    assert made.dtype == np.int64 and set(np.unique(made)) == {0, 1} and abs(made.mean() - 0.3) < 0.02
    logits = np.log(np.array([[0.1, 0.6, 0.3]], np.float32))
    (made,) = drawn(Node("Multinomial", [logits], {"sample_size": 20000, "dtype": TensorProto.INT64, "seed": 1.0}))
    assert made.shape == (1, 20000) and made.dtype == np.int64
    np.testing.assert_allclose(np.bincount(made[0]) / 20000, [0.1, 0.6, 0.3], atol=0.02)


X = np.ones(MANY, np.float32)


@pytest.mark.parametrize("form", ["frozen", "plain"])
@pytest.mark.parametrize("ratio", [0.0, 0.25, 0.75])
def test_dropout_while_training(ratio: float, form: str) -> None:
    y, mask = drawn(Node("Dropout", [X, np.float32(ratio), np.array(True)], {"seed": 1}, outputs=2), form)
    assert mask.dtype == np.bool_ and abs(mask.mean() - (1 - ratio)) < 0.02
    np.testing.assert_allclose(y, mask / (1 - ratio), rtol=1e-6)


@pytest.mark.parametrize("form", ["frozen", "plain"])
def test_dropout_of_everything_is_zero(form: str) -> None:
    y, mask = drawn(Node("Dropout", [X, np.float32(1), np.array(True)], outputs=2), form)
    assert not mask.any() and not y.any()


@pytest.mark.parametrize("form", ["frozen", "plain"])
@pytest.mark.parametrize("operands", [[X], [X, np.float32(0.5)], [X, np.float32(0.5), np.array(False)]], ids=len)
def test_dropout_otherwise_is_nothing(operands: list[np.ndarray], form: str) -> None:
    y, mask = drawn(Node("Dropout", operands, outputs=2), form)
    assert mask.all()
    np.testing.assert_array_equal(y, X)
