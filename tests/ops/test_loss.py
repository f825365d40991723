"""Losses: every reduction, weights, ignored labels, spatial dimensions; against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from matrix import FORMS, Form, Node, agrees

pytestmark = [pytest.mark.tensorflow, pytest.mark.onnxruntime]

RNG = np.random.default_rng(17)
CASES: dict[str, Node] = {}
for shape in ((4, 5), (3, 5, 2), (2, 5, 3, 2)):
    scores = RNG.normal(size=shape).astype(np.float32)
    labels = RNG.integers(0, 5, size=(shape[0], *shape[2:])).astype(np.int64)
    weights = np.abs(RNG.normal(size=5)).astype(np.float32)
    for reduction in ("none", "sum", "mean"):
        for ignored in (None, 2, -1, -100):
            given = np.where(labels == 2, ignored, labels) if ignored is not None else labels
            attributes = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
            for weighted in (False, True):
                operands = [scores, given, *([weights] if weighted else [])]
                name = f"{len(shape)}d_{reduction}_{ignored}_{'weighted' if weighted else 'plain'}"
                CASES[f"NLL_{name}"] = Node("NegativeLogLikelihoodLoss", operands, attributes)
                CASES[f"SCE_{name}"] = Node("SoftmaxCrossEntropyLoss", operands, attributes, outputs=1 + weighted)


@pytest.mark.parametrize("form", ["frozen", "free"])
@pytest.mark.parametrize("name", CASES)
def test_agrees(name: str, form: Form) -> None:
    agrees(CASES[name], form)


@pytest.mark.parametrize("form", FORMS)
def test_narrow_labels(form: Form) -> None:
    scores, labels = RNG.normal(size=(4, 5)).astype(np.float64), np.array([0, 4, 2, 2], np.int32)
    expected = [-scores[range(4), labels].mean()]
    agrees(Node("NegativeLogLikelihoodLoss", [scores, labels]), form, expected=expected)
