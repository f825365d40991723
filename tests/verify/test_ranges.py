"""What a graph proves about the integers that it is fed."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

HEAD = '<ir_version: 10, opset_import: ["": 21]> '
TABLE = "<float[7, 4] w, int64[1] two = {2}, int64[2] flat = {-1, 1}, int64[1] axes = {0}>"


def ranges(body: str, inputs: str = "int64[n, m] i", outputs: str = "float y") -> dict[str, tuple[int, int]]:
    from isthmus.verify.ranges import integer_ranges

    proto = onnx.parser.parse_model(f"{HEAD} g ({inputs}) => ({outputs}) {TABLE} {{ {body} }}")
    proto.graph.initializer.add(name="w", dims=[7, 4], data_type=1, raw_data=bytes(4 * 28))
    proto = onnx.shape_inference.infer_shapes(proto)
    return integer_ranges(ir.from_proto(proto).graph)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Gather(w, i)", (0, 6)),
        ("y = Gather<axis = 1>(w, i)", (0, 3)),
        ("y = Gather<axis = -1>(w, i)", (0, 3)),
        ("c = Cast<to = 6>(i) r = Reshape(c, flat) y = Gather(w, r)", (0, 6)),
        ("j = Add(i, two) y = Gather(w, j)", (0, 4)),
        ("j = Add(two, i) y = Gather(w, j)", (0, 4)),
        ("j = Sub(i, two) y = Gather(w, j)", (2, 8)),
        ("a = Gather(w, i) b = Gather<axis = 1>(w, i) y = Size(b)", (0, 3)),
        ("y = GatherElements<axis = 0>(w, i)", (0, 6)),
        ("y = OneHot(i, two, hot)", (0, 1)),
        ("y = Cast<to = 1>(i)", (0, 1)),
        ("u = Unsqueeze(i, axes) y = Equal(u, two)", (0, 1)),
        ("y = Div(two, i)", (1, 9)),
        ("j = Add(i, two) y = Mod(two, j)", (-1, 7)),
        ("y = Mod(two, i) z = Gather(w, i)", (1, 6)),
    ],
)
def test_indices_stay_in_their_axis_divisors_are_not_nought_and_masks_are_nought_or_one(
    body: str, expected: tuple[int, int]
) -> None:
    body = f"hot = Constant<value_floats = [0.0, 1.0]>() {body}" if "hot" in body else body
    assert ranges(body) == {"i": expected}


@pytest.mark.parametrize(
    "body", ["y = Mul(i, i)", "y = Gather(x, i)", "s = Mul(i, two) y = Gather(w, s)", "y = Identity(i)"]
)
def test_what_is_not_proved_is_not_claimed(body: str) -> None:
    assert ranges(body, inputs="int64[n, m] i, float[k] x") == {}


def test_an_index_that_a_branch_captures_is_followed() -> None:
    body = (
        "y = If(c) <then_branch = t () => (float p) { p = Gather(w, i) },"
        " else_branch = e () => (float q) { q = Gather<axis = 1>(w, i) }>"
    )
    assert ranges(body, inputs="int64[n, m] i, bool c") == {"i": (0, 3)}


def test_a_pair_of_indices_is_bounded_by_the_smaller_axis() -> None:
    assert ranges("y = GatherND(w, i)", inputs="int64[n, 2] i") == {"i": (0, 3)}
