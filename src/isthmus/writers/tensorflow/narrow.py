"""Element types that TensorFlow stores but has hardly a kernel for: their bits out, their bits in.

float8 in its four forms, float4, and the 4- and 2-bit integers occupy one byte an element. TensorFlow casts only some
of them, and bitcasts none. Two kernels are registered for every element type, and both move raw bytes:
``SerializeSparse`` writes a tensor's content into a ``TensorProto``, ``ParseTensor`` reads one. The rest is a table.
"""

from __future__ import annotations

import functools

import numpy as np
import tensorflow as tf

FLOAT8 = tuple(map(tf.dtypes.as_dtype, ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")))
"""The 8-bit floats that TensorFlow has a type for."""
FLOAT4 = tf.dtypes.as_dtype("float4_e2m1fn")
NARROW_FLOATS = (*FLOAT8, FLOAT4)
NARROW_INTS = {tf.dtypes.as_dtype(f"{sign}int{bits}"): bits for bits in (4, 2) for sign in ("", "u")}
"""The sub-byte integers and their widths in bits."""
_CAST_KERNELS = frozenset((*FLOAT8[:2], *map(tf.dtypes.as_dtype, ("int4", "uint4"))))


def is_narrow(dtype: tf.DType) -> bool:
    """Whether the type is one of this room's."""
    return dtype in NARROW_FLOATS or dtype in NARROW_INTS


def wide_type(dtype: tf.DType) -> tf.DType:
    """The type in which values of a narrow one are held exactly: float32 or int32."""
    return tf.float32 if dtype in NARROW_FLOATS else tf.int32


def widen(x: tf.Tensor) -> tf.Tensor:
    """A narrow tensor's values as float32 or int32, exactly."""
    if x.dtype in _CAST_KERNELS:
        return tf.cast(x, wide_type(x.dtype))
    return tf.gather(_values(x.dtype), tf.cast(bits_of(x), tf.int32))


def narrow_float(x: tf.Tensor, dtype: tf.DType, *, saturate: bool) -> tf.Tensor:
    """Round float32 values to a narrow float type, half to even.

    What lies beyond the type's range becomes its largest value if ``saturate``, else infinity or NaN, whichever the
    type has. float4 has neither and always saturates.
    """
    middles = _midpoints(dtype)
    magnitude = tf.abs(x)
    at_most = tf.raw_ops.Bucketize(input=magnitude, boundaries=middles.tolist())
    below = tf.raw_ops.Bucketize(input=magnitude, boundaries=np.nextafter(middles, np.float32(np.inf)).tolist())
    code = tf.where(below % 2 == 0, below, at_most)
    top, sign_bit = len(middles) - 1, 8 if dtype == FLOAT4 else 128
    beyond, nan = _beyond_codes(dtype)
    code = tf.minimum(code, top) if saturate or dtype == FLOAT4 else tf.where(code > top, beyond, code)
    negative = tf.bitcast(x, tf.int32) < 0
    unsigned_zero = dtype.name.endswith("fnuz")  # there, the sign bit alone is NaN, and -0 does not exist
    signed = negative & (code > 0) & (code < sign_bit) if unsigned_zero else negative
    code = tf.where(signed, code + sign_bit, code)
    code = tf.where(tf.math.is_nan(x), tf.where(negative, nan | sign_bit, nan), code)
    return from_bits(tf.cast(code, tf.uint8), dtype)


def narrow_int(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Keep the low bits of an integer tensor."""
    return from_bits(
        tf.cast(tf.bitwise.bitwise_and(x, tf.cast((1 << NARROW_INTS[dtype]) - 1, x.dtype)), tf.uint8), dtype
    )


def bits_of(x: tf.Tensor) -> tf.Tensor:
    """The bits of a narrow tensor, one uint8 an element."""
    flat = tf.reshape(x, [-1])
    size = tf.size(flat)
    indices = tf.range(tf.cast(size, tf.int64))[:, None]
    proto = tf.raw_ops.SerializeSparse(
        sparse_indices=indices, sparse_values=flat, sparse_shape=tf.cast(size, tf.int64)[None]
    )[1]
    content = tf.io.decode_raw(tf.strings.substr(proto, -size, size), tf.uint8)  # the proto ends with its content
    stored = tf.ensure_shape(tf.reshape(content, tf.shape(x)), x.shape)
    return tf.bitwise.bitwise_and(stored, tf.constant(len(_values(x.dtype)) - 1, tf.uint8))


def from_bits(bits: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """A narrow tensor of the given bits (uint8, of any shape)."""
    flat = tf.reshape(bits, [-1])
    size = tf.size(flat)
    # a varint of five bytes, whatever the size: only the last has its top bit clear
    varint = [size // 128**i % 128 + (128 if i < 4 else 0) for i in range(4)] + [size // 128**4]
    header = [8, dtype.as_datatype_enum, 18, 8, 18, 6, 8, *varint, 34, *varint]
    byte = tf.constant([bytes([i]) for i in range(256)])
    proto = tf.gather(byte, tf.concat([tf.stack(header), tf.cast(flat, tf.int32)], 0))
    parsed = tf.io.parse_tensor(tf.strings.reduce_join(proto), dtype)
    return tf.ensure_shape(tf.reshape(parsed, tf.shape(bits)), bits.shape)


@functools.cache
def _values(dtype: tf.DType) -> np.ndarray:
    width = 256 if dtype in FLOAT8 else 1 << NARROW_INTS.get(dtype, 4)
    stored = np.arange(width, dtype=np.uint8).view(dtype.as_numpy_dtype)
    return stored.astype(wide_type(dtype).as_numpy_dtype)


def _finite(dtype: tf.DType) -> np.ndarray:
    values = _values(dtype)[: len(_values(dtype)) // 2]  # the half without the sign bit, in order
    return values[np.isfinite(values)]


@functools.cache
def _midpoints(dtype: tf.DType) -> np.ndarray:
    """Where rounding turns from one value to the next; the last is where it leaves the range."""
    finite = _finite(dtype).astype(np.float64)
    following = np.append(finite[1:], 2 * finite[-1] - finite[-2])
    return ((finite + following) / 2).astype(np.float32)


def _beyond_codes(dtype: tf.DType) -> tuple[int, int]:
    """The codes of what lies beyond the range without saturation, and of NaN."""
    if dtype == FLOAT4:
        return 7, 0
    if dtype.name.endswith("fnuz"):
        return 0x80, 0x80
    return (0x7C, 0x7E) if dtype.name == "float8_e5m2" else (0x7F, 0x7F)
