"""What a corpus model must do as PyTorch: stand alone, agree, compile, train, and go to ONNX and back unchanged."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from samples import make_inputs

import isthmus
from isthmus.judging import readable, tolerance
from isthmus.source import recognise
from isthmus.verify.compare import Measure
from isthmus.verify.feeds import Feeds
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.protocol import ModelRaised
from isthmus.verify.tolerance import Bounds, Tolerance

ALONE = Path(__file__).with_name("alone.py")
SUFFIXES = {"python": ".py", "torch": ".pt2"}
_FLOORS = 8
"""How many times the source's own distance from float64 the result may lie from it."""


def alone(entry: Mapping[str, Any], source: Any, target: Path, conversion: isthmus.types.Conversion) -> str:
    """Run ``target`` without isthmus on the corpus' cases and at other sizes, compiled and trained.

    Returns what was seen; raises AssertionError where the result differs from ``source`` or does not train.
    """
    cases = list(_cases(entry, source, conversion))
    for i, (feeds, _) in enumerate(cases):
        np.savez(target.with_name(f"case{i}.npz"), **feeds)
    paths = [target.with_name(f"case{i}.npz") for i in range(len(cases))]
    done = subprocess.run(
        [sys.executable, "-I", str(ALONE), str(target), *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, f"alone: {done.stderr[-1500:]}"
    seen = json.loads(done.stdout.splitlines()[-1])
    measures: dict[str, Measure] = {}
    scaled = _tolerance(source)
    for path, (feeds, expected) in zip(paths, cases, strict=True):
        wide = _in_float64(conversion.model, feeds)
        with np.load(path.with_suffix(".out.npz"), allow_pickle=False) as made:
            for i, (name, value) in enumerate(expected.items()):
                bounds = _with_floor(scaled, wide[i] if wide else None)
                measures.setdefault(name, Measure(name)).add(value, made[f"y{i}"], bounds)
    bad = [m.result() for m in measures.values() if not m.result().agrees]
    assert not bad, f"alone: {bad}"
    assert seen["compiled"] <= 1e-5, f"compiled, outputs differ by {seen['compiled']}"
    return _training(seen)


def _tolerance(source: Any) -> Tolerance:
    """As the judge has it: by the coarsest type that an ONNX graph computes in."""
    options = isthmus.Options()
    return tolerance(readable([recognise(source)], options), options)


def _with_floor(scaled: Tolerance, wide: np.ndarray | None) -> Tolerance:
    """``scaled``, or a few times what lies between the source and the same computation in float64, if that is more.

    A steep function at the end (a sigmoid over a large logit) makes more of rounding than a share of the output.
    """

    def bounds(output: str, reference: np.ndarray) -> Bounds:
        found = scaled(output, reference)
        if wide is None or wide.shape != reference.shape or not np.isfinite(reference).all():
            return found
        return Bounds(max(found.atol, _FLOORS * float(np.abs(reference - wide).max(initial=0))), found.rtol)

    return bounds


def _in_float64(module: Any, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray] | None:
    """The outputs of a copy of ``module`` in float64; None where its source insists on another type."""
    import torch

    wide = copy.deepcopy(module).double()
    given = (torch.from_numpy(a.astype(np.float64) if a.dtype == np.float32 else a) for a in feeds.values())
    try:
        with torch.no_grad():
            made = wide(*given)
    except RuntimeError:
        return None
    return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(made)]


def _training(seen: Mapping[str, Any]) -> str:
    if not seen["parameters"]:
        return "nothing to train"
    if "before" not in seen:
        return f"{seen['parameters']} parameters, no float output to train"
    assert seen["after"] < seen["before"], f"a step takes the loss from {seen['before']} to {seen['after']}"
    unreached = f", unreached {seen['unreached']}" if seen["unreached"] else ""
    return f"{seen['parameters']} parameters{unreached}, loss {seen['before']:.6g} → {seen['after']:.6g}"


def _cases(
    entry: Mapping[str, Any], source: Any, conversion: isthmus.types.Conversion
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Inputs and the source's outputs: the corpus' cases, then synthesised ones at sizes of their own."""
    given = [make_inputs(entry, case) for case in range(len(entry["cases"]))]
    if entry["format"] != "onnx":
        names = [spec.name for spec in conversion.artifact.signature.outputs]
        for feeds in given:
            yield feeds, dict(zip(names, _called(source, feeds), strict=True))
        return
    with closing(ProcessRunner("onnx", str(source))) as runner:
        for feeds in given:
            yield feeds, runner.run(feeds)
        if conversion.artifact.signature.free_dims:
            yield _other(conversion, runner)


def _other(
    conversion: isthmus.types.Conversion, runner: ProcessRunner
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Other inputs at sizes that the judge found both sides to take: a program tells which ones it does not take."""
    judged = [dict(sample.sizes) for sample in conversion.verdict.samples]
    for feed in Feeds(conversion.artifact.signature, samples=3, seed=7).attempts(1):
        if dict(feed.sizes) not in judged:
            continue
        try:
            return feed.values, runner.run(feed.values)
        except ModelRaised:
            continue
    raise AssertionError("the source takes no synthesised inputs")


def _called(module: Any, feeds: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
    import torch

    with torch.no_grad():
        made = module(*(torch.from_numpy(array) for array in feeds.values()))
    return [leaf.numpy() for leaf in torch.utils._pytree.tree_leaves(made)]


def there_and_back(source: Any, inputs: Any, shapes: Any, folder: Path) -> str:
    """A live module to ONNX and back. Raises AssertionError unless keys, bits and module names are the same."""
    import torch

    quiet = isthmus.Options(verify=False)
    isthmus.convert(source, folder / "there.onnx", inputs=inputs, dynamic_shapes=shapes, options=quiet)
    back = isthmus.convert(folder / "there.onnx", to="torch", options=quiet).model
    before, after = source.state_dict(), back.state_dict()
    assert before.keys() == after.keys(), f"keys {sorted(before.keys() ^ after.keys())}"
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    paths = {path for path, _ in source.named_modules()} - {path for path, _ in back.named_modules()}
    assert not paths, f"modules {sorted(paths)}"
    return f"{len(before)} keys came back"
