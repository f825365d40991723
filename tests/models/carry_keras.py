"""Carry every family of keras.applications to ONNX and to PyTorch, and compare each with Keras, called eagerly.

python tests/models/carry_keras.py [--only NAME …] [--to onnx|torch|python …]

Compared at two batch sizes and, where the size of images is free, at two sizes: within a few times the distance of
Keras from itself in float64, which hundreds of random layers make large for some. Told for each: that distance from
Keras / how far Keras is from float64; Transposes that are left in the ONNX graph of how many nodes; parameters and
layers of the PyTorch module.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keras_nets import NETS, Net

import isthmus

KINDS = ("onnx", "torch", "python")
_QUIET = isthmus.Options(verify=False)
_ROUNDINGS = 1e-6
"""What an output may lie apart by itself, as a share of the largest: a few roundings of single precision."""
_FLOORS = 8
"""How many times Keras' own distance from the same model in float64 an output may lie from Keras."""

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Golden:
    """What Keras makes of some images, and how far that lies from float64, as a share of the largest."""

    images: np.ndarray
    expected: np.ndarray
    floor: float

    def distance(self, made: np.ndarray) -> float:
        return float(np.abs(made - self.expected).max() / np.abs(self.expected).max())


def golden(net: Net, model: Any) -> list[Golden]:
    """By Keras, called eagerly."""
    wide = net.in_float64(model)
    found = []
    for images in net.feeds():
        expected = model(images, training=False).numpy()
        exact = wide(images.astype(np.float64))
        found.append(Golden(images, expected, Golden(images, expected, 0).distance(exact)))
    return found


def carried(model: Any, wanted: Sequence[Golden], kind: str, folder: Path) -> str:
    """Convert once and compare. Returns what was seen; raises AssertionError on a difference."""
    make = {"onnx": _onnx, "torch": _torch, "python": _python}[kind]
    run, seen = make(model, folder)
    told = []
    for one in wanted:
        made = run(one.images)
        assert made.shape == one.expected.shape, f"shape {made.shape}, and Keras' is {one.expected.shape}"
        told.append(f"{(distance := one.distance(made)):.1e}/{one.floor:.1e}")
        assert distance <= _ROUNDINGS + _FLOORS * one.floor, f"differs by {told[-1]} of the largest"
    return f"{', '.join(told)}; {seen}"


def _onnx(model: Any, folder: Path) -> tuple[Run, str]:
    import onnx
    import onnxruntime

    path = folder / "net.onnx"
    isthmus.convert(model, path, options=_QUIET)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    proto = onnx.load(path, load_external_data=False)
    held = {tensor.name for tensor in proto.graph.initializer}
    lost = [weight.path for weight in model.weights if weight.path not in held]
    ops = Counter(node.op_type for node in proto.graph.node)
    given = proto.graph.input[0]
    dims = [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim]
    nameless = sum(not node.metadata_props for node in proto.graph.node)
    seen = f"{ops['Transpose']} of {len(proto.graph.node)} nodes transpose, {given.name}{dims}"
    seen += f", {len(lost)} of {len(model.weights)} weights folded" if lost else ""
    seen += f", {nameless} nodes of no layer" if nameless else ""
    return lambda images: session.run(None, {given.name: images})[0], seen


def _torch(model: Any, _folder: Path) -> tuple[Run, str]:
    module = isthmus.convert(model, to="torch", options=_QUIET).model
    return _module(model, module)


def _python(model: Any, folder: Path) -> tuple[Run, str]:
    path = folder / "net.py"
    isthmus.convert(model, path, options=_QUIET)
    spec = importlib.util.spec_from_file_location("net", path)
    assert spec is not None and spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(source)
    run, _ = _module(model, source.load_model())
    text = path.read_text(encoding="utf-8")
    return run, f"{len(text.splitlines())} lines, {text.count('permute(')} permute"


def _module(model: Any, module: Any) -> tuple[Run, str]:
    import torch

    parameters = [p for p in module.parameters() if p.requires_grad]
    theirs = model.trainable_weights
    assert len(parameters) == len(theirs), f"{len(parameters)} parameters of {len(theirs)} weights"
    assert sum(p.numel() for p in parameters) == sum(int(np.prod(w.shape)) for w in theirs)
    kinds = Counter(type(part).__name__ for part in module.modules() if list(part.parameters(recurse=False)))

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(module(torch.from_numpy(images)))

    return run, ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


def _one(index: int, kinds: Sequence[str]) -> int:
    """One net in this process."""
    net = NETS[index]
    started = time.monotonic()
    model = net.build()
    wanted = golden(net, model)
    print(f"     {net.label:52}{time.monotonic() - started:6.1f} s to build", flush=True)
    failed = 0
    for kind in kinds:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                good, seen = True, carried(model, wanted, kind, Path(folder))
            except Exception as error:  # noqa: BLE001 - the outermost frame: the other targets go on
                good, seen = False, f"{type(error).__name__}: {error}"
        failed += not good
        seconds = time.monotonic() - started
        print(f"{'ok  ' if good else 'FAIL'} {net.label:40}{kind:8}{seconds:6.1f} s  {seen}", flush=True)
    return failed


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names of keras.applications")
    parser.add_argument("--to", nargs="*", choices=KINDS, default=KINDS, help="kinds of targets")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.one is not None:
        return _one(arguments.one, arguments.to)
    failed = 0
    chosen = [i for i, net in enumerate(NETS) if not arguments.only or net.name in arguments.only]
    for index in chosen:  # each in a process of its own, so that memory does not add up
        command = [sys.executable, __file__, "--one", str(index), "--to", *arguments.to]
        failed += subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode != 0
    print(f"{len(chosen) - failed} nets passed, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
