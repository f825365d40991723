"""Record a hub as an ``nn.Module``: its lowerings are traced once, by fx."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import onnx_ir as ir
from torch import fx, nn

from isthmus.errors import Unsupported
from isthmus.hub.model import Hub
from isthmus.hub.provenance import where
from isthmus.hub.schema import ML
from isthmus.hub.state import STATE, filled, leaves, state_of
from isthmus.lower.walk import missing, walk
from isthmus.passes.pipelines import for_torch
from isthmus.passes.places import is_computed
from isthmus.types import Blocker, Note, Options, StoredWeight
from isthmus.writers.torch.backend import Stored, TorchBackend
from isthmus.writers.torch.dropouts import lost, restore
from isthmus.writers.torch.forward import described
from isthmus.writers.torch.graphed import graph_module
from isthmus.writers.torch.layers import rules
from isthmus.writers.torch.leaves import with_leaves
from isthmus.writers.torch.names import identifier, unique
from isthmus.writers.torch.ops import LOWERINGS
from isthmus.writers.torch.polish import polished
from isthmus.writers.torch.recorder import NODE, VALUE, Recorder
from isthmus.writers.torch.rooms import as_tensors, prepared
from isthmus.writers.torch.state import completed, moved_weights
from isthmus.writers.torch.tree import nested
from isthmus.writers.torch.weights import HELD, held_dtype


class Recorded:
    """A recorded model: ``module`` takes the inputs in the source's order and gives its outputs."""

    def __init__(self, hub: Hub, module: nn.Module, stored: Mapping[str, Stored]) -> None:
        self.hub = hub
        self.module = module
        self.stored = stored
        """Names of the source's weights → their keys in the state dict, and the order that they are stored in."""

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(str(v.name) for v in self.hub.graph.inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(str(v.name) for v in self.hub.graph.outputs)

    @property
    def weights(self) -> tuple[StoredWeight, ...]:
        """What the state dict has under another key, or in another order, than the source."""
        return moved_weights(self.hub.graph, self.stored, self.module.state_dict())

    def call(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The module's outputs by their names."""
        made = self.module(*(feeds[name] for name in self.inputs))
        if _nesting(self.hub) is not None:
            made = leaves(made)
        elif len(self.outputs) == 1:
            made = (made,)
        return dict(zip(self.outputs, made, strict=True))

    def eager(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """Call the lowerings on tensors, without a graph."""
        graph = self.hub.graph
        backend = TorchBackend()
        made = walk(graph, prepared(LOWERINGS, backend), backend, [feeds[name] for name in self.inputs])
        return dict(zip(self.outputs, as_tensors(graph, made, backend), strict=True))


def record(hub: Hub, *, trainable: bool = False, options: Options | None = None) -> Recorded:
    """The hub as a live module, in eval mode. Raises errors.Unsupported with every blocker at once."""
    ready = for_torch(hub, LOWERINGS, trainable=trainable, options=options)
    ready = ready.with_(notes=(*ready.notes, *signature_notes(ready.graph)))
    if blocked := signature_blockers(ready.graph):
        raise Unsupported("the target refuses parts of this model:", [*blocked, *missing(ready.graph, LOWERINGS)])
    recorder = Recorder()
    backend = TorchBackend(recorder, ready.graph.initializers, ready.extras.get(STATE))
    graph = ready.graph
    taken = {"self"}
    given = []
    for value in graph.inputs:
        name = unique(identifier(str(value.name), otherwise="input"), taken)
        taken.add(name)
        given.append(recorder.placeholder(name))
        given[-1].node.meta[VALUE] = value
    made = as_tensors(graph, walk(graph, prepared(LOWERINGS, backend, rules()), backend, given), backend)
    nesting = _nesting(ready)
    result = filled(nesting, made) if nesting is not None else made[0] if len(made) == 1 else tuple(made)
    recorder.create_node("output", "output", (recorder.create_arg(result),), {})
    module = graph_module(recorder.root, recorder.graph, "Model")
    modules = backend.state.modules
    root = completed(nested(with_leaves(polished(module)), modules), backend)
    restore(root, modules)
    ready = ready.with_(notes=(*ready.notes, *lost(root, modules), *_folded_notes(graph)))
    return Recorded(ready, _settled(root).eval(), backend.stored)


def _folded_notes(graph: ir.Graph) -> tuple[Note, ...]:
    """A word on convolutions whose weights an exporter computed."""
    convolutions = (node for node in graph.all_nodes() if node.op_type in ("Conv", "ConvTranspose"))
    folded = [where(n).module or str(n.name) for n in convolutions if is_computed(n.inputs[1])]
    if not folded:
        return ()
    some = ", ".join(folded[:3]) + (f" and {len(folded) - 3} more" if len(folded) > 3 else "")
    text = (
        f"the exporter computed the weights of convolutions, as it does when it folds a batch normalization into "
        f"them; they train as they are, and no normalization comes back: {some}"
    )
    return (Note("training", text, "convert the PyTorch model itself, or export it in training mode"),)


def _nesting(hub: Hub) -> Any:
    """The dicts, lists and tuples that the source gives its outputs in; None for one output or a tuple of them."""
    nesting = state_of(hub.extras).outputs
    return nesting if nesting is not None and leaves(nesting) == list(range(len(hub.graph.outputs))) else None


def _settled(root: nn.Module) -> nn.Module:
    """``root`` with plain words in the place of the hub's values: a copy of it shall not copy the hub."""
    for module in root.modules():
        for node in module.graph.nodes if isinstance(module, fx.GraphModule) else ():
            node.meta.pop(NODE, None)
            if isinstance(value := node.meta.get(VALUE), ir.Value):
                node.meta[VALUE] = described(value)
    return root


def blockers(hub: Hub, options: Options | None = None) -> list[Blocker]:
    """Everything that PyTorch refuses of this hub, by a recording that runs nothing."""
    try:
        record(hub, trainable=options is not None and options.trainable, options=options)
    except Unsupported as refusal:
        return list(refusal.blockers)
    return []


def signature_blockers(graph: ir.Graph) -> list[Blocker]:
    """Inputs and outputs whose element type PyTorch has no tensors of."""
    found = []
    for kind, values in (("input", graph.inputs), ("output", graph.outputs)):
        for value in values:
            dtype = value.dtype
            if dtype is None:
                continue
            try:
                held_dtype(dtype)
            except TypeError as error:
                found.append(Blocker(f"{kind} {value.name!r}", str(error)))
    return found


def signature_notes(graph: ir.Graph) -> tuple[Note, ...]:
    """What a caller must know of inputs and outputs that PyTorch carries in another form."""
    return (*_wider_notes("input", graph.inputs), *_wider_notes("output", graph.outputs), *_table_notes(graph))


def _wider_notes(kind: str, values: Iterable[ir.Value]) -> Iterator[Note]:
    """Element types that PyTorch computes nothing in: a wider one carries their values."""
    for value in values:
        if value.dtype is not None and value.dtype in HELD:
            narrow, wide = value.dtype.name.lower(), str(held_dtype(value.dtype)).removeprefix("torch.")
            text = (
                f"{value.name!r} is {narrow} in ONNX: PyTorch computes nothing in it, and {wide} carries its values"
            )
            yield Note(kind, text)


def _table_notes(graph: ir.Graph) -> tuple[Note, ...]:
    text = "{!r} is a list of maps in ONNX: PyTorch gives their values as a matrix, a column a label in order"
    makers = ((value, value.producer()) for value in graph.outputs)
    tables = [v for v, node in makers if node is not None and (node.domain, node.op_type) == (ML, "ZipMap")]
    return tuple(Note("output", text.format(v.name)) for v in tables)
