"""Carry every model of the corpus to every target, and judge each at the corpus' own cases and at more sizes.

python tests/models/carry.py [--corpus FOLDER] [--only ID …] [--to onnx|saved_model|torch|python …]

A PyTorch target is run, compiled and trained without isthmus as well; a PyTorch source goes to ONNX and back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carry_torch import SUFFIXES, alone, there_and_back
from corpus import fetch, models
from samples import make_inputs

import isthmus
from isthmus.types import Verdict

KINDS = ("saved_model", "onnx", "torch", "python")
TENSORFLOW = ("savedmodel", "keras-h5")
"""Formats of TensorFlow and Keras, which go to ONNX and PyTorch."""
_SUFFIXES = {"saved_model": "", "onnx": ".onnx", **SUFFIXES}


def carried(entry: Mapping[str, Any], path: Path, kind: str, folder: Path) -> tuple[Verdict, str]:
    """Convert one model once, and judge it: synthesised inputs at several sizes, then every case of the corpus.

    Returns the verdict and what else was seen. Raises AssertionError where a PyTorch target does not stand alone.
    """
    source, inputs, shapes = _source(entry, path)
    target = folder / f"{entry['id']}{_SUFFIXES[kind]}"
    conversion = isthmus.convert(source, target, inputs=inputs, dynamic_shapes=shapes)
    if not conversion:
        return conversion.verdict, ""
    if kind in SUFFIXES and entry["format"] not in TENSORFLOW:
        seen = alone(entry, source, target, conversion)
        if inputs is not None:
            seen += f"; {there_and_back(source, inputs, shapes, folder)}"
        return conversion.verdict, seen
    for case in range(len(entry["cases"])):
        names = [spec.name for spec in conversion.artifact.signature.inputs]
        feeds = dict(zip(names, make_inputs(entry, case).values(), strict=True))
        verdict = isthmus.verify(source, target, inputs=feeds, options=isthmus.Options(samples=1))
        if not verdict:
            return verdict, ""
    return conversion.verdict, ""


def _source(entry: Mapping[str, Any], path: Path) -> tuple[Any, Any, Any]:
    """The source, its example inputs and its free axes."""
    if entry["format"] == "onnx" or entry["format"] in TENSORFLOW:
        return path, None, None
    from corpus_nets import build

    shape = entry["signature"]["inputs"][0]["shape"]
    names = iter(("batch", "height", "width"))
    return (
        build(entry, path),
        make_inputs(entry, 0),
        {"x": {i: next(names) for i, d in enumerate(shape) if d is None}},
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, default=Path(".corpus"), help="where the models are kept")
    parser.add_argument("--only", nargs="*", default=[], help="model ids")
    parser.add_argument("--to", nargs="*", choices=KINDS, default=KINDS, help="kinds of targets")
    arguments = parser.parse_args(argv)
    failed = 0
    total = 0
    for entry in models(arguments.only):
        path = fetch(entry, arguments.corpus)
        for kind in arguments.to:
            if kind == "saved_model" and entry["format"] in TENSORFLOW:
                continue
            total += 1
            started = time.monotonic()
            with tempfile.TemporaryDirectory() as folder:
                try:
                    verdict, seen = carried(entry, path, kind, Path(folder))
                    good, text = bool(verdict), f"{_worst(verdict)}{seen and '; '}{seen}"
                except Exception as error:  # noqa: BLE001 - the outermost frame: the other models go on
                    good, text = False, f"{type(error).__name__}: {error}"
            failed += not good
            seconds = time.monotonic() - started
            print(f"{'ok  ' if good else 'FAIL'} {entry['id']:28}{kind:12}{seconds:6.1f} s  {text}", flush=True)
    print(f"{total - failed} passed, {failed} failed")
    return int(failed > 0)


def _worst(verdict: Verdict) -> str:
    worst = max(verdict.comparisons, key=lambda c: (not c.agrees, c.max_abs))
    sizes = [tuple(s.sizes.values()) for s in verdict.samples]
    return f"{worst.output}: {worst.grade}, max abs {worst.max_abs:.2e}, rel {worst.max_rel:.2e}; sizes {sizes}"


if __name__ == "__main__":
    sys.exit(main())
