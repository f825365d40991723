"""From an opened program to the hub: inputs, weights, the graph, outputs, then canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from isthmus.errors import Unsupported
from isthmus.hub import provenance
from isthmus.hub.canonical import canonicalize
from isthmus.hub.io import signature_of
from isthmus.hub.model import Hub
from isthmus.hub.state import STATE, State
from isthmus.hub.state import read as read_state
from isthmus.passes.base import run
from isthmus.passes.pipelines import simplify
from isthmus.passes.recover.every import recoveries
from isthmus.passes.sums import DropEmptySums
from isthmus.readers.tensorflow.builder import Builder
from isthmus.readers.tensorflow.channels import settle_channels
from isthmus.readers.tensorflow.dtypes import data_type
from isthmus.readers.tensorflow.graph import Bound, GraphReader, constant
from isthmus.readers.tensorflow.handles import ResourceHandle
from isthmus.readers.tensorflow.modules import module_of
from isthmus.readers.tensorflow.momenta import give_momenta
from isthmus.readers.tensorflow.ops import TABLE
from isthmus.readers.tensorflow.ops._frames import read_part
from isthmus.readers.tensorflow.places import torch_keys
from isthmus.readers.tensorflow.program import Port, Program, Variable
from isthmus.readers.tensorflow.sources import open_program
from isthmus.readers.tensorflow.ties import untie_indexed, untied
from isthmus.readers.tensorflow.weights import Weights
from isthmus.types import Blocker, Note, Options, Where

_IR_VERSION = 10

_SEED = "seed_generator_state"
"""How the names of variables end that Keras draws random numbers from."""


def read(source: Any, inputs: Any, dynamic_shapes: Any, options: Options) -> Hub:
    """See :func:`isthmus.readers.tensorflow.read_tensorflow`."""
    program = open_program(source, inputs, dynamic_shapes, options)
    guessed = dynamic_shapes is None
    return read_program(untied(program, inputs) if guessed else program, guessed=guessed)


def read_program(program: Program, *, guessed: bool = False) -> Hub:
    """The hub of an opened program; ``guessed`` where nobody told which dimensions are one.

    Raises errors.Unsupported with everything that stands in the way.
    """
    _refuse_ports(program)
    state = read_state(program.state) if program.state else State()
    op = Builder()
    held = [*(t for t in program.captures.values() if isinstance(t, Variable)), *program.constants.values()]
    weights = Weights(op, torch_keys(variable.name for variable in held), program.constants)
    reader = GraphReader(
        op, TABLE, read_part, modules=lambda scope: module_of(scope, program.modules), weight=weights.constant
    )
    given: dict[str, Bound] = {port.tensor.name: _input(op, port) for port in program.inputs}
    names = [op.fresh(port.name) for port in program.outputs]
    given |= {name: _captured(weights, name, thing) for name, thing in program.captures.items()}
    outputs = reader.run(program.graph, given, [port.tensor for port in program.outputs])
    reader.finish(program.name)
    _return(op, names, program.outputs, outputs)
    _return_state(op, reader)
    model = ir.Model(op.main, ir_version=_IR_VERSION, producer_name="isthmus")
    if guessed:
        untie_indexed(model.graph)
    canonicalize(model)
    settle_channels(model)
    _refuse_other_ranks(program, model)
    hub = Hub(
        model=model,
        signature=signature_of(model),
        source=program.name,
        source_kind=program.kind,
        road=program.road,
        notes=(*program.notes, *reader.notes),
        extras={STATE: state},  # every weight is marked as one
        channels_last=True,
    )
    for node in hub.graph.all_nodes():
        provenance.stamp(node, cls=program.classes.get(provenance.where(node).module, ""))
    # Keras computes every shape at run time; what may train is left alone, whatever the target will be.
    hub = run(hub, [simplify(trainable=True), DropEmptySums(), *recoveries(), simplify(trainable=True)])
    give_momenta(hub.model)
    _refuse_unknown_ranks(hub)
    return hub.with_(signature=signature_of(hub.model))  # a layer that is recovered tells its sizes


def _input(op: Builder, port: Port) -> ir.Value:
    dtype = data_type(port.tensor.dtype)
    assert dtype is not None  # _refuse_ports saw to it
    return op.input(port.name, dtype, None if port.shape is None else ir.Shape(port.shape))


def _captured(weights: Weights, name: str, thing: Any) -> Bound:
    """What a captured placeholder stands for: a weight, a constant, or a resource that its operations know."""
    if isinstance(thing, Variable):
        return weights.variable(thing)
    if isinstance(thing, np.ndarray):
        return constant(weights.op, thing, name.partition(":")[0])
    if hasattr(thing, "numpy") and (data_type(thing.dtype) is not None or thing.dtype.is_complex):
        return constant(weights.op, np.asarray(thing.numpy()), name.partition(":")[0])
    return ResourceHandle(thing)


def _return(op: Builder, names: Sequence[str], ports: Sequence[Port], outputs: Sequence[Bound]) -> None:
    """The outputs under their names; what is an input, a weight or another output already is returned as a copy."""
    for name, port, value in zip(names, ports, outputs, strict=True):
        if not isinstance(value, ir.Value):
            blocker = Blocker(
                port.tensor.op.type, f"output {port.name!r} is no tensor of ONNX: {type(value).__name__}"
            )
            raise Unsupported("an output cannot be carried", [blocker])
        if value.producer() is None or value in op.main.outputs:
            value = op.Identity(value)
            value.shape = None
        value.name = name
        op.main.outputs.append(value)


def _return_state(op: Builder, reader: GraphReader) -> None:
    """A variable that the signature changes is an input under its name, and an output: its name with ``_next``.

    They stand behind the signature's own. Feed the output to the input of the next call, and first what the source
    holds: the model keeps nothing from one call to the next. A seed that nothing is drawn from, as Keras has it in
    layers that do nothing at inference, is no such state.
    """
    needed = _ancestors(op.main.outputs)
    for held, value in reader.state.items():
        if value is held or (str(held.name).endswith(_SEED) and held not in needed):
            continue
        tensor = held.const_value
        assert tensor is not None and held.name is not None and held.shape is not None
        del op.main.initializers[held.name]
        held.const_value = None
        op.main.inputs.append(held)
        if value.producer() is None or value in op.main.outputs:
            value = op.Identity(value)
        value.name = op.fresh(f"{held.name}_next")
        value.shape = held.shape.copy()
        op.main.outputs.append(value)
        reader.notes[Note("state", f"the signature changes variable {held.name!r}: it is {_told(tensor)}")] = None


def _ancestors(outputs: Iterable[ir.Value]) -> set[ir.Value]:
    """What the outputs are computed from."""
    found = set(outputs)
    pending = list(found)
    while pending:
        node = pending.pop().producer()
        if node is None:
            continue
        bodies = (held.as_graph() for held in node.attributes.values() if held.type == ir.AttributeType.GRAPH)
        nodes = [node, *(inner for body in bodies for inner in body.all_nodes())]
        given = {value for one in nodes for value in one.inputs if value is not None} - found
        found |= given
        pending += given
    return found


def _told(tensor: ir.TensorProtocol) -> str:
    """What to feed for a variable at first."""
    array = tensor.numpy()
    first = array.reshape(-1)[0] if array.size else 0
    held = f"{first} everywhere" if (array == first).all() else "what the source holds"
    return f"an input now, at first {held}, and its new value an output"


def _refuse_other_ranks(program: Program, model: ir.Model) -> None:
    """What a loop carries has one rank: where TensorFlow does not know it, the inferred shapes tell."""
    blockers = []
    for node in model.graph.all_nodes():
        if node.domain or node.op_type != "Loop":
            continue
        body = node.attributes["body"].as_graph()
        for value, result in zip(body.inputs[2:], body.outputs[1:], strict=False):
            if value.shape is not None and result.shape is not None and len(value.shape) != len(result.shape):
                place = Where(node=node.name or "", op="While")
                blockers.append(Blocker("While", "a value has another rank after an iteration", "", place))
    if blockers:
        raise Unsupported(f"{program.name} uses operations that cannot be carried", blockers)


def _refuse_unknown_ranks(hub: Hub) -> None:
    """Every tensor of a hub has a rank."""
    blockers = [
        Blocker(node.op_type, "the rank of its result depends on data", where=provenance.where(node))
        for graph in hub.model.graphs()
        for node in graph
        if any(isinstance(value.type, ir.TensorType) and value.shape is None for value in node.outputs)
    ]
    if blockers:
        raise Unsupported(f"{hub.source} computes tensors of unknown rank", blockers)


def _refuse_ports(program: Program) -> None:
    blockers = [
        Blocker(port.tensor.op.type, f"{what} {port.name!r} is {port.tensor.dtype.name}, for which ONNX has no type")
        for what, ports in (("input", program.inputs), ("output", program.outputs))
        for port in ports
        if data_type(port.tensor.dtype) is None
    ]
    if blockers:
        raise Unsupported(f"the signature of {program.name} cannot be carried", blockers)
