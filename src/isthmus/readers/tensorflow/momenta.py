"""What a graph at inference does not tell of batch norms: how fast their statistics move when they are trained."""

from __future__ import annotations

import onnx_ir as ir

_MOMENTUM = "isthmus.momentum"
"""Metadata of a moving statistic: the share of it that a step of training keeps."""


def mark_momentum(statistic: ir.Value, momentum: float | None) -> None:
    """Write what the source tells of a variable, if it tells anything."""
    if momentum is not None:
        statistic.metadata_props[_MOMENTUM] = repr(momentum)


def give_momenta(model: ir.Model) -> None:
    """Let every batch norm have the momentum of the statistics that it normalizes by."""
    for node in model.graph.all_nodes():
        if node.op_type != "BatchNormalization" or node.domain or (mean := node.inputs[3]) is None:
            continue
        if (told := mean.metadata_props.pop(_MOMENTUM, None)) is not None:
            node.attributes["momentum"] = ir.AttrFloat32("momentum", float(told))
