"""What the models are fed: seeded values within proven ranges, or the user's own."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from isthmus.errors import UnsafeInput, UsageError
from isthmus.types import Signature, TensorSpec
from isthmus.verify.runners.codec import Array, Value, as_text, dtype_name, numpy_dtype
from isthmus.verify.runners.torch import to_numpy
from isthmus.verify.sweep import Sweep, dim_key
from isthmus.verify.tolerance import is_floating

Range: TypeAlias = tuple[float, float]
"""The least and the greatest value, both included."""

_WORDS = ("", "a", "isthmus", "Landenge", "two words", "naïve", "0", "-1.5")
_DEFAULT_INTEGERS = (0, 9)
_LEAST_INTEGERS = (0, 1)
_SEQUENCE_LENGTH = 2
_LEAST, _ALIKE, _CARES = 1, 2, 3
"""How carefully integers are chosen, by round: within what is proved, then 0 and 1 at most, then all alike."""
_SAMPLES_APART = 3


@dataclass(frozen=True)
class Feed:
    """One sample's inputs, and the sizes that the free dimensions take in it."""

    index: int
    origin: Literal["synthetic", "user"]
    sizes: Mapping[str, int]
    values: Mapping[str, Value] = field(repr=False)
    level: int = 0
    alike: bool = False
    """Whether every input of integers holds one value only."""


@dataclass(frozen=True)
class Feeds:
    """Where samples come from: the user's first, then seeded ones, made only when they are asked for.

    ``ranges`` bounds the values of inputs by name (see ``ranges.integer_ranges``); ``sizes`` offers sizes by
    free dimension; ``user`` is what ``load_inputs`` returned.
    """

    signature: Signature
    samples: int = 3
    seed: int = 0
    ranges: Mapping[str, Range] = field(default_factory=dict)
    sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    user: Mapping[str, Value] | None = None

    def attempts(self, index: int, level: int = 0) -> Iterator[Feed]:
        """The sample ``index`` at the sizes of ``level``, then at others, for a model that refuses the first.

        When all sizes are through they come once more with integers of 0 and 1, where no proof bounds those: they
        may be indices. Then with integers all alike within an input: pairs of them may have to be in order, as the
        corners of a box are. The user's own inputs are tried as they are or not at all.
        """
        if index == 0 and self.user is not None:
            yield Feed(0, "user", free_sizes(self.signature, self.user), self.user)
            return
        known = free_sizes(self.signature, self.user) if self.user is not None else {}
        sweep = Sweep(self.signature, self.sizes, known)
        useful = self._useful_cares()
        tried: list[tuple[int, Mapping[str, int]]] = []
        for step in range(_CARES * sweep.levels):
            attempt = (level + step) % (_CARES * sweep.levels)
            care, size_level = divmod(attempt, sweep.levels)
            choice = care, sweep.sizes(index, size_level)
            if care in useful and choice not in tried:
                tried.append(choice)
                yield self._made(index, attempt, sweep)

    def _made(self, index: int, level: int, sweep: Sweep) -> Feed:
        care, size_level = divmod(level, sweep.levels)
        sizes = sweep.sizes(index, size_level)
        values: dict[str, Value] = {}
        for place, spec in enumerate(self.signature.inputs):
            rng = np.random.Generator(np.random.PCG64([self.seed, index, place]))
            bounds = self._bounds(spec, care, index)
            values[spec.name] = _value(spec, sweep.shape(spec.name, sizes), rng, bounds)
        return Feed(index, "synthetic", sizes, values, level, alike=care == _ALIKE)

    def _bounds(self, spec: TensorSpec, care: int, index: int) -> Range | None:
        """Between which values an input is drawn; None where its type alone says."""
        if care == _ALIKE and _is_integer(spec):
            least, most = map(int, self.ranges.get(spec.name, _LEAST_INTEGERS))
            one = least + index % (min(most - least, _SAMPLES_APART) + 1)
            return one, one
        return _LEAST_INTEGERS if care == _LEAST and self._is_unproved(spec) else self.ranges.get(spec.name)

    def _useful_cares(self) -> frozenset[int]:
        """The rounds that differ from those before them."""
        unproved = any(self._is_unproved(spec) for spec in self.signature.inputs)
        integers = any(_is_integer(spec) for spec in self.signature.inputs)
        return frozenset({0} | ({_LEAST} if unproved else set()) | ({_ALIKE} if integers else set()))

    def _is_unproved(self, spec: TensorSpec) -> bool:
        return _is_integer(spec) and spec.name not in self.ranges


def _is_integer(spec: TensorSpec) -> bool:
    return bool(spec.dtype) and numpy_dtype(spec.dtype).kind in "iu"


def synthesize(
    signature: Signature,
    *,
    samples: int = 3,
    seed: int = 0,
    ranges: Mapping[str, Range] | None = None,
    sizes: Mapping[str, Sequence[int]] | None = None,
) -> list[Feed]:
    """Seeded samples of a signature at its likeliest sizes, the same bytes for the same arguments.

    Raises ``UsageError`` for an input whose type or rank the signature does not tell.
    """
    feeds = Feeds(signature, samples, seed, ranges or {}, sizes or {})
    return [next(feeds.attempts(index)) for index in range(samples)]


def free_sizes(signature: Signature, values: Mapping[str, Value]) -> dict[str, int]:
    """The sizes that named values give to the free dimensions."""
    sizes: dict[str, int] = {}
    for spec in signature.inputs:
        value = values[spec.name]
        if isinstance(value, np.ndarray) and spec.shape is not None:
            free = ((a, d) for a, d in enumerate(spec.shape) if not isinstance(d, int))
            sizes.update({dim_key(spec.name, axis, dim): value.shape[axis] for axis, dim in free})
    return sizes


def load_inputs(given: Any, signature: Signature) -> dict[str, Value]:
    """The user's inputs by name: from an ``.npz`` path, a mapping by name, or a tuple in the signature's order.

    Arrays may be numpy, torch or TensorFlow tensors. Raises ``UsageError`` for names, types and shapes that do
    not fit, ``UnsafeInput`` for an archive that holds a pickle.
    """
    if isinstance(given, str | Path):
        given = _from_archive(Path(given))
    names = [spec.name for spec in signature.inputs]
    if not isinstance(given, Mapping):
        items = list(given) if isinstance(given, tuple | list) else [given]
        if len(items) != len(names):
            raise UsageError(
                f"{len(items)} inputs were given and the model takes {len(names)}: {', '.join(names)}",
                hint="pass them all, in this order or by name",
            )
        given = dict(zip(names, items, strict=True))
    missing, unknown = [n for n in names if n not in given], [str(n) for n in given if n not in names]
    if missing or unknown:
        got = [f"missing: {', '.join(missing)}"] if missing else []
        got += [f"unknown: {', '.join(unknown)}"] if unknown else []
        raise UsageError(f"the inputs do not fit the model ({'; '.join(got)})", hint=f"it takes {', '.join(names)}")
    values = {spec.name: _checked(spec, _as_value(given[spec.name])) for spec in signature.inputs}
    _check_ties(signature, values)
    return values


def named_specs(given: Any) -> tuple[TensorSpec, ...]:
    """What the user's inputs are, where they have names: in an ``.npz`` or a mapping. Raises as ``load_inputs``."""
    if isinstance(given, str | Path):
        given = _from_archive(Path(given))
    if not isinstance(given, Mapping):
        return ()
    values = {name: _as_value(item) for name, item in given.items()}
    return tuple(
        TensorSpec(name, dtype_name(value.dtype), value.shape)
        for name, value in values.items()
        if isinstance(value, np.ndarray)
    )


def _from_archive(path: Path) -> dict[str, Array]:
    try:
        with path.open("rb") as file:
            _require_archive(path, file.read(8))
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UsageError(f"there is no file {path}") from error
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise UsageError(f"{path} is no readable .npz: {error}", hint="write it with np.savez") from error
    except ValueError as error:
        raise UnsafeInput(
            f"{path} holds pickled objects, and unpickling runs code", hint="save plain arrays with np.savez"
        ) from error


def _require_archive(path: Path, head: bytes) -> None:
    """Numpy takes whatever it does not know for a pickle; say what it is instead."""
    if head.startswith(b"PK"):
        return
    if head.startswith(b"\x93NUMPY"):
        raise UsageError(f"{path} holds one array without a name", hint="save it with np.savez(path, name=…)")
    if head.startswith(b"\x80"):
        raise UnsafeInput(f"{path} is a pickle, and unpickling runs code", hint="save plain arrays with np.savez")
    raise UsageError(f"{path} is no .npz", hint="write it with np.savez(path, name=…)")


def _as_value(item: Any) -> Value:
    if item is None or isinstance(item, np.ndarray):
        return as_text(item) if isinstance(item, np.ndarray) and item.dtype.kind in "OSUT" else item
    if type(item).__module__.partition(".")[0] == "torch":
        return to_numpy(item)
    if isinstance(item, Mapping):
        return {key: _as_value(part) for key, part in item.items()}
    if isinstance(item, list | tuple) and any(hasattr(part, "shape") for part in item):
        return [_as_value(part) for part in item]
    array = np.asarray(item)
    return as_text(array) if array.dtype.kind in "OSUT" else array


def _checked(spec: TensorSpec, value: Value) -> Value:
    if spec.kind != "tensor" or not spec.dtype:
        return value
    if not isinstance(value, np.ndarray):
        raise UsageError(f"input {spec.name!r} is no tensor, and the model takes {spec}")
    wanted = numpy_dtype(spec.dtype)
    if value.dtype.kind == "V" and value.dtype.names is None and value.dtype.itemsize == wanted.itemsize:
        value = value.view(wanted)  # npz keeps bfloat16 and its like as nameless bytes
    if dtype_name(value.dtype) != spec.dtype:
        cast = f"{spec.name}.astype({'object' if spec.dtype == 'string' else wanted.name!r})"
        raise UsageError(
            f"input {spec.name!r} is {dtype_name(value.dtype)}, and the model takes {spec.dtype}",
            hint=f"convert it: {cast}",
        )
    if spec.shape is not None:
        fixed = [(axis, dim) for axis, dim in enumerate(spec.shape) if isinstance(dim, int)]
        if value.ndim != len(spec.shape) or any(value.shape[axis] != dim for axis, dim in fixed):
            raise UsageError(
                f"input {spec.name!r} has shape {list(value.shape)}, and the model takes {spec}",
                hint="free dimensions are those with a name or a question mark",
            )
    return value


def _check_ties(signature: Signature, values: Mapping[str, Value]) -> None:
    seen: dict[str, tuple[str, int]] = {}
    for spec in signature.inputs:
        value = values[spec.name]
        if not isinstance(value, np.ndarray) or spec.shape is None:
            continue
        for dim, size in zip(spec.shape, value.shape, strict=True):
            if isinstance(dim, str) and seen.setdefault(dim, (spec.name, size))[1] != size:
                other, first = seen[dim]
                raise UsageError(
                    f"the dimension {dim!r} is {first} in input {other!r} and {size} in input {spec.name!r}",
                    hint="dimensions of one name have one size",
                )


def _value(spec: TensorSpec, shape: tuple[int, ...] | None, rng: np.random.Generator, bounds: Range | None) -> Value:
    if shape is None or not spec.dtype or spec.kind == "map":
        lacks = "rank" if shape is None else "element type"
        raise UsageError(
            f"nothing can be made up for input {spec.name!r}: its {lacks} is not known", hint="pass --inputs FILE.npz"
        )
    if spec.kind == "sequence":
        return [_array(spec.dtype, shape, rng, bounds) for _ in range(_SEQUENCE_LENGTH)]
    return _array(spec.dtype, shape, rng, bounds)


def _array(dtype: str, shape: tuple[int, ...], rng: np.random.Generator, bounds: Range | None) -> Array:
    kind = numpy_dtype(dtype)
    if dtype == "string":
        words = np.array(_WORDS, dtype=object)
        return np.asarray(words[rng.integers(0, len(words), shape)], dtype=object).reshape(shape)
    if dtype == "bool":
        return np.asarray(rng.integers(0, 2, shape), dtype=bool)
    if kind.kind == "c":
        return np.asarray(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(kind)
    if is_floating(kind):
        drawn = rng.standard_normal(shape) if bounds is None else rng.uniform(*bounds, shape)
        return np.asarray(drawn).astype(kind)
    low, high = bounds or _small_integers(dtype)
    return np.asarray(rng.integers(int(low), int(high), shape, endpoint=True)).astype(kind)


def _small_integers(dtype: str) -> tuple[int, int]:
    """Few and small: an integer that no proof bounds may be an index, a size or a count. Bytes are pixels."""
    sub_byte = {"int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3)}
    return {"uint8": (0, 255), "int8": (-128, 127), **sub_byte}.get(dtype, _DEFAULT_INTEGERS)
