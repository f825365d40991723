"""The graph in double precision: every float but those whose steps are the point."""

from __future__ import annotations

import numpy as np
import onnx.parser
import onnx.reference
import onnx_ir as ir

from isthmus.readers.onnx import read_onnx
from isthmus.verify.float64 import in_float64

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
net (float[n, 3] x, float16[3] h, int64[2] size, bool c)
=> (float[n, 3] y, float[a, b] z, float16[3] k, seq(float[m]) s)
<float[3] weight = {1.1, 2.2, 3.3}>
{
    wide = Cast<to = 1>(h)
    sum = Add(x, wide)
    scaled = Mul(sum, weight)
    y = If(c) <
        then_branch = yes () => (float[n, 3] t) { half = Cast<to = 10>(scaled) t = Cast<to = 1>(half) },
        else_branch = no () => (float[n, 3] e) { e = Neg(scaled) }
    >
    z = ConstantOfShape(size)
    k = Neg(h)
    parts = SequenceEmpty<dtype = 1>()
    flat = Constant<value_floats = [0.1, 0.2]>()
    s = SequenceInsert(parts, flat)
}"""


def test_every_float_is_a_double_and_the_hub_stays_as_it_was() -> None:
    hub = read_onnx(onnx.parser.parse_model(TEXT))
    before = ir.to_proto(hub.model).SerializeToString(deterministic=True)
    wide = in_float64(hub)
    assert ir.to_proto(hub.model).SerializeToString(deterministic=True) == before
    kept = {ir.DataType.INT64, ir.DataType.BOOL, ir.DataType.DOUBLE}
    for graph in wide.model.graphs():
        values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
        assert {value.dtype for value in values if value.dtype is not None} <= kept
    x, h = np.array([[0.1, 0.2, 0.3]]), np.array([1.0, 2.0, 3.0])
    feeds = {"x": x, "h": h, "size": np.array([2, 2]), "c": np.array(True)}
    y, z, k, s = onnx.reference.ReferenceEvaluator(ir.to_proto(wide.model)).run(None, feeds)
    weight = np.array([1.1, 2.2, 3.3], np.float32).astype(np.float64)
    assert np.array_equal(y, (x + h) * weight)
    assert (z.dtype, k.dtype, s[0].dtype) == (np.float64,) * 3
