"""Every TensorFlow operator that is read, and where it is tested."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import operators_arrays
import operators_gradients
import operators_images
import operators_linear
import operators_math
import operators_ragged
from operator_cases import Case, Spec, cases

from isthmus.readers.tensorflow.ops import refused

SPECS: tuple[Spec, ...] = (
    *operators_math.SPECS,
    *operators_arrays.SPECS,
    *operators_images.SPECS,
    *operators_linear.SPECS,
    *operators_ragged.SPECS,
    *operators_gradients.SPECS,
)
FIRST: Mapping[str, Case] = MappingProxyType({spec.op: next(cases(spec, swept=False)) for spec in reversed(SPECS)})
"""One case an operator, of free sizes where it has them."""

_REFUSED = (
    "DrawBoundingBoxes DrawBoundingBoxesV2 Eig FractionalAvgPool FractionalMaxPool",
    "TruncatedNormal",
)
REFUSED = frozenset(" ".join(_REFUSED).split())
"""Operators that have a case, and are read only to say why they are refused."""
NEVER_READ = frozenset(entry.op for entry in refused.table)
"""Operators that have a reason and no case."""

ELSEWHERE: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (room, tuple(names.split()))
    for room, names in (
        ("conv", "_FusedConv2D _FusedConv3D _FusedDepthwiseConv2dNative"),
        ("graphs", "_FusedBatchNormEx XlaDynamicSlice XlaDynamicUpdateSlice XlaCallModule IdentityN ParallelConcat"),
        ("graphs", "DebugIdentity Assert Print BatchFunction RemoteCall SymbolicGradient PartitionedCall NoOp"),
        ("counts", "QuantizeV2 Dequantize"),
        ("logic", "Bitcast"),
        ("random", "StatelessRandomGetAlg Multinomial RandomShuffle RandomStandardNormal RandomUniform"),
        ("random", "RandomUniformInt"),
        ("scatter", "VariableShape"),
        ("sources", "Placeholder"),
        ("frames", "StatefulPartitionedCall"),
        ("strings", "HashTableV2 MutableHashTableV2 LookupTable"),
        ("control", "While StatelessWhile If StatelessIf Case StatelessCase"),
        ("lists", "EmptyTensorList TensorList TensorArray"),
        ("state", "Assign ReadVariableOp VarIsInitializedOp DestroyResourceOp Resource"),
    )
)
"""Operators that ``tf.raw_ops`` cannot call, or that need more than tensors: the file of tests that has them.

A name stands for all that begin with it.
"""


def room_that_tests(op: str) -> str | None:
    """The file of tests that has an operator that is no case here."""
    return next((room for room, names in ELSEWHERE if op.startswith(names)), None)
