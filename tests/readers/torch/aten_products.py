"""Matrix products, attention, embeddings, scattering, linear algebra, spectra."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from aten_inputs import Table, Tensor, b, i, img, pos, r, spd, square, unit, x


def qkv(n: int) -> tuple[Tensor, ...]:
    return (r(n, 2, 5, 4), r(n, 2, 7, 4), r(n, 2, 7, 3))


def qkv_mask(n: int) -> tuple[Tensor, ...]:
    mask = b(n, 1, 5, 7)
    mask[0, 0, 2] = False  # a row that sees nothing: torch gives zeros
    return (*qkv(n), mask)


OTHERS: Table = {
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
