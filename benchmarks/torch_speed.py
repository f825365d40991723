"""The recorded module against the original one, interleaved in one process and one thread; and the time to convert.

    python benchmarks/torch_speed.py [--only resnet50 …] [--rounds N] [--target 1.05]

Times are medians of pairs: each round runs the original and every form of the result once, in changing order, so
that what else the machine does meets all alike. ``live`` is what ``convert(…, to="torch")`` returns, ``py`` what the
written source loads, ``pt2`` the exported program. Conversion is from an ONNX file; loading is ``torch.load`` of the
same weights. Exit code 1 where a recorded module (live, py) takes longer than ``--target`` times the original, or a
conversion longer than three times the loading plus two seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NETS: Mapping[str, tuple[tuple[str, tuple[int, ...]], ...]] = {
    "resnet50": (("image", (3, 224, 224)),),
    "mobilenet": (("image", (3, 224, 224)),),
    "bert": (("ids", (128,)), ("mask", (128,))),
    "encoder": (("ids", (128,)),),
    "tagger": (("ids", (40,)),),
}
"""The inputs of each net: what they hold, and their shapes without the batch."""
BATCHES = (1, 8)
FORMS = ("live", "py", "pt2")


def measure(net: str, rounds: int, folder: Path) -> dict[str, Any]:
    """Run in the child: convert ``net`` from ONNX, then time the result's forms against it."""
    import nets
    import torch

    import isthmus.api

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = getattr(nets, net)().eval()
    quiet = isthmus.Options(verify=False)
    example = inputs(net, 2)
    axes = tuple({0: "batch"} for _ in example)
    isthmus.api.convert(module, folder / "net.onnx", inputs=example, dynamic_shapes=axes, options=quiet)
    torch.save(module.state_dict(), folder / "net.pt")
    isthmus.api.convert(folder / "net.onnx", to="torch", options=quiet)  # the first one imports
    load = seconds(lambda: torch.load(folder / "net.pt", weights_only=True))
    convert = {
        "live": seconds(lambda: isthmus.api.convert(folder / "net.onnx", to="torch", options=quiet)),
        "py": seconds(lambda: isthmus.api.convert(folder / "net.onnx", folder / "net.py", options=quiet)),
        "pt2": seconds(lambda: isthmus.api.convert(folder / "net.onnx", folder / "net.pt2", options=quiet)),
    }
    forms = {
        "live": isthmus.api.convert(folder / "net.onnx", to="torch", options=quiet).model,
        "py": source(folder / "net.py"),
        "pt2": torch.export.load(folder / "net.pt2").module(),
    }
    results = {batch: interleaved(module, forms, inputs(net, batch), rounds) for batch in BATCHES}
    return {"load": load, "convert": convert, "run": results}


def inputs(net: str, batch: int) -> tuple[Any, ...]:
    import torch

    make: Mapping[str, Callable[[tuple[int, ...]], Any]] = {
        "image": torch.randn,
        "ids": lambda shape: torch.randint(0, 1000, shape),
        "mask": lambda shape: torch.ones(shape, dtype=torch.int64),
    }
    return tuple(make[kind]((batch, *shape)) for kind, shape in NETS[net])


def source(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("measured", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load_model()


def interleaved(original: Any, forms: Mapping[str, Any], given: Sequence[Any], rounds: int) -> dict[str, Any]:
    """Seconds of the original, and each form's as a multiple: the median of the rounds' quotients."""
    import torch

    calls = {"original": original, **forms}
    order = list(calls)
    found: dict[str, list[float]] = {name: [] for name in calls}
    with torch.inference_mode():
        for call in calls.values():
            call(*given)
        for turn in range(rounds):
            for name in order[turn % len(order) :] + order[: turn % len(order)]:
                started = time.perf_counter()
                calls[name](*given)
                found[name].append(time.perf_counter() - started)
    base = found["original"]
    ratios = {name: statistics.median(a / b for a, b in zip(found[name], base, strict=True)) for name in forms}
    return {"seconds": statistics.median(base), **ratios}


def seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=NETS, default=list(NETS))
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--target", type=float, default=1.05)
    parser.add_argument("--child", nargs=2, metavar=("NET", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        net, folder = arguments.child
        print(json.dumps(measure(net, arguments.rounds, Path(folder))))
        return 0
    print(f"{'net':11}{'batch':>6}{'original':>11}" + "".join(f"{'× ' + form:>8}" for form in FORMS), flush=True)
    slow = []
    for net in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--rounds", str(arguments.rounds), "--child", net, folder]
            done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
        if done.returncode:
            raise SystemExit(f"{net} failed:\n{done.stderr[-3000:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        for batch, run in found["run"].items():
            ratios = "".join(f"{run[form]:8.3f}" for form in FORMS)
            print(f"{net:11}{batch:>6}{run['seconds'] * 1e3:8.1f} ms{ratios}", flush=True)
            slow += [f"{net} × {batch} {form}" for form in ("live", "py") if run[form] > arguments.target]
        limit = 3 * found["load"] + 2
        times = "".join(f"{found['convert'][form]:8.2f}" for form in FORMS)
        print(f"{'':11}{'convert':>6}, s; limit {limit:.2f}{'':>5}{times}", flush=True)
        slow += [f"{net} converts to {form}" for form in ("live", "py") if found["convert"][form] > limit]
    print(f"too slow: {', '.join(slow)}" if slow else "all within their limits")
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
