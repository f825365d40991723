"""The nouns of Isthmus: plain, frozen and free of any framework."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Dim = int | str | None
"""A known size, a named free dimension, or a free dimension without a name."""

_SAYS_NOTHING = ("", "?", "*", "None", "-1")


def told(dim: Dim) -> Dim:
    """``dim`` where it says something: a size of 0 and more, or a name. Else None.

    Exporters write -1 and question marks; a question mark is no name, and two axes that bear it are not tied.
    """
    if isinstance(dim, int):
        return dim if dim >= 0 else None
    return None if dim in _SAYS_NOTHING else dim


Kind = Literal["onnx", "saved_model", "torch", "python"]
"""What a conversion can write."""

ValueKind = Literal["tensor", "sequence", "optional", "map"]

CARRIED_BY_TORCH: Mapping[str, str] = MappingProxyType(
    {"int4": "int8", "int2": "int8", "uint4": "uint8", "uint2": "uint8", "float4e2m1": "float8e4m3fn"}
)
"""ONNX element types that PyTorch computes nothing in, and the smallest of its types that holds their every value.

The inputs, outputs and weights of a PyTorch model have the latter in their place.
"""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its name, its ONNX element type in lower case (``float32``, ``int64``…), its shape.

    ``shape`` is ``None`` where even the rank is unknown. ``kind`` tells a tensor from a sequence, an optional
    or a map of tensors, whose elements then have this dtype and shape.
    """

    name: str
    dtype: str
    shape: tuple[Dim, ...] | None
    layout: str | None = None
    kind: ValueKind = "tensor"

    def __str__(self) -> str:
        dims = "…" if self.shape is None else ", ".join("?" if d is None else str(d) for d in self.shape)
        text = f"{self.name}: {self.dtype}[{dims}]"
        return text if self.kind == "tensor" else f"{text} ({self.kind})"


@dataclass(frozen=True)
class Signature:
    """What goes in and what comes out, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def input(self, name: str) -> TensorSpec:
        return next(spec for spec in self.inputs if spec.name == name)

    @property
    def free_dims(self) -> tuple[str, ...]:
        """The names of the free dimensions of the inputs, in order of appearance."""
        dims = (d for spec in self.inputs for d in spec.shape or ())
        return tuple(dict.fromkeys(d for d in dims if isinstance(d, str)))


@dataclass(frozen=True)
class Options:
    """Everything a user can set. The fields are the command line's flags, held together by a test.

    ``trainable``: every weight of the source can be trained in the result under the source's name, nothing is folded
    into it, dropout and batch normalization have their training modes where the target has modes, and the judge
    compares the gradient of every parameter besides the outputs.
    """

    opset: int | None = None
    dtype: str | None = None
    trainable: bool = False
    signature: str | None = None
    input_layouts: Mapping[str, str] = field(default_factory=dict)
    output_layouts: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True
    samples: int = 3
    seed: int = 0
    atol: float | Mapping[str, float] | None = None
    rtol: float | Mapping[str, float] | None = None
    overwrite: bool = False
    trust_pickle: bool = False
    custom_objects: tuple[str, ...] = ()
    timeout: float = 600.0


@dataclass(frozen=True)
class Where:
    """Where in the source a node comes from. Every field may be empty."""

    node: str = ""
    op: str = ""
    module: str = ""
    source_line: str = ""

    def __str__(self) -> str:
        parts = [f"node {self.node!r}" if self.node else "", f"({self.op})" if self.op else ""]
        parts += [f"in module {self.module}" if self.module else ""]
        parts += [f"at {self.source_line}" if self.source_line else ""]
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Blocker:
    """One thing that stands in a conversion's way, and its remedy."""

    op: str
    reason: str
    hint: str = ""
    where: Where = Where()
    count: int = 1

    def __str__(self) -> str:
        times = f" (×{self.count})" if self.count > 1 else ""
        place = f" — {self.where}" if str(self.where) else ""
        return f"{self.op}{times}: {self.reason}{place}"


@dataclass(frozen=True)
class Support:
    """The answer of ``check``: every blocker at once. Truthy when there is none."""

    to: Kind
    blockers: tuple[Blocker, ...]
    ops: Mapping[str, int]

    def __bool__(self) -> bool:
        return not self.blockers

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class Change:
    """One pass over the hub: operator counts before and after, and its seconds."""

    name: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    seconds: float


@dataclass(frozen=True)
class Note:
    """Something the user should know: an axis that fell, a fallback road that was taken."""

    topic: str
    text: str
    hint: str = ""


@dataclass(frozen=True)
class Summary:
    """The answer of ``inspect``. ``signatures``: what ``Options.signature`` may choose."""

    source: str
    format: str
    signature: Signature
    ops: Mapping[str, int]
    parameters: int
    bytes: int
    dtypes: Mapping[str, int]
    opset: Mapping[str, int]
    producer: str = ""
    signatures: tuple[str, ...] = ()

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class StoredWeight:
    """How a weight of the target was made of one of the source: ``index`` on its first axis, then the ``blocks`` of
    its ``axis`` in this order, out of ``of`` equal ones, then its axes permuted by ``perm``, then ``shape``.

    Each step may be None, which leaves the tensor as it is; all can be undone, so that weights go either way.
    """

    key: str
    source: str
    index: int | None = None
    blocks: tuple[int, ...] | None = None
    of: int | None = None
    perm: tuple[int, ...] | None = None
    shape: tuple[int, ...] | None = None
    axis: int = 0


Grade = Literal["exact", "noise", "drift", "wrong"]
"""How far an output is from the reference: bit-equal, within tolerance, beyond it, or plainly different."""


@dataclass(frozen=True)
class Comparison:
    """One output, or the gradient of one parameter, over all samples: the worst of each measure.

    ``max_rel`` is relative to the reference; ``cosine`` the lowest seen; ``argmax_flips`` counts samples' rows
    whose largest entry moved; ``nonfinite`` counts elements finite on one side only, or non-finite and unequal.
    """

    output: str
    dtype: str
    grade: Grade
    max_abs: float
    max_rel: float
    mean_abs: float
    cosine: float
    argmax_flips: int
    nonfinite: int
    atol: float
    rtol: float
    detail: str = ""

    @property
    def agrees(self) -> bool:
        return self.grade in ("exact", "noise")


@dataclass(frozen=True)
class Sample:
    """What was fed once: where it came from, and the sizes that the free dimensions took."""

    index: int
    origin: Literal["synthetic", "user"]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class Verdict:
    """The judgement of a candidate against its reference. Truthy when every output, and every gradient, agrees.

    ``gradients`` is there where training was asked for and both sides can train: one comparison for each parameter of
    the reference, whose name stands in ``output``. The loss is a seeded weighted sum of the floating outputs, in
    eval mode.
    """

    comparisons: tuple[Comparison, ...]
    samples: tuple[Sample, ...]
    reference: str
    candidate: str
    notes: tuple[Note, ...] = ()
    gradients: tuple[Comparison, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.comparisons) and all(c.agrees for c in (*self.comparisons, *self.gradients))

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class Divergence:
    """The first value whose inputs agree and which does not."""

    value: str
    where: Where
    comparison: Comparison
    repro: str = ""

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class Artifact:
    """What was written: files relative to ``path``'s folder → sha256."""

    kind: Kind
    path: str | None
    signature: Signature
    files: Mapping[str, str]


@dataclass(frozen=True)
class Report:
    """Everything that happened, written beside the target as ``<target>.isthmus.json``.

    It holds no clock time and no absolute path, so that two runs differ only where their work did.
    """

    source: str
    source_kind: str
    target: str | None
    kind: Kind
    road: str
    signature: Signature
    ledger: tuple[Change, ...]
    notes: tuple[Note, ...]
    artifact: Artifact | None
    verdict: Verdict | None
    versions: Mapping[str, str]
    options: Options = Options()
    weights: tuple[StoredWeight, ...] = ()
    """The weights that a PyTorch target has under another key or in another order than its source; all others have
    the name and the order that they had."""

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class Conversion:
    """What ``convert`` returns. Truthy: converted, and agrees if judged."""

    model: Any
    artifact: Artifact
    verdict: Verdict | None
    report: Report

    def __bool__(self) -> bool:
        return self.verdict is None or bool(self.verdict)


def to_json(value: Any) -> str:
    """Any of the dataclasses above as JSON, keys in order of declaration, non-finite floats as strings."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Verdict):
            return {"agrees": bool(value), **fields}
        return {"supported": bool(value), **fields} if isinstance(value, Support) else fields
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return str(value)
    return value
