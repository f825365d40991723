"""How a runner is spoken to: JSON lines on the pipes, npz files for the values, one tree of errors."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from isthmus.errors import (
    FrameworkMissing,
    InvalidModel,
    IsthmusError,
    RunnerFailed,
    UnsafeInput,
    Unsupported,
    UsageError,
)
from isthmus.types import Blocker, Signature, TensorSpec
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients

DEFAULT = "default"
"""The variant that every runner has: the model as its framework runs it when left alone."""


_REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a model's own code raises where its inputs do not fit."""


class ModelRaised(RunnerFailed):
    """The model itself raised on these inputs; its process lives on and other inputs may work."""


class SizesRefused(ModelRaised):
    """The model declares that it takes no inputs of these sizes: a guard of an exported program, not a failure."""


class Loaded(Protocol):
    """A model inside its framework, loaded once and run many times.

    ``signature`` is what the framework says of the model. ``variants`` are the ways of computing that the
    framework itself offers and that may differ in value (``default`` first).
    """

    @property
    def signature(self) -> Signature: ...

    @property
    def variants(self) -> tuple[str, ...]: ...

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]: ...


class Differentiable(Loaded, Protocol):
    """A ``Loaded`` model whose framework computes gradients.

    The loss is the sum of the outputs times ``cotangents``, by name; the model is as it is in ``run``.
    """

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients: ...


class Runner(Loaded, Protocol):
    """A ``Loaded`` model that the judge can call, here or in a process of its own, and must close.

    ``trains`` tells whether it is ``Differentiable`` too; ``gradients`` may be called only then, and what it returns
    holds until it is called again.
    """

    @property
    def name(self) -> str: ...

    @property
    def trains(self) -> bool: ...

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class LiveRunner:
    """A model that lives in the caller's own process, where it cannot be shipped elsewhere.

    ``calls`` maps each variant to a function from named arrays to named outputs; ``default`` comes first.
    ``gradient`` is there where gradients can be had. What Python code raises on inputs that it does not take, and the
    ``failures`` of its framework, become ``ModelRaised``, as a worker would have it.
    """

    name: str
    signature: Signature
    calls: Mapping[str, Callable[[dict[str, Value]], Mapping[str, Value]]] = field(repr=False)
    gradient: Callable[[dict[str, Value], Mapping[str, Array]], Gradients] | None = field(default=None, repr=False)
    failures: tuple[type[Exception], ...] = ()

    @property
    def variants(self) -> tuple[str, ...]:
        return tuple(self.calls)

    @property
    def trains(self) -> bool:
        return self.gradient is not None

    @property
    def _refusals(self) -> tuple[type[Exception], ...]:
        return (*_REFUSALS, *self.failures)

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        try:
            return dict(self.calls[variant](dict(feeds)))
        except self._refusals as error:
            raise ModelRaised(f"{type(error).__name__}: {error}") from error

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        assert self.gradient is not None
        try:
            return self.gradient(dict(feeds), cotangents)
        except self._refusals as error:
            raise ModelRaised(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Nothing to end: the model belongs to the caller."""


def require(framework: str, need: str) -> Any:
    """Import a framework late. ``FrameworkMissing`` where it is absent, ``RunnerFailed`` where it is broken."""
    try:
        return importlib.import_module(framework)
    except ModuleNotFoundError as error:
        if error.name != framework:
            raise RunnerFailed(
                f"{framework} is installed but misses its own dependency {error.name}",
                hint=f"pip install --force-reinstall {framework}",
            ) from error
        raise FrameworkMissing(framework, need) from error
    except ImportError as error:
        raise RunnerFailed(
            f"{framework} is installed but cannot be imported: {error}", hint="isthmus doctor"
        ) from error


def plain_signature(signature: Signature) -> dict[str, Any]:
    """A signature as JSON would hold it."""
    return dataclasses.asdict(signature)


def signature_from(plain: Mapping[str, Any]) -> Signature:
    """The inverse of ``plain_signature``."""
    return Signature(_specs(plain["inputs"]), _specs(plain["outputs"]))


def _specs(plain: Sequence[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    def shape(dims: Sequence[Any] | None) -> tuple[Any, ...] | None:
        return None if dims is None else tuple(dims)

    return tuple(TensorSpec(**{**spec, "shape": shape(spec["shape"])}) for spec in plain)


_MESSAGE_ERRORS: Mapping[str, type[IsthmusError]] = {
    cls.__name__: cls for cls in (InvalidModel, UsageError, UnsafeInput, RunnerFailed, ModelRaised, SizesRefused)
}


def plain_error(error: IsthmusError) -> dict[str, Any]:
    """An error as JSON would hold it, so that it is raised anew on the other side."""
    plain: dict[str, Any] = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
    if isinstance(error, FrameworkMissing):
        plain["framework"] = error.framework
        plain["message"] = error.message.partition(" is not installed, and ")[2]
    if isinstance(error, Unsupported):
        plain["message"] = error.message.partition("\n")[0]
        plain["blockers"] = [{"op": b.op, "reason": b.reason, "hint": b.hint} for b in error.blockers]
    return plain


def error_from(plain: Mapping[str, Any]) -> IsthmusError:
    """The inverse of ``plain_error``; an unknown type becomes ``RunnerFailed``."""
    name, message, hint = plain.get("type", ""), str(plain.get("message", "")), str(plain.get("hint", ""))
    if name == FrameworkMissing.__name__:
        return FrameworkMissing(plain["framework"], message)
    if name == Unsupported.__name__:
        return Unsupported(message, [Blocker(**b) for b in plain["blockers"]], hint=hint)
    return _MESSAGE_ERRORS.get(name, RunnerFailed)(message, hint=hint)
