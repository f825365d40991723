"""The reading contract: the lowering contract turned round.

A function's signature is a TensorFlow operator's OpDef: positional parameters are its inputs in order, keyword-only
ones its attributes; its body builds hub operators through ``op``, the first parameter::

    table = Reads()
    read = table.read

    @read("Softmax")
    def softmax(op, logits):
        return op.Softmax(logits, axis=-1)

    @read("Transpose")
    def transpose(op, x, perm: Static):                    # an ndarray, always: refused where it is not known
        return op.Transpose(x, perm=perm)

    @read("Cast", ignore=("Truncate",))
    def cast(op, c, x, *, DstT): ...                       # c is the Context: shapes, refusals, the node itself

    table.alias(Relu="Relu", AddV2="Add")                  # inputs passed in order, no attribute that matters

An input that is a list in the OpDef arrives as a tuple. Attributes that are element types, or lengths of lists, say
nothing that the inputs do not say: they may be taken, and need not be ignored. Every other attribute is taken, or
named in ``ignore``. All of it is checked at import. What is returned is one value, a tuple of one an output, or None.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from tensorflow.python.framework import op_def_registry

from isthmus.hub.schema import schema_of
from isthmus.lower.contract import Host, Static
from isthmus.lower.table import Body, ContractError, Table, merge

__all__ = ["ComplexOrReal", "ContractError", "Host", "Read", "ReadTable", "Reads", "Static", "merge"]

Passing = Literal["tensor", "static", "host", "complex"]
_PASSINGS: tuple[Passing, ...] = ("static", "host", "complex")

ComplexOrReal = Annotated[Any, "complex"]
"""An input that may be a ``handles.Complex``; any other input refuses complex tensors by name."""


@dataclass(frozen=True)
class Read:
    """A checked reading of one TensorFlow operator."""

    op: str
    body: Body
    takes_context: bool
    inputs: tuple[Passing, ...]
    attributes: tuple[str, ...]


class Reads(Table[Read]):
    """One room's readings, filled by decorators while its module is imported; ``merge`` freezes many into one."""

    def read(self, *ops: str, ignore: Iterable[str] = ()) -> Callable[[Body], Body]:
        """Register the decorated function for each of ``ops``.

        Raises ContractError where its signature is not the OpDef of every op named.
        """

        def register(body: Body) -> Body:
            for op in ops:
                self.add(_checked(body, op, frozenset(ignore)))
            return body

        return register

    def alias(self, **ops: str) -> None:
        """TensorFlow operator = ONNX operator: inputs are passed in order. Only where no attribute matters."""
        for op, onnx_op in ops.items():
            self.add(_checked(_same(op, onnx_op), op, frozenset(), arity=len(op_def(op).input_arg)))

    def refuse(self, reason: str, *ops: str) -> None:
        """TensorFlow operators that are never read, and the fact why."""

        def refused(_op: Any, c: Any, *_inputs: Any) -> None:
            c.refuse(reason)

        whatever: Passing = "complex"
        for op in ops:
            self.add(Read(op, refused, True, (whatever,) * len(op_def(op).input_arg), ()))


ReadTable = Mapping[str, Read]


def op_def(op: str) -> Any:
    """The OpDef of a TensorFlow operator. Raises ContractError where this TensorFlow has none of that name."""
    found = op_def_registry.get(op)
    if found is None:
        raise ContractError(f"TensorFlow has no operator {op!r}")
    return found


def implied_attributes(definition: Any) -> frozenset[str]:
    """Attributes that the inputs and outputs tell by themselves: element types and lengths of lists."""
    lengths = {arg.number_attr for arg in (*definition.input_arg, *definition.output_arg) if arg.number_attr}
    return frozenset(a.name for a in definition.attr if a.type in ("type", "list(type)") or a.name in lengths)


def _same(op: str, onnx_op: str) -> Body:
    if schema_of("", onnx_op) is None:
        raise ContractError(f"ONNX has no operator {onnx_op!r} for {op} at the hub's opset")

    def same(op: Any, *inputs: Any) -> Any:
        return getattr(op, onnx_op)(*inputs)

    return same


def _checked(body: Body, op: str, ignored: frozenset[str], arity: int | None = None) -> Read:
    definition = op_def(op)
    parameters = list(inspect.signature(body).parameters.values())
    if not parameters or parameters[0].name != "op":
        raise ContractError(f"{op}: the first parameter of its reading is the builder, op")
    parameters = parameters[1:]
    takes_context = bool(parameters) and parameters[0].name == "c"
    parameters = parameters[1:] if takes_context else parameters
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    names = [arg.name for arg in definition.input_arg]
    if len(inputs) != len(names) and arity is None:
        raise ContractError(f"{op}: {len(inputs)} inputs taken, its OpDef has {len(names)}: {names}")
    known = {attribute.name for attribute in definition.attr}
    if unknown := (taken | ignored) - known:
        raise ContractError(f"{op}: unknown attributes {sorted(unknown)}; its OpDef has {sorted(known)}")
    if missing := known - taken - ignored - implied_attributes(definition):
        raise ContractError(f"{op}: attributes {sorted(missing)} are neither taken nor ignored")
    if both := taken & ignored:
        raise ContractError(f"{op}: attributes {sorted(both)} are both taken and ignored")
    hints = typing.get_type_hints(body, include_extras=True)
    passings = [_passing(hints.get(p.name)) for p in inputs] if arity is None else [_passing(None)] * arity
    return Read(op, body, takes_context, tuple(passings), tuple(sorted(taken)))


def _passing(hint: Any) -> Passing:
    marks = getattr(hint, "__metadata__", ())
    return next((passing for passing in _PASSINGS if passing in marks), "tensor")
