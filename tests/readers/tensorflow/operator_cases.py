"""A TensorFlow operator with inputs, attributes and element types: cases of one, and their judgement.

A ``Spec`` names an operator of ``tf.raw_ops``, what goes in, and the values its attributes may have. Its cases are:
every combination of attributes in the base element types; then every element type that a kernel of TensorFlow's CPU
takes, one type attribute after the other; each with fixed sizes, and with all sizes free. TensorFlow called eagerly
tells what is right.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import ml_dtypes
import numpy as np
import tensorflow as tf
from reading import assert_equal, hub_of, run_hub
from tensorflow.python.framework import kernels, op_def_registry

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub

REAL = ("float32", "float64", "float16", "bfloat16")
WHOLE = ("int32", "int64", "int8", "int16", "uint8", "uint16", "uint32", "uint64")
COMPLEX = ("complex64", "complex128")
ALL = (*REAL, *WHOLE, "bool", *COMPLEX)
"""The element types that are swept; ``string`` where a spec asks for it."""

_TOLERANCES = {
    "float16": (1e-2, 5e-3),
    "bfloat16": (5e-2, 4e-2),
    "float32": (1e-5, 1e-6),
    "float64": (1e-9, 1e-10),
    "complex64": (1e-5, 1e-5),
    "complex128": (1e-9, 1e-10),
}


@dataclass(frozen=True)
class Draw:
    """An input: numbers drawn from ``low`` to ``high``, or ``values``; ``known`` where it is a constant of the graph;
    ``sized`` where its size is never free, as that of a shape; ``deep`` where its last axis is not, as channels.

    ``special`` puts zeros, extremes, infinities and NaN among them, as the element type has them.
    """

    shape: tuple[int, ...] = ()
    low: float = -3.0
    high: float = 3.0
    special: bool = False
    values: Any = None
    known: bool = False
    sized: bool = False
    deep: bool = False

    def array(self, dtype: tf.DType, rng: np.random.Generator) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):  # what an element type does not hold becomes anything
            return self._array(dtype, rng)

    def _array(self, dtype: tf.DType, rng: np.random.Generator) -> np.ndarray:
        if self.values is not None:
            values = np.asarray(self.values, object if dtype == tf.string else None)
            return values if dtype == tf.string else values.astype(dtype.as_numpy_dtype)
        if dtype == tf.string:
            words = np.array(["", "a", "Bc", "d e", "f,g"], object)
            return np.asarray(rng.choice(words, self.shape), object)
        if dtype == tf.bool:
            return np.asarray(rng.integers(0, 2, self.shape), bool)
        if dtype.is_integer:
            low = max(int(np.ceil(self.low)), dtype.min)
            drawn = np.asarray(rng.integers(low, max(int(self.high), low), self.shape, endpoint=True))
            extremes = [dtype.min, dtype.max, 0, 1, dtype.max - 1, dtype.max // 2]
        else:
            drawn = np.asarray(rng.uniform(self.low, self.high, self.shape))
            if dtype.is_complex:
                drawn = drawn + 1j * np.asarray(rng.uniform(self.low, self.high, self.shape))
            extremes = [np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.0, 1.0, 1e4, -1e4]
        found = drawn.astype(dtype.as_numpy_dtype)
        if self.special and not dtype.is_complex and found.size:
            places = rng.permutation(found.size)[: len(extremes)]
            found.reshape(-1)[places] = np.asarray(extremes[: len(places)]).astype(found.dtype)
        return found


def x(*shape: int, low: float = -3.0, high: float = 3.0, special: bool = False) -> Draw:
    """Numbers drawn at random."""
    return Draw(shape, low, high, special)


def image(*shape: int, low: float = -3.0, high: float = 3.0) -> Draw:
    """Numbers drawn at random; how many channels there are, on the last axis, is known."""
    return Draw(shape, low, high, deep=True)


def fixed(*shape: int) -> Draw:
    """Numbers drawn at random, of a size that is known, as that of filters."""
    return Draw(shape, sized=True)


def given(values: Any) -> Draw:
    """These values, fed when the model runs; how long the rows of more than one axis are is known."""
    return Draw(np.shape(values), values=values, deep=np.ndim(values) > 1)


def sized(values: Any) -> Draw:
    """These values, fed when the model runs; how many there are is known."""
    return Draw(np.shape(values), values=values, sized=True)


def known(values: Any) -> Draw:
    """These values, as a constant of the graph."""
    return Draw(np.shape(values), values=values, known=True)


Given = Draw | tuple[Draw, ...]


@dataclass(frozen=True)
class Spec:
    """See the module. ``attributes`` lists the values of each; ``types`` replaces the types that are swept.

    ``outputs``: how many are compared, where the last ones are for a device only. ``reference`` tells what an
    operator of old graphs means that TensorFlow no longer runs.
    """

    op: str
    inputs: tuple[Given, ...]
    attributes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    types: Mapping[str, Sequence[str]] = field(default_factory=dict)
    sizes: Sequence[Literal["fixed", "free"]] = ("fixed", "free")
    rtol: float | None = None
    atol: float | None = None
    seeds: int = 1
    outputs: int | None = None
    reference: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Case:
    """One call: attributes and element types are settled."""

    spec: Spec
    attributes: Mapping[str, Any]
    types: Mapping[str, tf.DType]
    sizes: str
    seed: int = 0

    @property
    def name(self) -> str:
        settings = [f"{name}={value}" for name, value in self.attributes.items()]
        types = [dtype.name for dtype in self.types.values()]
        return "-".join([self.spec.op, *types, *settings, self.sizes, *([str(self.seed)] if self.seed else [])])


def spec(op: str, *inputs: Given, types: Mapping[str, Sequence[str]] | None = None, **settings: Any) -> Spec:
    """A spec; attributes are keywords, a list of alternatives each: ``padding=["SAME", "VALID"]``."""
    own = {
        name: settings.pop(name)
        for name in ("sizes", "rtol", "atol", "seeds", "outputs", "reference")
        if name in settings
    }
    return Spec(op, inputs, settings, types or {}, **own)


def cases(spec: Spec, *, swept: bool = True) -> Iterator[Case]:
    """The cases of a spec. Not ``swept``: the first of all attributes and types, with free sizes if it has them."""
    types = list(_types(spec))
    combinations = [
        dict(zip(spec.attributes, values, strict=True)) for values in itertools.product(*spec.attributes.values())
    ]
    if not swept:
        yield Case(spec, combinations[0], types[0], spec.sizes[-1])
        return
    for sizes in spec.sizes:
        for seed in range(spec.seeds):
            for attributes in combinations:
                yield Case(spec, attributes, types[0], sizes, seed)
            for others in types[1:]:
                yield Case(spec, combinations[0], others, sizes, seed)


def settled(spec: Spec) -> dict[str, tuple[str]]:
    """The base types alone, as ``Spec.types``."""
    return {name: (dtype.name,) for name, dtype in next(_types(spec)).items()}


def _types(spec: Spec) -> Iterator[dict[str, tf.DType]]:
    """The base types, then each type attribute through all that TensorFlow's kernels take with the base of others."""
    definition = op_def_registry.get(spec.op)
    allowed = {a.name: _allowed(spec, a) for a in definition.attr if a.type == "type"}
    registered = list(_registered(spec.op))
    base = {name: listed[0] for name, listed in allowed.items()}
    if not any(_fits(base, kernel) for kernel in registered):
        base |= next((kept for kernel in registered if (kept := _first(allowed, kernel)) is not None), {})
    yield base
    seen = [base]
    for name, listed in allowed.items():
        for dtype in listed:
            changed = base | {name: dtype}
            if changed not in seen and any(_fits(changed, r) for r in registered):
                seen.append(changed)
                yield changed


def _first(allowed: Mapping[str, list[tf.DType]], kernel: Mapping[str, set[tf.DType]]) -> dict[str, tf.DType] | None:
    """The first types of each that a kernel takes; None where it takes none of them."""
    found = {name: [t for t in listed if t in kernel.get(name, listed)] for name, listed in allowed.items()}
    return {name: listed[0] for name, listed in found.items()} if all(found.values()) else None


def _allowed(spec: Spec, attribute: Any) -> list[tf.DType]:
    if attribute.name in spec.types:
        return [tf.as_dtype(name) for name in spec.types[attribute.name]]
    listed = [tf.as_dtype(name) for name in ALL]
    if attribute.HasField("allowed_values"):
        permitted = {tf.as_dtype(number) for number in attribute.allowed_values.list.type}
        listed = [dtype for dtype in listed if dtype in permitted]
    if attribute.HasField("default_value"):
        first = tf.as_dtype(attribute.default_value.type)
        listed.sort(key=lambda dtype: dtype != first)
    return listed


def _registered(op: str) -> Iterator[dict[str, set[tf.DType]]]:
    """What each kernel of the CPU takes, by type attribute."""
    for kernel in kernels.get_registered_kernels_for_op(op).kernel:
        if kernel.device_type in ("CPU", "XLA_CPU_JIT"):
            yield {c.name: {tf.as_dtype(t) for t in c.allowed_values.list.type} for c in kernel.constraint}


def _fits(types: Mapping[str, tf.DType], registered: Mapping[str, set[tf.DType]]) -> bool:
    return all(types[name] in permitted for name, permitted in registered.items() if name in types)


Outcome = Literal["agrees", "refused", "raises"]


@dataclass(frozen=True)
class Judged:
    """*agrees*, or *refused* with the reason and no hub; *raises* where TensorFlow itself does."""

    outcome: Outcome
    reason: str = ""
    hub: Hub | None = None


def judge(case: Case) -> Judged:
    """Run a case both ways. Fails where the answer is wrong."""
    function, arrays, free = _called(case)
    try:
        expected = [t.numpy() for t in tf.nest.flatten(function(*map(tf.constant, arrays)))]
    except (
        tf.errors.InvalidArgumentError,
        tf.errors.UnimplementedError,
        tf.errors.NotFoundError,
        tf.errors.InternalError,
    ) as error:
        return Judged("raises", str(error).splitlines()[0])
    dims = {f"x{i}": tuple(f"x{i}_{axis}" for axis in axes) for i, axes in free.items() if axes}
    dims = {name: (*names, *arrays[int(name[1:])].shape[len(names) :]) for name, names in dims.items()}
    settings = {"free": free, "dims": dims} if case.sizes == "free" else {}
    try:
        found = run_hub(hub := hub_of(function, *arrays, **settings), *arrays)
    except Unsupported as refusal:
        return Judged("refused", "; ".join(f"{b.op}: {b.reason}" for b in refusal.blockers))
    assert len(found) == len(expected), f"{len(found)} outputs of {len(expected)}: {hub.signature}"
    types = [tf.as_dtype(e.dtype) for e in expected] + list(case.types.values())
    known = [_TOLERANCES[t.name] for t in types if t.name in _TOLERANCES] or [(0.0, 0.0)]
    rtol, atol = (max(numbers) for numbers in zip(*known, strict=True))
    for ours, theirs in zip(found, expected, strict=True):
        size = (
            np.abs(theirs, where=np.isfinite(theirs), out=np.zeros(theirs.shape)).max(initial=1.0)
            if rtol > 1e-3
            else 1.0
        )
        widest = case.spec.rtol or 0.0, case.spec.atol or 0.0
        assert_equal(ours, np.asarray(theirs), max(rtol, widest[0]), max(atol * size, widest[1]))
    return Judged("agrees", hub=hub)


def _called(case: Case) -> tuple[Any, list[np.ndarray], dict[int, range]]:
    """The operator as a function of what is fed, what is fed, and which axes of that may be free.

    Complex numbers go in and come out as two reals, bfloat16 as float32.
    """
    definition = op_def_registry.get(case.spec.op)
    made = getattr(tf.raw_ops, case.spec.op)
    names = _parameters(made, definition)
    rng = np.random.default_rng([case.seed, *case.spec.op.encode()])
    fed: list[np.ndarray] = []
    free: dict[int, range] = {}
    plan: list[tuple[str, list[Any]]] = []
    for arg, entry in zip(definition.input_arg, case.spec.inputs, strict=True):
        dtype = case.types[arg.type_attr] if arg.type_attr else tf.as_dtype(arg.type)
        makers = []
        for draw in entry if isinstance(entry, tuple) else (entry,):
            array, at = draw.array(dtype, rng), len(fed)
            axes = range(0 if draw.sized else array.ndim - draw.deep)
            free |= {} if draw.known else dict.fromkeys((at, at + 1) if dtype.is_complex else (at,), axes)
            if draw.known:
                makers.append(lambda _, array=array, dtype=dtype: tf.constant(array, dtype))
            elif dtype.is_complex:
                fed += [np.array(array.real), np.array(array.imag)]
                makers.append(lambda tensors, at=at: tf.complex(tensors[at], tensors[at + 1]))
            elif dtype == tf.bfloat16:  # which ONNX Runtime takes no arrays of
                makers.append(lambda tensors, at=at: tf.cast(tensors[at], tf.bfloat16))
                fed.append(array.astype(np.float32))
            else:
                makers.append(lambda tensors, at=at: tensors[at])
                fed.append(array)
        plan.append((names.get(arg.name, arg.name), makers if isinstance(entry, tuple) else makers[0]))
    taken = {arg.type_attr for arg in definition.input_arg}
    settings = {names.get(name, name): dtype for name, dtype in case.types.items() if name not in taken}
    settings |= {names.get(name, name): value for name, value in case.attributes.items()}

    def function(*tensors: tf.Tensor) -> list[tf.Tensor]:
        operands = {
            name: [maker(tensors) for maker in makers] if isinstance(makers, list) else makers(tensors)
            for name, makers in plan
        }
        if tf.executing_eagerly() and case.spec.reference is not None:
            results = tf.nest.flatten(case.spec.reference(*operands.values(), **case.attributes))
        else:
            results = tf.nest.flatten(made(**operands, **settings))
        return [part for result in results[: case.spec.outputs] for part in _parts(result)]

    return function, fed, free


def _parameters(function: Any, definition: Any) -> dict[str, str]:
    """What the Python function calls the inputs and attributes that it renames; their order is the same."""
    parameters = [name for name in inspect.signature(function).parameters if name != "name"]
    ours = [arg.name for arg in definition.input_arg] + [a.name for a in definition.attr]
    unknown = [name for name in parameters if name not in ours]
    implied = {arg.type_attr for arg in definition.input_arg} | {arg.number_attr for arg in definition.input_arg}
    implied |= {arg.type_list_attr for arg in definition.input_arg}
    left = [name for name in ours if name not in parameters and name not in implied]
    return dict(zip(left, unknown, strict=False))


def _parts(result: tf.Tensor) -> list[tf.Tensor]:
    if result.dtype.is_complex:
        return [tf.math.real(result), tf.math.imag(result)]
    return [tf.cast(result, tf.float32) if result.dtype == tf.bfloat16 else result]


assert ml_dtypes  # numpy learns bfloat16 from it
