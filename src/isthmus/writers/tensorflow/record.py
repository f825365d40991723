"""Record a hub as a ``tf.Module``: its lowerings are traced once into one ``tf.function`` a signature."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import onnx_ir as ir
import tensorflow as tf

from isthmus.errors import Unsupported, UsageError
from isthmus.hub.model import ROLE, Hub
from isthmus.hub.state import STATE, Kept, key_of, left_out, state_of, written
from isthmus.lower.contract import LoweringTable
from isthmus.lower.walk import missing, walk
from isthmus.passes.pipelines import for_tensorflow
from isthmus.types import Blocker, Note, Options
from isthmus.writers.tensorflow import parameters
from isthmus.writers.tensorflow.backend import TensorFlowBackend, Weights
from isthmus.writers.tensorflow.names import Arguments, arguments
from isthmus.writers.tensorflow.ops import LOWERINGS
from isthmus.writers.tensorflow.parameters import Captured, GraphConstants, Placeholders
from isthmus.writers.tensorflow.signature import Call, signature_blockers, signature_notes, spec_of
from isthmus.writers.tensorflow.training import training_table

SERVING = "serving_default"
TRAINING = "training"


class Trace:
    """One mode of a model as a concrete function, and the initializers behind the nodes of its graph."""

    def __init__(self, graph: ir.Graph, table: LoweringTable, weights: GraphConstants) -> None:
        """Raises errors.Unsupported with every blocker."""
        self.weights = weights
        self.function = _traced(graph, table, weights)
        self._graph, self._table = graph, table

    @property
    def inputs(self) -> dict[str, tf.TensorSpec]:
        """What the mode takes, in the source's order."""
        return {str(value.name): spec_of(value) for value in self._graph.inputs}

    @functools.cached_property
    def call(self) -> Call:
        """The mode, callable. Weights too large for constants of a graph in memory are captured instead."""
        function = self.function
        if isinstance(self.weights, Placeholders):
            function = _traced(self._graph, self._table, Captured(self.weights.variables))
        return Call(function, self.inputs, arguments(list(self.inputs)).order)


class Recorded(tf.Module):
    """A recorded model.

    ``signatures["serving_default"]`` takes and returns tensors by name; the module itself may be called with them in
    order or by name, and with ``training=True`` where it was recorded to be trained. ``parameters`` maps the names of
    the source's weights to those that are variables.
    """

    def __init__(self, hub: Hub, *, trainable: bool = False) -> None:
        """``hub`` is prepared for TensorFlow. Raises errors.Unsupported with every blocker at once."""
        super().__init__(name="isthmus")
        self.arguments: Arguments = arguments([str(v.name) for v in hub.graph.inputs])
        self.parameters: Mapping[str, tf.Variable] = {}
        if blocked := signature_blockers(hub.graph):
            raise Unsupported("the target refuses parts of this model:", [*blocked, *missing(hub.graph, LOWERINGS)])
        tables: dict[str, LoweringTable] = {SERVING: LOWERINGS}
        roles = parameters.roles(hub, LOWERINGS, trainable=trainable)
        if trainable:
            tables[TRAINING] = training_table(LOWERINGS, unbiased=hub.source_kind.startswith("torch"))
        constants = [value for value, role in roles.items() if role == "constant"]
        large = parameters.large_bytes(constants) > parameters.INLINE_LIMIT
        weights: type[GraphConstants] = Placeholders if large else GraphConstants
        spilled = parameters.spilled(constants, parameters.FREEZE_LIMIT)
        self.parameters = {
            str(value.name): parameters.variable_of(value, trainable=role == "trainable")
            for value, role in roles.items()
            if role != "constant" or value in spilled
        }
        _, too_large = written(state_of(hub.extras))
        self._hub = hub.with_(notes=(*hub.notes, *_notes(self.arguments, spilled), *left_out(too_large)))
        self.traces: Mapping[str, Trace] = MappingProxyType(
            {name: Trace(hub.graph, table, weights(self.parameters)) for name, table in tables.items()}
        )

    @property
    def hub(self) -> Hub:
        """The hub that was recorded, as the passes left it."""
        return self._hub

    @property
    def signatures(self) -> Mapping[str, Call]:
        return {name: trace.call for name, trace in self.traces.items()}

    def __call__(self, /, *tensors: Any, **feeds: Any) -> dict[str, tf.Tensor]:
        """Raises errors.UsageError for inputs that do not fit, and for training that was not asked for."""
        serving = self.traces[SERVING]
        training = bool(feeds.pop("training", False)) if "training" not in serving.inputs else False
        if training and TRAINING not in self.traces:
            raise UsageError("this model was not recorded to be trained", hint="convert it with trainable=True")
        return (self.traces[TRAINING] if training else serving).call(*tensors, **feeds)

    def eager(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Call the lowerings without a graph."""
        graph = self._hub.graph
        backend = TensorFlowBackend(GraphConstants(self.parameters))
        return _outputs(graph, walk(graph, LOWERINGS, backend, [feeds[str(v.name)] for v in graph.inputs]))


def record(hub: Hub, *, trainable: bool = False, options: Options | None = None) -> Recorded:
    """The hub as a live module. Raises errors.Unsupported with every blocker at once."""
    weights = _weights(hub) if trainable and state_of(hub.extras).modules else {}
    prepared = for_tensorflow(hub, LOWERINGS, trainable=trainable, options=options)
    held = {key_of(value) for value in parameters.used_as_tensors(prepared.graph, LOWERINGS)}
    state = state_of(prepared.extras)
    lost = {key: kept for key, kept in weights.items() if key not in held}
    if lost:
        state = dataclasses.replace(state, kept={**lost, **state.kept})
        prepared = prepared.with_(extras={**prepared.extras, STATE: state})
    told = (*prepared.notes, *signature_notes(prepared.graph))
    return Recorded(prepared.with_(notes=told), trainable=trainable)


def _weights(hub: Hub) -> dict[str, Kept]:
    """The weights of a PyTorch model by their keys: what the graph here has no use for is kept beside it.

    Buffers of integers that tell an order or a shape, for one, are no tensors of the graph any more.
    """
    marked = [(value, value.metadata_props.get(ROLE)) for value in hub.graph.initializers.values()]
    return {
        key_of(value): Kept(value.const_value, role == "parameter")
        for value, role in marked
        if role in ("parameter", "buffer") and value.const_value is not None
    }


def blockers(hub: Hub, options: Options | None = None) -> list[Blocker]:
    """Everything that TensorFlow refuses of this hub, by a trace that reads no large weight and runs nothing."""
    trainable = options is not None and options.trainable
    try:
        prepared = for_tensorflow(hub, LOWERINGS, trainable=trainable, options=options)
        if found := signature_blockers(prepared.graph):
            return [*found, *missing(prepared.graph, LOWERINGS)]
        Trace(prepared.graph, LOWERINGS, Placeholders())
    except Unsupported as refusal:
        return list(refusal.blockers)
    return []


def _notes(names: Arguments, spilled: Sequence[ir.Value]) -> list[Note]:
    """What is not as one would expect of this target."""
    notes = [
        Note("names", f"TensorFlow cannot tell input {name!r} from another one; once loaded it is called {keyword!r}")
        for name, keyword in names.clashes.items()
    ]
    if spilled:
        size = parameters.large_bytes(spilled) / 1e6
        text = f"{len(spilled)} weights of {size:.0f} MB together stay variables, as constants they cost too much"
        notes.append(Note("weights", text))
    return notes


def _traced(graph: ir.Graph, table: LoweringTable, weights: Weights) -> Any:
    """A concrete function over ``graph``, its arguments as ``names.arguments`` orders and calls them."""
    names = arguments([str(v.name) for v in graph.inputs])

    def model(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        given = dict(zip(names.order, tensors, strict=True))
        made = walk(graph, table, TensorFlowBackend(weights), [given[str(v.name)] for v in graph.inputs])
        return {name: tf.identity(tensor) for name, tensor in _outputs(graph, made).items()}

    specs = {str(v.name): spec_of(v) for v in graph.inputs}
    traced = [tf.TensorSpec(specs[n].shape, specs[n].dtype, name=names.traced[n]) for n in names.order]
    return tf.function(model, autograph=False).get_concrete_function(*traced)


def _outputs(graph: ir.Graph, tensors: Sequence[Any]) -> dict[str, Any]:
    return {str(value.name): tensor for value, tensor in zip(graph.outputs, tensors, strict=True)}
