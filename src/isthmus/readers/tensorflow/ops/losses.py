"""Cross entropies, as their logits are given."""

from __future__ import annotations

from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.ops._sizes import counted, int64, size

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
    column = op.Unsqueeze(int64(op, labels), [1])
    loss = op.Neg(op.Squeeze(op.GatherElements(logs, column, axis=1), [1]))
    hot = op.Equal(column, counted(op, size(op, features, 1)))
    return loss, op.Sub(op.Exp(logs), op.Cast(hot, to=features.dtype))
