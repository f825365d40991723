"""Support vector machines of ai.onnx.ml."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from isthmus.lower.contract import Lowerings
from isthmus.lower.scores import ML, pair_sides, pair_weights, pairs_of
from isthmus.lower.walk import Context
from isthmus.writers.torch.ops._common import call
from isthmus.writers.torch.ops._loops import while_loop
from isthmus.writers.torch.ops._scores import labels_of, picked, row_of, rows_of, transformed, two_classes

table = Lowerings()


def _kernel(kind: str, parameters: Any, x: Any, vectors: Any) -> Any:
    """The kernel of each row of ``x`` with each vector: [N, vectors]."""
    gamma, offset, degree = parameters or (0.0, 0.0, 0.0)
    if kind == "RBF":
        apart = ((x.unsqueeze(1) - vectors.unsqueeze(0)) ** 2).sum(-1)
        return torch.exp(-gamma * apart)
    product = F.linear(x, vectors)
    if kind == "POLY":
        return torch.pow(gamma * product + offset, degree)
    return torch.tanh(gamma * product + offset) if kind == "SIGMOID" else product


@table.lower("SVMRegressor", domain=ML)
def svm_regressor(
    c, x, *, coefficients, kernel_params, kernel_type, n_supports, one_class, post_transform, rho, support_vectors
):
    if post_transform != "NONE":
        c.refuse(f"post_transform {post_transform} of one target: ONNX asks for it, ONNX Runtime leaves it out")
    rows = rows_of(c, x)
    if n_supports:
        rows = _kernel(kernel_type, kernel_params, rows, row_of(support_vectors).reshape(n_supports, -1))
    scores = F.linear(rows, row_of(coefficients).unsqueeze(0), row_of(rho[:1]))
    return torch.where(scores > 0, 1.0, -1.0) if one_class else scores


@table.lower("SVMClassifier", domain=ML)
def svm_classifier(
    c,
    x,
    *,
    classlabels_ints,
    classlabels_strings,
    coefficients,
    kernel_params,
    kernel_type,
    post_transform,
    prob_a,
    prob_b,
    rho,
    support_vectors,
    vectors_per_class,
):
    """One against one: every pair of classes has a decision, and the class with most votes wins.

    The scores are the classes' probabilities where the model has them, else the decisions. Without support vectors it
    is a linear machine, one score a class.
    """
    labels = labels_of(c, classlabels_ints, classlabels_strings)
    rows, classes = rows_of(c, x), len(labels)
    if not vectors_per_class:
        scores = F.linear(rows, row_of(coefficients).reshape(classes, -1), row_of(rho[:1]).expand(classes))
        return picked(c, labels, torch.argmax(scores, 1)), transformed(scores, post_transform)
    kernel = _kernel(kernel_type, kernel_params, rows, row_of(support_vectors).reshape(sum(vectors_per_class), -1))
    decisions = F.linear(kernel, row_of(pair_weights(coefficients, vectors_per_class).T), row_of(rho))
    first, second = (row_of(side.T) for side in pair_sides(classes))
    won = (decisions > 0).to(torch.float32)
    label = picked(c, labels, torch.argmax(F.linear(won, first) + F.linear(1 - won, second), 1))
    if prob_a:
        chance = 1 - torch.sigmoid(decisions * row_of(prob_a) + row_of(prob_b))
        return label, transformed(_coupled(c, chance, classes), post_transform)
    if classes > 2:
        return label, transformed(decisions, post_transform)
    if post_transform == "PROBIT" or min(coefficients) >= 0:
        c.refuse("two classes share one decision: this transform or these weights are not defined for it")
    if post_transform == "NONE":
        return label, torch.cat([-decisions, decisions], 1)
    return label, two_classes(decisions, post_transform)


def _coupled(c: Context, chance: Any, classes: int) -> Any:
    """Probabilities [N, classes] out of the chances [N, pairs] that the first of a pair beats the second.

    The second method of Wu, Lin and Weng (2004), with the bounds and the stop that ONNX Runtime takes from libsvm.
    """
    chance = chance.clamp(1e-7, 1 - 1e-7)
    r: dict[tuple[int, int], Any] = {}
    for number, (i, j) in enumerate(pairs_of(classes)):
        r[i, j], r[j, i] = chance[:, number], 1 - chance[:, number]

    def entry(t: int, j: int) -> Any:
        if t != j:
            return -r[j, t] * r[t, j]
        total = torch.zeros_like(chance[:, 0])
        for k in range(classes):
            total = total if k == t else total + r[k, t] ** 2
        return total

    q = torch.stack([torch.stack([entry(t, j) for j in range(classes)], 1) for t in range(classes)], 1)

    def error(p: Any) -> tuple[Any, Any, Any]:
        qp = (q @ p.unsqueeze(-1)).squeeze(-1)
        pqp = (p * qp).sum(1, keepdim=True)
        return qp, pqp, torch.abs(qp - pqp).amax(1, keepdim=True) >= 0.005 / classes

    def goes_on(step: Any, p: Any) -> Any:
        return (step < 100) & error(p)[2].any()

    def improve(step: Any, p: Any) -> list[Any]:
        qp, pqp, unsettled = error(p)
        better = p
        for t in range(classes):
            own = q[:, t, t].unsqueeze(1)
            difference = (pqp - qp[:, t : t + 1]) / own
            pqp = (pqp + difference * (difference * own + 2 * qp[:, t : t + 1])) / (1 + difference) ** 2
            qp = (qp + difference * q[:, t]) / (1 + difference)
            better = (better + difference * row_of(np.eye(classes)[t])) / (1 + difference)
        return [step + 1, torch.where(unsettled, better, p)]

    even = torch.full_like(q[:, 0], 1 / classes)
    return while_loop(c, goes_on, improve, [call(c, torch.tensor, 0), even])[1]
