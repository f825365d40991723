"""Old-opset models, one line each: what a step must not change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnx.parser


@dataclass(frozen=True)
class Case:
    """``body`` in ONNX text, its ``inputs`` declared as text too, and the opset it is written in."""

    opset: int
    body: str
    inputs: str = "float[2,3,4] x"
    outputs: str = "float[] y"
    weights: str = ""

    @property
    def id(self) -> str:
        return f"{self.opset}-{self.body}".replace(" ", "")[:90]

    def model(self) -> onnx.ModelProto:
        weights = f"<{self.weights}>" if self.weights else ""
        head = f'<ir_version: {4 if self.opset < 15 else 8}, opset_import: ["": {self.opset}]>'
        return onnx.parser.parse_model(f"{head} g ({self.inputs}) => ({self.outputs}) {weights} {{ {self.body} }}")

    def feeds(self) -> dict[str, np.ndarray]:
        """Seeded; free dimensions take 2; integers are small, booleans mixed."""
        rng = np.random.default_rng(7)
        return {info.name: _random(rng, info.type.tensor_type) for info in self.model().graph.input}


def _random(rng: np.random.Generator, kind: onnx.TypeProto.Tensor) -> np.ndarray:
    shape = [d.dim_value or 2 for d in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    if dtype.kind == "b":
        return np.asarray(rng.random(shape) > 0.5)
    if dtype.kind in "iu":
        return rng.integers(0, 3, shape).astype(dtype)
    return (2 * rng.standard_normal(shape)).astype(dtype)


_IMAGE = "float[1,2,6,8] x"
_NORM = "float[2,3,4,5] x, float[3] s, float[3] b, float[3] m"
_VARIANCE = "float[3] v = {0.5, 1.0, 2.0}"
_REDUCE = ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")
_REDUCE += ("ReduceSum", "ReduceSumSquare")
_GRU = "float[5,2,3] x, float[1,12,3] w, float[1,12,4] r"
_LSTM = "float[5,2,3] x, float[1,16,3] w, float[1,16,4] r"

ON_ONNXRUNTIME = (
    # rows that were flattened
    *(Case(12, f"y = {op}<axis=1>(x)") for op in ("Softmax", "LogSoftmax", "Hardmax")),
    *(Case(11, f"y = {op}(x)") for op in ("Softmax", "LogSoftmax", "Hardmax")),
    Case(11, "y = Softmax<axis=-1>(x)"),
    Case(11, "y = Softmax<axis=-2>(x)"),
    Case(9, "y = Softmax<axis=0>(x)"),
    Case(7, "y = Softmax<axis=1>(x)", "float[2,5,1,1] x"),
    Case(12, "y = Softmax<axis=2>(x)", "float[N,M,4] x"),
    Case(12, "y = LogSoftmax<axis=1>(x)", "float[N,M,K] x"),
    # sampling grids that moved
    Case(7, 'y = Upsample<mode="nearest", scales=[1.0,1.0,2.0,3.0]>(x)', _IMAGE),
    Case(7, 'y = Upsample<mode="linear", scales=[1.0,1.0,2.0,2.0]>(x)', _IMAGE),
    Case(9, 'y = Upsample<mode="nearest">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 2.0, 1.5}"),
    Case(9, 'y = Upsample<mode="linear">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 2.0, 2.0}"),
    Case(10, 'y = Resize<mode="nearest">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 2.0, 2.0}"),
    Case(10, 'y = Resize<mode="nearest">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 0.6, 0.6}"),
    Case(10, 'y = Resize<mode="nearest">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 2.5, 0.6}"),
    Case(10, 'y = Resize<mode="linear">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 2.0, 2.0}"),
    Case(10, 'y = Resize<mode="linear">(x, s)', _IMAGE, weights="float[4] s = {1.0, 1.0, 0.5, 0.5}"),
    Case(11, "y = Resize(x, r, s)", _IMAGE, weights="float[0] r = {}, float[4] s = {1.0, 1.0, 2.0, 2.0}"),
    Case(11, "y = Resize(x, r, e, z)", _IMAGE, weights="float[0] r={}, float[0] e={}, int64[4] z={1,2,9,5}"),
    *(
        Case(
            opset,
            f'y=Resize<coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="{way}">(x, {absent}, z)',
            _IMAGE,
            weights="float[0] e = {}, int64[4] z = {1, 2, 9, 5}",
        )
        for opset, absent in ((11, "e, e"), (13, ","))
        for way in ("floor", "round_prefer_floor")
    ),
    Case(
        10,
        "y = RoiAlign<output_height=2, output_width=2, sampling_ratio=2>(x, r, i)",
        _IMAGE,
        weights="float[2,4] r = {0.0,0.0,4.0,4.0,1.0,1.0,5.0,3.0}, int64[2] i = {0,0}",
    ),
    Case(16, 'y = GridSample<mode="bilinear">(x, g)', "float[1,2,6,8] x, float[1,3,3,2] g"),
    Case(16, 'y = GridSample<mode="bicubic", padding_mode="zeros">(x, g)', "float[1,2,6,8] x, float[1,3,3,2] g"),
    # attributes that became inputs
    *(Case(11, f"y = {op}<axes=[1], keepdims=0>(x)") for op in _REDUCE),
    Case(13, "y = ReduceMean<axes=[-1]>(x)"),
    Case(13, "y = ReduceMax(x)"),
    Case(11, "y = Squeeze<axes=[0]>(x)", "float[1,3,4] x"),
    Case(11, "y = Squeeze(x)", "float[1,3,1] x"),
    Case(11, "y = Unsqueeze<axes=[0,-1]>(x)"),
    Case(10, "y = Clip<min=-0.5, max=0.5>(x)"),
    Case(7, "y = Clip<min=0.0>(x)"),
    Case(9, "y = Clip(x)"),
    Case(10, "y = Pad<pads=[0,1,0,0,0,2], value=1.5>(x)"),
    Case(10, 'y = Pad<mode="reflect", pads=[0,1,1,0,1,2]>(x)'),
    Case(7, "y = Pad<pads=[0,1,0,0,-1,0]>(x)"),
    Case(9, "y = Slice<axes=[1,2], starts=[0,-3], ends=[2,9]>(x)"),
    Case(9, "y = Slice<starts=[1,0], ends=[2,2]>(x)"),
    Case(9, "y, i = TopK<axis=1, k=2>(x)", outputs="float[] y, int64[] i"),
    Case(10, "y, i = TopK<axis=-1>(x, k)", outputs="float[] y, int64[] i", weights="int64[1] k = {3}"),
    Case(11, "y, z = Split<axis=2, split=[1,3]>(x)", outputs="float[] y, float[] z"),
    Case(11, "y, z = Split<axis=2>(x)", outputs="float[] y, float[] z"),
    Case(13, "y, z = Split<axis=0>(x)", outputs="float[] y, float[] z"),
    Case(17, "y = DFT<axis=1>(x)", "float[2,8,1] x"),
    Case(17, "y = DFT<axis=1, onesided=1>(x, n)", "float[2,8,1] x", weights="int64 n = {6}"),
    # withdrawn operators
    Case(10, "y = Scatter<axis=1>(x, i, u)", "float[2,3] x, float[2,2] u", weights="int64[2,2] i = {0,1,2,0}"),
    # layers
    Case(7, "y = Dropout<ratio=0.3>(x)"),
    Case(10, "y = Dropout(x)"),
    Case(10, "y, k = Dropout<ratio=0.5>(x)"),
    Case(7, "d, k = Dropout(x) y = Add(x, d)"),
    Case(7, "y = BatchNormalization(x, s, b, m, v)", _NORM, weights=_VARIANCE),
    Case(9, "y = BatchNormalization<epsilon=0.01>(x, s, b, m, v)", _NORM, weights=_VARIANCE),
    Case(9, "y, a, c, d, e = BatchNormalization(x, s, b, m, v)", _NORM, weights=_VARIANCE),
    Case(7, "y = PRelu(x, s)", "float[2,3,4] x, float[3,1] s"),
    Case(7, "y = LSTM<hidden_size=4>(x, w, r)", _LSTM),
    Case(7, 'y = LSTM<hidden_size=4, direction="reverse">(x, w, r)', _LSTM),
    Case(7, "y = GRU<hidden_size=4, linear_before_reset=1>(x, w, r)", _GRU),
    Case(7, "y = RNN<hidden_size=4>(x, w, r)", "float[5,2,3] x, float[1,4,3] w, float[1,4,4] r"),
    Case(7, "y = Gemm<alpha=0.5, transB=1>(a, b, c)", "float[2,3] a, float[4,3] b, float[4] c"),
    Case(9, "y = InstanceNormalization(x, s, b)", "float[2,3,4,5] x, float[3] s, float[3] b"),
    Case(
        10,
        "y = QuantizeLinear(x, s, z)",
        outputs="uint8[] y",
        weights="float s = {0.05}, uint8 z = {128}",
    ),
    Case(10, "y = DequantizeLinear(x, s, z)", "uint8[2,3] x", weights="float s = {0.05}, uint8 z = {128}"),
    # steps that only added
    Case(7, "y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)", _IMAGE),
    Case(8, "y, i = MaxPool<kernel_shape=[2,2]>(x)", _IMAGE, "float[] y, int64[] i"),
    Case(7, "y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(x)", _IMAGE),
    Case(10, "y = AveragePool<kernel_shape=[3,3], ceil_mode=1, strides=[2,2]>(x)", _IMAGE),
    Case(7, "y = LpPool<kernel_shape=[2,2], p=3>(x)", _IMAGE),
    Case(11, "y = ArgMax<axis=1>(x)", outputs="int64[] y"),
    Case(7, "y = ArgMin<axis=1, keepdims=0>(x)", outputs="int64[] y"),
    Case(10, "y = DepthToSpace<blocksize=2>(x)", "float[1,8,2,3] x"),
    Case(7, "y = SpaceToDepth<blocksize=2>(x)", _IMAGE),
    Case(9, "y = Cast<to=7>(x)", outputs="int64[] y"),
    Case(9, "y = Cast<to=1>(x)", "int32[2,3] x"),
    Case(13, "y = Reshape(x, s)", weights="int64[2] s = {0,-1}"),
    Case(7, "y = Reshape(x, s)", weights="int64[2] s = {-1,4}"),
    Case(7, "s = Shape(x) y = Gather(s, i)", outputs="int64[] y", weights="int64 i = {1}"),
    Case(11, "y = GatherND(x, i)", weights="int64[2,2] i = {0,1,1,2}"),
    Case(11, "y = ScatterND(x, i, u)", "float[2,3] x, float[2] u", weights="int64[2,2] i = {0,1,1,2}"),
    Case(11, "y = ScatterElements<axis=0>(x, i, x)", "float[2,3] x", weights="int64[2,3] i={0,1,1,1,0,0}"),
    Case(7, "y = Pow(x, x)", "float[3] x"),
    Case(7, "y = Sum(x, x)"),
    Case(8, "y = Max(x, z)", "float[2,3] x, float[3] z"),
    Case(9, "y = Where(c, x, z)", "bool[2,3] c, float[2,3] x, float[3] z"),
    Case(7, "y = Constant<value = float[2] {1.0, 2.0}>()", "float[1] x"),
    Case(9, "c = ConstantOfShape(s) y = Add(x, c)", "float[2,2] x", weights="int64[2] s = {2,2}"),
    Case(10, "y = Mod(x, z)", "int64[4] x", "int64[] y", "int64[4] z = {2,-3,5,-2}"),
    Case(11, "y = CumSum(x, a)", weights="int64 a = {1}"),
    Case(11, "y = OneHot<axis=-1>(x, d, v)", "int64[3] x", weights="int64 d = {4}, float[2] v = {0.0, 1.0}"),
    Case(12, "y = Einsum<equation='ij,jk->ik'>(x, z)".replace("'", '"'), "float[2,3] x, float[3,2] z"),
    Case(7, "y = Transpose<perm=[2,0,1]>(x)"),
    Case(7, "y = Concat<axis=-1>(x, x)"),
    Case(9, "y = Flatten<axis=2>(x)"),
    Case(
        8,
        'y = Scan<num_scan_inputs=1, body = b (float[2] a, float[2] e) => (float[2] o) { o = Add(a, e) }>("", s, x)',
        "float[3,2] s, float[3,4,2] x",
        "float[3,2] y",
    ),
    Case(
        8,
        "y, t = Scan<num_scan_inputs=1, directions=[1], body = b (float[2] a, float[2] e) => (float[2] o, float[2] p)"
        ' { o = Add(a, e) p = Mul(o, e) }>("", s, x)',
        "float[3,2] s, float[3,4,2] x",
        "float[3,2] y, float[3,4,2] t",
    ),
    Case(9, "y = If<then_branch = t () => (float[2,3,4] u) { u = Softmax<axis=1>(x) }, else_branch = e () => "
            "(float[2,3,4] w) { w = Clip<max=0.0>(x) }>(c)", "float[2,3,4] x, bool c"),
)  # fmt: skip

Expected = Callable[[Mapping[str, np.ndarray]], "np.ndarray | tuple[np.ndarray, ...]"]


def _pad(x: np.ndarray, value: float) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), (1, 2)], constant_values=value)


def _flat_softmax(x: np.ndarray) -> np.ndarray:
    exps = np.exp(x.reshape(x.shape[0], -1))
    return (exps / exps.sum(1, keepdims=True)).reshape(x.shape)


def _batch_norm(f: Mapping[str, np.ndarray]) -> np.ndarray:
    s, b, m, v = (np.asarray(p, np.float32).reshape(3, 1, 1) for p in (f["s"], f["b"], f["m"], [0.5, 1, 2]))
    return (f["x"] - m) / np.sqrt(v + np.float32(1e-5)) * s + b


BEFORE_SEVEN: tuple[tuple[Case, Expected], ...] = (
    (
        Case(6, "y = Add<broadcast=1, axis=1>(x, z)", "float[2,3,4] x, float[3] z"),
        lambda f: f["x"] + f["z"][:, None],
    ),
    (Case(6, "y = Mul<broadcast=1>(x, z)", "float[2,3,4] x, float[3,4] z"), lambda f: f["x"] * f["z"]),
    (Case(6, "y = Sub(x, x)"), lambda f: f["x"] - f["x"]),
    (
        Case(6, "y = Div<broadcast=1, axis=0>(x, z)", "float[2,3,4] x, float[2] z"),
        lambda f: f["x"] / f["z"][:, None, None],
    ),
    (
        Case(6, "y = Pow<broadcast=1, axis=0>(x, z)", "float[2,3] x, float[2] z"),
        lambda f: np.power(f["x"], f["z"][:, None]),
    ),
    (
        Case(6, "y = Less<broadcast=1, axis=1>(x, z)", "float[2,3,4] x, float[3] z", "bool[] y"),
        lambda f: f["x"] < f["z"][:, None],
    ),
    (Case(1, "y = Add<broadcast=1, axis=1>(x, z)", "float[2,3] x, float[3] z"), lambda f: f["x"] + f["z"]),
    (Case(1, "y = Relu<consumed_inputs=[0]>(x)"), lambda f: np.maximum(f["x"], 0)),
    (Case(1, "y = Sigmoid(x)"), lambda f: 1 / (1 + np.exp(-f["x"]))),
    (
        Case(1, "y = Selu(x)"),
        lambda f: np.float32(1.0507) * np.where(f["x"] > 0, f["x"], 1.6732 * (np.exp(f["x"]) - 1)).astype("f"),
    ),
    (Case(1, "y = Reshape<shape=[4,-1]>(x)"), lambda f: f["x"].reshape(4, -1)),
    (Case(1, 'y = Cast<to="INT32">(x)', outputs="int32[] y"), lambda f: f["x"].astype(np.int32)),
    (Case(1, "y = Concat(x, x)"), lambda f: np.concatenate([f["x"]] * 2, 1)),
    (Case(1, "y = Pad<paddings=[0,0,1,0,0,2], value=2.0>(x)"), lambda f: _pad(f["x"], 2)),
    (Case(2, "y = Pad<pads=[0,0,1,0,0,2]>(x)"), lambda f: _pad(f["x"], 0)),
    (
        Case(1, "y, z = Split<axis=2, split=[1,3]>(x)", outputs="float[] y, float[] z"),
        lambda f: (f["x"][..., :1], f["x"][..., 1:]),
    ),
    (
        Case(1, "y, z = Split<axis=2>(x, s)", outputs="float[] y, float[] z", weights="float[2] s = {3.0, 1.0}"),
        lambda f: (f["x"][..., :3], f["x"][..., 3:]),
    ),
    (Case(6, "y = Clip<min=-1.0, max=1.0>(x)"), lambda f: np.clip(f["x"], -1, 1)),
    (Case(6, "y = BatchNormalization<is_test=1>(x, s, b, m, v)", _NORM, weights=_VARIANCE), _batch_norm),
    (Case(6, "y = Dropout<is_test=1>(x)"), lambda f: f["x"]),
    (
        Case(6, "y = PRelu(x, s)", "float[2,3,4] x, float[3] s"),
        lambda f: np.where(f["x"] < 0, f["s"][:, None] * f["x"], f["x"]),
    ),
    (
        Case(1, "y, i = TopK<axis=1, k=1>(x)", outputs="float[] y, int64[] i"),
        lambda f: (f["x"].max(1, keepdims=True), f["x"].argmax(1)[:, None]),
    ),
    (
        Case(1, "y = Gemm<broadcast=1>(a, b, c)", "float[2,3] a, float[3,4] b, float[4] c"),
        lambda f: f["a"] @ f["b"] + f["c"],
    ),
    (
        Case(1, "y = Tile(x, t, a)", "float[2,3] x", weights="float t = {2.0}, float a = {1.0}"),
        lambda f: np.tile(f["x"], (1, 2)),
    ),
    (
        Case(6, 'y = Upsample<mode="nearest", height_scale=2.0, width_scale=3.0>(x)', _IMAGE),
        lambda f: f["x"].repeat(2, 2).repeat(3, 3),
    ),
    (Case(1, "y = Squeeze<axes=[0]>(x)", "float[1,3,4] x"), lambda f: f["x"][0]),
    (Case(1, "y = Softmax(x)"), lambda f: _flat_softmax(f["x"])),
    (Case(1, "y = Slice<axes=[2], starts=[1], ends=[3]>(x)"), lambda f: f["x"][..., 1:3]),
    (Case(1, "y = ReduceSum<axes=[1]>(x)"), lambda f: f["x"].sum(1, keepdims=True)),
    (
        Case(1, "y = GlobalLpPool<p=2.0>(x)", _IMAGE),
        lambda f: np.sqrt((f["x"] ** 2).sum((2, 3), keepdims=True)),
    ),
    (
        Case(
            7,
            "y = BatchNormalization<spatial=0>(x, s, s, m, v)",
            "float[2,3,4] x, float[3,4] s, float[3,4] m",
            weights="float[3,4] v = {1.0,2.0,3.0,4.0,1.0,2.0,3.0,4.0,1.0,2.0,3.0,4.0}",
        ),
        lambda f: (
            (f["x"] - f["m"]) / np.sqrt(np.float32([1, 2, 3, 4]) + np.float32(1e-5)) * f["s"] + f["s"]
        ),
    ),
    (
        Case(18, "y = GroupNormalization<num_groups=2>(x, s, b)", "float[2,4,3] x, float[2] s, float[2] b"),
        lambda f: _group_norm(f["x"], f["s"], f["b"]),
    ),
)  # fmt: skip
"""What ONNX Runtime does not run, with numpy's word on it."""


def _group_norm(x: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> np.ndarray:
    groups = x.reshape(2, 2, -1)
    normal = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + np.float32(1e-5))
    return (normal * scale[:, None] + bias[:, None]).reshape(x.shape)


def _shift(x: np.ndarray, by: np.ndarray, bits: int, left: bool) -> np.ndarray:
    rows = []
    for a, n in zip(x.tolist(), by.tolist(), strict=True):
        if not 0 <= n < bits:
            rows.append(0 if left or a >= 0 else -1)
        else:
            value = (a << n) if left else (a >> n)
            rows.append((value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1)))
    return np.asarray(rows, x.dtype)


_SHIFTED = (3, -3, 100, -128, 127, -1, 5, -5)
_BY = (1, 1, 3, 7, 0, 9, -1, 6)


def _shift_case(dtype: str, direction: str) -> tuple[Case, Expected]:
    bits = int(dtype[3:])
    x, by = np.asarray(_SHIFTED, dtype), np.asarray(_BY, dtype)
    weights = "{} = {{{}}}".format
    head = f"{dtype}[8] "
    return (
        Case(
            28,
            f'y = BitShift<direction="{direction}">(a, b) z = Identity(x)',
            "float[1] x",
            f"{dtype}[8] y, float[1] z",
            weights(head + "a", ",".join(map(str, _SHIFTED))) + ", " + weights(head + "b", ",".join(map(str, _BY))),
        ),
        lambda f: (_shift(x, by, bits, direction == "LEFT"), f["x"]),
    )


_CRD = Case(28, 'y = SpaceToDepth<blocksize=2, mode="CRD">(x)', "float[N,3,4,6] x")
_RANGE = "float s = {0.0}, float e = {2.0}, float d = {0.5}"
_HALVES = "a = Cast<to=10>(s) b = Cast<to=10>(e) c = Cast<to=10>(d)"

FROM_ABOVE: tuple[tuple[Case, Expected], ...] = (
    *(_shift_case(dtype, side) for dtype in ("int8", "int16", "int32", "int64") for side in ("LEFT", "RIGHT")),
    (Case(28, "y = Mod(x, z)", "float[9] x, float[9] z"), lambda f: np.mod(f["x"], f["z"])),
    (Case(28, "y = Mod<fmod=1>(x, z)", "float[9] x, float[9] z"), lambda f: np.fmod(f["x"], f["z"])),
    (
        Case(28, "y = Celu<alpha=2.0>(x)", "double[2,3] x", "double[] y"),
        lambda f: np.maximum(f["x"], 0) + np.minimum(0, 2 * (np.exp(f["x"] / 2) - 1)),
    ),
    (
        _CRD,
        lambda f: f["x"].reshape(2, 3, 2, 2, 3, 2).transpose(0, 1, 3, 5, 2, 4).reshape(2, 12, 2, 3),
    ),
    (
        Case(28, 'y = SpaceToDepth<blocksize=2, mode="DCR">(x)', "float[N,3,4,6] x"),
        lambda f: f["x"].reshape(2, 3, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 12, 2, 3),
    ),
    (
        Case(27, f"{_HALVES} r = Range(a, b, c) y = Add(x, r)", "float16[4] x", "float16[] y", _RANGE),
        lambda f: f["x"] + np.arange(0, 2, 0.5).astype(np.float16),
    ),
)
"""Models of opsets that the hub has not reached."""
