"""Models whose names are attacks: the source stays valid, distinct, stable, and nothing of the model is run."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

torch = pytest.importorskip("torch")

import onnx_ir as ir  # noqa: E402

from isthmus.hub.model import ROLE  # noqa: E402
from isthmus.hub.provenance import stamp  # noqa: E402
from isthmus.hub.state import STATE, State  # noqa: E402
from isthmus.readers.onnx import read_onnx  # noqa: E402
from isthmus.types import Options  # noqa: E402
from isthmus.writers.torch.record import record  # noqa: E402
from isthmus.writers.torch.source import save_weights, source  # noqa: E402

pytestmark = pytest.mark.torch

RUN = 'import os; os.environ["HOSTILE"] = "1"'
HOSTILE = (
    *("__class__", "__init__", "__dict__", "forward", "training", "_modules", "_parameters", "register_buffer"),
    *("self", "T", "torch", "nn", "F", "math", "operator", "Tensor", "Path", "load_model", "INPUTS", "CONSTANTS"),
    *("class", "lambda", "match", "None", "True", "print", "super", "range", "zip", "int", "getattr"),
    *("a.b", "a..b", ".", "/", "//", "a/b", "a b", "a_b", "a-b", "1", "01", "1x", "-1", "²", "①", "٣"),
    *("é", "é", "ﬁ", "fi", "ª", "K", "ſelf", "名前", "\u202eevil", "\x00", "\x01", "\x02", "{}", "{", "}", "%s"),
    *("n" * 300, "n." * 60 + "n", "x", "x_1", "y", "keys", "items", "0", "0.0", "0.1", "Sequential", "ModuleList"),
    *(f'"""\n{RUN}\n"""', f"'''\n{RUN}\n'''", f'"); {RUN}; ("', f"\\\n{RUN}", f"#\n{RUN}", f"x\r{RUN}", "\\", '\\"'),
)
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=24))
kinds = st.sampled_from((*HOSTILE, "Linear", "ModuleDict", "Dropout(p=0.5)", "Dropout(p=1e999)", "LSTM(dropout=7)"))


def chain(weights: Sequence[str], others: Sequence[str], scopes: Sequence[str], classes: Sequence[str]) -> ir.Model:
    """The input plus one weight after the other, each in a scope of its own."""
    given_name, last, dim, text = others[0] or "x", others[1] or "y", others[2], others[3]
    taken = {*weights, given_name, last}
    steps = [next(n for i in range(99) if (n := f"step{i}") not in taken and not taken.add(n)) for _ in weights[1:]]
    made = [*steps, last]
    nodes = [
        helper.make_node("Add", [[given_name, *made][i], name], [made[i]], name=f"{scopes[i]}/{name}")
        for i, name in enumerate(weights)
    ]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [dim or None, 3]) for n in (given_name, last)]
    tensors = [onnx.numpy_helper.from_array(np.full(3, i + 1, np.float32), n) for i, n in enumerate(weights)]
    graph = helper.make_graph(nodes, text or "graph", info[:1], info[1:], tensors, doc_string=text)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10))
    model.doc_string = text
    for node, scope, kind in zip(model.graph, scopes, classes, strict=True):
        stamp(node, module=scope, cls=f"{text}.{kind}", source=f"{text}:1")
    return model


@st.composite
def models(draw: st.DrawFn) -> tuple[ir.Model, State, int]:
    usable = names.filter(lambda name: bool(name) and "\x00" not in name)
    weights = draw(st.lists(usable, min_size=1, max_size=5, unique=True))
    others = draw(st.tuples(usable, usable, usable, names.filter(lambda n: "\x00" not in n)))
    scopes = draw(st.lists(names, min_size=len(weights), max_size=len(weights)))
    classes = draw(st.lists(kinds, min_size=len(weights), max_size=len(weights)))
    if others[0] in weights or others[1] in weights or others[0] == others[1]:
        others = ("the input", "the output", *others[2:])
    modules = {"": draw(kinds), **dict(zip(scopes, draw(st.permutations(classes)), strict=True))}
    return chain(weights, others, scopes, classes), State(modules=modules), len(weights)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(models())
def test_whatever_a_model_is_called_its_source_is_valid_and_the_same(case: tuple[ir.Model, State, int]) -> None:
    model, state, count = case
    proto = ir.to_proto(model)
    texts = []
    for _ in range(2):
        hub = read_onnx(proto, options=Options(verify=False))
        for value in hub.graph.initializers.values():
            value.metadata_props[ROLE] = "parameter"
        recorded = record(hub.with_(extras={**hub.extras, STATE: state}))
        texts.append(source(recorded)[0])
    assert texts[0] == texts[1]
    text = texts[0]
    tree = ast.parse(text)
    assert {type(node) for node in tree.body} <= {
        *(ast.Expr, ast.ImportFrom, ast.Import, ast.Assign, ast.ClassDef, ast.FunctionDef)
    }
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert len(set(classes)) == len(classes)
    held = recorded.module.state_dict()
    assert len(held) == count, "no two weights are one"
    space: dict[str, object] = {"__name__": "hostile", "__file__": "hostile.py"}
    exec(compile(text, "hostile.py", "exec"), space)
    assert "HOSTILE" not in os.environ
    made = space[classes[-1]]()  # type: ignore[operator]
    made.load_state_dict(held)
    x = torch.zeros(2, 3)
    expected = torch.full((2, 3), float(sum(range(1, count + 1))))
    assert torch.equal(made(x), expected) and torch.equal(recorded.module(x), expected)


def test_a_source_without_its_weights_says_so(tmp_path: Path) -> None:
    model = chain(["weight"], ["x", "y", "n", "text"], ["scope"], ["Net"])
    recorded = record(read_onnx(ir.to_proto(model), options=Options(verify=False)))
    text, constants = source(recorded)
    path = tmp_path / "net.py"
    path.write_text(text)
    space = {"__name__": "net", "__file__": str(path)}
    exec(compile(text, str(path), "exec"), space)
    with pytest.raises(FileNotFoundError, match=r"net\.safetensors: the model's weights belong there"):
        space["load_model"]()
    save_weights(recorded, path.with_suffix(".safetensors"), constants)
    assert not space["load_model"]().training
