"""Ragged tensors, rows that are filled, decoded sequences and cells over time."""

from __future__ import annotations

from operator_cases import Spec, fixed, given, image, known, sized, spec, x

SPLITS = given([0, 2, 2, 5])
OUTER = given([0, 2, 3])
NUMBERS = given([0, 0, 2, 2, 2])
INDEX = ("int64", "int32")
TYPES = {"T": ("float32", "int32", "string"), "Tindex": INDEX, "Tshape": INDEX}

RAGGED = (
    *(
        spec(
            "RaggedTensorToTensor",
            shape,
            x(5),
            x(),
            (SPLITS,),
            row_partition_types=[["ROW_SPLITS"]],
            types=TYPES,
        )
        for shape in (known(-1), known([-1, -1]), known([3, 4]), known([2, 2]), sized([-1, 2]))
    ),
    spec(
        "RaggedTensorToTensor", known([-1, -1, 2]), fixed(5, 2), x(), (SPLITS,), row_partition_types=[["ROW_SPLITS"]]
    ),
    spec("RaggedTensorToTensor", known(-1), x(5), x(), (OUTER, SPLITS), row_partition_types=[["ROW_SPLITS"] * 2]),
    spec(
        "RaggedTensorToTensor",
        known(-1),
        x(5),
        x(),
        (given(4), NUMBERS),
        row_partition_types=[["FIRST_DIM_SIZE", "VALUE_ROWIDS"]],
    ),
    spec("RaggedTensorToSparse", (SPLITS,), x(5)),
    spec("RaggedTensorToSparse", (OUTER, SPLITS), x(5)),
    *(
        spec("RaggedRange", given(starts), given(limits), given(deltas))
        for starts, limits, deltas in (
            ([0, 5, 8], [3, 5, 12], [1, 1, 3]),
            ([0, 5, 8], [3, 5, 2], 1),
            (0, [3, 0, 5], 2),
            ([9, 3], [0, 3], [-2, -1]),
        )
    ),
    *(
        spec("RaggedGather", splits, x(5), given([2, 0, 2, 1][: 4 if rank == 1 else 2]), OUTPUT_RAGGED_RANK=[rank])
        for rank, splits in ((1, (SPLITS,)), (1, (SPLITS,)))
    ),
    spec("RaggedGather", (OUTER, SPLITS), x(5), given([1, 0, 1]), OUTPUT_RAGGED_RANK=[2]),
    spec(
        "SparseFillEmptyRows",
        given([[0, 1], [2, 0], [2, 3]]),
        x(3),
        sized([5, 4]),
        x(),
        types={"T": ("float32", "string")},
    ),
    spec("SparseFillEmptyRows", given([[0], [2]]), x(2), sized([4]), x()),
)

GATES = (image(2, 3), fixed(2, 4), fixed(2, 4), fixed(7, 16), fixed(4), fixed(4), fixed(4), fixed(16))
SEQUENCES = (
    spec("CTCGreedyDecoder", x(6, 2, 3), given([6, 4]), merge_repeated=[False, True], blank_index=[-1, 0, 1]),
    spec("LSTMBlockCell", *GATES, forget_bias=[1.0, 0.0], cell_clip=[3.0, -1.0, 0.5], use_peephole=[False, True]),
    spec("GRUBlockCell", image(2, 3), fixed(2, 4), fixed(7, 8), fixed(7, 4), fixed(8), fixed(4)),
)

SPECS: tuple[Spec, ...] = (*RAGGED, *SEQUENCES)
