"""The attributes of recurrent operators, which mean the same for every target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from isthmus.lower.walk import Context

ACTIVATIONS = frozenset(
    (
        "affine",
        "relu",
        "leakyrelu",
        "thresholdedrelu",
        "tanh",
        "scaledtanh",
        "sigmoid",
        "hardsigmoid",
        "elu",
        "softsign",
        "softplus",
    )
)
_ALPHA = {"affine": 1.0, "leakyrelu": 0.01, "thresholdedrelu": 1.0, "scaledtanh": 1.0, "hardsigmoid": 0.2, "elu": 1.0}
_BETA = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}


@dataclass(frozen=True)
class Activation:
    """An activation function in lower case, with its parameters: 0 where it takes none."""

    name: str
    alpha: float
    beta: float


def activations_of(
    c: Context, names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None
) -> list[Activation]:
    """The attributes ``activations``, ``activation_alpha`` and ``activation_beta`` of RNN, GRU and LSTM.

    Alphas and betas go in order to those that take one. Refuses what is no activation function.
    """
    given_alpha, given_beta = iter(alphas or ()), iter(betas or ())
    made: list[Activation] = []
    for name in (n.lower() for n in names):
        if name not in ACTIVATIONS:
            c.refuse(f"{name!r} is no activation function of ONNX")
        alpha = next(given_alpha, _ALPHA[name]) if name in _ALPHA else 0.0
        beta = next(given_beta, _BETA[name]) if name in _BETA else 0.0
        made.append(Activation(name, alpha, beta))
    return made
