"""Operators that pass their input on: identities, checks of values, printing."""

from __future__ import annotations

import tensorflow as tf

from isthmus.hub.model import DETACHED
from isthmus.readers.tensorflow.contract import ComplexOrReal, Reads

table = Reads()
read = table.read


@read("Identity", "Snapshot", "DeepCopy", "GuaranteeConst", "DebugGradientIdentity")
def identity(op, x: ComplexOrReal):
    return x


@read("StopGradient")
def stop_gradient(op, c, x: ComplexOrReal):
    """An Identity that no gradient goes back through, but for where none would: see ``_changes_nothing``."""
    if not c.dtype().is_floating or _changes_nothing(c.node):
        return x
    held = op.Identity(x)
    held.producer().metadata_props[DETACHED] = "1"
    return held


def _changes_nothing(node: tf.Operation) -> bool:
    """Whether the gradient is the same without it: the mean in a variance, the maximum in the log of a sum of exps.

    So ``tf.nn.moments`` and ``tf.reduce_logsumexp`` have it, and layers are recognised by what these make.
    """
    made, users = node.inputs[0].op.type, node.outputs[0].consumers()
    if made == "Mean":
        return all(user.type == "SquaredDifference" for user in users)
    less = [user for user in users if user.type == "Sub"]
    return made in ("Max", "Select", "SelectV2") and any(
        after.type == "Exp" for user in less for after in user.outputs[0].consumers()
    )


@read("PreventGradient", ignore=("message",))
def prevent_gradient(op, x: ComplexOrReal):
    return x


@read("IdentityN")
def identity_n(op, xs: ComplexOrReal):
    return xs


@read("PlaceholderWithDefault", ignore=("shape",))
def placeholder_with_default(op, c, x: ComplexOrReal):
    """An input that the signature does not name is what it is by default."""
    c.note("inputs", f"{c.node.name!r} is what it is by default; name it among the inputs (--signature) to feed it")
    return x


@read("CheckNumerics", "CheckNumericsV2", ignore=("message",))
def check_numerics(op, c, x: ComplexOrReal):
    c.note("checks", "checks of numbers (tf.debugging) are left out: NaN and infinity pass where TensorFlow raises")
    return x


@read("Print", ignore=("message", "first_n", "summarize"))
def print_(op, c, x: ComplexOrReal, data):
    c.note("prints", "what the model prints is left out")
    return x


@read("Copy", "CopyHost", ignore=("tensor_name", "debug_ops_spec"))
def copy(op, x: ComplexOrReal):
    return x


@read("DebugIdentity", ignore=("device_name", "tensor_name", "debug_urls", "gated_grpc"))
def debug_identity(op, x: ComplexOrReal):
    return x


@read("Assert", ignore=("summarize",))
def assert_(op, c, condition, data):
    c.note("checks", "assertions are left out: what TensorFlow would refuse is computed")


@read("PrintV2", ignore=("output_stream", "end"))
def print_v2(op, c, text):
    c.note("prints", "what the model prints is left out")
