"""Peak memory and time of writing, loading and running a large SavedModel, each in a process of its own.

    python benchmarks/big_saved_model.py [--gigabytes 2.3] [--layers 24] [--freeze BYTES] [--trainable]

The model is a chain of MatMul and Relu whose weights are made when they are read. ``none`` is a process that only
imports, ``source`` one that reads the model as well; ``write`` less ``none`` is what a conversion holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

_STEPS = ("none", "source", "write", "load")


def hub(gigabytes: float, layers: int) -> Any:
    """A chain of ``layers`` square weights that hold ``gigabytes`` together."""
    import onnx_ir as ir

    from isthmus.readers.onnx import read_onnx

    size = int((gigabytes * 1e9 / 4 / layers) ** 0.5)
    kind = ir.TensorType(ir.DataType.FLOAT)
    x = ir.val("x", ir.DataType.FLOAT, ir.Shape(["batch", size]))
    nodes, weights, value = [], [], x
    for index in range(layers):

        def made(index: int = index) -> ir.Tensor:
            draws = np.random.default_rng(index).standard_normal((size, size), np.float32)
            return ir.Tensor(draws / np.float32(size**0.5))

        shape = ir.Shape([size, size])
        lazy = ir.LazyTensor(made, dtype=ir.DataType.FLOAT, shape=shape, name=f"w{index}", cache=False)
        weights.append(ir.Value(name=f"layers.{index}.weight", shape=shape, type=kind, const_value=lazy))
        product = ir.node("MatMul", [value, weights[-1]])
        nodes += [product, ir.node("Relu", product.outputs)]
        value = nodes[-1].outputs[0]
    value.name, value.type, value.shape = "y", kind, ir.Shape(["batch", size])
    graph = ir.Graph([x], [value], nodes=nodes, initializers=weights, opset_imports={"": 20}, name="chain")
    return read_onnx(ir.Model(graph, ir_version=10))


def source(arguments: argparse.Namespace) -> None:
    """The hub alone: what reading holds."""
    none(arguments)
    hub(arguments.gigabytes, arguments.layers)


def write(arguments: argparse.Namespace) -> None:
    from isthmus.types import Options
    from isthmus.writers.tensorflow import parameters, write_saved_model

    if arguments.freeze is not None:
        parameters.FREEZE_LIMIT = arguments.freeze
    options = Options(trainable=arguments.trainable)
    write_saved_model(hub(arguments.gigabytes, arguments.layers), arguments.folder, options=options)


def load(arguments: argparse.Namespace) -> None:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(arguments.folder))
    call = loaded.signatures["serving_default"]
    size = call.structured_input_signature[1]["x"].shape[1]
    x = tf.ones([2, size])
    call(x=x)
    start = time.perf_counter()
    for _ in range(5):
        call(x=x)
    print(json.dumps({"call_ms": round((time.perf_counter() - start) / 5 * 1e3, 1)}))


def none(arguments: argparse.Namespace) -> None:
    """The process without any work: what the imports alone hold."""
    import isthmus.readers.onnx
    import isthmus.writers.tensorflow.saved_model  # noqa: F401


def measured(step: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one step in a new process and return what it printed, its seconds and its peak."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(arguments.folder)]
    command += ["--gigabytes", str(arguments.gigabytes), "--layers", str(arguments.layers)]
    command += ["--freeze", str(arguments.freeze)] if arguments.freeze is not None else []
    command += ["--trainable"] if arguments.trainable else []
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    printed = {key: value for line in done.stdout.splitlines() for key, value in json.loads(line).items()}
    return {**printed, "seconds": round(time.perf_counter() - start, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=2.3)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--freeze", type=int, help="bytes that may be constants, instead of the writer's own limit")
    parser.add_argument("--trainable", action="store_true")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--step", choices=_STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is not None:
        {"none": none, "source": source, "write": write, "load": load}[arguments.step](arguments)
        # Linux counts in kilobytes
        print(json.dumps({"peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2)}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        arguments.folder = Path(folder) / "model"
        for step in _STEPS:
            print(step, json.dumps(measured(step, arguments)), flush=True)
        files = {f.name: round(f.stat().st_size / 1e9, 3) for f in arguments.folder.rglob("*") if f.is_file()}
        print("files", json.dumps(files))
    return 0


if __name__ == "__main__":
    sys.exit(main())
