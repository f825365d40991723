"""Shapes, moves, slices, gathers, scatters, segments, order, diagonals, sparse tensors, text, random numbers."""

from __future__ import annotations

import numpy as np
from operator_cases import ALL, REAL, WHOLE, Draw, Spec, given, known, sized, spec, x

ANY = {"T": (*ALL, "string")}
INDEX = ("int32", "int64")
MIXED = Draw((4, 13), special=True)

SHAPES = (
    spec("Shape", x(2, 0, 3), types=ANY),
    spec("ShapeN", (x(2, 3), x(4), x())),
    spec("Size", x(2, 3, 4), types=ANY),
    spec("Size", x(2, 0)),
    spec("Rank", x(2, 3, 4)),
    spec("Reshape", x(2, 6), known([3, -1]), types={"T": (*ALL, "string"), "Tshape": INDEX}),
    spec("Reshape", x(2, 6), sized([3, 4]), types={"Tshape": INDEX}),
    spec("Reshape", x(2, 0, 3), known([3, -1])),
    spec("Reshape", x(0, 4), known([2, 0, 7])),
    spec("Reshape", x(1, 1), known([])),
    *(spec("ExpandDims", x(2, 3), axis, types=ANY | {"Tdim": INDEX}) for axis in (known(0), known(-1), known([1]))),
    spec("ExpandDims", x(2, 3), given(1)),
    spec("Squeeze", x(1, 3, 1, 2), squeeze_dims=[[0], [2], [0, -2]], types=ANY),
    spec("Squeeze", x(1, 3, 1, 2), sizes=["fixed"]),
    spec("EnsureShape", x(2, 3), shape=[(2, 3), (None, 3), (2, None)], types=ANY),
    spec("BroadcastTo", x(3, 1), known([2, 3, 4]), types=ANY | {"Tidx": INDEX}),
    spec("BroadcastTo", x(), sized([2, 3])),
    spec("BroadcastArgs", sized([3, 1]), sized([2, 1, 4])),
    spec("BroadcastGradientArgs", sized([3, 1]), sized([2, 1, 4])),
    spec("BroadcastGradientArgs", sized([3, 1]), sized([3, 1])),
    spec("Tile", x(2, 3), known([2, 1]), types=ANY | {"Tmultiples": INDEX}),
    spec("Tile", x(2, 3), sized([0, 3])),
    spec("Tile", x(), known([])),
    spec("Fill", known([2, 3]), x(), types=ANY | {"index_type": INDEX}),
    spec("Fill", sized([0, 3]), x()),
    spec("Empty", known([2, 0]), types={"dtype": ("float32", "int32")}),
    *(
        spec(
            "Range",
            given(a),
            given(b),
            given(d),
            types={"Tidx": ("float32", "float64", "bfloat16", "int32", "int64")},
        )
        for a, b, d in ((0, 9, 2), (5, -6, -3), (0.0, 1.0, 0.1), (3, 3, 1), (1.0, 2.0, 0.3))
    ),
    *(
        spec("LinSpace", given(a), given(b), given(n), types={"T": REAL, "Tidx": INDEX})
        for a, b, n in ((0.0, 1.0, 5), (2.0, -1.0, 7), (3.0, 9.0, 1), (0.0, 1.0, 33))
    ),
)

MOVES = (
    spec("Transpose", x(2, 3, 4), known([2, 0, 1]), types=ANY | {"Tperm": INDEX}),
    spec("Transpose", x(2, 3, 4), sized([1, 2, 0])),
    spec("Transpose", x(2, 0, 4), known([0, -1, 1])),
    spec("ConjugateTranspose", x(2, 3, 4), known([2, 0, 1])),
    spec("InvertPermutation", given([2, 0, 3, 1])),
    spec("Pack", (x(2, 3), x(2, 3), x(2, 3)), axis=[0, 1, -1], types=ANY),
    spec("Pack", (x(), x())),
    spec("Pack", (x(2, 3),), axis=[-1]),
    spec("Unpack", x(2, 3, 2), num=[2], axis=[0, -1], types=ANY),
    spec("Unpack", x(3), num=[3]),
    spec("Concat", known(1), (x(2, 3), x(2, 1)), types=ANY),
    spec("ConcatV2", (x(2, 3), x(0, 3), x(4, 3)), known(0), types=ANY | {"Tidx": INDEX}),
    spec("ConcatV2", (x(2, 3), x(2, 1)), known(-1)),
    spec("ConcatV2", (x(2, 3),), known(-1)),
    spec("ConcatOffset", known(1), (sized([2, 3, 4]), sized([2, 5, 4]), sized([2, 1, 4]))),
    spec("Split", known(1), x(2, 6), num_split=[1, 2, 3, 6], types=ANY),
    spec("Split", known(-2), x(4, 3), num_split=[2]),
    spec("SplitV", x(2, 6), known([1, 3, 2]), known(1), num_split=[3], types=ANY | {"Tlen": INDEX}),
    spec("SplitV", x(2, 6), known([1, -1, 2]), known(-1), num_split=[3], types={"Tlen": INDEX}),
    spec("SplitV", x(2, 6), sized([1, -1, 0]), known(1), num_split=[3], types={"Tlen": INDEX}),
    spec("SplitV", x(2, 6), known([6]), known(1), num_split=[1], types={"Tlen": INDEX}),
    *(spec("Roll", x(3, 5), shift, known(1), types=ANY) for shift in (known(2), known(-7), given(3), known(0))),
    spec("Roll", x(3, 5), known([1, 2, 1]), known([0, 1, 0]), types={"Tshift": INDEX, "Taxis": INDEX}),
    spec("Roll", x(0, 5), known([1]), known([0])),
    spec("Reverse", x(2, 3, 2), known([True, False, True])),
    spec("ReverseV2", x(2, 3, 2), known([0, -1]), types=ANY | {"Tidx": INDEX}),
    spec("ReverseV2", x(2, 3), known([])),
    spec("ReverseSequence", x(3, 5, 2), sized([2, 0, 5]), seq_dim=[1], batch_dim=[0], types=ANY | {"Tlen": INDEX}),
    spec("ReverseSequence", x(5, 3, 2), sized([2, 1, 5]), seq_dim=[0], batch_dim=[1]),
    spec("ReverseSequence", x(2, 5, 3), sized([2, 1, 5]), seq_dim=[1], batch_dim=[2]),
    *(spec(op, x(2, 3), known([[1, 0], [2, 3]]), types=ANY | {"Tpaddings": INDEX}) for op in ("Pad",)),
    spec("Pad", x(2, 3), sized([[1, 0], [2, 3]])),
    spec("Pad", x(0, 3), known([[1, 0], [2, 3]])),
    spec("PadV2", x(2, 3), known([[1, 0], [2, 3]]), x(), types=ANY),
    *(spec("MirrorPad", x(3, 4), pads([[2, 1], [0, 3]]), mode=["REFLECT", "SYMMETRIC"]) for pads in (known, sized)),
    spec("MirrorPad", x(3, 4), known([[3, 3], [4, 4]]), mode=["SYMMETRIC"], types=ANY),
    *(spec(op, x(3, 4)) for op in ("Identity", "StopGradient", "Snapshot", "DeepCopy", "PreventGradient")),
    *(spec(op, x(3, 4)) for op in ("GuaranteeConst", "DebugGradientIdentity", "Copy", "CopyHost")),
    spec("PlaceholderWithDefault", x(2, 3), shape=[(2, 3), (None, 3)]),
    spec("CheckNumerics", x(2, 3), message=["no"]),
    spec("CheckNumericsV2", x(2, 3), message=["no"]),
)

MASKS = ("begin_mask", "end_mask", "shrink_axis_mask")
BOUNDS = (
    ([1, 0, -3], [3, -1, 4], [1, 2, 1]),
    ([-1, 9, 3], [-9, 0, 0], [-1, -2, -3]),
    ([0, 1, 2], [2, 2, 3], [1, 1, 1]),
)
SLICES = (
    spec("Slice", x(3, 4), known([1, 0]), known([2, -1]), types=ANY | {"Index": INDEX}),
    spec("Slice", x(3, 4), sized([1, 2]), sized([-1, 2])),
    spec("Slice", x(3, 4), known([3, 0]), known([0, 4])),
    spec("Slice", x(), known([]), known([])),
    *(
        spec("StridedSlice", x(3, 4, 5), *(kind(b) for b in bounds), **{name: [0, 1, 2, 5] for name in MASKS[:2]})
        for bounds in BOUNDS
        for kind in (known, sized)
    ),
    *(
        spec("StridedSlice", x(3, 4, 5), *(kind(b) for b in BOUNDS[2]), shrink_axis_mask=[1, 2, 4, 3, 7])
        for kind in (known, sized)
    ),
    spec("StridedSlice", x(3, 4), known([-1]), known([0]), known([1]), shrink_axis_mask=[1], types=ANY),
    spec("StridedSlice", x(3, 4), sized([-2]), sized([7]), known([1]), shrink_axis_mask=[1]),
    *(
        spec(
            "StridedSlice",
            x(3, 4, 5),
            *(kind(b) for b in ([0, 0, 1], [0, 0, 3], [1, 1, 1])),
            ellipsis_mask=[0, 1, 2],
            new_axis_mask=[0, 2, 3],
            shrink_axis_mask=[0, 4],
            end_mask=[2],
        )
        for kind in (known, sized)
    ),
    *(
        spec("TensorStridedSliceUpdate", x(3, 4), *(known(b) for b in bounds), x(*shape), **masks)
        for bounds, shape, masks in (
            (([0, 1], [2, 4], [1, 2]), (2, 2), {}),
            (([1], [2], [1]), (4,), {"shrink_axis_mask": [1]}),
            (([2, 3], [0, 0], [-1, -1]), (2, 4), {"end_mask": [2]}),
        )
    ),
    spec("StridedSliceGrad", sized([3, 4]), known([0, 1]), known([2, 4]), known([1, 2]), x(2, 2)),
)

GATHERS = (
    spec("Gather", x(3, 4), given([[0, 2], [1, 1]]), types={"Tparams": (*ALL, "string"), "Tindices": INDEX}),
    *(
        spec("GatherV2", x(3, 4, 5), given([[0, 2], [1, 1]]), axis, batch_dims=[0], types={"Taxis": INDEX})
        for axis in (known(0), known(1), known(-1))
    ),
    spec("GatherV2", x(3, 4), given(1), known(1), types={"Tparams": (*ALL, "string")}),
    spec("GatherV2", x(3, 4), given([]), known(1), types={"Tindices": INDEX}),
    spec("GatherV2", x(2, 3, 4, 5), given([[0, 2], [1, 1]]), known(1), batch_dims=[1]),
    spec("GatherV2", x(2, 3, 4, 5), given([[0, 2], [1, 1]]), known(3), batch_dims=[1, -1]),
    spec("GatherV2", x(2, 2, 4, 5), given([[0, 2], [1, 1]]), known(2), batch_dims=[2]),
    spec("GatherV2", x(2, 2, 4, 5), given([[0, 2], [1, 1]]), known(3), batch_dims=[2]),
    spec("GatherNd", x(3, 4, 5), given([[0, 2], [1, 1]]), types={"Tparams": (*ALL, "string"), "Tindices": INDEX}),
    spec("GatherNd", x(3, 4), given([[[0, 2]], [[1, 1]]])),
    spec("GatherNd", x(3, 4), Draw((2, 0), values=[[], []])),
)

PLACES = given([[0], [2], [0], [1]])
PAIRS = given([[0, 1], [2, 3], [0, 1]])
SCATTERS = (
    spec("ScatterNd", PLACES, x(4, 3), known([5, 3]), types={"Tindices": INDEX}),
    spec("ScatterNd", PAIRS, x(3), sized([3, 4])),
    spec("ScatterNd", PAIRS, x(3, 2), known([3, 4, 2])),
    *(
        spec(op, into, places, updates)
        for op in ("TensorScatterAdd", "ScatterNdNonAliasingAdd", "TensorScatterSub", "TensorScatterMin")
        for into, places, updates in ((x(5, 3), PLACES, x(4, 3)), (x(3, 4), PAIRS, x(3)))
    ),
    spec("TensorScatterMax", x(5, 3), PLACES, x(4, 3)),
    spec("TensorScatterUpdate", x(5, 3), given([[0], [2], [4]]), x(3, 3), types=ANY),
    spec("TensorScatterUpdate", x(5), PLACES, x(4)),
    *(
        spec(op, (given([0, 2]), given([[1, 3], [0, 4]])), (x(2, 3), x(2, 2, 3)), types=ANY)
        for op in ("DynamicStitch", "ParallelDynamicStitch")
    ),
    spec("DynamicStitch", (given(0), given([2, 1])), (x(3), x(2, 3))),
    spec("DynamicPartition", x(4, 3), given([0, 2, 0, 1]), num_partitions=[3, 4], types=ANY),
    spec("DynamicPartition", x(2, 2, 3), given([[0, 1], [1, 0]]), num_partitions=[2]),
)

SORTED, UNSORTED = given([0, 0, 2, 2, 2]), given([3, -1, 0, 3, 1])
SEGMENTS = (
    *(spec(f"Segment{kind}", x(5, 3), SORTED) for kind in ("Sum", "Prod", "Max", "Min", "Mean")),
    *(spec(f"Segment{kind}", x(0, 3), Draw((0,))) for kind in ("Sum", "Prod", "Max", "Min", "Mean")),
    *(spec(f"UnsortedSegment{kind}", x(5, 3), UNSORTED, known(6)) for kind in ("Sum", "Prod", "Max", "Min")),
    *(spec(f"UnsortedSegment{kind}", x(5), UNSORTED, given(4)) for kind in ("Sum", "Prod", "Max", "Min")),
    *(spec(f"UnsortedSegment{kind}", x(2, 3), given([[0, 1, 0], [2, 2, -1]]), known(3)) for kind in ("Sum", "Max")),
    *(
        spec(f"SparseSegment{kind}", x(4, 3), given([0, 3, 3, 1]), given([0, 0, 1, 3]))
        for kind in ("Sum", "Mean", "SqrtN")
    ),
    *(
        spec(f"SparseSegment{kind}WithNumSegments", x(4, 3), given([0, 3, 3, 1]), given([0, 0, 1, 3]), known(6))
        for kind in ("Sum", "Mean", "SqrtN")
    ),
)

REPEATED = given([[3, 1, 3, 2], [1, 1, 1, 1], [-2, 5, -2, 5]])
ORDER = (
    *(spec("TopKV2", REPEATED, k, types={"Tk": INDEX}) for k in (known(2), given(3), known(0))),
    spec("TopKV2", x(20), known(5), sorted=[True]),
    spec("NthElement", x(3, 7), known(2), reverse=[False, True]),
    spec("NthElement", x(3, 7), given(0)),
    spec("InTopK", x(3, 5), given([0, 4, 2]), k=[1, 2, 5]),
    spec("InTopKV2", x(3, 5), given([0, 4, 2]), given(2)),
    spec("InTopK", given([[1.0, 1.0, 0.0], [float("nan"), 1.0, 2.0]]), given([1, 2]), k=[1, 2]),
    spec("Where", x(3, 4, low=0, high=1)),
    spec("Where", given([[0.0, -0.0, float("nan")], [1.0, 0.5, -1.0]])),
    *(
        spec("OneHot", given([[0, 2, -1], [1, 5, 3]]), depth, given(1), given(0), axis=[-1, 0, 1], types=types)
        for depth, types in (
            (known(4), ANY | {"T": ALL, "TI": ("uint8", "int8", "int32", "int64")}),
            (given(3), {}),
        )
    ),
    spec("OneHot", given([1, 2]), known(3), x(), x(), axis=[-1], types=ANY),
    *(spec(op, given([3, 1, 3, 2, 1])) for op in ("Unique", "UniqueWithCounts")),
    *(spec(op, given([3, 1, 3, 2, 1]), known([])) for op in ("UniqueV2", "UniqueWithCountsV2")),
    *(
        spec(op, given([[3, 1], [3, 1], [0, 1]]), known([axis]))
        for op in ("UniqueV2", "UniqueWithCountsV2")
        for axis in (0, 1)
    ),
    spec("UnravelIndex", given([0, 7, 23, 11]), sized([2, 3, 4])),
    spec("UnravelIndex", given(5), known([3, 4])),
    spec("ListDiff", given([1, 2, 3, 4, 1]), given([1, 3])),
    *(
        spec(op, given([[1, 2, 2, 5], [0, 3, 3, 3]]), given([[2, 0, 9], [3, 4, -1]]))
        for op in ("LowerBound", "UpperBound")
    ),
)

BOTH, FIXED = ("fixed", "free"), ("fixed",)  # TensorFlow traces bands of free sizes as none at all
ALIGN = ["RIGHT_LEFT", "LEFT_RIGHT", "LEFT_LEFT", "RIGHT_RIGHT"]
DIAGONALS = (
    spec("MatrixDiag", x(2, 3), types={"T": ALL}),
    spec("MatrixDiagPart", x(2, 3, 4)),
    spec("MatrixDiagPart", x(4, 3)),
    spec("MatrixSetDiag", x(2, 3, 4), x(2, 3)),
    spec("MatrixSetDiag", x(4, 3), x(3)),
    spec("Diag", x(3)),
    spec("Diag", x(2, 3)),
    spec("DiagPart", x(3, 3)),
    spec("DiagPart", x(2, 3, 2, 3)),
    *(
        spec("MatrixDiagPartV3", x(2, 4, 5), known(k), given(9), align=ALIGN)
        for k in (0, 1, -2, [0, 1], [-1, 2], [-3, -1], 4)
    ),
    *(spec("MatrixDiagPartV2", x(2, 4, 5), known(k), given(9)) for k in (0, [-1, 2])),
    *(
        spec(
            "MatrixDiagV3",
            x(*shape),
            known(k),
            known(rows),
            known(columns),
            given(7),
            align=ALIGN,
            sizes=FIXED if rows > 0 or isinstance(k, list) else BOTH,
        )
        for shape, k, rows, columns in (
            ((2, 3), 0, -1, -1),
            ((2, 3), 1, -1, -1),
            ((2, 3), -2, 5, 4),
            ((2, 3, 4), [-1, 1], 4, 4),
            ((3, 3), [-1, 1], -1, -1),
        )
    ),
    *(spec("MatrixDiagV2", x(2, 3), known(k), known(-1), known(-1), given(7)) for k in (0, 2)),
    *(
        spec(
            "MatrixSetDiagV3",
            x(2, 4, 4),
            x(*shape),
            known(k),
            align=ALIGN,
            sizes=FIXED if isinstance(k, list) else BOTH,
        )
        for shape, k in (((2, 4), 0), ((2, 3), 1), ((2, 2, 4), [0, 1]), ((2, 3, 4), [-1, 1]))
    ),
    *(spec("MatrixSetDiagV2", x(2, 4, 4), x(2, 3), known(k), sizes=["fixed"]) for k in (1, -1)),
    *(
        spec("MatrixBandPart", x(2, 4, 5), known(low), known(high))
        for low, high in ((0, -1), (-1, 0), (1, 2), (0, 0), (-1, -1), (9, 0))
    ),
    spec("MatrixBandPart", x(2, 4, 5), given(1), given(0)),
)

SETS = tuple(
    spec(
        "DenseToDenseSetOperation",
        given(a),
        given(b),
        set_operation=["a-b", "b-a", "intersection", "union"],
        types={"T": ("int32", "int64", "int8", "uint8", "uint16")},
    )
    for a, b in (
        ([[10, 2, 30, 2, 5], [10, 9, 1, 9, 3]], [[4, 5, 10, 8, 9, 2], [1, 4, 1, 1, 5, 9]]),
        (np.arange(30).reshape(2, 3, 5) % 7, np.arange(24).reshape(2, 3, 4) % 5),
        ([[1, 2], [3, 4]], [[5, 5, 6], [7, 8, 8]]),
    )
)

COORDINATES = given([[0, 1], [1, 3], [2, 0]])
SPARSE = (
    spec("SparseToDense", COORDINATES, known([3, 4]), x(3), x(), types=ANY | {"Tindices": INDEX}),
    spec("SparseToDense", given([1, 3]), known([5]), x(2), x()),
    spec("SparseTensorDenseMatMul", COORDINATES, x(3), sized([3, 4]), x(4, 2)),
    spec("SparseTensorDenseMatMul", COORDINATES, x(3), sized([3, 4]), x(2, 3), adjoint_a=[True], adjoint_b=[True]),
    spec("SparseReshape", COORDINATES, sized([3, 4]), sized([2, -1])),
    spec("SparseReorder", given([[2, 0], [0, 1], [1, 3]]), x(3), sized([3, 4])),
)

TEXTS = given(["", "Hello World", "äÖ", "a,b,,c", " x "])
NUMBERS = given(["1", "-2", "30"])
TEXT = (
    spec("StringLower", TEXTS),
    spec("StringUpper", TEXTS),
    spec("StringJoin", (TEXTS, TEXTS), separator=["", "-"]),
    spec("RegexFullMatch", TEXTS, known("a.*")),
    spec("StaticRegexFullMatch", TEXTS, pattern=["a.*", "", "[a-z ]+"]),
    spec("AsString", x(3, low=-9, high=9), types={"T": (*WHOLE, "bool", "string", *REAL)}),
    spec("StringToNumber", NUMBERS),
    spec("StringSplitV2", TEXTS, known(","), maxsplit=[-1, 1, 2]),
    spec("StringSplit", TEXTS, known(","), skip_empty=[True, False]),
)

SEED = sized([5, -7])
DRAWN = (
    spec("StatelessRandomGetKeyCounter", SEED),
    spec("StatelessRandomGetKeyCounterAlg", SEED),
    *(spec(f"StatelessRandom{kind}", known([3, 5]), SEED) for kind in ("Uniform", "Normal")),
    spec("StatelessRandomUniform", sized([2, 3]), SEED),
    spec("StatelessRandomUniformInt", known([3, 5]), SEED, given(-4), given(9)),
    *(
        spec(f"StatelessRandom{kind}V2", known([3, 5]), sized([77]), sized([3, 2**40]), known(1))
        for kind in ("Uniform", "Normal")
    ),
    spec("StatelessRandomUniformIntV2", known([7]), sized([77]), sized([3, 4]), known(1), given(-4), given(9)),
    spec("TruncatedNormal", known([2, 3])),
)

SPECS: tuple[Spec, ...] = (
    *SHAPES,
    *MOVES,
    *SLICES,
    *GATHERS,
    *SCATTERS,
    *SEGMENTS,
    *ORDER,
    *DIAGONALS,
    *SETS,
    *SPARSE,
    *TEXT,
    *DRAWN,
)
