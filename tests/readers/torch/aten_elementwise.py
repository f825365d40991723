"""Elementwise operators, activations and losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from aten_inputs import Functions, Table, pos, unit, x

_PLAIN = """
abs neg sign exp sin cos tan sinh cosh tanh atan asinh floor ceil trunc round frac sigmoid relu square erf isnan isinf
isfinite exp2 expm1 positive sgn signbit sinc nan_to_num rad2deg deg2rad t selu
"""
_POSITIVE = "log log2 log10 log1p sqrt rsqrt reciprocal lgamma digamma"
_UNIT = "asin acos atanh logit erfinv erfc"

UNARY: Table = {
    name: (getattr(torch, name), make)
    for make, names in ((x, _PLAIN), (pos, _POSITIVE), (unit, _UNIT))
    for name in names.split()
}

ACTIVATIONS: Functions = {
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

BINARY: Functions = {
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

INTEGERS: Functions = {
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
