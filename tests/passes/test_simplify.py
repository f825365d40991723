"""Folding, cleanup, shape arithmetic, batch norm, function bodies: what they do, and what they must leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from evaluate import feeds_of, run
from layout_nets import hub_of

from isthmus.hub.canonical import check_canonical
from isthmus.hub.model import Hub, op_counts
from isthmus.passes.base import BrokenPass, HubPass, PassResult, Repeat
from isthmus.passes.batchnorm import FOLDED, FoldBatchNorm
from isthmus.passes.cleanup import RemoveDead, RemoveNoOps, ShareEqual
from isthmus.passes.dims import SimplifyShapes
from isthmus.passes.edit import PERM
from isthmus.passes.fold import FoldConstants
from isthmus.passes.functions import ExpandFunctions
from isthmus.passes.moves import SimplifyMoves
from isthmus.passes.pipelines import for_onnx, simplify
from isthmus.passes.sums import DropEmptySums
from isthmus.types import Signature


def ops_after(step: HubPass, text: str, weights: dict[str, tuple[int, ...]] | None = None) -> dict[str, int]:
    """Operator counts after the pass, whose numbers are checked on the way."""
    hub = hub_of(text, weights)
    feeds = feeds_of(hub, free=4)
    golden = run(hub.model, feeds)
    result = step(hub)
    assert not check_canonical(result.hub.model)
    for ours, theirs in zip(run(result.hub.model, feeds), golden, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    return op_counts(result.hub.model)


KEPT: dict[str, tuple[HubPass, str, str, str | None]] = {
    # what stays although it looks as if it could go, with the reason that is given for it
    "expand": (
        FoldConstants(),
        """net (float[20000] x) => (float[20000] y) <float o = {1}, int64[1] s = {20000}> {
            e = Expand (o, s)  y = Add (x, e) }""",
        "Expand",
        "its result is larger than its operands",
    ),
    "random": (
        FoldConstants(),
        "net (float[3] x) => (float[3] y) { r = RandomNormal <shape = [3], scale = 0.0> () y = Add (x, r) }",
        "RandomNormal",
        None,
    ),
    "parameter": (
        FoldConstants(trainable=True),
        "net (float[3] x) => (float[3] y) <float[3] w = {1, 2, 3}> { e = Exp (w) y = Add (x, e) }",
        "Exp",
        "an operand may be a parameter that trains",
    ),
    "dropout": (
        RemoveNoOps(trainable=True),
        "net (float[3] x) => (float[3] y) { d = Dropout (x) y = Relu (d) }",
        "Dropout",
        None,
    ),
    "passed through": (
        RemoveNoOps(),
        "net (float[3] x) => (float[3] y) { y = Identity (x) }",
        "Identity",
        "it gives a graph output that is no node's",
    ),
    "two outputs": (
        RemoveNoOps(),
        "net (float[3] x) => (float[3] y, float[3] z) { y = Relu (x) z = Identity (y) }",
        "Identity",
        "it gives a graph output that is one already",
    ),
    "own name": (
        ShareEqual(),
        "net (float[3] x) => (float[3] y, float[3] z) { y = Exp (x) z = Exp (x) }",
        "Exp",
        "its result is a graph output, under its own name",
    ),
    "two free axes": (
        SimplifyShapes(),
        "net (float[a, b, 4] x, float[c, d] t) => (float[e, f] y) { s = Shape (t) y = Reshape (x, s) }",
        "Reshape",
        "more than one axis of its target is free",
    ),
    "real transpose": (
        SimplifyMoves(),
        "net (float[2, 3] x) => (float[3, 2] y) { y = Transpose <perm = [1, 0]> (x) }",
        "Transpose",
        "it moves elements",
    ),
    "used elsewhere": (
        FoldBatchNorm(),
        (
            "net (float[n, 1, 4, 4] x) => (float[n, 2, 4, 4] y, float[n, 2, 4, 4] z) <float[2] s = {1, 2}> "
            "{ z = Conv (x, w) y = BatchNormalization (z, s, s, s, s) }"
        ),
        "BatchNormalization",
        "what it normalizes is used elsewhere as well",
    ),
    "alone": (
        FoldBatchNorm(),
        (
            "net (float[n, 2, 4, 4] x) => (float[n, 2, 4, 4] y) <float[2] s = {1, 2}> "
            "{ y = BatchNormalization (x, s, s, s, s) }"
        ),
        "BatchNormalization",
        "no convolution or linear layer is before it",
    ),
    "primitive": (
        ExpandFunctions({}),
        "net (float[n] x) => (float[n] y) { y = Exp (x) }",
        "Exp",
        "ONNX defines it by no others",
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_stays_says_why(name: str) -> None:
    step, text, op, reason = KEPT[name]
    hub = hub_of(text, {"w": (2, 1, 1, 1)} if "(x, w)" in text else None)
    before = op_counts(hub.model)[op]
    result = step(hub)
    assert op_counts(result.hub.model)[op] == before
    reasons = [d.reason for d in result.declined]
    assert reasons == [] if reason is None else reason in reasons


GONE: dict[str, tuple[HubPass, str, dict[str, int]]] = {
    "shape arithmetic": (
        simplify(trainable=True),
        """net (float[n, 6, 4] x) => (float[n, 2, 12] y)
        <int64 zero = {0}, int64[1] at = {0}, int64[1] two = {2}, int64[1] rest = {-1}> {
            s = Shape (x)  a = Gather (s, zero)  b = Unsqueeze (a, at)
            t = Concat <axis = 0> (b, two, rest)  y = Reshape (x, t)
        }""",
        {"Reshape": 1},
    ),
    "condition": (
        simplify(trainable=False),
        """net (float[2, 3] x) => (float[2, 3] y) <int64 at = {1}, int64 three = {3}> {
            s = Shape (x)  d = Gather (s, at)  c = Equal (d, three)
            r = If (c) <then_branch = yes () => (float[2, 3] p) { e = Exp (x)  p = Neg (e) },
                        else_branch = no () => (float[2, 3] q) { q = Log (x) }>
            y = Relu (r)
        }""",
        {"Exp": 1, "Neg": 1, "Relu": 1},
    ),
    "captured branch": (
        simplify(trainable=False),
        """net (float[2, 3] x) => (float[2, 3] y) <bool c = {0}> {
            y = If (c) <then_branch = yes () => (float[2, 3] p) { p = Exp (x) },
                        else_branch = no () => (float[2, 3] q) { q = Identity (x) }>
        }""",
        {"Identity": 1},
    ),
    "no-ops": (
        RemoveNoOps(),
        """net (float[2, 3] x) => (float[2, 3] y)
        <int64[2] shape = {2, 3}, int64[4] pads = {0, 0, 0, 0}, int64[1] zero = {0},
         int64[1] end = {9223372036854775807}> {
            a = Identity (x)  b = Cast <to = 1> (a)  c = Reshape (b, shape)  d = Expand (c, shape)  e = Pad (d, pads)
            f = Slice (e, zero, end)  g = Dropout (f)  h = Transpose <perm = [0, 1]> (g)  i = Concat <axis = 0> (h)
            y = Relu (i)
        }""",
        {"Relu": 1},
    ),
    "graph output": (
        RemoveNoOps(),
        "net (float[2, 3] x) => (float[2, 3] y) { a = Relu (x) y = Identity (a) }",
        {"Relu": 1},
    ),
    "constant output": (
        FoldConstants(),
        "net (float[2, 3] x) => (int64[2] s, float[2, 3] y) { s = Shape (x) y = Relu (x) }",
        {"Identity": 1, "Relu": 1},
    ),
    "twice": (
        Repeat((ShareEqual(), RemoveDead())),
        "net (float[3] x) => (float[3] y) { a = Exp (x) b = Exp (x) c = Neg (a) d = Neg (b) y = Mul (c, d) }",
        {"Exp": 1, "Mul": 1, "Neg": 1},
    ),
    "deep function": (
        ExpandFunctions({("", op): None for op in ("Exp", "Log", "Sub", "ReduceMax", "ReduceSum")}),
        "net (float[n, 4] x) => (float[n, 4] y) { y = LogSoftmax <axis = -1> (x) }",
        {"Exp": 1, "Log": 1, "ReduceMax": 1, "ReduceSum": 1, "Sub": 2},
    ),
    "grouped transposed": (
        FoldBatchNorm(),
        (
            "net (float[n, 4, 5, 5] x) => (float[n, 6, 6, 6] y) "
            "{ a = ConvTranspose <group = 2> (x, w6) y = BatchNormalization (a, scale6, scale6, b6, var6) }"
        ),
        {"ConvTranspose": 1},
    ),
    "linear": (
        FoldBatchNorm(),
        """net (float[n, 4] x) => (float[n, 6] y) {
            a = Gemm (x, v6, b6)  y = BatchNormalization (a, scale6, scale6, b6, var6) }""",
        {"Gemm": 1},
    ),
}
SHAPES = {"w6": (4, 3, 2, 2), "v6": (4, 6), "b6": (6,), "scale6": (6,), "var6": (6,)}


@pytest.mark.onnxruntime
@pytest.mark.parametrize("name", GONE)
def test_what_goes(name: str) -> None:
    step, text, left = GONE[name]
    weights = {key: shape for key, shape in SHAPES.items() if key in text}
    assert ops_after(step, text, weights) == left


def test_a_target_shape_keeps_its_free_axes() -> None:
    hub = hub_of(
        """net (float[n, m, 6] x) => (float[n, m, 2, 3] y) <int64[1] a = {2}, int64[1] b = {3}> {
            s = Shape <end = 2> (x)  t = Concat <axis = 0> (s, a, b)  y = Reshape (x, t)
        }"""
    )
    simplify(trainable=False)(hub)
    assert op_counts(hub.model) == {"Reshape": 1}
    (node,) = hub.graph
    assert node.inputs[1].const_value.numpy().tolist() == [0, -1, 2, 3]


def test_a_transposed_weight_keeps_its_name() -> None:
    hub = hub_of("net (float[n, 4] x) => (float[n, 5] y) { t = Transpose (v) y = MatMul (x, t) }", {"v": (5, 4)})
    source = hub.graph.initializers["v"].const_value.numpy()
    FoldConstants()(hub)
    weight = hub.graph.initializers["v"]
    assert op_counts(hub.model) == {"MatMul": 1}
    assert weight.metadata_props[PERM] == "1,0"
    assert np.array_equal(weight.const_value.numpy(), source.T)
    trained = hub_of("net (float[n, 4] x) => (float[n, 5] y) { t = Transpose (v) y = MatMul (x, t) }", {"v": (5, 4)})
    assert not FoldConstants(trainable=True)(trained).modified


def test_a_folded_normalization_is_marked() -> None:
    hub = hub_of(
        """net (float[n, 1, 4, 4] x) => (float[n, 2, 4, 4] y) {
            a = Conv (x, w)  y = BatchNormalization (a, s, s, s, s) }""",
        {"w": (2, 1, 1, 1), "s": (2,)},
    )
    hub.graph.initializers["s"].const_value = ir.tensor(np.ones(2, np.float32))
    FoldBatchNorm()(hub)
    assert hub.graph.initializers["w"].metadata_props[FOLDED] == "BatchNormalization"
    assert isinstance(hub.graph.initializers["w"].const_value, ir.LazyTensor)


@pytest.mark.parametrize(
    ("op", "operands", "attributes", "expected"),
    [
        ("Div", ([-7, 7], [2, -2]), {}, [-3, -3]),
        ("Mod", ([-7, 7], [3, -3]), {}, [2, -2]),
        ("Mod", ([-7, 7], [3, -3]), {"fmod": 1}, [-1, 1]),
        ("Slice", ([0, 1, 2, 3], [-1], [-9], [0], [-2]), {}, [3, 1]),
        ("Gather", ([5, 6, 7], [-1, 0]), {"axis": 0}, [7, 5]),
        ("Range", (3, 9, 2), {}, [3, 5, 7]),
        ("ReduceProd", ([2, 3, 4],), {"keepdims": 0}, 24),
    ],
)
def test_known_integers(op: str, operands: tuple[Any, ...], attributes: dict[str, int], expected: Any) -> None:
    model = ir.from_onnx_text(
        '<ir_version: 10, opset_import: ["": 26]> net (int64[n] x) => (int64[m] y) { y = Add (x, x) }'
    )
    values = [
        ir.Value(
            name=f"c{i}",
            type=ir.TensorType(ir.DataType.INT64),
            shape=ir.Shape(np.shape(o)),
            const_value=ir.tensor(np.array(o, np.int64)),
        )
        for i, o in enumerate(operands)
    ]
    for value in values:
        model.graph.initializers.add(value)
    node = ir.node(op, values, attributes)
    node.outputs[0].type, node.outputs[0].shape = ir.TensorType(ir.DataType.INT64), ir.Shape(np.shape(expected))
    node.outputs[0].name = "made"
    model.graph.insert_before(model.graph[0], node)
    model.graph[1].replace_input_with(1, node.outputs[0])
    hub = FoldConstants()(Hub(model, Signature((), ()), "test", "onnx")).hub
    assert op_counts(hub.model) == {"Add": 1}
    assert hub.graph.initializers["made"].const_value.numpy().tolist() == expected


class _Forgets(HubPass):
    """Loses where a node came from."""

    def call(self, hub: Hub) -> PassResult:
        next(iter(hub.graph)).metadata_props.clear()
        return PassResult(hub, True)


class _Renames(HubPass):
    """Renames an output."""

    def call(self, hub: Hub) -> PassResult:
        hub.graph.outputs[0].name = "other"
        return PassResult(hub, True)


@pytest.mark.parametrize("broken", [_Forgets, _Renames])
def test_the_base_holds_a_pass_to_its_word(broken: type[HubPass]) -> None:
    with pytest.raises(BrokenPass, match=broken.__name__):
        broken()(hub_of("net (float[n] x) => (float[n] y) { y = Exp (x) }"))


def test_the_ledger_tells_what_was_done() -> None:
    hub = RemoveNoOps()(hub_of("net (float[n] x) => (float[n] y) { a = Identity (x) y = Exp (a) }")).hub
    (change,) = hub.ledger
    assert (change.name, change.before, change.after) == ("RemoveNoOps", {"Exp": 1, "Identity": 1}, {"Exp": 1})


def test_onnx_is_left_as_it_is() -> None:
    hub = hub_of("net (float[n] x) => (float[n] y) { a = Identity (x) y = Exp (a) }")
    before = ir.to_proto(hub.model).SerializeToString(deterministic=True)
    assert ir.to_proto(for_onnx(hub).model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("shape", "reason"),
    [("float[4, n]", "another"), ("float[n, 4]", "output"), ("float[0, 4]", "no elements")],
)
def test_sums_that_may_add_up_stay(shape: str, reason: str) -> None:
    given = "float[0, 4]" if "0" in shape else "float[n, 4]"
    end = "" if reason == "output" else "z = Identity (y)"
    out = "y" if reason == "output" else "z"
    text = f"""<ir_version: 10, opset_import: ["": 26]>
    net ({given} x, int64[k] axes, int64[2] s) => ({shape} {out}) <float[a, b] total, {shape} y> {{
        total = ReduceSum <keepdims = 0> (x, axes) y = Reshape (total, s) {end}
    }}"""
    result = DropEmptySums().call(hub_of(text))
    assert not result.modified
    assert [reason in declined.reason for declined in result.declined] == [True]
