"""Gradients that a model computes of itself."""

from __future__ import annotations

import numpy as np
from operator_cases import Spec, fixed, given, image, known, sized, spec, x

Y = x(3, 4, low=0.1, high=0.9)
FEATURES = given([[-7.0, -0.5, 0.0, 0.25], [6.0, 6.5, 3.0, -1e-3], [1.0, -2.0, 0.5, 8.0]])
TIES = given(np.maximum(np.arange(2 * 5 * 6 * 3) % 7 - 3.0, 0).reshape(2, 5, 6, 3))
POOLS = (("SAME", (3, 3)), ("VALID", (2, 3)))
TRANSPOSED = (([2, 8, 6, 4], "SAME"), ([2, 7, 5, 4], "SAME"), ([2, 10, 6, 4], "VALID"))

SPECS: tuple[Spec, ...] = (
    *(spec(op, x(3, 4), FEATURES) for op in ("ReluGrad", "Relu6Grad", "SoftplusGrad", "SoftsignGrad")),
    spec("LeakyReluGrad", x(3, 4), FEATURES, alpha=[0.2, 0.5]),
    *(spec(op, x(3, 4), given([[-0.9, 0.0, 2.0, -0.1]] * 3)) for op in ("EluGrad", "SeluGrad")),
    *(
        spec(op, Y, x(3, 4))
        for op in ("TanhGrad", "SigmoidGrad", "SqrtGrad", "RsqrtGrad", "ReciprocalGrad", "InvGrad")
    ),
    spec("BiasAddGrad", x(2, 3, 4)),
    spec("BiasAddGrad", image(2, 3, 4, 5), data_format=["NCHW"]),
    *(
        spec(
            "MaxPoolGrad",
            TIES,
            x(2, *made, 3),
            x(2, *made, 3),
            ksize=[[1, 3, 2, 1]],
            strides=[[1, 2, 2, 1]],
            padding=[padding],
            types={"T": ("float32", "float64")},
            sizes=["fixed"],
        )
        for padding, made in POOLS
    ),
    *(
        spec(
            "DepthwiseConv2dNativeBackpropInput",
            sizes,
            fixed(3, 2, 4, 2),
            image(2, 4, 3, 8),
            strides=[[1, 2, 2, 1]],
            padding=[padding],
            rtol=1e-4,
            atol=1e-4,
        )
        for asked, padding in TRANSPOSED
        for sizes in (known(asked), sized(asked))
    ),
)
