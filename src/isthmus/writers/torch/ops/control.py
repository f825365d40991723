"""Control flow: If, Loop, Scan.

Eagerly they are Python's. Recorded, a loop whose number of rounds is known and small is unrolled; any other one, and
a choice, becomes one of PyTorch's own operators (``cond``, ``while_loop``, ``scan``), which export and differentiate.
Those carry tensors only: a loop that carries sequences for a number of rounds met at run time stays Python's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import fx, nn

from isthmus.lower.contract import Host, Lowerings
from isthmus.lower.walk import Context, Subgraph
from isthmus.writers.torch.ops._common import call, dim, dtype_of, host_scalar, leaf, positive
from isthmus.writers.torch.ops._dims import is_known, larger
from isthmus.writers.torch.ops._loops import apart, recorder_of, scanned, while_loop

table = Lowerings()
lower, alias = table.lower, table.alias

_UNROLLED = 512
"""How many nodes an unrolled loop may have."""
_UNROLLED_SEQUENCES = 8192
"""The same where the loop cannot be recorded otherwise."""
_HUGE = 1 << 16
"""A limit of rounds above this is none: what a loop collects is not allocated for that many."""


# ---------------------------------------------------------------------------------------------- If


@lower("If")
def if_(c, cond: Host, *, then_branch, else_branch):
    if is_known(cond) or recorder_of(c) is None:
        return _as_outputs(c, _made(c, then_branch if bool(host_scalar(cond)) else else_branch))
    recorder = recorder_of(c)

    def branch(body: Subgraph) -> Any:
        def run() -> list[Any]:
            made = _made(c, body)
            if any(value is None for value in made):
                c.refuse("PyTorch's cond gives tensors: both branches must give a value")
            pairs = zip(made, body.graph.outputs, strict=True)
            return [value if _is_sequence(output) else apart([value])[0] for value, output in pairs]

        return run

    bodies, captured = recorder.bodies([branch(then_branch), branch(else_branch)], 0)
    if any(_is_sequence(value) for body in (then_branch, else_branch) for value in _captured(body)):
        made = chosen(cond, bodies[0], bodies[1], captured)
    else:
        made = call(c, torch.ops.higher_order.cond, cond.reshape([]), *bodies, captured)
    return _as_outputs(c, [made[i] for i in range(len(c.node.outputs))])


@leaf
def chosen(condition: torch.Tensor, then: nn.Module, otherwise: nn.Module, captured: Sequence[Any]) -> Any:
    """One of two bodies, chosen by Python: PyTorch's cond hands no sequences to its branches."""
    return (then if bool(condition) else otherwise)(*captured)


def _is_sequence(value: ir.Value) -> bool:
    return isinstance(value.type, ir.SequenceType | ir.OptionalType)


def _captured(body: Subgraph) -> list[ir.Value]:
    """The values that a body takes from the graphs around it."""
    nodes = list(body.graph.all_nodes())
    graphs = [body.graph, *(g for n in nodes for a in n.attributes.values() if (g := _graph(a)) is not None)]
    inside = {value for graph in graphs for value in graph.inputs} | {v for node in nodes for v in node.outputs}
    return [v for node in nodes for v in node.inputs if v is not None and v not in inside]


def _graph(attribute: ir.Attr) -> ir.Graph | None:
    return attribute.as_graph() if attribute.type == ir.AttributeType.GRAPH else None


def _made(c: Context, body: Subgraph, *given: Any) -> list[Any]:
    """What a body gives. What is refused in it is told by the walk, and nothing can be made of it here."""
    made = body(*given)
    if not all(value is None or isinstance(value, torch.Tensor | fx.Proxy | np.ndarray | list) for value in made):
        c.refuse("its body has operators that PyTorch refuses")
    return made


def _as_outputs(c: Context, values: Sequence[Any]) -> Any:
    """A single sequence is handed back as it is; anything else as a tuple, one value an output."""
    if len(values) == 1 and isinstance(c.node.outputs[0].type, ir.SequenceType | ir.OptionalType):
        return values[0]
    return tuple(values)


# ---------------------------------------------------------------------------------------------- Loop


@lower("Loop")
def loop(c, trips: Host = None, cond: Host = None, *initial, body):
    if is_known(cond) and not bool(host_scalar(cond)):
        trips = np.array(0, np.int64)
    if recorder_of(c) is None:
        return _as_outputs(c, _run(c, trips, cond, initial, body))
    endless = (cond is None or is_known(cond)) and _never_ends(body)
    sequences = any(_is_sequence(value) for value in (*body.graph.inputs[2:], *_captured(body)))
    sequences = sequences or any(isinstance(value, list) or value is None for value in initial)
    if endless and is_known(trips) and isinstance(host_scalar(trips), int):
        rounds = max(host_scalar(trips), 0)
        if rounds * len(body.graph) <= (_UNROLLED_SEQUENCES if sequences else _UNROLLED):
            return _as_outputs(c, _unrolled(c, rounds, initial, body))
    if sequences:
        return _as_outputs(c, _recorded_in_python(c, trips, cond, initial, body))
    return _as_outputs(c, _recorded(c, trips, cond, initial, body, endless=endless))


def _never_ends(body: Subgraph) -> bool:
    """Whether the body's condition is the one that it was given, or true."""
    value = body.graph.outputs[0]
    while (node := value.producer()) is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
    if value.const_value is not None:
        return bool(value.const_value.numpy().reshape(-1)[0])
    return value is body.graph.inputs[1]


def _run(c: Context, trips: Any, cond: Any, initial: Sequence[Any], body: Subgraph) -> list[Any]:
    """On tensors of now, as Python does it."""
    limit = None if trips is None else host_scalar(trips)
    goes, i = cond is None or bool(host_scalar(cond)), 0
    state, rows = list(initial), []
    while goes and (limit is None or i < limit):
        given = [torch.tensor(i).reshape(_ones(body, 0)), torch.tensor(True).reshape(_ones(body, 1))]
        made = _made(c, body, *given, *state)
        goes, state, i = bool(made[0]), made[1 : 1 + len(initial)], i + 1
        rows.append(made[1 + len(initial) :])
    return [*state, *_stacked(c, rows, body.graph.outputs[1 + len(initial) :])]


def _unrolled(c: Context, rounds: int, initial: Sequence[Any], body: Subgraph) -> list[Any]:
    state, rows = list(initial), []
    for i in range(rounds):
        given = [np.array(i, np.int64).reshape(_ones(body, 0)), np.array(True).reshape(_ones(body, 1))]
        made = _made(c, body, *given, *state)
        state = made[1 : 1 + len(initial)]
        rows.append(made[1 + len(initial) :])
    return [*state, *_stacked(c, rows, body.graph.outputs[1 + len(initial) :])]


def _ones(body: Subgraph, index: int) -> list[int]:
    """The shape of the round's number, or of the condition, as the body declares it: some declare rank 1."""
    shape = body.input_shapes[index]
    return [1] * (0 if shape is None else len(shape))


def _stacked(c: Context, rows: Sequence[Sequence[Any]], values: Sequence[ir.Value]) -> list[Any]:
    """What every round adds to the scan outputs, along a new first axis."""
    if rows:
        return [torch.stack([row[k] for row in rows]) for k in range(len(values))]
    return [_zeros(c, [0, *(d if isinstance(d, int) else 0 for d in _element(c, v))], v) for v in values]


def _zeros(c: Context, shape: Sequence[Any], value: ir.Value) -> Any:
    if value.dtype is None:
        c.refuse(f"the type of {value.name!r} is not known")
    return call(c, torch.zeros, list(shape), dtype=dtype_of(value.dtype))


def _element(c: Context, value: ir.Value) -> list[int | None]:
    """The shape of one element of a scan output, as far as it is known."""
    if value.shape is None:
        c.refuse(f"the rank of {value.name!r} is not known: PyTorch collects elements of one rank")
    return [d if isinstance(d, int) else None for d in value.shape]


def _recorded_in_python(c: Context, trips: Any, cond: Any, initial: Sequence[Any], body: Subgraph) -> list[Any]:
    """By a loop of Python's, which runs, but which torch.export cannot follow: while_loop carries no sequences."""
    if any(value is None for value in initial):
        c.refuse("what a loop carries is absent at first, and the number of rounds is met at run time")
    values = body.graph.outputs[1 + len(initial) :]

    def step(i: Any, goes: Any, *state: Any) -> list[Any]:
        return _made(c, body, i.reshape(_ones(body, 0)), goes.reshape(_ones(body, 1)), *state)

    bodies, captured = recorder_of(c).bodies([step], 2 + len(initial))
    limit = None if trips is None else host_scalar(trips)
    goes = cond is None or is_known(cond) or cond.reshape([])
    empty = [_zeros(c, [0, *(d if isinstance(d, int) else 0 for d in _element(c, v))], v) for v in values]
    made = repeated(bodies[0], limit, goes, list(initial), empty, captured)
    return [made[i] for i in range(len(initial) + len(values))]


@leaf
def repeated(
    body: nn.Module,
    limit: int | None,
    goes: Any,
    state: list[Any],
    empty: list[torch.Tensor],
    captured: Sequence[Any],
) -> list[Any]:
    """``state`` after ``body`` has been applied while it says so, ``limit`` times at most; then what it collected."""
    rows: list[Any] = []
    while bool(goes) and (limit is None or len(rows) < limit):
        made = body(torch.tensor(len(rows)), torch.tensor(True), *state, *captured)
        goes, state = made[0], list(made[1 : 1 + len(state)])
        rows.append(made[1 + len(state) :])
    return [*state, *(torch.stack([row[k] for row in rows]) if rows else zero for k, zero in enumerate(empty))]


def _recorded(
    c: Context, trips: Any, cond: Any, initial: Sequence[Any], body: Subgraph, *, endless: bool
) -> list[Any]:
    """By while_loop: the state is the round's number, whether to go on, what is carried, what is collected."""
    carried = len(initial)
    values = body.graph.outputs[1 + carried :]
    limit = None if trips is None else host_scalar(trips) if is_known(trips) else trips.reshape([])
    goes = call(c, torch.tensor, True) if cond is None or is_known(cond) else cond.reshape([])
    start = [call(c, torch.tensor, 0), goes, *initial]

    def goes_on(i: Any, goes: Any, *_: Any) -> Any:
        return goes.clone() if limit is None else goes & (i < limit)

    def step(i: Any, goes: Any, *state: Any) -> list[Any]:
        made = _made(c, body, i.reshape(_ones(body, 0)), goes.reshape(_ones(body, 1)), *state[:carried])
        rows = [
            buffer.index_copy(0, i.reshape([1]), row.unsqueeze(0))
            for buffer, row in zip(state[carried:], made[1 + carried :], strict=False)
        ]
        return [i + 1, made[0].reshape([]), *made[1 : 1 + carried], *rows]

    if not values:
        return while_loop(c, goes_on, step, start)[2:]
    exact = endless and trips is not None
    if exact:
        rounds = larger(host_scalar(trips), 0)
    elif is_known(trips) and isinstance(host_scalar(trips), int) and host_scalar(trips) <= _HUGE:
        rounds = max(host_scalar(trips), 0)
    else:  # how long the results are, only a first pass can tell
        rounds = while_loop(c, goes_on, step, start)[0].item()
        exact = True
    elements = [_element(c, value) for value in values]
    if all(d is not None for element in elements for d in element):
        buffers = [_zeros(c, [rounds, *element], v) for v, element in zip(values, elements, strict=True)]
    else:  # a round aside shows how large its elements are
        made = _made(
            c, body, call(c, torch.zeros, _ones(body, 0), dtype=torch.int64), goes.reshape(_ones(body, 1)), *initial
        )
        rows = [torch.zeros_like(row).unsqueeze(0) for row in made[1 + carried :]]
        buffers = [row.repeat([rounds, *(1 for _ in e)]) for row, e in zip(rows, elements, strict=True)]
    final = while_loop(c, goes_on, step, [*start, *buffers])
    state, collected = final[2 : 2 + carried], final[2 + carried :]
    if not exact:
        done = final[0].item()
        collected = [buffer.narrow(0, 0, done) for buffer in collected]
    return [*state, *collected]


# ---------------------------------------------------------------------------------------------- Scan


@lower("Scan")
def scan(
    c,
    *xs,
    body,
    num_scan_inputs,
    scan_input_axes,
    scan_input_directions,
    scan_output_axes,
    scan_output_directions,
):
    count = len(xs) - num_scan_inputs
    values = body.graph.outputs[count:]
    input_axes, backward = scan_input_axes or (0,) * num_scan_inputs, scan_input_directions or (0,) * num_scan_inputs
    output_axes, prepended = scan_output_axes or (0,) * len(values), scan_output_directions or (0,) * len(values)
    axes = [positive(axis, c.rank(count + k)) for k, axis in enumerate(input_axes)]
    length = dim(c, xs[count], axes[0], count)
    sources = [x.movedim(axis, 0) if axis else x for x, axis in zip(xs[count:], axes, strict=True)]
    sources = [x.flip(0) if reverse else x for x, reverse in zip(sources, backward, strict=True)]
    if isinstance(length, int) and (recorder_of(c) is None or length * len(body.graph) <= _UNROLLED):
        state, rows = list(xs[:count]), []
        for i in range(length):
            made = _made(c, body, *state, *(x[i] for x in sources))
            state = made[:count]
            rows.append(made[count:])
        stacked = _stacked(c, rows, values)
    else:
        state, stacked = _scanned(c, xs[:count], sources, body, len(values))
    results = []
    for y, value, axis, reverse in zip(stacked, values, output_axes, prepended, strict=True):
        y = y.flip(0) if reverse else y
        axis = positive(axis, 1 + len(_element(c, value)))
        results.append(y.movedim(0, axis) if axis else y)
    return _as_outputs(c, [*state, *results])


def _scanned(
    c: Context, state: Sequence[Any], sources: Sequence[Any], body: Subgraph, outputs: int
) -> tuple[list[Any], list[Any]]:
    """By PyTorch's scan, which wants a state even where the model has none."""
    count = len(state)
    given = list(state) or [call(c, torch.zeros, [1])]

    def step(*operands: Any) -> list[Any]:
        made = _made(c, body, *operands[:count], *operands[len(given) :])
        return apart([*(made[:count] if count else operands[:1]), *made[count:]])

    recorder = recorder_of(c)
    bodies, captured = recorder.bodies([step], len(given) + len(sources))
    made = scanned(bodies[0], given, list(sources), captured)
    return [made[i] for i in range(count)], [made[len(given) + k] for k in range(outputs)]
