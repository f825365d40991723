"""Cross entropies, as their logits are given."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import Reads

table = Reads()
read = table.read


@read("SoftmaxCrossEntropyWithLogits")
def cross_entropy(op, features, labels):
    """The loss of each row, and its gradient by the logits."""
    logs = op.LogSoftmax(features, axis=-1)
    loss = op.Neg(op.ReduceSum(op.Mul(labels, logs), [-1], keepdims=0))
    return loss, op.Sub(op.Exp(logs), labels)


@read("SparseSoftmaxCrossEntropyWithLogits")
def sparse_cross_entropy(op, features, labels):
    logs = op.LogSoftmax(features, axis=-1)
    column = op.Unsqueeze(labels, [1])
    loss = op.Neg(op.Squeeze(op.GatherElements(logs, column, axis=1), [1]))
    depth = op.Shape(features, start=1, end=2)
    zero_one = op.Cast(op.constant([0, 1]), to=features.dtype)
    return loss, op.Sub(op.Exp(logs), op.OneHot(labels, depth, zero_one, axis=-1))
