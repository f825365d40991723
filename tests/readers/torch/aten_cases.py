"""Single operators: one list for every road out of PyTorch. A case makes its own inputs at any size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

Tensor = torch.Tensor


@dataclass(frozen=True)
class AtenCase:
    """``function`` on ``make(n)``; axes whose size follows ``n`` are free. ``tolerance`` is absolute and relative."""

    name: str
    function: Callable[..., Any]
    make: Callable[[int], tuple[Tensor, ...]]
    tolerance: float = 1e-4

    def module(self) -> torch.nn.Module:
        """A module whose forward is the function."""
        module = torch.nn.Module()
        module.forward = _python(self.function, len(self.inputs(3)))  # type: ignore[method-assign]
        return module.eval()

    def inputs(self, n: int) -> tuple[Tensor, ...]:
        """Seeded inputs of size ``n``."""
        torch.manual_seed(n)
        return self.make(n)

    def dynamic_shapes(self) -> tuple[dict[int, str] | None, ...] | None:
        """The axes that follow ``n``, by comparing two sizes."""
        shapes = []
        for small, large in zip(self.inputs(3), self.inputs(4), strict=True):
            sizes = enumerate(zip(small.shape, large.shape, strict=True))
            free = {axis: f"n{_multiple(a, b)}" for axis, (a, b) in sizes if a != b}
            shapes.append(free or None)
        return tuple(shapes) if any(shapes) else None


def _python(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """``function`` with a signature that can be inspected, which torch's built-in functions lack."""
    if inspect.isfunction(function) and not any(
        p.default is not p.empty for p in inspect.signature(function).parameters.values()
    ):
        return function
    made: dict[int, Callable[..., Any]] = {
        1: lambda a: function(a),
        2: lambda a, c: function(a, c),
        3: lambda a, c, d: function(a, c, d),
    }
    return made[arity]


def _multiple(small: int, large: int) -> str:
    return "" if (small, large) == (3, 4) else f"_{small}_{large}"


def r(*shape: int) -> Tensor:
    return torch.randn(*shape)


def u(*shape: int) -> Tensor:
    return torch.rand(*shape) * 0.9 + 0.05


def i(high: int, *shape: int) -> Tensor:
    return torch.randint(0, high, shape)


def b(*shape: int) -> Tensor:
    return torch.rand(*shape) > 0.5


def x(n: int) -> tuple[Tensor, ...]:
    return (r(n, 6),)


def xy(n: int) -> tuple[Tensor, ...]:
    return (r(n, 6), r(n, 6))


def pos(n: int) -> tuple[Tensor, ...]:
    return (u(n, 6) + 0.1,)


def unit(n: int) -> tuple[Tensor, ...]:
    return (u(n, 6),)


def ints(n: int) -> tuple[Tensor, ...]:
    return (i(40, n, 6) - 20, i(9, n, 6) + 1)


def img(n: int) -> tuple[Tensor, ...]:
    return (r(n, 4, 9, 8),)


def seq(n: int) -> tuple[Tensor, ...]:
    return (r(n, 4, 10),)


def vol(n: int) -> tuple[Tensor, ...]:
    return (r(n, 4, 6, 5, 7),)


def spd(n: int) -> tuple[Tensor, ...]:
    a = r(n, 4, 4)
    return (a @ a.mT + 4 * torch.eye(4),)


def square(n: int) -> tuple[Tensor, ...]:
    return (r(n, 4, 4) + 3 * torch.eye(4),)


_PLAIN = """
abs neg sign exp sin cos tan sinh cosh tanh atan asinh floor ceil trunc round frac sigmoid relu square erf isnan isinf
isfinite exp2 expm1 positive sgn signbit sinc nan_to_num rad2deg deg2rad t selu
"""
_POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal lgamma digamma"
_UNIT = "asin acos atanh logit erfinv erfc"

_UNARY: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[Tensor, ...]]]] = {
    name: (getattr(torch, name), make)
    for make, names in ((x, _PLAIN), (pos, _POSITIVE), (unit, _UNIT))
    for name in names.split()
}

_ACTIVATIONS: dict[str, Callable[..., Any]] = {
    "relu6": F.relu6,
    "elu": lambda a: F.elu(a, 0.7),
    "celu": lambda a: F.celu(a, 0.7),
    "gelu": F.gelu,
    "gelu_tanh": lambda a: F.gelu(a, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": lambda a: F.softplus(a, beta=2.0, threshold=1.5),
    "softsign": F.softsign,
    "softmax": lambda a: F.softmax(a, -1),
    "softmin": lambda a: F.softmin(a, 0),
    "log_softmax": lambda a: F.log_softmax(a, 1),
    "logsigmoid": F.logsigmoid,
    "hardtanh": lambda a: F.hardtanh(a, -0.4, 0.6),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "hardshrink": lambda a: F.hardshrink(a, 0.3),
    "softshrink": lambda a: F.softshrink(a, 0.3),
    "tanhshrink": F.tanhshrink,
    "leaky_relu": lambda a: F.leaky_relu(a, 0.2),
    "threshold": lambda a: F.threshold(a, 0.1, 20.0),
    "rrelu_eval": lambda a: F.rrelu(a, 0.1, 0.3, training=False),
    "glu": lambda a: F.glu(a, 1),
    "dropout_eval": lambda a: F.dropout(a, 0.5, training=False),
    "alpha_dropout_eval": lambda a: F.alpha_dropout(a, 0.5, training=False),
    "normalize": lambda a: F.normalize(a, dim=1),
    "one_hot": lambda a: F.one_hot(a.abs().long() % 5, 7),
}

_BINARY: dict[str, Callable[..., Any]] = {
    "add_alpha": lambda a, c: torch.add(a, c, alpha=2),
    "sub_alpha": lambda a, c: torch.sub(a, c, alpha=0.5),
    "mul": torch.mul,
    "div": torch.div,
    "div_floor": lambda a, c: torch.div(a, c, rounding_mode="floor"),
    "div_trunc": lambda a, c: torch.div(a, c, rounding_mode="trunc"),
    "floor_divide": torch.floor_divide,
    "remainder": torch.remainder,
    "fmod": torch.fmod,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmax": torch.fmax,
    "fmin": torch.fmin,
    "pow": lambda a, c: torch.pow(a.abs() + 0.1, c),
    "atan2": torch.atan2,
    "hypot": torch.hypot,
    "copysign": torch.copysign,
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "xlogy": lambda a, c: torch.xlogy(a, c.abs() + 0.1),
    "heaviside": torch.heaviside,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "isclose": lambda a, c: torch.isclose(a, a + c * 1e-6),
    "lerp": lambda a, c: torch.lerp(a, c, 0.3),
    "cosine_similarity": lambda a, c: F.cosine_similarity(a, c, dim=1),
    "pairwise_distance": F.pairwise_distance,
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "smooth_l1_loss": lambda a, c: F.smooth_l1_loss(a, c, beta=0.5),
    "huber_loss": lambda a, c: F.huber_loss(a, c, delta=0.7),
    "soft_margin_loss": lambda a, c: F.soft_margin_loss(a, c.sign()),
    "bce_with_logits": lambda a, c: F.binary_cross_entropy_with_logits(a, c.sigmoid()),
    "binary_cross_entropy": lambda a, c: F.binary_cross_entropy(a.sigmoid(), c.sigmoid()),
    "kl_div": lambda a, c: F.kl_div(F.log_softmax(a, 1), F.softmax(c, 1), reduction="batchmean"),
    "poisson_nll_loss": lambda a, c: F.poisson_nll_loss(a, c.abs()),
    "gaussian_nll_loss": lambda a, c: F.gaussian_nll_loss(a, c, c.abs() + 0.1),
    "hinge_embedding_loss": lambda a, c: F.hinge_embedding_loss(a, c.sign()),
    "cosine_embedding_loss": lambda a, c: F.cosine_embedding_loss(a, c, a[:, 0].sign()),
    "margin_ranking_loss": lambda a, c: F.margin_ranking_loss(a, c, (a - c * 0.3).sign()),
    "triplet_margin_loss": lambda a, c: F.triplet_margin_loss(a, c, a * 0.5 + c),
    "cross_entropy": lambda a, c: F.cross_entropy(a, c.argmax(1), label_smoothing=0.1),
    "nll_loss": lambda a, c: F.nll_loss(F.log_softmax(a, 1), c.argmax(1)),
    "multilabel_soft_margin": lambda a, c: F.multilabel_soft_margin_loss(a, (c > 0).float()),
    "multi_margin_loss": lambda a, c: F.multi_margin_loss(a, c.argmax(1)),
    "cdist": lambda a, c: torch.cdist(a, c),
    "cdist_p1": lambda a, c: torch.cdist(a, c, p=1.0),
    "outer": lambda a, c: torch.outer(a[0], c[1]),
    "dist": lambda a, c: torch.dist(a, c, 2),
    "inner": torch.inner,
    "kron": lambda a, c: torch.kron(a, c[:2, :2]),
    "cross": lambda a, c: torch.linalg.cross(a[:, :3], c[:, :3]),
    "tensordot": lambda a, c: torch.tensordot(a, c, dims=([1], [1])),
    "einsum": lambda a, c: torch.einsum("bi,ci->bc", a, c),
    "addmm": lambda a, c: torch.addmm(a[:, :1], a, c.T, beta=0.5, alpha=2.0),
    "addcmul": lambda a, c: torch.addcmul(a, a, c, value=0.5),
    "addcdiv": lambda a, c: torch.addcdiv(a, a, c.abs() + 1, value=0.5),
}

_INT: dict[str, Callable[..., Any]] = {
    "int_floor_divide": torch.floor_divide,
    "int_div_trunc": lambda a, c: torch.div(a, c, rounding_mode="trunc"),
    "int_true_div": torch.div,
    "int_remainder": torch.remainder,
    "int_fmod": torch.fmod,
    "int_bitwise_and": torch.bitwise_and,
    "int_bitwise_or": torch.bitwise_or,
    "int_bitwise_xor": torch.bitwise_xor,
    "int_bitwise_not": lambda a, c: torch.bitwise_not(a) + c,
    "int_shift_left": lambda a, c: a.abs() << (c % 5),
    "int_shift_right": lambda a, c: a >> (c % 5),
    "int_pow": lambda a, c: a**2 + c,
    "int_gcd": torch.gcd,
    "int_sum": lambda a, c: (a + c).sum(0),
    "int_mean": lambda a, c: (a + c).float().mean(1),
    "int_cumsum": lambda a, c: (a - c).cumsum(1),
    "int_prod": lambda a, c: (a % 3 + c % 2).prod(1),
    "bincount": lambda a, c: torch.bincount((a % 5).flatten(), minlength=6) + c.sum() * 0,
}

_REDUCE: dict[str, Callable[..., Any]] = {
    "sum": lambda a: a.sum(1),
    "sum_all": lambda a: a.sum(),
    "mean": lambda a: a.mean((0, 1)),
    "prod": lambda a: a.prod(1),
    "amax": lambda a: a.amax(0),
    "amin": lambda a: a.amin(1, keepdim=True),
    "max_dim": lambda a: a.max(1),
    "min_dim": lambda a: a.min(0),
    "aminmax": lambda a: torch.aminmax(a, dim=1),
    "argmax": lambda a: a.argmax(1),
    "argmin": lambda a: a.argmin(),
    "std": lambda a: a.std(1),
    "var_correction": lambda a: torch.var(a, dim=1, correction=0),
    "var_mean": lambda a: torch.var_mean(a, dim=1),
    "std_mean": lambda a: torch.std_mean(a, dim=1),
    "logsumexp": lambda a: a.logsumexp(1),
    "norm_2": lambda a: torch.linalg.vector_norm(a, 2, dim=1),
    "norm_1": lambda a: torch.linalg.vector_norm(a, 1, dim=1),
    "norm_inf": lambda a: torch.linalg.vector_norm(a, float("inf"), dim=1),
    "norm_3": lambda a: torch.linalg.vector_norm(a, 3, dim=1),
    "norm_fro": lambda a: torch.linalg.matrix_norm(a),
    "median_dim": lambda a: a.median(1),
    "median_all": lambda a: a.median(),
    "nanmedian": lambda a: a.nanmedian(1),
    "mode": lambda a: (a * 2).round().mode(1).values,
    "quantile": lambda a: a.quantile(0.3, dim=1),
    "quantile_many": lambda a: torch.quantile(a, torch.tensor([0.1, 0.5, 0.9]), dim=1),
    "nansum": lambda a: a.nansum(1),
    "nanmean": lambda a: a.nanmean(1),
    "count_nonzero": lambda a: torch.count_nonzero(a > 0, dim=1),
    "all": lambda a: (a > -1).all(1),
    "any": lambda a: (a > 1).any(0),
    "cumsum": lambda a: a.cumsum(0),
    "cumprod": lambda a: a.cumprod(1),
    "cummax": lambda a: a.cummax(1),
    "cummin": lambda a: a.cummin(1),
    "logcumsumexp": lambda a: a.logcumsumexp(1),
    "sort": lambda a: a.sort(1, descending=True),
    "argsort": lambda a: a.argsort(1),
    "msort": torch.msort,
    "topk": lambda a: a.topk(3, dim=1),
    "kthvalue": lambda a: a.kthvalue(2, dim=1),
    "unique": lambda a: torch.unique((a * 2).round()),
    "histc": lambda a: torch.histc(a, bins=5, min=-2.0, max=2.0),
    "diff": lambda a: a.diff(dim=1),
    "trapezoid": lambda a: torch.trapezoid(a, dim=1),
    "softmax_dtype": lambda a: torch.softmax(a, 1, dtype=torch.float64),
    "cov": torch.cov,
    "renorm": lambda a: torch.renorm(a, 2, 0, 1.0),
}

_SHAPE: dict[str, Callable[..., Any]] = {
    "reshape": lambda a: a.reshape(-1, 3),
    "view_free": lambda a: a.view(a.shape[0], 2, 3),
    "permute": lambda a: a.permute(1, 0),
    "transpose": lambda a: a.transpose(0, 1),
    "flatten": lambda a: a.unsqueeze(1).flatten(1),
    "unflatten": lambda a: a.unflatten(1, (2, 3)),
    "squeeze": lambda a: a.unsqueeze(0).squeeze(0),
    "expand": lambda a: a[:, None].expand(-1, 4, -1),
    "expand_as": lambda a: a[:1].expand_as(a),
    "repeat": lambda a: a.repeat(2, 3),
    "repeat_interleave": lambda a: a.repeat_interleave(2, dim=1),
    "tile": lambda a: a.tile(2, 2),
    "flip": lambda a: a.flip(0, 1),
    "roll": lambda a: a.roll((1, -2), (0, 1)),
    "rot90": lambda a: torch.rot90(a, 1, (0, 1)),
    "cat": lambda a: torch.cat([a, a * 2], 1),
    "stack": lambda a: torch.stack([a, a * 2], 1),
    "split": lambda a: a.split([2, 4], 1),
    "chunk": lambda a: a.chunk(3, 1),
    "tensor_split": lambda a: a.tensor_split(4, 1),
    "unbind": lambda a: a.unbind(1),
    "narrow": lambda a: a.narrow(1, 1, 3),
    "slice_step": lambda a: a[:, ::2],
    "slice_neg": lambda a: a[:, -3:-1],
    "select": lambda a: a[:, -1],
    "index_list": lambda a: a[:, [2, 0, 5]],
    "tril": lambda a: a.tril(1),
    "triu": lambda a: a.triu(-1),
    "diagonal": lambda a: a.diagonal(1),
    "diag_embed": lambda a: torch.diag_embed(a),
    "trace": lambda a: torch.trace(a[:2, :2]),
    "unfold_tensor": lambda a: a.unfold(1, 3, 2),
    "as_strided": lambda a: a.contiguous().as_strided((2, 3), (6, 2)),
    "meshgrid": lambda a: torch.meshgrid(a[0], a[1], indexing="ij"),
    "pad_constant": lambda a: F.pad(a, (1, 2, 0, 1), value=0.5),
    "pad_negative": lambda a: F.pad(a, (-1, 2)),
    "zeros_like": lambda a: torch.zeros_like(a) + torch.ones_like(a) * torch.full_like(a, 3.0),
    "arange_size": lambda a: a + torch.arange(a.shape[0], dtype=a.dtype)[:, None],
    "linspace": lambda a: a * torch.linspace(0, 1, 6),
    "eye": lambda a: a @ torch.eye(6),
    "where": lambda a: torch.where(a > 0, a, a * 0.1),
    "masked_fill": lambda a: a.masked_fill(a > 0.5, -1.0),
    "masked_select": lambda a: a.masked_select(a > 0),
    "nonzero": lambda a: (a > 0).nonzero(),
    "clamp": lambda a: a.clamp(-0.5, 0.7),
    "clamp_tensor": lambda a: torch.clamp(a, a - 0.5, a.abs()),
    "to_int": lambda a: (a * 3).to(torch.int32),
    "to_half": lambda a: a.to(torch.float16),
    "bool_ops": lambda a: (a > 0) & (a < 1) | ~(a > -1) ^ (a > 0.5),
    "bucketize": lambda a: torch.bucketize(a, torch.tensor([-1.0, 0.0, 0.5, 1.0])),
    "searchsorted": lambda a: torch.searchsorted(torch.tensor([-1.0, 0.0, 0.5, 1.0]), a, right=True),
    "index_put": lambda a: torch.index_put(a, (torch.tensor([0, 1]),), a[:2] * 2),
    "index_put_accumulate": lambda a: a.index_put((torch.tensor([0, 0]),), a[:2], accumulate=True),
    "index_add": lambda a: a.index_add(1, torch.tensor([0, 0, 3]), a[:, :3]),
    "index_copy": lambda a: a.index_copy(1, torch.tensor([4, 1]), a[:, :2]),
    "index_fill": lambda a: a.index_fill(1, torch.tensor([0, 3]), 9.0),
    "index_select": lambda a: a.index_select(1, torch.tensor([5, 0, 0])),
    "slice_scatter": lambda a: torch.slice_scatter(a, a[:, :2], 1, 2, 4),
    "select_scatter": lambda a: torch.select_scatter(a, a[:, 0] * 2, 1, 3),
    "diagonal_scatter": lambda a: torch.diagonal_scatter(a[:2, :2], torch.ones(2)),
    "inplace_slice": lambda a: _assigned(a),
    "vander": lambda a: torch.vander(a[0], 4),
    "pixel_shuffle_2d": lambda a: F.pixel_shuffle(a.reshape(-1, 6, 1, 1).repeat(1, 2, 2, 2)[:, :8], 2),
    "dropout2d_eval": lambda a: F.dropout2d(a[:, :, None, None], 0.5, False),
    "polar_real": lambda a: torch.polar(a.abs(), a).real,
    "block_diag": lambda a: torch.block_diag(a, a[:2]),
    "cartesian_prod": lambda a: torch.cartesian_prod(a[0], a[1]),
    "combinations": lambda a: torch.combinations(a[0], 2),
    "complex_abs": lambda a: torch.complex(a, a * 2).abs(),
}


def _assigned(a: Tensor) -> Tensor:
    a = a.clone()
    a[:, 1:3] = 7.0
    a[0] = a[1] * 2
    return a


W1, W2, W3 = (torch.linspace(-1, 1, 4 * 4 * 3**k).reshape(4, 4, *[3] * k).sin() for k in (1, 2, 3))
B4 = torch.tensor([0.1, -0.2, 0.3, 0.0])

_IMAGE: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[Tensor, ...]]]] = {
    "conv1d": (lambda a: F.conv1d(a, W1, B4, 2, 1), seq),
    "conv1d_same": (lambda a: F.conv1d(a, W1, padding="same", dilation=2), seq),
    "conv2d": (lambda a: F.conv2d(a, W2, B4, (2, 1), 1), img),
    "conv2d_groups": (lambda a: F.conv2d(a, W2[:, :2], B4, groups=2, dilation=2), img),
    "conv2d_depthwise": (lambda a: F.conv2d(a, W2[:, :1], groups=4, padding="same"), img),
    "conv3d": (lambda a: F.conv3d(a, W3, B4, padding=1), vol),
    "conv_transpose1d": (lambda a: F.conv_transpose1d(a, W1, B4, 2, 1, 1), seq),
    "conv_transpose2d": (lambda a: F.conv_transpose2d(a, W2, B4, 2, 1, 1, dilation=2), img),
    "conv_transpose2d_groups": (lambda a: F.conv_transpose2d(a, W2[:, :2], groups=2, stride=2), img),
    "conv_transpose3d": (lambda a: F.conv_transpose3d(a, W3, B4, 2, 1), vol),
    "conv_tbc": (
        lambda a: torch.conv_tbc(a.permute(2, 0, 1).contiguous(), W1.permute(2, 1, 0).contiguous(), B4, 1),
        seq,
    ),
    "max_pool1d": (lambda a: F.max_pool1d(a, 3, 2, 1), seq),
    "max_pool2d_ceil": (lambda a: F.max_pool2d(a, 3, 2, 1, ceil_mode=True), img),
    "max_pool2d_dilated": (lambda a: F.max_pool2d(a, 2, 2, dilation=2), img),
    "max_pool2d_indices": (lambda a: F.max_pool2d(a, 2, return_indices=True), img),
    "max_pool3d": (lambda a: F.max_pool3d(a, 2), vol),
    "max_unpool2d": (lambda a: F.max_unpool2d(*F.max_pool2d(a, 2, return_indices=True), 2), img),
    "avg_pool1d": (lambda a: F.avg_pool1d(a, 3, 2, 1), seq),
    "avg_pool2d": (lambda a: F.avg_pool2d(a, 3, 2, 1), img),
    "avg_pool2d_no_pad_count": (lambda a: F.avg_pool2d(a, 3, 2, 1, count_include_pad=False), img),
    "avg_pool2d_ceil": (lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True), img),
    "avg_pool2d_ceil_no_pad_count": (
        lambda a: F.avg_pool2d(a, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        img,
    ),
    "avg_pool2d_divisor": (lambda a: F.avg_pool2d(a, 3, 2, 1, divisor_override=4), img),
    "avg_pool3d_divisor": (lambda a: F.avg_pool3d(a, 2, divisor_override=3), vol),
    "avg_pool3d": (lambda a: F.avg_pool3d(a, 2, 2, 1), vol),
    "lp_pool1d": (lambda a: F.lp_pool1d(a, 2, 3), seq),
    "lp_pool2d": (lambda a: F.lp_pool2d(a.abs(), 3, 2), img),
    "adaptive_avg_pool1d": (lambda a: F.adaptive_avg_pool1d(a, 5), seq),
    "adaptive_avg_pool1d_odd": (lambda a: F.adaptive_avg_pool1d(a, 3), seq),
    "adaptive_avg_pool2d": (lambda a: F.adaptive_avg_pool2d(a, (3, 4)), img),
    "adaptive_avg_pool2d_odd": (lambda a: F.adaptive_avg_pool2d(a, (4, 3)), img),
    "adaptive_avg_pool2d_1": (lambda a: F.adaptive_avg_pool2d(a, 1), img),
    "adaptive_avg_pool3d": (lambda a: F.adaptive_avg_pool3d(a, (2, 3, 4)), vol),
    "adaptive_max_pool1d": (lambda a: F.adaptive_max_pool1d(a, 4), seq),
    "adaptive_max_pool2d": (lambda a: F.adaptive_max_pool2d(a, (3, 4)), img),
    "adaptive_max_pool2d_odd": (lambda a: F.adaptive_max_pool2d(a, (4, 3)), img),
    "adaptive_max_pool3d": (lambda a: F.adaptive_max_pool3d(a, (2, 2, 3)), vol),
    "interpolate_nearest": (lambda a: F.interpolate(a, scale_factor=2.0), img),
    "interpolate_nearest_size": (lambda a: F.interpolate(a, size=(5, 11)), img),
    "interpolate_nearest_exact": (lambda a: F.interpolate(a, size=(5, 11), mode="nearest-exact"), img),
    "interpolate_bilinear": (lambda a: F.interpolate(a, scale_factor=1.5, mode="bilinear"), img),
    "interpolate_bilinear_corners": (
        lambda a: F.interpolate(a, size=(5, 7), mode="bilinear", align_corners=True),
        img,
    ),
    "interpolate_bilinear_antialias": (
        lambda a: F.interpolate(a, size=(5, 4), mode="bilinear", antialias=True),
        img,
    ),
    "interpolate_bicubic": (lambda a: F.interpolate(a, size=(12, 13), mode="bicubic"), img),
    "interpolate_bicubic_antialias": (
        lambda a: F.interpolate(a, size=(5, 4), mode="bicubic", antialias=True),
        img,
    ),
    "interpolate_linear": (lambda a: F.interpolate(a, size=7, mode="linear"), seq),
    "interpolate_trilinear": (lambda a: F.interpolate(a, scale_factor=2.0, mode="trilinear"), vol),
    "interpolate_area": (lambda a: F.interpolate(a, size=(4, 3), mode="area"), img),
    "pixel_shuffle": (lambda a: F.pixel_shuffle(a, 2), img),
    "pixel_unshuffle": (lambda a: F.pixel_unshuffle(a[:, :, :8], 2), img),
    "channel_shuffle": (lambda a: F.channel_shuffle(a, 2), img),
    "pad_reflect": (lambda a: F.pad(a, (1, 2, 3, 0), mode="reflect"), img),
    "pad_replicate": (lambda a: F.pad(a, (1, 2, 3, 0), mode="replicate"), img),
    "pad_circular": (lambda a: F.pad(a, (1, 2, 3, 1), mode="circular"), img),
    "pad_reflect1d": (lambda a: F.pad(a, (2, 3), mode="reflect"), seq),
    "pad_replicate3d": (lambda a: F.pad(a, (1, 1, 2, 0, 0, 1), mode="replicate"), vol),
    "unfold": (lambda a: F.unfold(a, (3, 2), padding=1, stride=2), img),
    "fold": (lambda a: F.fold(F.unfold(a, 3, padding=1), (9, 8), 3, padding=1), img),
    "grid_sample": (lambda a, g: F.grid_sample(a, g, align_corners=False), lambda n: (r(n, 4, 9, 8), r(n, 5, 6, 2))),
    "grid_sample_border": (
        lambda a, g: F.grid_sample(a, g, "nearest", "border", align_corners=True),
        lambda n: (r(n, 4, 9, 8), r(n, 5, 6, 2)),
    ),
    "grid_sample_reflection": (
        lambda a, g: F.grid_sample(a, g, "bicubic", "reflection", align_corners=True),
        lambda n: (r(n, 4, 9, 8), u(n, 5, 6, 2)),
    ),
    "affine_grid": (lambda t: F.affine_grid(t, [t.shape[0], 3, 4, 5], align_corners=False), lambda n: (r(n, 2, 3),)),
    "batch_norm": (lambda a: F.batch_norm(a, B4, B4.abs() + 1, B4 + 1, B4), img),
    "instance_norm": (lambda a: F.instance_norm(a, weight=B4, bias=B4), img),
    "group_norm": (lambda a: F.group_norm(a, 2, B4, B4), img),
    "layer_norm": (lambda a: F.layer_norm(a, (9, 8)), img),
    "rms_norm": (lambda a: F.rms_norm(a, (8,), torch.ones(8) * 2), img),
    "local_response_norm": (lambda a: F.local_response_norm(a, 3), img),
    "prelu": (lambda a: F.prelu(a, B4), img),
    "bilinear": (
        lambda a, c: F.bilinear(a, c, torch.ones(5, 6, 6) * 0.3, torch.ones(5)),
        xy,
    ),
    "fold_blocks": (lambda a: F.fold(a.reshape(a.shape[0], 4, 72)[:, :, :12], (4, 5), 2), img),
}


def qkv(n: int) -> tuple[Tensor, ...]:
    return (r(n, 2, 5, 4), r(n, 2, 7, 4), r(n, 2, 7, 3))


def qkv_mask(n: int) -> tuple[Tensor, ...]:
    mask = b(n, 1, 5, 7)
    mask[0, 0, 2] = False  # a row that sees nothing: torch gives zeros
    return (*qkv(n), mask)


_OTHER: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[Tensor, ...]]]] = {
    "matmul": (torch.matmul, lambda n: (r(n, 4, 5), r(n, 5, 3))),
    "matmul_broadcast": (torch.matmul, lambda n: (r(n, 2, 4, 5), r(5, 3))),
    "matmul_vector": (torch.matmul, lambda n: (r(n, 5), r(5))),
    "bmm": (torch.bmm, lambda n: (r(n, 4, 5), r(n, 5, 3))),
    "baddbmm": (torch.baddbmm, lambda n: (r(n, 4, 3), r(n, 4, 5), r(n, 5, 3))),
    "mv": (torch.mv, lambda n: (r(n, 5), r(5))),
    "dot": (torch.dot, lambda n: (r(n), r(n))),
    "linear": (lambda a, w: F.linear(a, w, w[:, 0]), lambda n: (r(n, 3, 5), r(4, 5))),
    "chain_matmul": (lambda a, c: torch.linalg.multi_dot([a, c, a]), lambda n: (r(n, 5), r(5, n))),
    "sdpa": (F.scaled_dot_product_attention, qkv),
    "sdpa_causal": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True), qkv),
    "sdpa_mask": (lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), qkv_mask),
    "sdpa_float_mask": (
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, torch.zeros(5, 7).masked_fill(~m, -torch.inf)),
        qkv_mask,
    ),
    "sdpa_scale": (lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=0.3), qkv),
    "sdpa_3d": (F.scaled_dot_product_attention, lambda n: (r(n, 5, 4), r(n, 5, 4), r(n, 5, 4))),
    "sdpa_gqa": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True, is_causal=True),
        lambda n: (r(n, 4, 5, 8), r(n, 2, 5, 8), r(n, 2, 5, 8)),
    ),
    "embedding": (lambda t, w: F.embedding(t, w, padding_idx=0), lambda n: (i(9, n, 4), r(9, 5))),
    "embedding_bag_mean": (lambda t, w: F.embedding_bag(t, w), lambda n: (i(9, n, 4), r(9, 5))),
    "embedding_bag_max": (lambda t, w: F.embedding_bag(t, w, mode="max"), lambda n: (i(9, n, 4), r(9, 5))),
    "embedding_bag_offsets": (
        lambda t, w: F.embedding_bag(t, w, torch.tensor([0, 2, 5]), mode="sum"),
        lambda n: (i(9, 8), r(9, 5)),
    ),
    "gather": (lambda a, t: a.gather(1, t), lambda n: (r(n, 6), i(6, n, 4))),
    "take_along_dim": (lambda a, t: torch.take_along_dim(a, t, 1), lambda n: (r(n, 6), i(6, n, 4))),
    "take": (torch.take, lambda n: (r(n, 6), i(12, n))),
    "scatter": (lambda a, t: a.scatter(1, t, 5.0), lambda n: (r(n, 6), i(6, n, 1))),
    "scatter_add": (lambda a, t: a.scatter_add(1, t, a[:, :4]), lambda n: (r(n, 6), i(6, n, 4))),
    "scatter_reduce_sum": (
        lambda a, t: a.scatter_reduce(1, t, a[:, :4], "sum", include_self=False),
        lambda n: (r(n, 6), i(6, n, 4)),
    ),
    "scatter_reduce_mean": (
        lambda a, t: a.scatter_reduce(1, t, a[:, :4], "mean"),
        lambda n: (r(n, 6), i(6, n, 4)),
    ),
    "scatter_reduce_mean_exclusive": (
        lambda a, t: a.scatter_reduce(1, t, a[:, :4], "mean", include_self=False),
        lambda n: (r(n, 6), i(6, n, 4)),
    ),
    "scatter_reduce_prod": (
        lambda a, t: a.scatter_reduce(1, t, a[:, :4], "prod", include_self=False),
        lambda n: (r(n, 6), i(6, n, 4)),
    ),
    "scatter_reduce_amax": (
        lambda a, t: a.scatter_reduce(1, t, a[:, :4], "amax", include_self=False),
        lambda n: (r(n, 6), i(6, n, 4)),
    ),
    "masked_scatter": (
        lambda a, m: a.masked_scatter(m, torch.arange(60.0)),
        lambda n: (r(n, 6), b(n, 6)),
    ),
    "linalg_inv": (torch.linalg.inv, square),
    "linalg_det": (torch.linalg.det, square),
    "linalg_slogdet": (torch.linalg.slogdet, square),
    "linalg_solve": (torch.linalg.solve, lambda n: (*square(n), r(n, 4, 2))),
    "linalg_cholesky": (torch.linalg.cholesky, spd),
    "linalg_solve_triangular": (
        lambda a, c: torch.linalg.solve_triangular(a.tril(), c, upper=False),
        lambda n: (*square(n), r(n, 4, 2)),
    ),
    "linalg_matrix_power": (lambda a: torch.linalg.matrix_power(a, 3), square),
    "linalg_qr": (lambda a: torch.linalg.qr(a), square),
    "linalg_norm": (lambda a: torch.linalg.norm(a, dim=(1, 2)), square),
    "linalg_pinv": (lambda a: torch.linalg.pinv(a), square),
    "linalg_eigh": (lambda a: torch.linalg.eigvalsh(a), spd),
    "linalg_svd": (lambda a: torch.linalg.svdvals(a), square),
    "linalg_matrix_exp": (lambda a: torch.linalg.matrix_exp(a * 0.1), square),
    "stft": (
        lambda a: torch.view_as_real(torch.stft(a, 16, 4, window=torch.hann_window(16), return_complex=True)),
        lambda n: (r(n, 64),),
    ),
    "fft": (lambda a: torch.view_as_real(torch.fft.fft(a)), lambda n: (r(n, 16),)),
    "rfft": (lambda a: torch.fft.rfft(a).abs(), lambda n: (r(n, 16),)),
    "irfft": (lambda a: torch.fft.irfft(torch.complex(a, a.flip(1))), lambda n: (r(n, 9),)),
    "fft2": (lambda a: torch.fft.fft2(a).abs(), lambda n: (r(n, 8, 6),)),
    "ctc_loss": (
        lambda a, t: F.ctc_loss(a.log_softmax(2), t, (10, 10, 10), (3, 4, 2)),
        lambda n: (r(10, 3, 6), i(5, 3, 4) + 1),
    ),
    "pdist": (torch.pdist, lambda n: (r(n, 6),)),
    "multi_head_attention": (
        lambda a, w: F.multi_head_attention_forward(
            a, a, a, 8, 2, w, None, None, None, False, 0.0, w[:8], None, training=False
        )[0],
        lambda n: (r(5, n, 8), r(24, 8)),
    ),
    "feature_alpha_dropout": (lambda a: F.feature_alpha_dropout(a, 0.5, False), img),
    "grouped_mm": (
        lambda a, w, o: F.grouped_mm(a, w, offs=o.to(torch.int32)),
        lambda n: (r(8, 16), r(2, 16, 8), torch.tensor([3, 8])),
    ),
    "special_entr_i0": (lambda a: torch.special.entr(a) + torch.special.i0(a), unit),
    "special_ndtr": (lambda a: torch.special.ndtr(a) + torch.special.log_ndtr(a), x),
    "special_xlog1py": (lambda a: torch.special.xlog1py(a, a.abs()), x),
    "polygamma": (lambda a: torch.polygamma(1, a + 1), pos),
    "special_expit": (lambda a: torch.special.expit(a), x),
}


def all_cases() -> list[AtenCase]:
    """Every case, by name."""
    table: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[Tensor, ...]]]] = {
        **_UNARY,
        **{name: (function, x) for name, function in _ACTIVATIONS.items()},
        **{name: (function, xy) for name, function in _BINARY.items()},
        **{name: (function, ints) for name, function in _INT.items()},
        **{name: (function, x) for name, function in _REDUCE.items()},
        **{name: (function, x) for name, function in _SHAPE.items()},
        **_IMAGE,
        **_OTHER,
    }
    loose = {"linalg_inv": 1e-3, "linalg_solve": 1e-3, "to_half": 1e-2}
    return [AtenCase(name, f, make, loose.get(name, 1e-4)) for name, (f, make) in table.items()]


REFUSED: dict[str, str] = {}
"""Cases that are refused by name, and why."""
