"""Layers kept whole while a module is captured: torch.export unrolls recurrent ones over the example's time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_FLAGS = "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first"

_LIBRARY = torch.library.Library("isthmus", "DEF")
_LIBRARY.define(f"lstm(Tensor x, Tensor[] hx, Tensor[] params, {_FLAGS}) -> (Tensor, Tensor, Tensor)")
for _name in ("gru", "rnn_tanh", "rnn_relu"):
    _LIBRARY.define(f"{_name}(Tensor x, Tensor hx, Tensor[] params, {_FLAGS}) -> (Tensor, Tensor)")


def _real(name: str) -> Callable[..., tuple[Tensor, ...]]:
    def run(x: Tensor, hx: Any, params: Sequence[Tensor], *flags: Any) -> tuple[Tensor, ...]:
        return tuple(part.clone() for part in getattr(torch, name)(x, hx, params, *flags))

    return run


def _shape(x: Tensor, hx: Sequence[Tensor], bidirectional: bool) -> Tensor:
    """The output: the features of the hidden state, once a direction."""
    return x.new_empty([*x.shape[:-1], hx[0].shape[-1] * (2 if bidirectional else 1)])


def _lstm_shapes(x: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *flags: Any) -> tuple[Tensor, ...]:
    return _shape(x, hx, flags[4]), torch.empty_like(hx[0]), torch.empty_like(hx[1])


def _other_shapes(x: Tensor, hx: Tensor, params: Sequence[Tensor], *flags: Any) -> tuple[Tensor, ...]:
    return _shape(x, [hx], flags[4]), torch.empty_like(hx)


_KINDS = ("lstm", "gru", "rnn_tanh", "rnn_relu")
for _name in _KINDS:
    _LIBRARY.impl(_name, _real(_name), "CompositeExplicitAutograd")
    torch.library.register_fake(f"isthmus::{_name}", _lstm_shapes if _name == "lstm" else _other_shapes, lib=_LIBRARY)


_LIBRARY.define("dropout(Tensor x, float p) -> Tensor")
_LIBRARY.impl("dropout", lambda x, p: x.clone(), "CompositeExplicitAutograd")
torch.library.register_fake("isthmus::dropout", lambda x, p: torch.empty_like(x), lib=_LIBRARY)


_LIBRARY.define("grouped_mm(Tensor a, Tensor b, Tensor? offs, Tensor? bias) -> Tensor")


def _grouped(a: Tensor, b: Tensor, offs: Tensor | None, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.grouped_mm(a, b, offs=offs, bias=bias)


def _grouped_shape(a: Tensor, b: Tensor, offs: Tensor | None, bias: Tensor | None) -> Tensor:
    if a.ndim == b.ndim == 2 and offs is not None:
        return a.new_empty([offs.shape[0], a.shape[0], b.shape[1]])
    return a.new_empty([*a.shape[:-1], b.shape[-1]] if b.ndim == 3 else [a.shape[1], b.shape[1]])


_LIBRARY.impl("grouped_mm", _grouped, "CompositeExplicitAutograd")
torch.library.register_fake("isthmus::grouped_mm", _grouped_shape, lib=_LIBRARY)


class _Whole(TorchFunctionMode):
    def __init__(self, trainable: bool) -> None:
        super().__init__()
        self._trainable = trainable

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        # The fourth argument tells padded input from packed sequences, which stay as they are.
        if name in _KINDS and not kwargs and len(args) == 9 and isinstance(args[3], bool):
            return getattr(torch.ops.isthmus, name)(*args)
        if name in ("grouped_mm", "_grouped_mm"):
            # torch's own shape rule takes bfloat16 only, its kernels more.
            given = {**dict(zip(("a", "b", "offs", "bias", "out_dtype"), args, strict=False)), **(kwargs or {})}
            if given.get("out_dtype") in (None, given.get("a", args[0]).dtype):
                return torch.ops.isthmus.grouped_mm(args[0], args[1], given.get("offs"), given.get("bias"))
        if name == "dropout" and self._trainable:
            given = {**dict(zip(("input", "p"), args, strict=False)), **(kwargs or {})}
            return torch.ops.isthmus.dropout(given["input"], given.get("p", 0.5))
        return func(*args, **(kwargs or {}))


@contextmanager
def whole_layers(*, trainable: bool) -> Iterator[None]:
    """While open, recurrent layers are single operators, and ``nn.Transformer`` does not look into its masks.

    ``trainable`` keeps dropout too, which in evaluation mode leaves no trace otherwise. Whether a mask is causal
    is asked of its values only to choose a faster kernel; the mask is applied either way.
    """
    module: Any = torch.nn.modules.transformer
    original = module._detect_is_causal_mask
    module._detect_is_causal_mask = lambda mask, is_causal=None, size=None: bool(is_causal)
    try:
        with _Whole(trainable):
            yield
    finally:
        module._detect_is_causal_mask = original
