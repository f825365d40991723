"""Running torch without side effects: no talk on the streams, and the module left as it was found."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import torch

_TALKERS = (
    *("torch.onnx", "torch.export", "torch._export", "torch._dynamo", "torch._guards", "torch.fx"),
    *("onnxscript", "onnx_ir"),
)


@contextmanager
def quiet() -> Iterator[None]:
    """torch's warnings, log lines and printed graphs are about its own insides; what matters becomes a note."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def undisturbed(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients and without the attention fast path; everything restored afterwards.

    The fast path of ``nn.TransformerEncoder`` and ``nn.MultiheadAttention`` answers differently at padded
    positions and cannot be exported, so the graph is always that of the slow path.
    """
    flags = [(part, part.training) for part in module.modules()]
    fastpath = torch.backends.mha.get_fastpath_enabled()
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers() if buffer.numel() <= 1 << 20]
    if any(training for _, training in flags):
        module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
        torch.backends.mha.set_fastpath_enabled(fastpath)
        if module.training is not flags[0][1]:
            module.train(flags[0][1])
        for part, training in flags:
            part.training = training


@contextmanager
def silent_descriptors() -> Iterator[None]:
    """Standard output and error closed for C++ as well: the TorchScript exporter prints its graph on failure."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        yield
    finally:
        for descriptor, saved in zip((1, 2), kept, strict=True):
            os.dup2(saved, descriptor)
            os.close(saved)
        os.close(nowhere)
