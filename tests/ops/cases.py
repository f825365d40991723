"""The backend cases that ship inside the onnx package, as one list that every writer is held against.

*core*: numeric tensors in and out, operators of ai.onnx only, nothing random.
*native*: core without bfloat16, float8 and the sub-byte types.
*plain*: every operand is a graph input, as shipped. *frozen*: all inputs but the first are initializers.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")
RANDOM_CASES = {f"test_training_dropout{rest}" for rest in ("", "_default", "_mask", "_default_mask")}
RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
_WIDE_NAMES = (
    *("FLOAT", "FLOAT16", "DOUBLE", "COMPLEX64", "COMPLEX128", "BOOL"),
    *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
)
WIDE = {onnx.TensorProto.DataType.Value(name) for name in _WIDE_NAMES}
NARROW = {value for name, value in onnx.TensorProto.DataType.items() if name not in ("UNDEFINED", "STRING")} - WIDE


@dataclass(frozen=True)
class Sample:
    """One golden data set: arrays by position, ``None`` where an optional input or output is absent."""

    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]


@dataclass(frozen=True)
class Case:
    """One shipped model with its golden samples and tolerances."""

    name: str
    kind: str
    model: onnx.ModelProto
    samples: tuple[Sample, ...]
    rtol: float
    atol: float

    @functools.cached_property
    def ops(self) -> frozenset[tuple[str, str]]:
        return frozenset((node.domain, node.op_type) for node in _nodes(self.model))

    @functools.cached_property
    def core(self) -> bool:
        """Numeric tensors in and out, ai.onnx only, not random."""
        values = [*self.model.graph.input, *self.model.graph.output]
        tensors = all(
            v.type.HasField("tensor_type") and v.type.tensor_type.elem_type in WIDE | NARROW for v in values
        )
        domains = {domain for domain, _ in self.ops} - {"", "ai.onnx"} - {f.domain for f in self.model.functions}
        random = self.name in RANDOM_CASES or {op for _, op in self.ops} & RANDOM
        return tensors and not domains and not random

    @functools.cached_property
    def native(self) -> bool:
        """Core, without bfloat16, float8 and the sub-byte types."""
        types = {v.type.tensor_type.elem_type for v in (*self.model.graph.input, *self.model.graph.output)}
        types |= {t.data_type for t in self.model.graph.initializer}
        for node in _nodes(self.model):
            types |= {a.i for a in node.attribute if a.name in ("to", "dtype", "output_dtype")}
            types |= {a.t.data_type for a in node.attribute if a.name == "value"}
        return self.core and not types & NARROW

    def frozen(self, sample: Sample) -> onnx.ModelProto:
        """The model with every input but the first as an initializer of the sample's value."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        names = {t.name for t in model.graph.initializer}
        inputs = [v for v in model.graph.input if v.name not in names]
        for value, array in list(zip(inputs, sample.inputs, strict=False))[1:]:
            if not isinstance(array, onnx.TensorProto):
                continue
            tensor = model.graph.initializer.add()
            tensor.CopyFrom(array)
            tensor.name = value.name
            model.graph.input.remove(value)
        return model


def _nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    pending: list[Any] = [model.graph, *model.functions]
    while pending:
        graph = pending.pop()
        for node in graph.node:
            yield node
            pending += [a.g for a in node.attribute if a.HasField("g")]


@functools.cache
def all_cases() -> tuple[Case, ...]:
    """Every shipped case, in the order of the onnx package; models of its model zoo are not shipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy overflows while onnx computes its own golden values
        loaded = [(kind, case) for kind in KINDS for case in load_model_tests(kind=kind)]
    return tuple(_case(kind, case) for kind, case in loaded)


def _case(kind: str, case: Any) -> Case:
    if kind == "real":
        return _light(case)
    folder = Path(case.model_dir) if case.model_dir else None
    model = case.model if case.model is not None else onnx.load(folder / "model.onnx")
    samples = tuple(_sample(model, i, o) for i, o in case.data_sets or ()) or tuple(_stored(model, folder))
    return Case(case.name, kind, model, samples, case.rtol, case.atol)


def _light(case: Any) -> Case:
    """A net of the model zoo without its weights: fed with the ramp that onnx's own runner feeds."""
    stem = Path(onnx.__file__).parent / "backend/test/data/light" / Path(case.url).stem
    model = onnx.load(stem.with_suffix(".onnx"))
    weights = {t.name for t in model.graph.initializer}
    ramps = tuple(
        numpy_helper.from_array(Runner.generate_dummy_data(v, random=False), v.name)
        for v in model.graph.input
        if v.name not in weights
    )
    golden = stem.with_name(f"{stem.name}_output_0.pb")
    return Case(case.name, "real", model, (Sample(ramps, (onnx.load_tensor(golden),)),), case.rtol, case.atol)


def _sample(model: onnx.ModelProto, inputs: Sequence[Any], outputs: Sequence[Any]) -> Sample:
    return Sample(
        tuple(_tensor(a, v) for a, v in zip(inputs, model.graph.input, strict=False)),
        tuple(_tensor(a, v) for a, v in zip(outputs, model.graph.output, strict=False)),
    )


def _tensor(value: Any, info: onnx.ValueInfoProto) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and info.type.HasField("tensor_type"):
        return numpy_helper.from_array(np.asarray(value), info.name)
    return value


def _stored(model: onnx.ModelProto, folder: Path | None) -> Iterator[Sample]:
    constant = {tensor.name for tensor in model.graph.initializer}
    required = [info for info in model.graph.input if info.name not in constant]
    for data in sorted(folder.glob("test_data_set_*")) if folder else ():
        yield Sample(
            tuple(_stored_value(data / f"input_{i}.pb", info) for i, info in enumerate(required)),
            tuple(_stored_value(data / f"output_{i}.pb", info) for i, info in enumerate(model.graph.output)),
        )


def _stored_value(path: Path, info: onnx.ValueInfoProto) -> Any:
    data = path.read_bytes()
    if info.type.HasField("sequence_type"):
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if info.type.HasField("optional_type"):
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    return onnx.TensorProto.FromString(data)


def array(value: Any) -> Any:
    """The numpy form of a stored value; sequences, optionals and maps stay what they are."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.generic) else value
