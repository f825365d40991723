"""Conversion time and peak memory, as multiples of saving the same weights, side by side in one run.

    python benchmarks/conversion.py [--only resnet50 encoder big] [--repeat N] [--judge]

Each measurement is a process of its own; peak memory includes the source model and the frameworks.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

TASKS = ("save", "onnx", "saved_model")


def measure(net: str, task: str, folder: Path, judge: bool) -> dict[str, float]:
    """Run in the child: build the net, do the task once, report seconds and peak bytes."""
    import nets
    import torch

    torch.manual_seed(0)
    module = getattr(nets, net)().eval()
    weights = sum(t.numel() * t.element_size() for t in module.state_dict().values())
    shape, dtype, axes = nets.EXAMPLES[net]
    example = torch.randint(0, 100, shape) if dtype == "int64" else torch.randn(shape)
    if task == "saved_model":
        import tensorflow  # noqa: F401 - importing is not converting
    if task != "save":
        import onnx_ir  # noqa: F401
        import onnxscript  # noqa: F401

        import isthmus.api
    before = peak()
    started = time.perf_counter()
    if task == "save":
        torch.save(module.state_dict(), folder / "weights.pt")
    else:
        target = folder / ("net.onnx" if task == "onnx" else "net")
        options = isthmus.Options(verify=judge, samples=2)
        isthmus.api.convert(module, target, inputs=(example,), dynamic_shapes=(axes,), options=options)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak": peak(), "before": before, "weights": weights}


def peak() -> int:
    """Peak resident bytes of this process, judging processes not counted."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run(net: str, task: str, judge: bool) -> dict[str, float]:
    """One measurement in a child."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--child", net, task, folder] + ["--judge"] * judge
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
        if done.returncode:
            raise SystemExit(f"{net} {task} failed:\n{done.stderr[-3000:]}")
        return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["resnet50", "encoder", "big"])
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the median is printed (big: once)")
    parser.add_argument("--judge", action="store_true", help="include judging in the time")
    parser.add_argument("--child", nargs=3, metavar=("NET", "TASK", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        net, task, folder = arguments.child
        print(json.dumps(measure(net, task, Path(folder), arguments.judge)))
        return 0
    print(f"{'net':10}{'to':13}{'weights':>10}{'seconds':>9}{'× save':>8}{'peak':>10}{'× weights':>11}{'added':>8}")
    for net in arguments.only:
        rounds = [
            {task: run(net, task, arguments.judge) for task in TASKS}
            for _ in range(1 if net == "big" else arguments.repeat)
        ]
        for task in TASKS:
            seconds = statistics.median(r[task]["seconds"] for r in rounds)
            ratio = statistics.median(r[task]["seconds"] / r["save"]["seconds"] for r in rounds)
            last = rounds[-1][task]
            weights, top = last["weights"], last["peak"]
            added = (top - last["before"]) / weights
            print(
                f"{net:10}{task:13}{weights / 1e6:8.0f}MB{seconds:9.2f}{ratio:8.1f}"
                f"{top / 1e6:8.0f}MB{top / weights:11.2f}{added:8.2f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
