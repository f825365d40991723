"""The lowering contract: a Python function whose signature is an operator's schema.

Positional parameters are the operator's inputs in order, keyword-only ones its attributes; defaults of attributes
come from the schema. The annotation of an input says how it wants to be handed over::

    table = Lowerings()
    lower = table.lower

    @lower("Softmax")
    def softmax(x, *, axis):                              # a tensor of the target framework
        return tf.nn.softmax(x, axis)

    @lower("Reshape")
    def reshape(c, x, shape: Host, *, allowzero): ...     # an ndarray where it is known, else a tensor

    @lower("Tile")
    def tile(x, repeats: Static): ...                     # an ndarray, always: refused where it is not known

A first parameter named ``c`` receives the ``Context``: ask it for shapes, ranks and dtypes. Everything is checked at
import, against the schema at ``HUB_OPSET``: an attribute cannot be forgotten silently.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal

import numpy as np
import onnx

from isthmus.hub.model import ONNX
from isthmus.hub.schema import schema_of
from isthmus.lower.table import Body, ContractError, Table, merge, spelled

__all__ = [
    "ContractError",
    "Host",
    "Lowering",
    "LoweringTable",
    "Lowerings",
    "OpId",
    "Passing",
    "Static",
    "Weight",
    "merge",
]

Passing = Literal["tensor", "static", "host", "weight"]

Static = Annotated[np.ndarray, "static"]
"""An input that must be known at conversion: arrives as an ndarray (or None where absent)."""
Host = Annotated[Any, "host"]
"""An input that arrives as an ndarray where it is known at conversion, else as a tensor."""
Weight = Annotated[Any, "weight"]
"""An input that becomes a named parameter of the target where it is an initializer, else a tensor."""

OpId = tuple[str, str]
"""(domain, operator name)"""


@dataclass(frozen=True)
class Lowering:
    """A checked lowering. ``inputs`` tells how each positional input is passed; the last repeats if ``variadic``."""

    op: OpId
    body: Body
    takes_context: bool
    inputs: tuple[Passing, ...]
    variadic: bool
    attributes: tuple[str, ...]
    defaults: Mapping[str, Any]

    def passing(self, index: int) -> Passing:
        return self.inputs[min(index, len(self.inputs) - 1)]


class Lowerings(Table[Lowering]):
    """One room's lowerings, filled by decorators while its module is imported; ``merge`` freezes many into one."""

    def lower(self, *ops: str, domain: str = ONNX, ignore: Iterable[str] = ()) -> Callable[[Body], Body]:
        """Register the decorated function for each of ``ops``. ``ignore`` names attributes it need not see.

        Raises ContractError where the function's signature is not the schema of every op named.
        """

        def register(body: Body) -> Body:
            for op in ops:
                self.add(_checked(body, (domain, op), frozenset(ignore)))
            return body

        return register

    def alias(self, *, domain: str = ONNX, **ops: Body) -> None:
        """Register plain framework functions for operators without attributes: inputs are passed in order."""
        for op, function in ops.items():
            self.add(_aliased(function, (domain, op)))


LoweringTable = Mapping[OpId, Lowering]


def _checked(body: Body, op: OpId, ignored: frozenset[str]) -> Lowering:
    parameters = list(inspect.signature(body).parameters.values())
    takes_context = bool(parameters) and parameters[0].name == "c"
    parameters = parameters[1:] if takes_context else parameters
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = [p for p in parameters if p.kind is p.VAR_POSITIONAL]
    attributes = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ContractError(f"{spelled(op)}: **kwargs would swallow attributes unseen")
    hints = typing.get_type_hints(body, include_extras=True)
    schema = schema_of(*op)
    if schema is None:
        _require_registered(op)
    else:
        _check_inputs(op, schema, inputs, bool(variadic))
        _check_attributes(op, schema, attributes, ignored)
    return Lowering(
        op=op,
        body=body,
        takes_context=takes_context,
        inputs=tuple(_passing(hints.get(p.name)) for p in [*inputs, *variadic]) or ("tensor",),
        variadic=bool(variadic),
        attributes=tuple(p.name for p in attributes),
        defaults=_defaults(schema, attributes),
    )


def _aliased(function: Body, op: OpId) -> Lowering:
    schema = schema_of(*op)
    if schema is None:
        raise ContractError(f"{spelled(op)} has no schema, so it cannot be an alias")
    if schema.attributes:
        raise ContractError(f"{spelled(op)} has attributes {sorted(schema.attributes)}: an alias would drop them")
    variadic = any(i.option == onnx.defs.OpSchema.FormalParameterOption.Variadic for i in schema.inputs)
    return Lowering(op, function, False, ("tensor",), variadic, (), MappingProxyType({}))


def _require_registered(op: OpId) -> None:
    if op[0] in ("", "ai.onnx", "ai.onnx.ml"):
        raise ContractError(f"{spelled(op)} is no operator of its domain at the hub's opset")


def _check_inputs(op: OpId, schema: onnx.defs.OpSchema, inputs: list[inspect.Parameter], variadic: bool) -> None:
    option = onnx.defs.OpSchema.FormalParameterOption
    takes_variadic = any(i.option == option.Variadic for i in schema.inputs)
    fixed = [i for i in schema.inputs if i.option != option.Variadic]
    if takes_variadic != variadic:
        raise ContractError(f"{spelled(op)}: its schema {'has' if takes_variadic else 'has no'} variadic input")
    if len(inputs) != len(fixed):
        raise ContractError(
            f"{spelled(op)}: {len(inputs)} inputs taken, its schema has {len(fixed)}: {[i.name for i in fixed]}"
        )
    for parameter, formal in zip(inputs, fixed, strict=True):
        if formal.option == option.Optional and parameter.default is not None:
            raise ContractError(f"{spelled(op)}: input {formal.name!r} is optional: {parameter.name}=None is due")


def _check_attributes(
    op: OpId, schema: onnx.defs.OpSchema, taken: list[inspect.Parameter], ignored: frozenset[str]
) -> None:
    names, known = {p.name for p in taken}, set(schema.attributes)
    if unknown := (names | ignored) - known:
        raise ContractError(f"{spelled(op)}: unknown attributes {sorted(unknown)}; its schema has {sorted(known)}")
    if missing := known - names - ignored:
        raise ContractError(f"{spelled(op)}: attributes {sorted(missing)} are neither taken nor ignored")
    if both := names & ignored:
        raise ContractError(f"{spelled(op)}: attributes {sorted(both)} are both taken and ignored")
    if repeated := [p.name for p in taken if p.default is not inspect.Parameter.empty]:
        raise ContractError(f"{spelled(op)}: defaults of {repeated} come from the schema, not from Python")


def _passing(hint: Any) -> Passing:
    for mark in getattr(hint, "__metadata__", ()):
        if mark in ("static", "host", "weight"):
            return typing.cast(Passing, mark)
    # `w: Weight = None` may arrive as Optional[Annotated[...]]
    for part in typing.get_args(hint):
        if (found := _passing(part)) != "tensor":
            return found
    return "tensor"


def _defaults(schema: onnx.defs.OpSchema | None, attributes: list[inspect.Parameter]) -> Mapping[str, Any]:
    if schema is None:  # a domain without schemas in onnx: Python's defaults are the only ones there are
        return MappingProxyType({p.name: None if p.default is p.empty else p.default for p in attributes})
    return MappingProxyType({p.name: _default_of(schema.attributes[p.name]) for p in attributes})


def _default_of(attribute: onnx.defs.OpSchema.Attribute) -> Any:
    proto = attribute.default_value
    if proto.type == onnx.AttributeProto.UNDEFINED:
        return None
    value = onnx.helper.get_attribute_value(proto)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (str, int, float)):
        return value
    return tuple(v.decode() if isinstance(v, bytes) else v for v in value)
