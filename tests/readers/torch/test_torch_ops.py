"""Single operators, at the size of the example and at two others, against torch in eager mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxscript")

import torch
from aten_cases import REFUSED, AtenCase, all_cases
from torch.utils import _pytree as pytree

from isthmus.errors import Unsupported
from isthmus.readers.torch import read_torch

pytestmark = pytest.mark.torch

_MENDED = """
median_dim median_all nanmedian mode kthvalue cummax cummin cumprod searchsorted adaptive_avg_pool2d_odd
adaptive_avg_pool3d adaptive_max_pool2d adaptive_max_pool2d_odd avg_pool2d_divisor avg_pool3d_divisor rrelu_eval cdist
cdist_p1 pdist scatter_reduce_mean scatter_reduce_mean_exclusive scatter_reduce_amax sdpa_mask sdpa_float_mask sdpa_3d
sdpa_gqa cross_entropy embedding_bag_mean embedding_bag_max embedding_bag_offsets linalg_inv linalg_solve
linalg_slogdet linalg_cholesky linalg_solve_triangular grouped_mm fmax hypot copysign int_gcd int_shift_right lgamma
digamma erfinv diagonal_scatter conv_tbc vander masked_select
"""
MENDED = _MENDED.split()

CASES = {case.name: case for case in all_cases()}


def check(case: AtenCase, run: Callable[..., Any]) -> None:
    """Read the case and compare at every size its free axes allow."""
    module, shapes = case.module(), case.dynamic_shapes()
    hub = read_torch(module, inputs=case.inputs(3), dynamic_shapes=shapes)
    fell = any(note.topic == "dimension" and "fell" in note.text for note in hub.notes)
    for n in (3, 2, 5) if shapes and not fell else (3,):
        inputs = case.inputs(n)
        with torch.no_grad():
            leaves = pytree.tree_leaves(module(*inputs))
        wanted = [leaf.resolve_conj().numpy() for leaf in leaves if isinstance(leaf, torch.Tensor)]
        got = run(hub, *inputs)
        assert [g.shape for g in got] == [w.shape for w in wanted]
        assert [g.dtype for g in got] == [w.dtype for w in wanted]
        for g, w in zip(got, wanted, strict=True):
            np.testing.assert_allclose(g, w, rtol=case.tolerance, atol=case.tolerance, err_msg=f"n={n}")


@pytest.mark.parametrize("name", MENDED)
def test_mended_operator_is_right(name: str, run: Callable[..., Any]) -> None:
    check(CASES[name], run)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in REFUSED and name not in MENDED])
def test_operator_is_right(name: str, run: Callable[..., Any]) -> None:
    check(CASES[name], run)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_operator_is_refused_by_name(name: str) -> None:
    case = CASES[name]
    with pytest.raises(Unsupported) as caught:
        read_torch(case.module(), inputs=case.inputs(3), dynamic_shapes=case.dynamic_shapes())
    assert caught.value.blockers


def test_list_is_long_and_mostly_supported() -> None:
    assert len(CASES) >= 300
    assert len(REFUSED) <= 15
    assert set(REFUSED) <= set(CASES)
