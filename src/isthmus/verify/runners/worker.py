"""The process that holds one framework and one model: ``python -m isthmus.verify.runners.worker``."""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from isthmus.errors import IsthmusError, RunnerFailed, UsageError
from isthmus.verify.runners import codec, protocol
from isthmus.verify.runners.codec import Value
from isthmus.verify.runners.gradients import Gradients
from isthmus.verify.runners.protocol import Loaded, ModelRaised

KINDS = ("onnx", "torch", "tensorflow")


def main() -> int:
    """Answer requests, one JSON object a line, until the pipe closes."""
    requests, answers = _private_pipes()
    worker = _Worker()
    for line in requests:
        answers.write(json.dumps(worker.answer(json.loads(line))) + "\n")
        answers.flush()
    return 0


class _Worker:
    """The state between requests: at most one model."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            result = _ANSWERS[request["do"]](self, request)
        except IsthmusError as error:
            return {"error": protocol.plain_error(error)}
        except Exception as error:  # noqa: BLE001 - the outermost frame: whatever a framework raises is an answer
            traceback.print_exc()
            kind = RunnerFailed if self._loaded is None else ModelRaised
            return {"error": protocol.plain_error(kind(f"{type(error).__name__}: {_shortened(str(error))}"))}
        return {"result": result, "peak_rss": peak_rss()}

    def _load(self, request: Mapping[str, Any]) -> dict[str, Any]:
        kind = request["kind"]
        if kind not in KINDS:
            raise UsageError(f"there is no runner for {kind!r}, only {', '.join(KINDS)}")
        # A factory and custom objects lie where their caller finds them, nothing else does.
        if (kind == "torch" and ":" in request["source"]) or request["options"].get("custom_objects"):
            sys.path.extend(entry for entry in request["path"] if entry not in sys.path)
        module = importlib.import_module(f"isthmus.verify.runners.{kind}")
        loaded: Loaded = module.load(request["source"], request["options"])
        self._loaded = loaded
        return {
            "signature": protocol.plain_signature(loaded.signature),
            "variants": list(loaded.variants),
            "trains": hasattr(loaded, "gradients"),
        }

    def _run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        loaded, feeds = self._fed(request)
        codec.save(Path(request["outputs"]), loaded.run(feeds, request["variant"]))
        return {}

    def _gradients(self, request: Mapping[str, Any]) -> dict[str, Any]:
        loaded, feeds = self._fed(request)
        if not hasattr(loaded, "gradients"):
            raise UsageError("this framework computes no gradients")
        made: Gradients = loaded.gradients(feeds, codec.load(Path(request["cotangents"])))
        codec.save(Path(request["outputs"]), made.values)
        return {"tied": dict(made.tied), "stored": [asdict(stored) for stored in made.stored.values()]}

    def _fed(self, request: Mapping[str, Any]) -> tuple[Loaded, dict[str, Value]]:
        """The model, and inputs that are all that it needs."""
        if self._loaded is None:
            raise RunnerFailed("asked to run before a model was loaded")
        feeds = codec.load(Path(request["feeds"]))
        lacking = [spec.name for spec in self._loaded.signature.inputs if spec.name not in feeds]
        if lacking:
            raise UsageError(f"the model needs {_listed(lacking)} and was fed {_listed(feeds)}")
        return self._loaded, feeds


_ANSWERS: Mapping[str, Callable[[_Worker, Mapping[str, Any]], dict[str, Any]]] = MappingProxyType(
    {"load": _Worker._load, "run": _Worker._run, "gradients": _Worker._gradients}
)


def peak_rss() -> int:
    """The most memory this process ever held, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage inherits the parent's peak across exec, VmHWM does not
        lines = status.read_text(encoding="ascii", errors="replace").splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _private_pipes() -> tuple[TextIO, TextIO]:
    """The pipes to the judge on descriptors of their own, so that no print or input() of a model meets them."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(requests, encoding="utf-8"), os.fdopen(answers, "w", encoding="utf-8")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "nothing"


def _shortened(text: str, limit: int = 2000) -> str:
    return text if len(text) <= limit else f"{text[: limit // 2]} … {text[-limit // 2 :]}"


if __name__ == "__main__":
    sys.exit(main())
