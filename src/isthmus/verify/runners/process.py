"""The judge's end of a worker: start it, speak to it, and turn its death into an error."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Literal

from isthmus.errors import RunnerFailed
from isthmus.types import Signature, StoredWeight
from isthmus.verify.runners import codec, protocol
from isthmus.verify.runners.codec import Array, Value
from isthmus.verify.runners.gradients import Gradients
from isthmus.verify.runners.protocol import DEFAULT

RunnerKind = Literal["onnx", "torch", "tensorflow"]

_TAIL_BYTES = 8192
_TAIL_LINES = 12
_QUIET = {
    # TensorFlow writes to stderr before its own logging can be set up, so only the environment can hush it.
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_ENABLE_DEPRECATION_WARNINGS": "0",
    "KERAS_BACKEND": "tensorflow",
    "PYTHONIOENCODING": "utf-8",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",  # nothing is left beside a model that is source
}


class ProcessRunner:
    """A model in a process of its own. Use it in a ``with``: leaving kills the process."""

    def __init__(
        self, kind: RunnerKind, source: str, *, name: str = "", timeout: float = 600.0, **options: Any
    ) -> None:
        """Start the process and load the model.

        ``options`` are the kind's own, plain JSON (see ``load`` in its module). Raises ``FrameworkMissing``,
        ``InvalidModel``, ``UnsafeInput``, ``Unsupported`` as the worker does, ``RunnerFailed`` where it dies.
        """
        self.name = name or source
        self.peak_rss = 0
        self._kind = kind
        self._timeout = timeout
        self._count = 0
        self._folder = tempfile.TemporaryDirectory(prefix="isthmus-", ignore_cleanup_errors=True)
        self._tail = bytearray()
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._process = _spawn()
        self._threads = (
            threading.Thread(target=_drain, args=(self._process.stderr, self._tail), daemon=True),
            threading.Thread(target=_listen, args=(self._process.stdout, self._lines), daemon=True),
        )
        for thread in self._threads:
            thread.start()
        with contextlib.ExitStack() as undo:
            undo.callback(self.close)
            # A factory is looked for where `python -m` would: in the working directory first.
            path = [str(Path.cwd()), *(entry for entry in sys.path if isinstance(entry, str))]
            request = {"do": "load", "kind": kind, "source": source, "options": options, "path": path}
            answer = self._ask(request, "loading the model")
            undo.pop_all()
        self.signature: Signature = protocol.signature_from(answer["signature"])
        self.variants: tuple[str, ...] = tuple(answer["variants"])
        self.trains: bool = answer["trains"]

    def run(self, feeds: Mapping[str, Value], variant: str = DEFAULT) -> dict[str, Value]:
        """Outputs by name. ``ModelRaised`` where the model refuses these inputs, ``RunnerFailed`` where it dies."""
        self._count += 1
        given = Path(self._folder.name, f"feeds-{self._count}.npz")
        made = Path(self._folder.name, f"outputs-{self._count}.npz")
        try:
            codec.save(given, feeds)
            request = {"do": "run", "feeds": str(given), "outputs": str(made), "variant": variant}
            self._ask(request, "running the model")
            return codec.load(made)
        finally:
            given.unlink(missing_ok=True)
            made.unlink(missing_ok=True)

    def gradients(self, feeds: Mapping[str, Value], cotangents: Mapping[str, Array]) -> Gradients:
        """Gradients by weight, which are read from a file as they are asked for, until the next are computed."""
        folder = Path(self._folder.name)
        given, weights, made = folder / "given.npz", folder / "cotangents.npz", folder / "gradients.npz"
        made.unlink(missing_ok=True)
        try:
            codec.save(given, feeds)
            codec.save(weights, cotangents)
            request = {"do": "gradients", "feeds": str(given), "cotangents": str(weights), "outputs": str(made)}
            answer = self._ask(request, "computing gradients")
            stored = {entry["key"]: StoredWeight(**entry) for entry in answer["stored"]}
            return Gradients(codec.Archive(made), answer["tied"], stored)
        finally:
            given.unlink(missing_ok=True)
            weights.unlink(missing_ok=True)

    def close(self) -> None:
        """End the process and all that it started, and remove its files. May be called twice."""
        self._kill()
        for thread in self._threads:
            thread.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a request that nobody will read any more
                    pipe.close()
        self._folder.cleanup()

    def __enter__(self) -> ProcessRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Mapping[str, Any], doing: str) -> Any:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            pipe.write((json.dumps(request) + "\n").encode())
            pipe.flush()
        except (BrokenPipeError, ValueError):
            raise self._died(doing) from None
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            self._kill()
            raise RunnerFailed(
                f"the {self._kind} runner took longer than {self._timeout:g} s {doing} ({self.name}){self._stderr()}",
                hint="allow more with --timeout",
            ) from None
        if line is None:
            raise self._died(doing)
        try:
            answer = json.loads(line)
        except ValueError:
            self._kill()
            raise RunnerFailed(f"the {self._kind} runner spoke nonsense {doing}: {line[:200]!r}") from None
        if "error" in answer:
            raise protocol.error_from(answer["error"])
        self.peak_rss = max(self.peak_rss, answer["peak_rss"])
        return answer["result"]

    def _died(self, doing: str) -> RunnerFailed:
        code = self._process.wait()
        self._threads[0].join(timeout=5)
        hint = "the system may have run out of memory" if code == -9 else ""
        return RunnerFailed(
            f"the {self._kind} runner died {doing} ({self.name}): {_exit_text(code)}{self._stderr()}", hint=hint
        )

    def _stderr(self) -> str:
        lines = bytes(self._tail).decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        return "".join(f"\n  | {line}" for line in lines)

    def _kill(self) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group is gone already
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()
        self._process.wait()


def _spawn() -> subprocess.Popen[bytes]:
    # -P keeps the current folder off the path: a downloaded model's folder may hold a file named json.py.
    command = [sys.executable, "-P", "-m", "isthmus.verify.runners.worker"]
    home = str(Path(__file__).resolve().parents[3])
    inherited = os.environ.get("PYTHONPATH")
    paths = [inherited] if inherited else []
    if Path(home).name not in ("site-packages", "dist-packages"):
        paths.append(home)
    environment = {**os.environ, **_QUIET}
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(paths)
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,  # so that what the framework starts dies with it
    )


def _drain(pipe: IO[bytes], tail: bytearray) -> None:
    """Keep the end of stderr, and keep the pipe from filling up."""
    while chunk := os.read(pipe.fileno(), 65536):
        tail += chunk
        del tail[:-_TAIL_BYTES]


def _listen(pipe: IO[bytes], lines: queue.Queue[str | None]) -> None:
    for line in pipe:
        lines.put(line.decode("utf-8", "replace"))
    lines.put(None)


def _exit_text(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
