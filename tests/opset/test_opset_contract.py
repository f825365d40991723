"""Every version step of the default domain is unchanged, upgraded, declared compatible or refused: none silently."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from isthmus.hub.model import HUB_OPSET
from isthmus.hub.schema import history_of, op_names, schema_of, steps
from isthmus.hub.upgrades import RULES
from isthmus.hub.upgrades.beyond import expands

STEPS = tuple(steps())

RELABELLED_DOWN = {"ReduceLogSum", "ReduceLogSumExp"}
"""Narrowed above the hub's opset: coming down widens them again."""


def _types(schema: onnx.defs.OpSchema, formal: Any) -> set[str]:
    for constraint in schema.type_constraints:
        if constraint.type_param_str == formal.type_str:
            return set(constraint.allowed_type_strs)
    return {formal.type_str}


def _formals(schema: onnx.defs.OpSchema) -> list[tuple[Any, ...]]:
    return [(f.option, f.is_homogeneous) for f in (*schema.inputs, *schema.outputs)]


def _attributes(schema: onnx.defs.OpSchema) -> dict[str, tuple[Any, ...]]:
    return {
        name: (a.type, a.required, a.default_value.SerializeToString(deterministic=True))
        for name, a in schema.attributes.items()
    }


def _narrowed(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    pairs = [*zip(old.inputs, new.inputs, strict=False), *zip(old.outputs, new.outputs, strict=False)]
    return any(_types(old, a) - _types(new, b) for a, b in pairs)


def _unchanged(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> bool:
    """Same inputs, outputs, attributes and defaults; types at most widened; not withdrawn."""
    return (
        _formals(old) == _formals(new)
        and (len(old.inputs), old.min_input, old.max_input) == (len(new.inputs), new.min_input, new.max_input)
        and (old.min_output, old.max_output) == (new.min_output, new.max_output)
        and _attributes(old) == _attributes(new)
        and not _narrowed(old, new)
        and not (new.deprecated and not old.deprecated)
    )


def _work(old: onnx.defs.OpSchema, new: onnx.defs.OpSchema) -> str:
    """What somebody must decide about a step, empty when it has been decided."""
    rule = RULES.get((new.name, new.since_version))
    if rule is not None or _unchanged(old, new):
        return ""
    if new.since_version > HUB_OPSET and new.name in RELABELLED_DOWN:
        return ""
    added = sorted(set(new.attributes) - set(old.attributes))
    gone = sorted(set(old.attributes) - set(new.attributes))
    step = f"{new.name} {old.since_version} → {new.since_version}"
    return f"{step}: attributes +{added} -{gone}, or inputs, outputs, types"


def test_every_step_is_accounted_for() -> None:
    work = [text for old, new in STEPS if (text := _work(old, new))]
    assert not work, "steps that nobody has judged:\n" + "\n".join(work)


def test_the_steps_are_those_of_the_installed_onnx() -> None:
    assert len(STEPS) >= 426
    assert len(op_names()) >= 203


def test_every_operator_above_the_hub_has_a_body_or_is_named_here() -> None:
    newer = [op for op in op_names() if history_of(op)[0].since_version > HUB_OPSET]
    assert newer and all(expands(op) for op in newer)


def test_every_rule_is_of_a_real_step() -> None:
    real = {(new.name, new.since_version) for _, new in STEPS}
    ghosts = sorted(key for key in RULES if key not in real)
    assert not ghosts


def test_a_compatible_step_only_adds() -> None:
    """A step declared compatible never takes an attribute or an input away."""
    for old, new in STEPS:
        rule = RULES.get((new.name, new.since_version))
        if rule is not None and rule.kind == "compatible":
            assert set(old.attributes) <= set(new.attributes), (new.name, new.since_version)
            assert len(old.inputs) <= len(new.inputs), (new.name, new.since_version)


@pytest.mark.parametrize(
    ("op", "version"),
    [("Resize", 11), ("RoiAlign", 16), ("Softmax", 13), ("GroupNormalization", 21), ("Dropout", 10), ("PRelu", 7)],
)
def test_steps_that_change_the_meaning_are_upgrades(op: str, version: int) -> None:
    assert RULES[op, version].kind == "upgrade"


def test_schema_of() -> None:
    assert schema_of("", "Softmax").since_version == 13
    assert schema_of("isthmus.channels_last", "Conv").name == "Conv"
    assert schema_of("", "Softmax", 12).since_version == 11
    assert schema_of("", "Upsample") is None
    assert schema_of("", "NoSuchOperator") is None
    assert schema_of("ai.onnx.ml", "LabelEncoder").since_version >= 4
    assert schema_of("com.microsoft", "FusedMatMul") is None
