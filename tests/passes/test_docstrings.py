"""Every pass shows a graph before and after in its docstring; this runs that very text."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from evaluate import feeds_of, reference, run
from layout_nets import hub_of

import isthmus.passes
from isthmus.hub.canonical import check_canonical
from isthmus.hub.schema import op_names
from isthmus.passes.base import HubPass, Repeat
from isthmus.passes.layout.asked import AskLayouts
from isthmus.passes.layout.layout import AssignLayout

NOT_ON_RUNTIME = {"ExpandNewer", "GatherTextByRow", "WidenTypes"}
"""Whose example ONNX Runtime cannot run before the pass, or runs wrongly: ONNX's own evaluator says what it gives."""
NOT_AFTER = {"RecoverSwish"}
"""Whose result it cannot run: likewise."""
ASKED: dict[str, dict[str, Any]] = {"AskLayouts": {"input_layouts": {"x": "NHWC"}}}
"""What the user of the example asks for."""
WITHOUT = {"ExpandFunctions": {"HardSwish"}}
"""What the target of the example lacks."""


def all_passes() -> Iterator[type[HubPass]]:
    for module in pkgutil.walk_packages(isthmus.passes.__path__, "isthmus.passes."):
        for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = found.__module__ == module.name and issubclass(found, HubPass)
            if own and not inspect.isabstract(found) and found is not Repeat:
                yield found


PASSES = sorted(set(all_passes()), key=lambda found: found.__name__)


def made(found: type[HubPass]) -> HubPass:
    if "table" not in inspect.signature(found).parameters:
        return found(**ASKED.get(found.__name__, {}))
    construct: Callable[..., HubPass] = found
    return construct({("", op): None for op in op_names() if op not in WITHOUT.get(found.__name__, set())})


def example(found: type[HubPass], title: str) -> str:
    """The indented block that follows ``title::``."""
    text = inspect.getdoc(found) or ""
    block = re.search(rf"^{title}::\n\n((?:    .*\n|\n)+)", text + "\n", re.M)
    assert block, f"{found.__name__} shows no {title}"
    return textwrap.dedent(block[1]).strip()


def anatomy(model: ir.Model) -> list[tuple[object, ...]]:
    """The graph without the names that a pass may choose: operators, attributes, and how they hang together."""
    numbers: dict[ir.Value, object] = {value: value.name for value in model.graph.inputs}
    for value in model.graph.initializers.values():
        assert value.const_value is not None
        array = value.const_value.numpy()
        flat = array.reshape(-1) if array.dtype.kind == "b" else np.round(array.reshape(-1), 5)
        numbers[value] = (str(array.dtype), array.shape, tuple(flat.tolist()))
    rows: list[tuple[object, ...]] = []
    for count, node in enumerate(model.graph):
        attributes = sorted((a.name, str(a.value)) for a in node.attributes.values())
        rows.append((node.domain, node.op_type, attributes, [v and numbers[v] for v in node.inputs]))
        numbers.update({value: (count, i) for i, value in enumerate(node.outputs)})
    return [*rows, tuple((v.name, numbers[v]) for v in model.graph.outputs)]


def test_there_are_passes() -> None:
    assert len(PASSES) >= 8


@pytest.mark.onnxruntime
@pytest.mark.parametrize("found", PASSES, ids=lambda found: found.__name__)
def test_docstring(found: type[HubPass]) -> None:
    hub = hub_of(example(found, "Given"))
    feeds = feeds_of(hub)
    golden = (reference if found.__name__ in NOT_ON_RUNTIME else run)(hub.model, feeds)
    result = made(found)(hub)
    assert result.modified
    sweep = importlib.import_module("isthmus.passes.cleanup").RemoveDead()
    after = sweep(result.hub).hub
    expected = hub_of(example(found, "Result"))
    assert anatomy(after.model) == anatomy(expected.model)
    assert not check_canonical(after.model)
    feeds = {name: x.transpose(0, 2, 3, 1) if found is AskLayouts else x for name, x in feeds.items()}
    evaluated = (reference if found.__name__ in NOT_AFTER else run)(after.model, feeds)
    for ours, theirs in zip(evaluated, golden, strict=True):
        if theirs.dtype.kind in "OU":
            assert ours.astype(str).tolist() == theirs.astype(str).tolist()
        else:
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert not made(found)(after).modified or found in (AssignLayout, AskLayouts)
