"""Attributes that choose by a word: every one of ONNX is known, and no other word is taken for one of them."""

from __future__ import annotations

import onnx
import pytest

from isthmus.errors import InvalidModel
from isthmus.hub.model import HUB_OPSET
from isthmus.hub.schema import ML, op_names, schema_of
from isthmus.hub.words import words_of
from isthmus.readers.onnx import read_onnx

FREE = {"default_string", "delimiter", "equation", "locale", "pattern", "value_string"}
"""Attributes that are any text."""


def _texts() -> list[tuple[str, onnx.defs.OpSchema.Attribute]]:
    classical = {s.name for s in onnx.defs.get_all_schemas() if s.domain == ML}
    schemas = [schema_of("", op, HUB_OPSET) for op in op_names()] + [schema_of(ML, op) for op in sorted(classical)]
    return [
        (schema.name, attribute)
        for schema in schemas
        if schema is not None
        for attribute in schema.attributes.values()
        if attribute.type == onnx.defs.OpSchema.AttrType.STRING
    ]


def test_every_word_of_onnx_is_known() -> None:
    texts = _texts()
    assert len(texts) > 40
    for op, attribute in texts:
        words = words_of(op, attribute.name)
        assert (words is None) == (attribute.name in FREE), f"which words has {attribute.name} of {op}?"
        if words and attribute.default_value.type:
            assert attribute.default_value.s.decode() in words, (op, attribute.name)


def test_words_that_no_operator_knows_are_refused_by_name() -> None:
    text = """<ir_version: 10, opset_import: ["": 20]> g (float[1,1,4,4] x) => (float[1,1,4,4] y) {
        a = MaxPool <kernel_shape = [1, 1], auto_pad = "same_lower"> (x)
        y = Gelu <approximate = "quick"> (a)
    }"""
    with pytest.raises(InvalidModel) as refused:
        read_onnx(onnx.parser.parse_model(text))
    told = str(refused.value)
    assert "auto_pad is 'same_lower', and may be NOTSET, SAME_UPPER" in told and "'quick'" in told
