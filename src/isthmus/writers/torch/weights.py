"""Initializers as tensors: every element type that PyTorch has, bit for bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import torch

from isthmus.hub.model import ROLE
from isthmus.types import CARRIED_BY_TORCH

D = ir.DataType

DTYPES: Mapping[ir.DataType, torch.dtype] = MappingProxyType(
    {
        D.FLOAT: torch.float32,
        D.DOUBLE: torch.float64,
        D.FLOAT16: torch.float16,
        D.BFLOAT16: torch.bfloat16,
        D.FLOAT8E4M3FN: torch.float8_e4m3fn,
        D.FLOAT8E4M3FNUZ: torch.float8_e4m3fnuz,
        D.FLOAT8E5M2: torch.float8_e5m2,
        D.FLOAT8E5M2FNUZ: torch.float8_e5m2fnuz,
        D.FLOAT8E8M0: torch.float8_e8m0fnu,
        D.COMPLEX64: torch.complex64,
        D.COMPLEX128: torch.complex128,
        D.BOOL: torch.bool,
        D.INT8: torch.int8,
        D.INT16: torch.int16,
        D.INT32: torch.int32,
        D.INT64: torch.int64,
        D.UINT8: torch.uint8,
        D.UINT16: torch.uint16,
        D.UINT32: torch.uint32,
        D.UINT64: torch.uint64,
    }
)
"""Every ONNX element type whose tensors PyTorch has."""

HELD: Mapping[ir.DataType, torch.dtype] = MappingProxyType(
    {ir.DataType[narrow.upper()]: DTYPES[ir.DataType[wide.upper()]] for narrow, wide in CARRIED_BY_TORCH.items()}
)
"""Types that PyTorch has not, and what holds their values."""

_MADE = re.compile(r"(?:val_\d+|lifted_tensor_|_?tensor_constant\d)")
"""Names that PyTorch's exporter gives to constants of its own, where the file does not tell them from weights."""

_STATISTIC = re.compile(r"(?:.*[./])?(?:running_mean|running_var|moving_mean|moving_variance)\Z")

_LAYERS = frozenset(
    {
        *("Conv", "ConvTranspose", "Gemm", "MatMul", "Linear", "LSTM", "GRU", "RNN"),
        *("BatchNormalization", "LayerNormalization", "GroupNormalization", "InstanceNormalization"),
    }
)

Role = Literal["parameter", "buffer", "constant"]


def dtype_of(dtype: ir.DataType) -> torch.dtype:
    """The PyTorch type of an ONNX element type. Raises TypeError where PyTorch has none."""
    try:
        return DTYPES[dtype]
    except KeyError:
        raise TypeError(f"PyTorch has no {_SPELLED.get(dtype, dtype.name.lower())} tensors") from None


_SPELLED = {
    D.INT4: "4-bit integer",
    D.UINT4: "4-bit integer",
    D.INT2: "2-bit integer",
    D.UINT2: "2-bit integer",
    D.FLOAT4E2M1: "4-bit floating-point",
}


def held_dtype(dtype: ir.DataType) -> torch.dtype:
    """What holds the values of an ONNX element type. Raises TypeError for strings."""
    return HELD.get(dtype) or dtype_of(dtype)


def _held_type(dtype: ir.DataType) -> np.dtype[Any]:
    return ir.DataType[CARRIED_BY_TORCH[dtype.name.lower()].upper()].numpy()


def tensor_of(tensor: ir.TensorProtocol) -> torch.Tensor:
    """An ONNX tensor, bit for bit, or by value where ``HELD`` stands in. Raises TypeError for strings.

    Its memory is PyTorch's own: kernels are faster on memory that is aligned as PyTorch aligns it, numpy's is not.
    """
    dtype = held_dtype(tensor.dtype)
    array = np.asarray(tensor.numpy())
    if tensor.dtype in HELD:
        array = array.astype(_held_type(tensor.dtype))
    if array.dtype.type.__module__ == "numpy":
        return _copied(array)
    bits = {1: np.uint8, 2: np.uint16}[array.dtype.itemsize]
    return _copied(np.ascontiguousarray(array).view(bits)).reshape(array.shape).view(dtype)


def _copied(array: np.ndarray[Any, Any]) -> torch.Tensor:
    held = torch.empty(array.shape, dtype=DTYPES[ir.DataType.from_numpy(array.dtype)])
    held.numpy()[...] = array
    return held


def role_of(value: ir.Value, *, marked: bool) -> Role:
    """What an initializer is in a module: the reader's mark, else by its type and its users.

    ``marked`` says that the source tells its weights from its constants. Without that a floating tensor of rank 1 or
    more is trained, but for the running mean and variance of a batch normalization, which are kept with the weights.
    """
    mark, tensor = value.metadata_props.get(ROLE, ""), value.const_value
    assert tensor is not None
    trains = tensor.dtype in DTYPES and (tensor.dtype.is_floating_point() and tensor.dtype.bitwidth >= 16)
    if mark == "parameter":
        return "parameter" if trains else "buffer"
    if mark == "buffer":
        return "buffer"
    if marked or (mark and not _is_layers(value)):
        return "constant"
    if _MADE.match(value.name or ""):
        return "constant"
    if is_running_statistic(value):
        return "buffer"
    return "parameter" if trains and len(tensor.shape) > 0 else "constant"


def _is_layers(value: ir.Value) -> bool:
    """Whether an operator takes the value where layers hold weights: some exporters write these as constants."""
    return any(node.op_type in _LAYERS and index > 0 for node, index in value.uses())


def is_running_statistic(value: ir.Value) -> bool:
    """Whether an initializer is only ever a batch normalization's mean or variance."""
    if _STATISTIC.match(value.name or ""):
        return True
    uses = list(value.uses())
    return bool(uses) and all(node.op_type == "BatchNormalization" and index in (3, 4) for node, index in uses)
