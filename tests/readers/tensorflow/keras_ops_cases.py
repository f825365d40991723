"""Every function of ``keras.ops`` with small inputs: what the reader must read, or refuse by name.

A case is a function of tensors and its arrays. ``NOT_COMPUTED`` names what makes no operators of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from keras import ops

RNG = np.random.default_rng(11)


class Case(NamedTuple):
    """A function of tensors, and the arrays to call it with."""

    function: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]


def _normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X = _normal(3, 4)
Y = _normal(3, 4)
INSIDE = RNG.uniform(-0.9, 0.9, (3, 4)).astype(np.float32)
ABOVE = RNG.uniform(1.1, 3, (3, 4)).astype(np.float32)
WHOLE = RNG.integers(-7, 8, (3, 4)).astype(np.int32)
POSITIVE = RNG.integers(1, 5, (3, 4)).astype(np.int32)
HOLES = np.array([[1, np.nan, -2, np.inf], [0, 3, np.nan, -np.inf], [4, 1, 2, 5]], np.float32)
NANS = np.where(np.isinf(HOLES), np.float32(7), HOLES)
SQUARE = (_normal(2, 3, 3) + 4 * np.eye(3)).astype(np.float32)
DEFINITE = np.matmul(SQUARE, SQUARE.transpose(0, 2, 1))
WAVE = _normal(2, 32)
IMAGE = _normal(2, 8, 8, 3)
CLASSES = np.array([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], np.float32)
TRUE = np.array([1, 0], np.int32)
HOT = np.eye(3, dtype=np.float32)[TRUE]
BOOLS = np.array([True, False, True, True])
BITS = np.array([0b1100, 0b1010, 3, 255], np.int32)


def _named(names: str, *arrays: np.ndarray) -> dict[str, Case]:
    return {name: Case(getattr(ops, name), arrays) for name in names.split()}


def _unsigned(results: Any) -> list[Any]:
    """Vectors may have either sign."""
    return [ops.abs(result) if result.ndim > 2 else result for result in results]


CASES: Mapping[str, Case] = MappingProxyType(
    {
        **_named("abs absolute all any arctan arctanh ceil conj conjugate copy cos cosh count_nonzero", INSIDE),
        **_named("arccos arcsin arcsinh deg2rad elu celu erf erfc erfinv exp exp2 expm1 fabs floor", INSIDE),
        **_named("gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh imag isfinite isinf isnan", X),
        **_named(
            "isneginf isposinf isreal i0 leaky_relu log_sigmoid log_softmax logsumexp max mean median min", HOLES[2:]
        ),
        **_named("nan_to_num isfinite isinf isnan isneginf isposinf", HOLES),
        **_named("nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin nanprod nanstd", NANS),
        **_named("nansum nanvar", NANS),
        **_named("amax amin argmax argmin argsort average corrcoef cumprod cumsum diag diagflat diagonal diff", X),
        **_named("negative normalize ones_like prod ptp rad2deg ravel real reciprocal relu relu6 round selu", X),
        **_named("sigmoid sign signbit silu sin sinc sinh size soft_shrink softmax softplus softsign", X),
        **_named("sort sparse_plus sparse_sigmoid sparsemax square squareplus std stop_gradient sum swish tan", X),
        **_named("tanh tanh_shrink trace transpose trapezoid tril triu trunc var zeros_like", X),
        **_named("flip fliplr flipud rot90 empty_like cbrt angle", X),
        **_named("arccosh log log10 log1p log2 rsqrt sqrt", ABOVE),
        **_named("add divide divide_no_nan equal fmax fmin greater greater_equal heaviside hypot less", X, Y),
        **_named("less_equal logaddexp logaddexp2 maximum minimum multiply not_equal subtract true_divide", X, Y),
        **_named(
            "arctan2 floor_divide fmod mod inner isclose allclose outer vdot nextafter kron dot", X[:, :3], Y[:3, :3]
        ),
        **_named("logical_and logical_or logical_xor", X > 0, Y > 0),
        **_named("bitwise_and bitwise_or bitwise_xor", BITS, BITS[::-1].copy()),
        **_named(
            "bitwise_left_shift left_shift bitwise_right_shift right_shift", BITS, np.array([1, 2, 0, 3], np.int32)
        ),
        **_named("bitwise_invert bitwise_not", BITS),
        **_named("gcd lcm", np.abs(WHOLE) + 1, POSITIVE),
        **_named("cholesky cholesky_inverse", DEFINITE),
        **_named("det inv logdet slogdet qr pinv matrix_rank", SQUARE),
        "eigh": Case(lambda x: _unsigned(ops.eigh(x + ops.swapaxes(x, -1, -2))), (SQUARE,)),
        "svd": Case(lambda x: _unsigned(ops.svd(x)), (SQUARE,)),
        "lu_factor": Case(ops.lu_factor, (SQUARE[0],)),
        **_named("solve lstsq", SQUARE[0], _normal(3, 2)),
        **_named("correlate", X[0], Y[0]),
        **_named("cdist", X, Y),
        "logical_not": Case(ops.logical_not, (BOOLS,)),
        "ldexp": Case(ops.ldexp, (X, POSITIVE)),
        "power": Case(ops.power, (ABOVE, Y)),
        "clip": Case(lambda x: ops.clip(x, -0.5, 0.5), (X,)),
        "threshold": Case(lambda x: ops.threshold(x, 0.2, -1.0), (X,)),
        "cast": Case(lambda x: ops.cast(x, "int32"), (X * 9,)),
        "saturate_cast": Case(lambda x: ops.saturate_cast(x, "uint8"), (X * 400,)),
        "adaptive_average_pool": Case(lambda x: ops.adaptive_average_pool(x, 4), (IMAGE,)),
        "adaptive_max_pool": Case(lambda x: ops.adaptive_max_pool(x, 4), (IMAGE,)),
        "append": Case(lambda x, y: ops.append(x, y, axis=0), (X, Y)),
        "arange": Case(lambda n: ops.arange(0, n, 2), (np.int32(9),)),
        "argpartition": Case(lambda x: ops.take_along_axis(x, ops.argpartition(x, 2)[..., :1] * 0, axis=-1), (X,)),
        "array": Case(lambda x: ops.array([1.0, 2.0]) + x, (np.float32(1),)),
        "array_split": Case(lambda x: ops.array_split(x, 3, axis=1), (X,)),
        "associative_scan": Case(lambda x: ops.associative_scan(ops.add, x, axis=1), (X,)),
        "average_pool": Case(lambda x: ops.average_pool(x, 2, 2, "same"), (IMAGE,)),
        "max_pool": Case(lambda x: ops.max_pool(x, 3, 2, "same"), (IMAGE,)),
        "batch_normalization": Case(lambda x, m, v: ops.batch_normalization(x, m, v, -1), (X, X[0], ABOVE[0])),
        "layer_normalization": Case(lambda x: ops.layer_normalization(x), (X,)),
        "rms_normalization": Case(lambda x: ops.rms_normalization(x), (X,)),
        "binary_crossentropy": Case(ops.binary_crossentropy, (HOT, CLASSES)),
        "categorical_crossentropy": Case(ops.categorical_crossentropy, (HOT, CLASSES)),
        "sparse_categorical_crossentropy": Case(ops.sparse_categorical_crossentropy, (TRUE, CLASSES)),
        "bincount": Case(lambda x: ops.bincount(x, minlength=6), (POSITIVE,)),
        "bartlett": Case(lambda x: ops.bartlett(8) * x, (np.float32(1),)),
        "blackman": Case(lambda x: ops.blackman(8) * x, (np.float32(1),)),
        "hamming": Case(lambda x: ops.hamming(8) * x, (np.float32(1),)),
        "hanning": Case(lambda x: ops.hanning(8) * x, (np.float32(1),)),
        "kaiser": Case(lambda x: ops.kaiser(8, 3.0) * x, (np.float32(1),)),
        "broadcast_to": Case(lambda x: ops.broadcast_to(x, (2, 3, 4)), (X,)),
        "concatenate": Case(lambda x, y: ops.concatenate([x, y], axis=1), (X, Y)),
        "stack": Case(lambda x, y: ops.stack([x, y], axis=1), (X, Y)),
        "hstack": Case(lambda x, y: ops.hstack([x, y]), (X, Y)),
        "vstack": Case(lambda x, y: ops.vstack([x, y]), (X, Y)),
        "dstack": Case(lambda x, y: ops.dstack([x, y]), (X, Y)),
        "unstack": Case(lambda x: ops.unstack(x, axis=1), (X,)),
        "split": Case(lambda x: ops.split(x, [1, 3], axis=1), (X,)),
        "hsplit": Case(lambda x: ops.hsplit(x, 2), (X,)),
        "vsplit": Case(lambda x: ops.vsplit(x, 3), (X,)),
        "dsplit": Case(lambda x: ops.dsplit(x, 2), (IMAGE[..., :2],)),
        "cond": Case(lambda x: ops.cond(ops.sum(x) > 0, lambda: x + 1, lambda: x - 1), (X,)),
        "switch": Case(lambda i, x: ops.switch(i, [ops.sin, ops.cos], x), (np.int32(1), X)),
        "fori_loop": Case(lambda x: ops.fori_loop(0, 3, lambda i, v: v * 1.5 + 1, x), (X,)),
        "while_loop": Case(lambda x: ops.while_loop(lambda v: ops.sum(v) < 9, lambda v: (v + 1,), (x,)), (X,)),
        "map": Case(lambda x: ops.map(ops.sin, x), (X,)),
        "vectorized_map": Case(lambda x: ops.vectorized_map(ops.sin, x), (X,)),
        "vectorize": Case(lambda x: ops.vectorize(ops.sin)(x), (X,)),
        "scan": Case(lambda x: ops.scan(lambda carry, v: (carry + v, carry * v), x[0] * 0, x), (X,)),
        "conv": Case(lambda x, w: ops.conv(x, w, 2, "same"), (IMAGE, _normal(3, 3, 3, 4))),
        "conv_transpose": Case(lambda x, w: ops.conv_transpose(x, w, 2, "same"), (IMAGE, _normal(3, 3, 4, 3))),
        "depthwise_conv": Case(lambda x, w: ops.depthwise_conv(x, w), (IMAGE, _normal(3, 3, 3, 2))),
        "separable_conv": Case(
            lambda x, d, p: ops.separable_conv(x, d, p), (IMAGE, _normal(3, 3, 3, 2), _normal(1, 1, 6, 4))
        ),
        "convert_to_tensor": Case(lambda x: ops.convert_to_tensor(x) + 1, (X,)),
        "cross": Case(ops.cross, (X[:, :3], Y[:, :3])),
        "ctc_loss": Case(
            lambda t, x: ops.ctc_loss(t, ops.log_softmax(x), ops.array([2, 1]), ops.array([5, 4])),
            (np.array([[1, 2], [2, 0]], np.int32), _normal(2, 5, 3)),
        ),
        "ctc_decode": Case(lambda x: ops.ctc_decode(x, ops.array([5, 4])), (_normal(2, 5, 3),)),
        "depth_to_space": Case(lambda x: ops.depth_to_space(x, 2), (_normal(2, 2, 2, 8),)),
        "space_to_depth": Case(lambda x: ops.space_to_depth(x, 2), (IMAGE,)),
        "digitize": Case(lambda x: ops.digitize(x, np.array([-0.5, 0.0, 0.7], np.float32)), (X,)),
        "dot_product_attention": Case(
            ops.dot_product_attention, (_normal(2, 5, 2, 4), _normal(2, 6, 2, 4), _normal(2, 6, 2, 4))
        ),
        "eig": Case(lambda x: ops.real(ops.eig(x)[0]), (SQUARE,)),
        "einsum": Case(lambda x, y: ops.einsum("ij,kj->ik", x, y), (X, Y)),
        "empty": Case(lambda x: ops.empty((2, 2)) * 0 + x, (np.float32(2),)),
        "expand_dims": Case(lambda x: ops.expand_dims(x, 1), (X,)),
        "extract_sequences": Case(lambda x: ops.extract_sequences(x, 8, 4), (WAVE,)),
        "eye": Case(lambda x: ops.eye(4) + x, (X[0],)),
        "fft": Case(lambda x, y: ops.fft((x, y)), (WAVE, WAVE[::-1].copy())),
        "fft2": Case(lambda x, y: ops.fft2((x, y)), (X, Y)),
        "ifft2": Case(lambda x, y: ops.ifft2((x, y)), (X, Y)),
        "rfft": Case(ops.rfft, (WAVE,)),
        "irfft": Case(lambda x, y: ops.irfft((x, y)), (_normal(2, 9), _normal(2, 9))),
        "stft": Case(lambda x: ops.stft(x, 8, 4, 8), (WAVE,)),
        "istft": Case(lambda x: ops.istft(ops.stft(x, 8, 4, 8), 8, 4, 8), (WAVE,)),
        "fold": Case(lambda x: ops.fold(x, (4, 4), 2, stride=2), (_normal(1, 12, 4),)),
        "unfold": Case(lambda x: ops.unfold(x, 2), (_normal(1, 3, 4, 4),)),
        "full": Case(lambda x: ops.full((2, 2), 3.0) + x, (np.float32(1),)),
        "full_like": Case(lambda x: ops.full_like(x, 3), (X,)),
        "geomspace": Case(lambda x: ops.geomspace(x, 8.0, 5), (np.float32(1),)),
        "linspace": Case(lambda x: ops.linspace(x, 3.0, 5), (np.float32(1),)),
        "logspace": Case(lambda x: ops.logspace(x, 3.0, 5), (np.float32(1),)),
        "get_item": Case(lambda x: ops.get_item(x, (slice(None), 1)), (X,)),
        "histogram": Case(lambda x: ops.histogram(x, 5), (X[0],)),
        "identity": Case(lambda x: ops.identity(4) + x, (X[0],)),
        "in_top_k": Case(lambda t, p: ops.in_top_k(t, p, 1), (TRUE, CLASSES)),
        "isin": Case(lambda x: ops.isin(x, [1, 3, 5]), (WHOLE,)),
        "matmul": Case(ops.matmul, (X, Y.T.copy())),
        "meshgrid": Case(lambda x, y: ops.meshgrid(x, y), (X[0], Y[0])),
        "moments": Case(lambda x: ops.moments(x, axes=[0]), (X,)),
        "moveaxis": Case(lambda x: ops.moveaxis(x, 3, 1), (IMAGE,)),
        "multi_hot": Case(lambda x: ops.multi_hot(x, 6), (POSITIVE,)),
        "nanpercentile": Case(lambda x: ops.nanpercentile(x, 30), (NANS,)),
        "nanquantile": Case(lambda x: ops.nanquantile(x, 0.3), (NANS,)),
        "percentile": Case(lambda x: ops.percentile(x, 30), (X,)),
        "quantile": Case(lambda x: ops.quantile(x, [0.3, 0.9], axis=1), (X,)),
        "nonzero": Case(ops.nonzero, (X > 0,)),
        "norm": Case(lambda x: (ops.norm(x), ops.norm(x, ord=1, axis=1)), (X,)),
        "one_hot": Case(lambda x: ops.one_hot(x, 6), (POSITIVE,)),
        "ones": Case(lambda x: ops.ones((2, 2)) + x, (np.float32(1),)),
        "zeros": Case(lambda x: ops.zeros((2, 2)) + x, (np.float32(1),)),
        "pad": Case(lambda x: ops.pad(x, ((1, 2), (0, 3)), "reflect"), (X,)),
        "polar": Case(lambda x, y: ops.view_as_real(ops.polar(x, y)), (ABOVE, Y)),
        "psnr": Case(lambda x, y: ops.psnr(x, y, 1.0), (X, Y)),
        "rearrange": Case(lambda x: ops.rearrange(x, "b (h k) w c -> b h (w k c)", k=2), (IMAGE,)),
        "repeat": Case(lambda x: ops.repeat(x, 2, axis=1), (X,)),
        "reshape": Case(lambda x: ops.reshape(x, (4, -1)), (X,)),
        "roll": Case(lambda x: ops.roll(x, 1, axis=1), (X,)),
        "scatter": Case(lambda i, v: ops.scatter(i, v, (5,)), (np.array([[1], [3], [1]], np.int32), X[0, :3])),
        "scatter_update": Case(lambda x, v: ops.scatter_update(x, [[0, 1], [2, 3]], v), (X, Y[0, :2])),
        "searchsorted": Case(ops.searchsorted, (np.sort(X[0]), Y[0])),
        **{
            f"segment_{kind}": Case(
                lambda x, kind=kind: getattr(ops, f"segment_{kind}")(x, np.array([0, 0, 2]), num_segments=4), (X,)
            )
            for kind in ("max", "min", "prod", "sum")
        },
        "select": Case(lambda x, y: ops.select([x > 0, y > 0], [x, y], -1.0), (X, Y)),
        "shape": Case(lambda x: ops.reshape(x, ops.shape(x)[::-1]), (X,)),
        "slice": Case(lambda x: ops.slice(x, (1, 1), (2, 2)), (X,)),
        "slice_update": Case(lambda x, y: ops.slice_update(x, (1, 1), y[:2, :2]), (X, Y)),
        "solve_triangular": Case(lambda a, b: ops.solve_triangular(a, b, lower=True), (SQUARE[0], _normal(3, 2))),
        "squeeze": Case(lambda x: ops.squeeze(x[:, None], 1), (X,)),
        "swapaxes": Case(lambda x: ops.swapaxes(x, 1, 3), (IMAGE,)),
        "take": Case(lambda x, i: ops.take(x, i, axis=1), (X, np.array([3, -1, 0], np.int32))),
        "take_along_axis": Case(
            lambda x, i: ops.take_along_axis(x, i, axis=1), (X, np.array([[0], [3], [-1]], np.int32))
        ),
        "tensordot": Case(lambda x, y: ops.tensordot(x, y, axes=[[1], [1]]), (X, Y)),
        "tile": Case(lambda x: ops.tile(x, (2, 1)), (X,)),
        "top_k": Case(lambda x: ops.top_k(x, 2), (X,)),
        "tri": Case(lambda x: ops.tri(3, 4) * x, (X,)),
        "unique": Case(lambda x: ops.unique(x), (POSITIVE[0],)),
        "unravel_index": Case(lambda x: ops.unravel_index(x, (3, 4)), (np.array([5, 11], np.int32),)),
        "vander": Case(lambda x: ops.vander(x, 3), (X[0],)),
        "view": Case(lambda x: ops.view(x, "int32"), (X,)),
        "view_as_complex": Case(lambda x: ops.view_as_real(ops.view_as_complex(x)), (_normal(3, 2),)),
        "view_as_real": Case(lambda x, y: ops.view_as_real(ops.view_as_complex(ops.stack([x, y], -1))), (X, Y)),
        "where": Case(lambda x, y: ops.where(x > 0, x, y), (X, Y)),
    }
)

NOT_COMPUTED = frozenset(("convert_to_numpy", "custom_gradient", "dtype", "is_tensor", "jvp", "ndim"))
"""Functions that make no operators: questions about tensors, and what only differentiates."""
