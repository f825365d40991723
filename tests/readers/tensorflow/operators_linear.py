"""Linear algebra: matrices one at a time and in stacks, of known and of free sizes."""

from __future__ import annotations

import numpy as np
from operator_cases import Spec, given, spec, x

SQUARE = np.random.default_rng(5).normal(size=(2, 3, 4, 4))
DEFINITE = SQUARE @ SQUARE.swapaxes(-1, -2) + np.eye(4)
TRIANGLE = np.tril(SQUARE) + 3 * np.eye(4)
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])
REAL = {"T": ("float32", "float64")}
LOOSE = {"rtol": 2e-3, "atol": 2e-4, "types": REAL}
STACKS = (SQUARE, SQUARE[0, 0])

SPECS: tuple[Spec, ...] = (
    *(
        spec(op, given(matrix), **LOOSE)
        for op in ("MatrixDeterminant", "LogMatrixDeterminant", "Lu")
        for matrix in STACKS
    ),
    spec("MatrixDeterminant", given(SINGULAR), types=REAL),
    spec("LogMatrixDeterminant", given(SINGULAR), types=REAL),
    *(spec("MatrixInverse", given(matrix), adjoint=[False, True], **LOOSE) for matrix in STACKS),
    spec("MatrixSolve", given(SQUARE[0]), x(3, 4, 2), adjoint=[False, True], **LOOSE),
    spec(
        "MatrixTriangularSolve",
        given(TRIANGLE[0]),
        x(3, 4, 2),
        lower=[True, False],
        adjoint=[False, True],
        **LOOSE,
    ),
    *(spec("MatrixTriangularSolve", given(TRIANGLE[0]), x(*shape), **LOOSE) for shape in ((1, 4, 2), (4, 2))),
    spec("MatrixTriangularSolve", given(TRIANGLE[0, 0]), x(3, 4, 2), **LOOSE),
    spec("Cholesky", given(DEFINITE), **LOOSE),
    *(spec("Qr", x(*shape), full_matrices=[False, True], **LOOSE) for shape in ((4, 4), (2, 5, 3), (2, 3, 5))),
    spec("Qr", given(np.diag([1.0, -2.0, 3.0])), full_matrices=[False], **LOOSE),
    *(spec("Svd", x(*shape), compute_uv=[False], outputs=1, **LOOSE) for shape in ((4, 4), (2, 5, 3), (2, 3, 5))),
    *(spec("SelfAdjointEigV2", x(*shape), compute_v=[False], outputs=1, **LOOSE) for shape in ((4, 4), (2, 5, 5))),
    spec("Eig", x(4, 4), types=REAL),
)
