"""One operator, many attributes: a one-node model on ONNX Runtime and through a writer.

``free`` declares every dimension of every input as its own free dimension; ``frozen`` and ``plain`` are those of
``cases``; ``open`` is frozen with the remaining input's dimensions free, as exporters write models.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Form = Literal["frozen", "plain", "free", "open"]
FORMS: tuple[Form, ...] = ("frozen", "plain", "free")


WRITERS = tuple(
    writer
    for writer in os.environ.get("ISTHMUS_WRITERS", "tensorflow,torch").split(",")
    if importlib.util.find_spec(writer) is not None
)
"""Whom the cases hold to ONNX Runtime: ``ISTHMUS_WRITERS=torch pytest tests/ops`` asks the PyTorch writer alone."""

WAYS = {
    "tensorflow": ("recorded",),
    "torch": tuple(os.environ.get("ISTHMUS_WAYS", "recorded,eager").split(",")),
}
"""In which forms of ``conformance``; ``ISTHMUS_WAYS=program,source`` asks for those of the PyTorch writer."""


@dataclass(frozen=True)
class Node:
    """A node and its operands. ``None`` stands for an absent optional input."""

    op: str
    inputs: Sequence[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1
    domain: str = ""
    opset: int = 26
    domain_opset: int = 3

    def arrays(self) -> dict[str, np.ndarray]:
        return {f"x{i}": np.asarray(a) for i, a in enumerate(self.inputs) if a is not None}

    def model(self, form: Form) -> onnx.ModelProto:
        """The one-node model. Output types are inferred by onnx."""
        arrays = self.arrays()
        names = [f"x{i}" if a is not None else "" for i, a in enumerate(self.inputs)]
        outputs = [f"y{i}" for i in range(self.outputs)]
        node = helper.make_node(self.op, names, outputs, domain=self.domain, **self.attributes)
        first = next(iter(arrays), None)
        fixed = set(arrays) - {first} if form in ("frozen", "open") else set()
        infos = [_info(n, a, form) for n, a in arrays.items() if n not in fixed]
        weights = [numpy_helper.from_array(a, n) for n, a in arrays.items() if n in fixed]
        graph = helper.make_graph([node], "one", infos, [onnx.ValueInfoProto(name=n) for n in outputs], weights)
        opsets = [helper.make_opsetid("", self.opset)]
        if self.domain:
            opsets.append(helper.make_opsetid(self.domain, self.domain_opset))
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        if onnx.defs.get_schema(self.op, self.opset, self.domain).has_type_and_shape_inference_function:
            model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=form == "frozen")
        if not all(o.type.HasField("tensor_type") for o in model.graph.output):
            _declare_outputs(model)  # onnx infers little of ai.onnx.ml and of functions
        return model

    def feeds(self, form: Form) -> dict[str, np.ndarray]:
        arrays = self.arrays()
        return dict(list(arrays.items())[:1]) if form in ("frozen", "open") else arrays


def _info(name: str, value: np.ndarray, form: Form) -> onnx.ValueInfoProto:
    element = numpy_helper.from_array(value).data_type if value.dtype.kind not in "OU" else TensorProto.STRING
    shape = [f"{name}_{i}" if form in ("free", "open") else d for i, d in enumerate(value.shape)]
    return helper.make_tensor_value_info(name, element, shape)


def _declare_outputs(model: onnx.ModelProto) -> None:
    """Declare what ONNX Runtime says of the outputs."""
    named = {
        "tensor(string)": TensorProto.STRING,
        "tensor(int64)": TensorProto.INT64,
        "tensor(float)": TensorProto.FLOAT,
        "tensor(double)": TensorProto.DOUBLE,
        "tensor(float16)": TensorProto.FLOAT16,
    }
    for declared, found in zip(model.graph.output, _session(model).get_outputs(), strict=True):
        shape = [d if isinstance(d, str | int) else None for d in found.shape]
        declared.CopyFrom(helper.make_tensor_value_info(declared.name, named[found.type], shape))


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def on_onnxruntime(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[Any]:
    """What ONNX Runtime gives, without graph optimisations."""
    return _session(model).run(None, feeds)


def made_by_each(model: onnx.ModelProto, feeds: dict[str, Any]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """What each writer in each of its forms makes of a model, under a title. PyTorch is not asked about strings."""
    from conformance import CARRY

    texts = any(v.type.tensor_type.elem_type == TensorProto.STRING for v in (*model.graph.input, *model.graph.output))
    for writer in WRITERS:
        if texts and writer == "torch":
            continue
        carried = CARRY[writer](model)
        for way in WAYS[writer]:
            yield f"{writer}, {way}", carried(feeds, way)


def agrees(
    node: Node, form: Form, *, rtol: float = 1e-5, atol: float = 1e-6, expected: Sequence[Any] | None = None
) -> None:
    """Demand that every writer in ``WRITERS`` gives what ONNX Runtime gives, or ``expected`` where it is given."""
    if expected is None:
        expected = on_onnxruntime(node.model("plain"), node.arrays())
    for title, outputs in made_by_each(node.model(form), node.feeds(form)):
        for golden, made in zip(expected, outputs, strict=True):
            equal(np.asarray(golden), made, title, rtol=rtol, atol=atol)


def equal(golden: np.ndarray, made: np.ndarray, title: str, *, rtol: float = 0, atol: float = 0) -> None:
    """Demand the same shape, type and values; floating ones within the tolerances."""
    assert made.shape == golden.shape, f"{title}: shape {made.shape}, ONNX Runtime gives {golden.shape}"
    if golden.dtype.kind in "OUS":
        np.testing.assert_array_equal(made.astype(str), golden.astype(str), title)
        return
    assert made.dtype == golden.dtype, title
    if golden.dtype.kind in "biu":
        np.testing.assert_array_equal(made, golden, title)
        return
    wide = np.complex128 if golden.dtype.kind == "c" else np.float64
    np.testing.assert_allclose(made.astype(wide), golden.astype(wide), rtol=rtol, atol=atol, err_msg=title)
