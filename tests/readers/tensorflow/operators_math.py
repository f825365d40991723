"""Arithmetic, functions of one tensor, comparisons, bits, casts, reductions, products, Fourier transforms."""

from __future__ import annotations

import numpy as np
from operator_cases import ALL, COMPLEX, REAL, WHOLE, Draw, Spec, given, known, sized, spec, x

MIXED = Draw((4, 13), special=True)
ROW = Draw((13,), special=True)
DIVISORS = given([[-7, -3, -2, -1], [1, 2, 3, 7]])
DIVIDENDS = given([[-9, 7, -8, 5], [-1, 0, 100, -120]])

FINE = {"T": ("float32", "float64")}
UNARY = (
    *(spec(op, MIXED) for op in ("Abs", "Neg", "Sign", "Square", "Ceil", "Floor", "Rint", "Relu", "Relu6")),
    *(spec(op, MIXED) for op in ("IsNan", "IsInf", "IsFinite", "Erf", "Erfc", "Sigmoid", "Tanh", "Atan", "Asinh")),
    *(spec(op, MIXED) for op in ("Elu", "Selu", "Softplus", "Softsign", "Invert", "PopulationCount", "Conj")),
    *(spec(op, MIXED) for op in ("Exp", "Expm1", "Cosh", "Sinh", "Sqrt", "Rsqrt", "Log", "Log1p", "OnesLike")),
    spec("Round", MIXED, types={"T": REAL}),  # of integers TensorFlow's kernels give zeros
    *(spec(op, MIXED, atol=1e-5) for op in ("Acos", "Asin", "Atanh", "Acosh")),
    *(spec(op, x(4, 6), rtol=1e-4) for op in ("Sin", "Cos", "Tan")),
    spec("Erfinv", given([[-1.0, -0.99999, -0.75, 0.0, 1e-4], [0.5, 0.9, 0.999, 1.0, 2.0]]), types=FINE),
    spec("Ndtri", given([[0.0, 1e-30, 1e-4, 0.1, 0.2], [0.5, 0.86, 0.999, 1.0, -1.0]]), types=FINE),
    *(
        spec(op, given([[-5.3, -2.0, -0.7, 0.0, 0.25], [0.5, 1.0, 2.5, 30.0, np.inf]]), rtol=1e-4, types=FINE)
        for op in ("Lgamma", "Digamma")
    ),
    *(spec(f"BesselI{kind}", x(6, 9, low=-80, high=80), rtol=1e-5) for kind in ("0", "0e", "1", "1e")),
    *(spec(f"BesselI{kind}", MIXED, rtol=1e-5) for kind in ("0", "0e", "1", "1e")),
    spec("NextAfter", MIXED, x(4, 13, low=-80, high=80)),
    spec(
        "NextAfter", given([0.0, -0.0, 1.0, 2.0, -1.0, 1e-45, 3.0]), given([1.0, -1.0, 1.0, 1.0, -2.0, 0.0, np.inf])
    ),
    *(spec(op, x(4, 5, low=0.5)) for op in ("Reciprocal", "Inv", "Log", "Sqrt", "Rsqrt", "Exp", "Sigmoid", "Tanh")),
    *(spec(op, x(2, 0), types={"T": (*REAL, *WHOLE)}) for op in ("Abs", "Exp", "Sign", "Expm1")),
    *(spec(op, x(), rtol=1e-4) for op in ("Neg", "Log1p", "Erfc", "IsInf")),
    spec("Expm1", x(50, low=-1e-3, high=1e-3), types={"T": REAL}),
    spec("Log1p", x(50, low=-1e-3, high=1e-3), types={"T": REAL}),
    spec("Erfc", x(50, low=0, high=9), types={"T": REAL}),
    spec("LeakyRelu", MIXED, alpha=[0.2, 0.0, 1.0, -0.5, 1.5]),
    spec("Softmax", given([[1.0, -np.inf, 2.0], [1e4, 0.0, -1e4]])),
    spec("Softmax", x(2, 3, 5)),
    spec("LogSoftmax", x(2, 3, 5, low=-20, high=20)),
    spec("LogicalNot", x(3, 4)),
    spec("ZerosLike", MIXED, types={"T": (*ALL, "string")}),
    spec("Complex", x(3, 4), x(3, 4)),
    spec("Complex", x(3, 1), x(4)),
    *(spec(op, x(3, 4)) for op in ("Real", "Imag", "ComplexAbs", "Angle")),
)

FLOATS = ("MulNoNan", "DivNoNan", "Xlogy", "Xlog1py", "Xdivy")
BINARY = (
    *(spec(op, MIXED, ROW) for op in ("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference")),
    *(spec(op, MIXED, ROW) for op in ("Less", "LessEqual", "Greater", "GreaterEqual", "BitwiseAnd", "BitwiseOr")),
    *(spec(op, MIXED, ROW) for op in ("BitwiseXor", "MulNoNan", "DivNoNan", "Xlogy", "Xlog1py", "Xdivy")),
    *(spec(op, x(3, 1, 4), x(2, 1)) for op in ("AddV2", "Mul", "Maximum", "Less", "SquaredDifference", *FLOATS)),
    *(spec(op, x(0, 3), x(3)) for op in ("AddV2", "Minimum", "Equal")),
    *(spec(op, MIXED, ROW, incompatible_shape_error=[True, False]) for op in ("Equal", "NotEqual")),
    *(spec(op, x(3), x(4), incompatible_shape_error=[False], sizes=["fixed"]) for op in ("Equal", "NotEqual")),
    spec("Equal", x(3), x(), types={"T": ("string",)}),
    spec("Add", x(2, 2), x(2), types={"T": ("string",)}),
    *(spec(op, x(3, 1), x(4)) for op in ("LogicalAnd", "LogicalOr")),
    spec("ApproximateEqual", x(40), x(40), tolerance=[1e-5, 1.0, 0.25]),
    *(spec(op, DIVIDENDS, DIVISORS) for op in ("TruncateDiv", "FloorDiv", "FloorMod", "TruncateMod", "Mod", "Div")),
    *(
        spec(op, x(30, low=-100, high=100), x(30, low=1, high=9))
        for op in ("TruncateDiv", "FloorDiv", "FloorMod", "TruncateMod", "Mod", "Div", "RealDiv")
    ),
    *(
        spec(
            op, given([[5.5, -5.5, 1e30, 0.0, -0.0, float("inf"), float("nan"), 7.0]]), given([[3.0], [-3.0], [0.5]])
        )
        for op in ("FloorDiv", "FloorMod", "TruncateMod", "Mod", "RealDiv", "Div")
    ),
    spec("RealDiv", MIXED, ROW, types={"T": REAL}),
    spec("Atan2", MIXED, ROW),
    spec("Atan2", x(3, 1), x(4)),
    spec("Pow", x(3, 1, low=0.1), x(4), types={"T": (*REAL, *COMPLEX)}, rtol=1e-4),
    spec("Pow", MIXED, given([[2], [3], [0], [1]]), types={"T": (*REAL, *WHOLE)}),
    *(spec("Pow", x(9, low=-5, high=5), known(n), types={"T": (*REAL, *WHOLE)}) for n in (0, 1, 2, 3, 7)),
    spec(
        "Pow", given([-2.0, 2.0, 0.0, -0.0, float("inf")]), given([[0.5], [-1.0], [3.0], [-2.0]]), types={"T": REAL}
    ),
    *(spec(op, Draw((30,), special=True), x(30, low=0, high=6)) for op in ("LeftShift", "RightShift")),
    *(spec(op, x(30, low=-90, high=90), x(30, low=-2, high=70)) for op in ("LeftShift", "RightShift")),
    spec("AddN", (x(3, 4), x(3, 4), x(3, 4))),
    spec("AddN", (x(3, 4),)),
    spec("AccumulateNV2", (x(3, 4), x(3, 4)), shape=[(3, 4)], sizes=["fixed"], reference=lambda xs, shape: sum(xs)),
    spec("Select", x(3, 4), x(3, 4), x(3, 4), types={"T": (*ALL, "string")}),
    spec("Select", x(3), x(3, 4), x(3, 4)),
    spec("Select", x(), x(3, 4), x(3, 4)),
    spec("SelectV2", x(3, 1), x(4), x(2, 3, 4), types={"T": (*ALL, "string")}),
    spec("ClipByValue", MIXED, given(-1), given(2)),
    spec("ClipByValue", x(3, 4), given(2), given(-1)),
    spec("ClipByValue", x(3, 4), x(3, 4, low=-2, high=-1), x(3, 4, low=0, high=2)),
    spec("Bucketize", MIXED, boundaries=[[-1.0, 0.1, 2.0], [], [0.0]]),
)

BEYOND = [-1.5, 200.7, -200.7, 70000.0, -70000.0, 255.0, -129.0]
CASTS = tuple(
    spec("Cast", draw, types={"SrcT": (source,), "DstT": ALL}, Truncate=[False], sizes=["fixed"])
    for source in ALL
    # beyond the range of an integer TensorFlow's casts of halves depend on where in a vector the number stands
    for draw in (
        given([0.0, 1.5, 2.5, 127.0, 3.7]),
        *([given(BEYOND)] if source not in ("bfloat16", "float16") else []),
    )
)

AXES = [known(0), known(-1), known([0, 2]), known([]), known([-1, 0, 1]), sized([1])]
LIMITS = [[1.0, np.inf, -2.0], [-np.inf, 0.0, 7.0], [-np.inf, -np.inf, -np.inf]]  # the runtime may lose NaN
AXIS = {"Tidx": ("int32", "int64")}  # the kernel for int16 reads beyond its operand
SUMS = ("Sum", "Mean", "Prod", "Max", "Min", "EuclideanNorm", "All", "Any")
REDUCTIONS = (
    *(spec(op, x(2, 3, 4), axes, keep_dims=[False, True]) for op in SUMS for axes in AXES),
    *(spec(op, Draw((3, 20), special=True), known(1)) for op in ("Sum", "Mean")),
    *(spec(op, given(LIMITS), known(1)) for op in ("Max", "Min")),
    spec("EuclideanNorm", Draw((3, 20), special=True), known(1), types={"T": ("float32", "float64", *WHOLE)}),
    *(spec(op, x(0, 3), known(0)) for op in SUMS if op != "Mean"),
    *(spec(op, x(), known([])) for op in SUMS),
    *(spec(op, x(3, 5), axis, types=AXIS) for op in ("ArgMax", "ArgMin") for axis in (known(0), known(-1), known(1))),
    *(spec(op, Draw((3, 12), special=True), known(1), types=AXIS | {"T": WHOLE}) for op in ("ArgMax", "ArgMin")),
    *(spec(op, given([[2, 7, 7, 1], [1, 1, 1, 1]]), known(1), types=AXIS) for op in ("ArgMax", "ArgMin")),
    *(
        spec(op, x(3, 4), axis, exclusive=[False, True], reverse=[False, True], rtol=1e-4)
        for op in ("Cumsum", "Cumprod", "CumulativeLogsumexp")
        for axis in (known(0), known(-1))
    ),
    *(spec(op, x(0, 4), known(0)) for op in ("Cumsum", "Cumprod", "CumulativeLogsumexp")),
    spec("Cumsum", x(3, 4), given(1)),
    spec("L2Loss", x(3, 4)),
)

PRODUCTS = (
    spec("MatMul", x(3, 4), x(4, 5), transpose_a=[False], transpose_b=[False], rtol=1e-4),
    spec("MatMul", x(4, 3), x(4, 5), transpose_a=[True], types={"T": (*REAL, *COMPLEX)}, rtol=1e-4),
    spec("MatMul", x(4, 3), x(5, 4), transpose_a=[True], transpose_b=[True], rtol=1e-4),
    spec("MatMul", x(3, 0), x(0, 5)),
    spec("MatMul", Draw((3, 4), -100, 100), Draw((4, 5), -100, 100), types={"T": WHOLE}),
    *(
        spec(op, x(2, 3, 4), x(2, 4, 5), rtol=1e-4, **{f: [False], g: [False]})
        for op in ("BatchMatMul", "BatchMatMulV2", "BatchMatMulV3")
        for f, g in (("adj_x", "adj_y"),)
    ),
    *(spec(op, x(2, 4, 3), x(2, 5, 4), adj_x=[True], adj_y=[True]) for op in ("BatchMatMul", "BatchMatMulV2")),
    spec("BatchMatMulV3", x(2, 4, 3), x(2, 5, 4), adj_x=[True], adj_y=[True]),
    spec("BatchMatMulV2", x(2, 1, 3, 4), x(3, 4, 2)),
    spec("BatchMatMulV3", x(2, 3, 4), x(2, 4, 5), types={"Ta": ("int8", "uint8"), "Tb": ("int8", "uint8")}),
    spec("Einsum", (x(2, 3, 4), x(4, 5)), equation=["bij,jk->bik", "bij,jk->kb", "...ij,jk->...k"], rtol=1e-4),
    spec("Einsum", (x(3, 3),), equation=["ii->i", "ij->ji", "ij->", "ii->"]),
    spec("Einsum", (x(2, 3), x(2, 3)), equation=["ab,ab->a", "ab,cb->ac", "ab,cd->abcd"]),
    spec("Einsum", (x(2, 3, 4), x(2, 4, 3)), equation=["i...,j...k->...ijk", "...,i...j->...ij"], rtol=1e-4),
    spec("Einsum", (x(5, 1, 2, 3), x(6, 3, 4)), equation=["...ij,...jk->...ik", "a...ij,...jk->...ka"], rtol=1e-4),
    spec("Cross", x(2, 3), x(2, 3)),
    spec("Cross", x(3), x(3)),
)

FOURIER = (
    *(
        spec(f"{op}{axes}", x(2, 3, 4, 5), rtol=1e-4, atol=2e-4)
        for op in ("FFT", "IFFT")
        for axes in ("", "2D", "3D")
    ),
    *(
        spec(f"RFFT{axes}", x(2, 3, 4, 5), known(sizes), rtol=1e-4, atol=2e-4)
        for axes, all_sizes in (("", ([5], [4], [8])), ("2D", ([4, 5], [3, 8])), ("3D", ([3, 4, 5], [5, 2, 4])))
        for sizes in all_sizes
    ),
    *(
        spec(f"IRFFT{axes}", x(2, 3, 4, 5), known(sizes), rtol=1e-4, atol=2e-4)
        for axes, all_sizes in (("", ([8], [9], [5], [12], [1])), ("2D", ([4, 8], [3, 5])), ("3D", ([3, 4, 8],)))
        for sizes in all_sizes
    ),
    spec("RFFT", x(2, 6), sized([4]), atol=1e-5),
    spec("IRFFT", x(2, 6), sized([7]), atol=1e-5),
)

SPECS: tuple[Spec, ...] = (*UNARY, *BINARY, *CASTS, *REDUCTIONS, *PRODUCTS, *FOURIER)
