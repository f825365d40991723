"""A lowering's signature is its operator's schema, and says so at import."""

from __future__ import annotations

import pytest

from isthmus.lower.contract import ContractError, Host, Lowerings, Static, Weight, merge


def lowerings(*ops: str, **options):
    return Lowerings().lower(*ops, **options)


def test_inputs_and_attributes_of_the_schema_are_accepted() -> None:
    table = Lowerings()

    @table.lower("Conv", ignore=("auto_pad",))
    def conv(c, x, w: Weight, b: Weight = None, *, dilations, group, kernel_shape, pads, strides): ...

    entry = merge(table)["", "Conv"]
    assert entry.takes_context
    assert entry.inputs == ("tensor", "weight", "weight")
    assert entry.defaults["group"] == 1
    assert entry.defaults["pads"] is None


def test_annotations_say_how_an_input_is_passed() -> None:
    table = Lowerings()

    @table.lower("Slice")
    def slice_(x, starts: Host, ends: Static, axes: Host = None, steps: Host = None): ...

    assert merge(table)["", "Slice"].inputs == ("tensor", "host", "static", "host", "host")


@pytest.mark.parametrize(
    ("op", "body", "complaint"),
    [
        ("Softmax", lambda x: x, "neither taken nor ignored"),
        ("Relu", lambda x, *, slope: x, "unknown attributes"),
        ("Relu", lambda x, y: x, "2 inputs taken, its schema has 1"),
        ("Clip", lambda x, low, high: x, "is optional"),
        ("Concat", lambda x, *, axis: x, "has variadic input"),
        ("Softmax", lambda x, *, axis=1: x, "come from the schema"),
        ("Softmax", lambda x, **rest: x, "swallow"),
        ("NoSuchOperator", lambda x: x, "no operator of its domain"),
    ],
)
def test_a_signature_that_is_not_the_schema_is_refused(op, body, complaint) -> None:
    with pytest.raises(ContractError, match=complaint):
        lowerings(op)(body)


def test_an_alias_would_drop_attributes() -> None:
    with pytest.raises(ContractError, match="an alias would drop them"):
        Lowerings().alias(Softmax=lambda x: x)


def test_two_rooms_cannot_lower_the_same_operator() -> None:
    first, second = Lowerings(), Lowerings()
    first.alias(Abs=abs)
    second.alias(Abs=abs)
    with pytest.raises(ContractError, match="Abs stands in"):
        merge(first, second)
