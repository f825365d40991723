"""Products of a whole sequence with weights, moved into the loop that takes their steps: there they are a cell's."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from isthmus.passes.edit import Editor, attribute, dims
from isthmus.passes.recover.match import made_by


def within(edit: Editor, step: ir.Node) -> tuple[ir.Node, Callable[[], None]] | None:
    """The node that takes this step out of the sequence before the product, and what undoes it all.

    ``step`` takes a step out of sums of one product and vectors; None where it does not.
    """
    made: list[ir.Node] = []
    whole = step.outputs[0]
    value = _of_step(edit, step, step.inputs[0], made)
    if value is None:
        for node in reversed(made):
            _remove(node)
        return None
    users = [(use.node, use.idx) for use in whole.uses()]
    for user, index in users:
        user.replace_input_with(index, value)

    def undo() -> None:
        for user, index in users:
            user.replace_input_with(index, whole)
        for node in reversed(made):
            _remove(node)

    return next(node for node in made if node.op_type == "Gather"), undo


def _of_step(edit: Editor, step: ir.Node, value: ir.Value | None, made: list[ir.Node]) -> ir.Value | None:
    """What this step of ``value``, a product of a whole sequence, is when it is computed for the step alone."""
    node = made_by(value, "Add", "MatMul", "Einsum")
    if node is None or value is None:
        return None
    first, second = node.inputs
    if node.op_type == "Add":
        if len(dims(first) or ()) == 1:
            first, second = second, first
        inner = _of_step(edit, step, first, made) if len(dims(second) or ()) == 1 else None
        operands = [inner, second]
    else:
        weight = _matrix(edit, step, node, made)
        is_sequence = first is not None and len(dims(first) or ()) == 3
        inner = _taken(edit, step, first, made) if weight is not None and is_sequence else None
        operands = [inner, weight]
    if inner is None:
        return None
    op = "Add" if node.op_type == "Add" else "MatMul"
    return _made(edit, step, op, operands, (*(dims(inner) or ())[:1], (dims(value) or (None,))[-1]), made)


def _taken(edit: Editor, step: ir.Node, sequence: ir.Value | None, made: list[ir.Node]) -> ir.Value:
    """This step of a sequence."""
    return _made(edit, step, "Gather", [sequence, step.inputs[1]], (dims(sequence) or ())[1:], made, {"axis": 0})


def _made(
    edit: Editor,
    step: ir.Node,
    op: str,
    inputs: list[ir.Value | None],
    shape: tuple[int | str | None, ...],
    made: list[ir.Node],
    attributes: dict[str, object] | None = None,
) -> ir.Value:
    value = edit.before(step, op, inputs, attributes, shape=shape)
    node = value.producer()
    assert node is not None
    made.append(node)
    return value


def _matrix(edit: Editor, step: ir.Node, node: ir.Node, made: list[ir.Node]) -> ir.Value | None:
    """The matrix [size, width] that a sequence is multiplied with."""
    weight = node.inputs[1]
    shape = dims(weight)
    if weight is None or shape is None or len(shape) != 2:
        return None
    if node.op_type == "MatMul":
        return weight
    given, _, result = str(attribute(node, "equation")).replace(" ", "").partition("->")
    sequence, _, matrix = given.partition(",")
    if len(sequence) != 3 or len(matrix) != 2 or result[:2] != sequence[:2] or len({*sequence, *matrix}) != 4:
        return None
    if matrix == sequence[2] + result[2:]:
        return weight
    if matrix != result[2:] + sequence[2]:
        return None
    return _made(edit, step, "Transpose", [weight], shape[::-1], made, {"perm": (1, 0)})


def _remove(node: ir.Node) -> None:
    assert isinstance(node.graph, ir.Graph)
    node.graph.remove(node, safe=True)
