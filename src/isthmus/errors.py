"""One tree of errors. Each says what, where and how to fix it, and knows its exit code."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.types import Blocker


class IsthmusError(Exception):
    """The root. ``hint`` is the remedy, shown on a line of its own."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class UsageError(IsthmusError):
    """The call cannot be carried out as it was asked: arguments, inputs, targets."""

    exit_code = 2


class InvalidModel(IsthmusError):
    """The source is not a readable model of its format: truncated, empty, of another kind, inconsistent."""

    exit_code = 2


class Unsupported(IsthmusError):
    """Refused by name. ``blockers`` holds all of them, not the first."""

    exit_code = 3

    def __init__(self, message: str, blockers: Sequence[Blocker], *, hint: str = "") -> None:
        self.blockers = tuple(blockers)
        lines = [f"  {b}" + (f"\n    hint: {b.hint}" if b.hint else "") for b in self.blockers]
        super().__init__("\n".join([message, *lines]), hint=hint)


class RunnerFailed(IsthmusError):
    """A judging process died, timed out, or spoke nonsense. The end of its stderr is in the message."""

    exit_code = 4


class FrameworkMissing(IsthmusError):
    """A framework is needed and not installed."""

    exit_code = 5

    def __init__(self, framework: str, need: str) -> None:
        extra = {"tensorflow": "tensorflow", "torch": "torch", "onnxruntime": "onnx", "onnxscript": "torch"}
        extra |= {"tf_keras": "keras2"}
        self.framework = framework
        hint = f"pip install 'isthmus[{extra[framework]}]'" if framework in extra else f"pip install {framework}"
        super().__init__(f"{framework} is not installed, and {need}", hint=hint)


class UnsafeInput(IsthmusError):
    """Loading this would run code or read files outside of the model's folder."""

    exit_code = 6
