"""What TensorFlow's graph optimizer fuses behind a convolution or a product."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.graph import Context
from isthmus.readers.tensorflow.ops._activations import gelu, relu6
from isthmus.readers.tensorflow.ops._images import Format

_ACTIVATIONS: Mapping[str, Callable[[Builder, ir.Value, float], ir.Value]] = MappingProxyType(
    {
        "Relu": lambda op, x, alpha: op.Relu(x),
        "Relu6": lambda op, x, alpha: relu6(op, x),
        "Elu": lambda op, x, alpha: op.Elu(x),
        "LeakyRelu": lambda op, x, alpha: op.LeakyRelu(x, alpha=alpha),
        "Tanh": lambda op, x, alpha: op.Tanh(x),
        "Sigmoid": lambda op, x, alpha: op.Sigmoid(x),
        "GeluApproximate": lambda op, x, alpha: gelu(op, x, approximate=True),
        "GeluExact": lambda op, x, alpha: gelu(op, x, approximate=False),
    }
)


def finished(
    op: Builder,
    c: Context,
    made: ir.Value,
    args: Sequence[ir.Value],
    fused_ops: Sequence[str],
    form: Format,
    *,
    epsilon: float,
    alpha: float,
) -> ir.Value:
    """``made`` after the operations named, which take their operands from ``args`` in order."""
    rest = list(args)
    for name in fused_ops:
        if name == "BiasAdd":
            made = op.Add(made, by_channel(op, rest.pop(0), form))
        elif name == "Add":
            made = op.Add(made, rest.pop(0))
        elif name == "FusedBatchNorm":
            operands, rest = rest[:4], rest[4:]
            made = form.from_first(op, op.BatchNormalization(form.to_first(op, made), *operands, epsilon=epsilon))
        elif (activation := _ACTIVATIONS.get(name)) is not None:
            made = activation(op, made, alpha)
        else:
            c.refuse(f"{name} is fused into it, which is not known")
    return made


def by_channel(op: Builder, value: Any, form: Format) -> Any:
    """One entry a channel, so that it broadcasts against an image."""
    return value if form.last or form.rank < 3 else op.Unsqueeze(value, list(range(1, form.rank - 1)))
