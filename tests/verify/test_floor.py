"""A noise floor that is measured: it lets rounding through, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx.parser
import pytest

pytest.importorskip("torch")

from isthmus import judging
from isthmus.hub.model import Hub
from isthmus.readers.onnx import read_onnx
from isthmus.types import Options, Signature, TensorSpec, Verdict
from isthmus.verify.feeds import Feeds
from isthmus.verify.floor import Floor
from isthmus.verify.judge import judge
from isthmus.verify.runners.protocol import LiveRunner

pytestmark = pytest.mark.torch

X = TensorSpec("x", "float32", ("n", 64))
SIGNATURE = Signature((X,), (TensorSpec("y", "float32", ("n", 64)),))
BIG = np.float32(4096)
"""Added and taken away again, it costs a float32 of size 1 its last twelve bits."""


def graph(body: str) -> Hub:
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    net (float[n, 64] x) => (float[n, 64] y) <float big = {{4096.0}}> {{ {body} }}"""
    return read_onnx(onnx.parser.parse_model(text))


def lossy(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"y": (feeds["x"] + BIG) - BIG}


def lossless(feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"y": feeds["x"]}


def floor_of(hub: Hub) -> Floor:
    found = judging.floor(lambda: hub, Options())
    assert found is not None
    return found


def judged(reference: Callable, candidate: Callable, floor: Floor | None) -> Verdict:
    one = LiveRunner("one", SIGNATURE, {"default": reference})
    other = LiveRunner("other", SIGNATURE, {"default": candidate})
    return judge(one, other, Feeds(SIGNATURE), floor=floor)


def test_what_rounding_leaves_undecided_is_noise_and_the_verdict_says_how_much() -> None:
    floor = floor_of(graph("a = Add(x, big) y = Sub(a, big)"))
    assert judged(lossy, lossless, None).comparisons[0].grade == "drift"
    verdict = judged(lossy, lossless, floor)
    assert verdict.comparisons[0].grade == "noise"
    assert verdict.comparisons[0].rtol == pytest.approx(8 * floor.found["y"])
    (note,) = verdict.notes
    assert note.topic == "floor"
    assert "of 'y' undecided in this graph" in note.text


def test_nothing_is_measured_where_the_bounds_hold() -> None:
    def unread() -> Hub:
        raise AssertionError("the graph was read")

    assert judged(lossless, lossless, judging.floor(unread, Options())).notes == ()


@pytest.mark.parametrize("wrong", [1.003, 1.1, -1.0])
def test_a_wrong_result_of_a_graph_that_rounds_little_stays_wrong(wrong: float) -> None:
    """Whatever was misread is the same in both runs: it widens nothing, whichever of the two was right."""
    for hub in (graph("y = Identity(x)"), graph(f"f = Constant<value_float = {wrong}>() y = Mul(x, f)")):
        verdict = judged(lossless, lambda feeds: {"y": feeds["x"] * np.float32(wrong)}, floor_of(hub))
        assert not verdict
        assert verdict.notes == ()


def test_a_wrong_result_of_a_graph_that_rounds_much_stays_wrong() -> None:
    floor = floor_of(graph("a = Add(x, big) y = Sub(a, big)"))
    assert not judged(lossy, lambda feeds: {"y": feeds["x"] * np.float32(1.05)}, floor)


def test_a_graph_of_nothing_but_rounding_proves_nothing() -> None:
    body = "a = Mul(big, big) b = Mul(a, a) c = Add(x, b) y = Sub(c, b)"
    floor = floor_of(graph(body))
    verdict = judged(lossless, lambda feeds: {"y": np.zeros_like(feeds["x"])}, floor)
    assert not verdict and floor.found == {}
    (note,) = verdict.notes
    assert note.text.endswith("right or wrong, it cannot be told on these inputs")


def test_whole_numbers_must_be_equal() -> None:
    signature = Signature((X,), (TensorSpec("y", "int64", ("n", 64)),))
    one = LiveRunner("one", signature, {"default": lambda f: {"y": np.round(f["x"] * 100).astype(np.int64)}})
    other = LiveRunner("other", signature, {"default": lambda f: {"y": np.round(f["x"] * 101).astype(np.int64)}})
    floor = floor_of(graph("a = Add(x, big) y = Sub(a, big)"))
    assert not judge(one, other, Feeds(signature), floor=floor)


def test_a_source_that_cannot_be_read_again_is_judged_by_the_formula() -> None:
    def unreadable() -> Hub:
        return graph("y = Sum(x, x) z = NoSuchThing(x)")

    assert judged(lossy, lossless, judging.floor(unreadable, Options())).comparisons[0].grade == "drift"


def test_the_users_own_bounds_are_not_widened() -> None:
    hub = graph("y = Identity(x)")
    assert judging.floor(lambda: hub, Options()) is not None
    assert judging.floor(lambda: hub, Options(atol=1e-6)) is None
    assert judging.floor(lambda: hub, Options(rtol={"y": 1e-6})) is None
