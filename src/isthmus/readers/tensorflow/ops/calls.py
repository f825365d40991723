"""Functions that are called, and variables that are read."""

from __future__ import annotations

from isthmus.readers.tensorflow.attributes import FunctionName
from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads

table = Reads()
read = table.read


@read("PartitionedCall", "StatefulPartitionedCall", ignore=("config", "config_proto", "executor_type"))
def call(op, c, args: ComplexOrReal, *, f: FunctionName):
    return c.reader.call(c.function(f), args)


@read("RemoteCall")
def remote_call(op, c, target, args: ComplexOrReal, *, f: FunctionName):
    """Where a function runs does not change what it gives."""
    return c.reader.call(c.function(f), args)


@read(
    "BatchFunction",
    ignore=(
        *("num_batch_threads", "max_batch_size", "batch_timeout_micros", "allowed_batch_sizes"),
        *("max_enqueued_batches", "container", "shared_name", "batching_queue", "low_priority_max_batch_size"),
        *("low_priority_batch_timeout_micros", "low_priority_allowed_batch_sizes", "mixed_priority_policy"),
        *("low_priority_max_enqueued_batches", "batch_padding_policy", "enable_large_batch_splitting"),
    ),
)
def batch_function(op, c, in_tensors: ComplexOrReal, captured_tensors: ComplexOrReal, *, f: FunctionName):
    """Requests are batched by a server; each alone gives what the function gives."""
    return c.reader.call(c.function(f), (*in_tensors, *captured_tensors))


@read("SymbolicGradient", ignore=("f",))
def symbolic_gradient(op, c, input):
    c.refuse("it differentiates a function, which only training does")


@read(
    "XlaCallModule",
    ignore=(
        "version",
        "module",
        "Sout",
        "platforms",
        "function_list",
        "has_token_input_output",
        "disabled_checks",
        "dim_args_spec",
        "use_shardy_partitioner",
    ),
)
def xla_call_module(op, c, args):
    c.refuse(
        "it holds a program of StableHLO, compiled by JAX or XLA, and no operators of TensorFlow",
        hint="export with jax2tf.convert(native_serialization=False), or convert the source of the model",
    )


@read("Placeholder", "PlaceholderV2", ignore=("shape",))
def placeholder(op, c):
    c.refuse("an input that the signature does not name")


@read("NoOp")
def no_op(op):
    return None
