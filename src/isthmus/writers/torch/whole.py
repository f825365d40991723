"""Recurrent layers kept whole while a module is exported.

torch.export looks into ``torch.lstm`` to learn its shapes, and there a loop over time fixes the number of steps. So
it is shown an operator of ours whose shapes are told, and the program then gets PyTorch's own operator in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.overrides import TorchFunctionMode

_FLAGS = "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, bool batch_first"
_OTHERS = ("gru", "rnn_tanh", "rnn_relu")

_LIBRARY = torch.library.Library("isthmus_whole", "DEF")
_LIBRARY.define(f"lstm(Tensor x, Tensor[] hx, Tensor[] params, {_FLAGS}) -> (Tensor, Tensor, Tensor)")
for _name in _OTHERS:
    _LIBRARY.define(f"{_name}(Tensor x, Tensor hx, Tensor[] params, {_FLAGS}) -> (Tensor, Tensor)")


def _output(x: Tensor, state: Tensor, bidirectional: bool) -> Tensor:
    return x.new_empty([*x.shape[:-1], state.shape[-1] * (2 if bidirectional else 1)])


def _lstm(x: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *flags: Any) -> tuple[Tensor, ...]:
    return _output(x, hx[0], flags[4]), torch.empty_like(hx[0]), torch.empty_like(hx[1])


def _other(x: Tensor, hx: Tensor, params: Sequence[Tensor], *flags: Any) -> tuple[Tensor, ...]:
    return _output(x, hx, flags[4]), torch.empty_like(hx)


for _name in ("lstm", *_OTHERS):
    torch.library.register_fake(f"isthmus_whole::{_name}", _lstm if _name == "lstm" else _other, lib=_LIBRARY)


class _Whole(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        # The fourth argument tells padded input from packed sequences.
        if name in ("lstm", *_OTHERS) and not kwargs and len(args) == 9 and isinstance(args[3], bool):
            return getattr(torch.ops.isthmus_whole, name)(*args)
        return func(*args, **(kwargs or {}))


@contextmanager
def whole_layers() -> Iterator[None]:
    """While open, recurrent layers are single operators of any number of steps."""
    with _Whole():
        yield


def as_pytorch_has_them(program: ExportedProgram) -> ExportedProgram:
    """``program`` with PyTorch's own recurrent operators, in place."""
    own: dict[Any, Callable[..., Any]] = {
        getattr(torch.ops.isthmus_whole, name).default: getattr(torch.ops.aten, name).input
        for name in ("lstm", *_OTHERS)
    }
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            if node.op == "call_function" and node.target in own:
                node.target = own[node.target]
    program.graph_module.recompile()
    return program
