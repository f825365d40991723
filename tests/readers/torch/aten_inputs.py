"""Inputs of the single operators, at any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

Tensor = torch.Tensor
Make = Callable[[int], tuple[Tensor, ...]]
Table = dict[str, tuple[Callable[..., Any], Make]]
Functions = dict[str, Callable[..., Any]]


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
