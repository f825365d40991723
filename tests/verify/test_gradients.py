"""One loss over source and result, and what it is worth to every parameter on either side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import isthmus
from isthmus.types import Options, Signature, StoredWeight, TensorSpec, Verdict
from isthmus.verify.feeds import Feeds
from isthmus.verify.gradients import GradientMeasures, arranged, cotangents
from isthmus.verify.judge import judge
from isthmus.verify.runners.gradients import Gradients, Origin
from isthmus.verify.tolerance import ScaledTolerance

TRAINABLE = Options(trainable=True)
PLAIN = Signature((TensorSpec("x", "float32", ("n", 4)),), (TensorSpec("y", "float32", ("n", 2)),))


def compared(
    reference: Gradients, candidate: Gradients, *, converted: bool = False
) -> tuple[dict[str, str], list[str]]:
    measures = GradientMeasures(ScaledTolerance(), converted=converted)
    measures.add(reference, candidate)
    return {c.output: c.grade for c in measures.results()}, [note.text for note in measures.notes()]


ONES = np.ones((2, 3), np.float32)


def test_parameters_go_by_any_of_their_names() -> None:
    grades, notes = compared(Gradients({"a": ONES}, {"b": "a"}), Gradients({"b": ONES}))
    assert grades == {"a": "exact"} and not notes
    grades, _ = compared(Gradients({"a": ONES}), Gradients({"b": ONES}, {"a": "b"}))
    assert grades == {"a": "exact"}


def test_a_parameter_that_the_result_lacks_disagrees_where_the_loss_reaches_it() -> None:
    grades, notes = compared(Gradients({"used": ONES, "idle": None}), Gradients({"other": ONES}))
    assert grades == {"used": "wrong"}
    assert notes == ["the loss does not reach idle, which the result has not", "only the result trains other"]


def test_no_gradient_is_a_gradient_of_zero() -> None:
    grades, _ = compared(
        Gradients({"a": None, "b": ONES, "c": None}), Gradients({"a": ONES, "b": None, "c": 0 * ONES})
    )
    assert grades == {"a": "wrong", "b": "wrong", "c": "exact"}


def test_what_rounding_leaves_of_sums_that_cancel_agrees() -> None:
    """It is measured against the model's largest gradient, and an error of that size is an error."""
    left = {"large": 100 * ONES, "small": 1e-6 * ONES}
    assert compared(Gradients(left), Gradients({**left, "small": -1e-6 * ONES}))[0]["small"] == "noise"
    assert compared(Gradients(left), Gradients({**left, "small": ONES}))[0]["small"] == "wrong"


def stored_as(key: str, source: str, *, transposed: bool = False) -> Mapping[str, StoredWeight]:
    return {key: StoredWeight(key, source, perm=(1, 0) if transposed else None)}


WIDE = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_weight_is_compared_in_the_order_that_its_target_has() -> None:
    """Each step of a StoredWeight, and all of them: one entry, its blocks in another order, turned, reshaped."""
    source = np.arange(48, dtype=np.float32).reshape(2, 6, 4)
    gates = StoredWeight("l.weight", "W", index=1, blocks=(2, 0), of=3, perm=(1, 0), shape=(16,))
    made = np.concatenate([source[1, 4:6], source[1, 0:2]]).T.reshape(16)
    assert np.array_equal(arranged(gates, source), made)
    for step in ({"index": 1}, {"blocks": (1, 0), "of": 2}, {"perm": (2, 0, 1)}, {"shape": (8, 6)}):
        assert arranged(StoredWeight("k", "W", **step), source).size == (24 if "index" in step else 48)
    grades, notes = compared(Gradients({"W": source}), Gradients({"l.weight": made}, stored={"l.weight": gates}))
    assert grades == {"W": "exact"} and not notes


def test_both_parts_of_a_weight_that_was_cut_must_agree() -> None:
    parts = {name: StoredWeight(name, "W", index=i) for i, name in enumerate(("a", "b"))}
    right = {"a": WIDE[0], "b": WIDE[1]}
    assert compared(Gradients({"W": WIDE}), Gradients(right, stored=parts))[0] == {"W": "exact"}
    assert compared(Gradients({"W": WIDE}), Gradients({**right, "b": 2 * WIDE[1]}, stored=parts))[0] == {"W": "wrong"}


def test_a_tied_weight_is_found_by_any_name_that_a_map_leads_to() -> None:
    grades, _ = compared(
        Gradients({"table": WIDE}, {"head": "table"}),
        Gradients({"weight": WIDE.T}, stored=stored_as("weight", "head", transposed=True)),
    )
    assert grades == {"table": "exact"}


def test_a_map_leads_from_either_side_to_the_other_or_to_a_third() -> None:
    turned = Gradients({"weight": WIDE.T}, stored=stored_as("weight", "w", transposed=True))
    plain = Gradients({"w": WIDE})
    assert compared(plain, turned)[0] == {"w": "exact"}
    assert compared(turned, plain)[0] == {"weight": "exact"}
    assert compared(turned, turned)[0] == {"weight": "exact"}
    assert compared(turned, Gradients({"weight": WIDE.T}))[0] == {"weight": "exact"}


def test_a_result_that_was_converted_has_its_reference_for_a_source() -> None:
    """Whatever the reference had for one itself: here the names are the same, and the order is not."""
    reference = Gradients({"w": WIDE.T}, stored=stored_as("w", "w", transposed=True))
    assert compared(reference, Gradients({"w": WIDE}))[0] == {"w": "exact"}
    assert compared(reference, Gradients({"w": WIDE.T}), converted=True)[0] == {"w": "exact"}
    again = Gradients({"w": WIDE}, stored=stored_as("w", "w", transposed=True))
    assert compared(reference, again, converted=True)[0] == {"w": "exact"}


def test_a_map_that_does_not_fit_condemns_the_weight_and_says_why() -> None:
    wrong = StoredWeight("k", "w", blocks=(0, 1), of=4)
    measures = GradientMeasures(ScaledTolerance())
    measures.add(Gradients({"w": WIDE, "v": ONES}), Gradients({"k": WIDE, "v": ONES}, stored={"k": wrong}))
    found = {c.output: c for c in measures.results()}
    assert found["v"].grade == "exact" and found["w"].grade == "wrong"
    assert "'k' is not made of 'w' [2, 3] as it is told" in found["w"].detail


def test_the_loss_is_seeded_and_leaves_out_what_is_not_finite() -> None:
    outputs = {"y": np.array([[1, np.nan], [2, np.inf]], np.float32), "n": np.arange(3), "z": np.float32(3)[None]}
    drawn = cotangents(outputs, 0, 0)
    assert drawn.keys() == {"y", "z"}
    assert np.isfinite(drawn["y"]).all() and (drawn["y"][:, 1] == 0).all() and drawn["y"][:, 0].all()
    assert all(np.array_equal(drawn[name], again) for name, again in cotangents(outputs, 0, 0).items())
    assert not np.array_equal(drawn["z"], cotangents(outputs, 0, 1)["z"])
    assert cotangents(outputs, 0, 0, ["y"]).keys() == {"z"}


def test_axes_come_back_in_the_order_of_the_source() -> None:
    source = np.arange(24.0).reshape(2, 3, 4)
    assert np.array_equal(Origin("w", (2, 0, 1)).restored(source.transpose(2, 0, 1)), source)
    assert np.array_equal(Origin("w", (1, 0), (4, 6)).restored(source.reshape(4, 6).T), source.reshape(4, 6))


@pytest.mark.torch
class TestTorch:
    """Live modules against live modules, and against what is written."""

    @pytest.fixture(autouse=True)
    def framework(self) -> None:
        self.torch = pytest.importorskip("torch")
        self.torch.manual_seed(0)

    def net(self, *, detached: bool = False, factor: float = 1.0):
        torch = self.torch

        class Net(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.norm, self.last = (
                    torch.nn.Linear(4, 3),
                    torch.nn.BatchNorm1d(3),
                    torch.nn.Linear(3, 2),
                )
                self.drop = torch.nn.Dropout(0.5)

            def forward(self, x):
                y = self.norm(self.first(x)).tanh()
                y = y.detach() if detached else y * factor + (y * (1 - factor)).detach()
                return self.last(self.drop(y))

        torch.manual_seed(0)
        return Net().eval()

    def judged(self, first, second) -> Verdict:
        from isthmus.verify.runners.torch import live_module

        one, other = (
            live_module(module, lambda feeds, module=module: {"y": module(feeds["x"])}, PLAIN, name=name)
            for name, module in (("one", first), ("other", second))
        )
        return judge(one, other, Feeds(PLAIN), options=TRAINABLE)

    def test_the_same_module_agrees(self) -> None:
        verdict = self.judged(self.net(), self.net())
        assert verdict and {c.grade for c in verdict.gradients} == {"exact"}
        assert [c.output for c in verdict.gradients] == [name for name, _ in self.net().named_parameters()]

    def test_a_detached_module_computes_the_same_and_disagrees(self) -> None:
        verdict = self.judged(self.net(), self.net(detached=True))
        assert not verdict and all(c.agrees for c in verdict.comparisons)
        wrong = {c.output for c in verdict.gradients if not c.agrees}
        assert wrong == {"first.weight", "first.bias", "norm.weight", "norm.bias"}

    def test_a_gradient_of_another_size_disagrees(self) -> None:
        verdict = self.judged(self.net(), self.net(factor=0.999))
        assert not verdict and all(c.agrees for c in verdict.comparisons)
        assert next(c for c in verdict.gradients if c.output == "first.weight").max_rel == pytest.approx(
            1e-3, rel=0.1
        )

    def test_a_frozen_parameter_is_missed(self) -> None:
        frozen = self.net()
        frozen.first.weight.requires_grad_(False)
        verdict = self.judged(self.net(), frozen)
        assert [c.detail for c in verdict.gradients if not c.agrees] == [
            "the result has no such parameter, or does not train it"
        ]

    def test_without_training_nothing_is_asked(self) -> None:
        from isthmus.verify.runners.torch import live_module

        runner = live_module(self.net(), lambda feeds: {}, PLAIN)
        assert runner.trains and not judge(runner, runner, Feeds(PLAIN)).gradients

    @pytest.mark.parametrize("target", ["net.py", "net.pt2"])
    def test_a_conversion_for_training_is_judged_by_its_gradients(self, target: str, tmp_path: Path) -> None:
        inputs = (self.torch.randn(3, 4),)
        shapes = ({0: "n"},)
        net = self.net()
        conversion = isthmus.convert(net, tmp_path / target, inputs=inputs, dynamic_shapes=shapes, options=TRAINABLE)
        assert conversion
        names = [name for name, _ in net.named_parameters()]
        assert sorted(c.output for c in conversion.verdict.gradients) == sorted(names)
        told = json.loads(conversion.report.to_json())["verdict"]["gradients"]
        assert {entry["output"] for entry in told} == set(names) and all("max_rel" in entry for entry in told)

    def test_a_tied_weight_is_one_weight(self, tmp_path: Path) -> None:
        torch = self.torch

        class Tied(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.table, self.head = torch.nn.Embedding(7, 4), torch.nn.Linear(4, 7, bias=False)
                self.head.weight = self.table.weight

            def forward(self, x):
                return self.head(self.table(x).sum(1))

        inputs = (torch.randint(0, 7, (3, 5)),)
        conversion = isthmus.convert(Tied(), tmp_path / "tied.py", inputs=inputs, options=TRAINABLE)
        assert conversion and [c.output for c in conversion.verdict.gradients] == ["table.weight"]

    @pytest.mark.onnxruntime
    def test_onnx_has_no_gradients_and_it_is_said(self, tmp_path: Path) -> None:
        inputs = (self.torch.randn(3, 4),)
        conversion = isthmus.convert(self.net(), tmp_path / "net.onnx", inputs=inputs, options=TRAINABLE)
        assert conversion and not conversion.verdict.gradients
        assert "net.onnx: no gradients can be had there" in conversion.verdict.notes[-1].text

    @pytest.mark.onnxruntime
    def test_transposed_weights_are_told_of(self, linear: Path, tmp_path: Path) -> None:
        """A Linear holds the matrix of a MatMul the other way round; its file says so, and the judge reads it."""
        for name in ("one.py", "two.pt2"):
            assert isthmus.convert(linear, tmp_path / name)
        from isthmus.verify.runners.process import ProcessRunner

        made: list[Mapping[str, np.ndarray]] = []
        for name in ("one.py", "two.pt2"):
            with ProcessRunner("torch", str(tmp_path / name)) as runner:
                feeds = {runner.signature.inputs[0].name: np.ones((2, 3), np.float32)}
                (output,) = runner.run(feeds)
                found = runner.gradients(feeds, {output: np.ones((2, 2), np.float32)})
                made.append(dict(found.values))
        for gradients in made:
            assert {name: value.shape for name, value in gradients.items()} == {"weight": (3, 2), "bias": (2,)}
        assert np.array_equal(made[0]["weight"], made[1]["weight"])


@pytest.mark.torch
@pytest.mark.tensorflow
def test_a_saved_model_is_judged_by_its_gradients(tmp_path: Path) -> None:
    """Filters are stored in another order there, and gradients of embeddings come as rows."""
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = torch.nn.Conv2d(3, 4, 3, groups=1), torch.nn.BatchNorm2d(4)
            self.table, self.head = torch.nn.Embedding(5, 4), torch.nn.Linear(4, 2)

        def forward(self, x, i):
            return self.head(self.norm(self.conv(x)).relu().mean((2, 3)) + self.table(i))

    torch.manual_seed(0)
    net = Net().eval()
    inputs = (torch.randn(2, 3, 6, 6), torch.randint(0, 5, (2,)))
    shapes = ({0: "n"}, {0: "n"})
    conversion = isthmus.convert(net, tmp_path / "tf", inputs=inputs, dynamic_shapes=shapes, options=TRAINABLE)
    assert conversion, [c for c in conversion.verdict.gradients if not c.agrees]
    assert {c.output for c in conversion.verdict.gradients} == {name for name, _ in net.named_parameters()}
    isthmus.convert(net, tmp_path / "net.pt2", inputs=inputs, dynamic_shapes=shapes, options=TRAINABLE)
    verdict = isthmus.verify(tmp_path / "tf", tmp_path / "net.pt2", options=TRAINABLE)
    assert verdict and len(verdict.gradients) == len(conversion.verdict.gradients)
