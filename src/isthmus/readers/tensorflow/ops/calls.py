"""Functions that are called, and variables that are read."""

from __future__ import annotations

from isthmus.readers.tensorflow.attributes import FunctionName
from isthmus.readers.tensorflow.contract import Reads
from isthmus.readers.tensorflow.handles import VariableHandle

table = Reads()
read = table.read


@read("PartitionedCall", "StatefulPartitionedCall", ignore=("config", "config_proto", "executor_type"))
def call(op, c, args, *, f: FunctionName):
    return c.reader.call(c.function(f), args)


@read("ReadVariableOp")
def read_variable(op, c, resource):
    if not isinstance(resource, VariableHandle):
        c.refuse("its resource is not a variable that the model holds")
    return resource.value


@read("Placeholder", "PlaceholderV2", ignore=("shape",))
def placeholder(op, c):
    c.refuse("an input that the signature does not name")


@read("NoOp")
def no_op(op):
    return None
