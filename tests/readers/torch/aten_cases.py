"""Single operators: one list for every road out of PyTorch. A case makes its own inputs at any size."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from aten_elementwise import ACTIVATIONS, BINARY, INTEGERS, UNARY
from aten_images import IMAGES
from aten_inputs import Table, Tensor, ints, x, xy
from aten_products import OTHERS
from aten_shapes import REDUCTIONS, SHAPES


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


def all_cases() -> list[AtenCase]:
    """Every case, by name."""
    table: Table = {
        **UNARY,
        **{name: (function, x) for name, function in ACTIVATIONS.items()},
        **{name: (function, xy) for name, function in BINARY.items()},
        **{name: (function, ints) for name, function in INTEGERS.items()},
        **{name: (function, x) for name, function in REDUCTIONS.items()},
        **{name: (function, x) for name, function in SHAPES.items()},
        **IMAGES,
        **OTHERS,
    }
    loose = {"linalg_inv": 1e-3, "linalg_solve": 1e-3, "to_half": 1e-2}
    return [AtenCase(name, f, make, loose.get(name, 1e-4)) for name, (f, make) in table.items()]


REFUSED: dict[str, str] = {
    "combinations": "the number of rows depends on the data in a way that torch.export cannot follow",
    "cov": "torch compares tensor values while it is traced",
    "ctc_loss": "ONNX has no CTC loss, and its lengths are data",
    "linalg_eigh": "ONNX has no eigendecomposition",
    "linalg_svd": "ONNX has no singular values",
    "linalg_pinv": "ONNX has no singular values",
    "linalg_qr": "ONNX has no QR factorisation",
    "linalg_matrix_exp": "ONNX has no matrix exponential, and its scaling depends on the data",
    "special_entr_i0": "ONNX has no Bessel functions",
    "polygamma": "ONNX has no polygamma functions",
}
"""Cases that are refused by name, and why."""
