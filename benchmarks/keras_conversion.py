"""Keras models to ONNX: time and the memory that converting adds, as multiples of the weights.

    python benchmarks/keras_conversion.py [--only inception_v3 resnet50 vgg16 dense] [--live]

Each model is saved as a SavedModel in one process and converted in another, so that what is measured is reading,
converting and writing alone; the frameworks are imported before. ``--live`` converts the model where it was built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conversion import peak

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
NETS = ("inception_v3", "resnet50", "vgg16", "dense")


def build(net: str) -> Any:
    """The Keras model, random weights; ``dense`` has 2.3 GB of them."""
    import keras

    if net == "dense":
        layers = [keras.layers.Dense(8192, activation="relu") for _ in range(8)]
        return keras.Sequential([keras.Input((12600,)), *layers])
    names = {"inception_v3": "InceptionV3", "resnet50": "ResNet50", "vgg16": "VGG16"}
    return getattr(keras.applications, names[net])(weights=None)


def save(net: str, folder: Path) -> dict[str, float]:
    model = build(net)
    model.export(str(folder / "saved"), verbose=False)
    return {"weights": sum(int(w.numpy().nbytes) for w in model.weights)}


def convert(net: str, folder: Path, live: bool) -> dict[str, float]:
    """Run in the child: convert once, report seconds and bytes."""
    import onnx_ir  # noqa: F401 - importing is not converting
    import tensorflow  # noqa: F401

    import isthmus.api

    source: Any = build(net) if live else folder / "saved"
    before, started = peak(), time.perf_counter()
    isthmus.api.convert(source, folder / "net.onnx", options=isthmus.Options(verify=False))
    return {"seconds": time.perf_counter() - started, "before": before, "peak": peak()}


def run(*words: str) -> dict[str, float]:
    """One task in a child."""
    done = subprocess.run([sys.executable, __file__, "--child", *words], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:2])} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(NETS), choices=NETS)
    parser.add_argument("--live", action="store_true", help="convert the live model, not its SavedModel")
    parser.add_argument("--child", nargs=3, metavar=("TASK", "NET", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        task, net, folder = arguments.child
        done = save(net, Path(folder)) if task == "save" else convert(net, Path(folder), task == "live")
        print(json.dumps(done))
        return 0
    print(f"{'net':14}{'weights':>10}{'seconds':>9}{'added':>10}{'× weights':>11}")
    for net in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            weights = run("save", net, folder)["weights"]
            done = run("live" if arguments.live else "convert", net, folder)
        added = done["peak"] - done["before"]
        print(
            f"{net:14}{weights / 1e6:8.0f}MB{done['seconds']:9.2f}{added / 1e6:8.0f}MB{added / weights:11.2f}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
