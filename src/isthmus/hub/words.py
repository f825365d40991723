"""Attributes that choose by a word: which words there are, which no schema of ONNX tells.

A word that an operator does not know is nothing to guess at: what it would be taken for is another model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

import onnx_ir as ir

from isthmus.errors import InvalidModel
from isthmus.hub.model import ONNX
from isthmus.hub.schema import ML


def settle_words(model: ir.Model) -> None:
    """Say in the hub's words what an attribute says in an old one. The model is at the hub's opset.

    Raises :class:`InvalidModel` with every word that its operator does not know.
    """
    for node in model.graph.all_nodes():
        if node.op_type == "Resize" and node.domain == ONNX:
            _settle_centres(node)
    problems = [problem for node in model.graph.all_nodes() for problem in _unknown(node)]
    if problems:
        raise InvalidModel("attributes say what their operators do not know:\n  " + "\n  ".join(problems))


def words_of(op: str, attribute: str) -> tuple[str, ...] | None:
    """The words that an attribute of ``op`` chooses among, ``None`` where it does not choose so."""
    return _OF_OPERATOR.get((op, attribute)) or _OF_ALL.get(attribute)


def _settle_centres(resize: ir.Node) -> None:
    """Resize-11 had centres without the shift of half a pixel, for ``nearest``; models of later opsets have them too.

    With ``v`` what half pixels give, theirs is ``v + 1/2``; rounding that is rounding ``v`` in another way.
    """
    mapping, mode, rounding = (
        resize.attributes[name].as_string() if name in resize.attributes else default
        for name, default in (
            ("coordinate_transformation_mode", "half_pixel"),
            ("mode", "nearest"),
            ("nearest_mode", "round_prefer_floor"),
        )
    )
    if mapping == "tf_half_pixel_for_nn" and mode == "nearest" and rounding in _UNSHIFTED:
        resize.attributes.add(ir.AttrString("coordinate_transformation_mode", "half_pixel"))
        resize.attributes.add(ir.AttrString("nearest_mode", _UNSHIFTED[rounding]))


_UNSHIFTED: Mapping[str, str] = MappingProxyType({"floor": "round_prefer_ceil", "round_prefer_floor": "ceil"})
"""A rounding of ``v + 1/2`` → the same one of ``v``."""


def _unknown(node: ir.Node) -> Iterator[str]:
    if node.domain not in (ONNX, ML):
        return
    for name, attribute in node.attributes.items():
        words = words_of(node.op_type, name)
        if words is None or attribute.type != ir.AttributeType.STRING or attribute.is_ref():
            continue
        word = attribute.as_string()
        if word not in words:
            yield f"node {node.name!r} ({node.op_type}): {name} is {word!r}, and may be {', '.join(words)}"


_DIRECTIONS = ("forward", "reverse", "bidirectional")
_COMBINED = ("none", "add", "mul", "max", "min")
_AVERAGED = ("none", "mean", "sum")

_OF_ALL: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "aggregate_function": ("SUM", "AVERAGE", "MIN", "MAX"),
        "approximate": ("none", "tanh"),
        "auto_pad": ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"),
        "case_change_action": ("NONE", "LOWER", "UPPER"),
        "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
        "kernel_type": ("LINEAR", "POLY", "RBF", "SIGMOID"),
        "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        "norm": ("MAX", "L1", "L2"),
        "padding_mode": ("zeros", "border", "reflection"),
        "pixel_format": ("RGB", "BGR", "Grayscale"),
        "post_transform": ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"),
        "round_mode": ("up", "down", "nearest"),
    }
)

_OF_OPERATOR: Mapping[tuple[str, str], tuple[str, ...]] = MappingProxyType(
    {
        ("BitShift", "direction"): ("LEFT", "RIGHT"),
        **{(op, "direction"): _DIRECTIONS for op in ("GRU", "LSTM", "RNN")},
        ("DepthToSpace", "mode"): ("DCR", "CRD"),
        ("GridSample", "mode"): ("linear", "nearest", "cubic"),
        ("Pad", "mode"): ("constant", "reflect", "edge", "wrap"),
        ("Resize", "mode"): ("nearest", "linear", "cubic"),
        ("RoiAlign", "mode"): ("avg", "max"),
        ("TensorScatter", "mode"): ("linear", "circular"),
        ("TfIdfVectorizer", "mode"): ("TF", "IDF", "TFIDF"),
        **{(op, "reduction"): _COMBINED for op in ("ScatterElements", "ScatterND")},
        **{(op, "reduction"): _AVERAGED for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")},
        ("Resize", "coordinate_transformation_mode"): (
            *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"),
            *("align_corners", "asymmetric", "tf_crop_and_resize"),
        ),
        ("RoiAlign", "coordinate_transformation_mode"): ("half_pixel", "output_half_pixel"),
        ("CastMap", "cast_to"): ("TO_FLOAT", "TO_STRING", "TO_INT64"),
        ("CastMap", "map_form"): ("DENSE", "SPARSE"),
    }
)
