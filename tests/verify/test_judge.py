"""The whole judgement, over live runners and over processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import judged_nets as nets
import numpy as np
import pytest

from isthmus.errors import RunnerFailed, UsageError
from isthmus.types import Options, Signature, TensorSpec, Verdict
from isthmus.verify.feeds import Feeds
from isthmus.verify.judge import judge
from isthmus.verify.runners.process import ProcessRunner
from isthmus.verify.runners.protocol import LiveRunner, SizesRefused

Call = Callable[[dict], Mapping]
X = TensorSpec("x", "float32", ("n", "m"))
PLAIN = Signature((X,), (TensorSpec("y", "float32", ("n", "m")),))


def live(name: str, signature: Signature = PLAIN, /, **calls: Call) -> LiveRunner:
    return LiveRunner(name, signature, {key.replace("_", " "): call for key, call in calls.items()})


def judged(reference: Call, candidate: Call, signature: Signature = PLAIN, **options: object) -> Verdict:
    settings = Options(**options)
    feeds = Feeds(signature, samples=settings.samples, seed=settings.seed)
    one, other = live("one", signature, default=reference), live("other", signature, default=candidate)
    return judge(one, other, feeds, options=settings)


def double(feeds: dict) -> Mapping:
    return {"y": feeds["x"] * 2}


def test_the_same_function_agrees_exactly_at_several_sizes() -> None:
    verdict = judged(double, double)
    assert verdict
    assert [c.grade for c in verdict.comparisons] == ["exact"]
    assert [dict(s.sizes) for s in verdict.samples] == [{"n": 2, "m": 5}, {"n": 3, "m": 7}, {"n": 1, "m": 9}]
    assert (verdict.reference, verdict.candidate, verdict.notes) == ("one", "other", ())


def test_an_error_at_one_size_only_is_found() -> None:
    def fixed(feeds: dict) -> Mapping:
        return {"y": feeds["x"] * (2 if feeds["x"].shape[0] != 3 else 2.5)}

    verdict = judged(double, fixed)
    assert not verdict
    assert verdict.comparisons[0].grade == "wrong"


def test_a_candidate_that_fails_at_a_size_disagrees_and_says_where() -> None:
    def stubborn(feeds: dict) -> Mapping:
        return {"y": feeds["x"].reshape(2, 5) * 2}

    verdict = judged(double, stubborn)
    assert not verdict
    assert verdict.comparisons[0].detail.startswith("the result fails on n=3, m=7: ValueError: cannot reshape")


def test_sizes_that_a_candidate_declares_not_to_take_are_told_and_others_judged() -> None:
    def limited(feeds: dict) -> Mapping:
        if feeds["x"].shape[1] < 8:
            raise SizesRefused("Guard failed: x.size()[1] >= 8")
        return double(feeds)

    verdict = judged(double, limited)
    assert verdict and len(verdict.samples) == 3
    assert all(sample.sizes["m"] >= 8 for sample in verdict.samples)
    assert [note.text for note in verdict.notes] == [
        "the reference takes n=2, m=5 and the result declares that it does not: Guard failed: x.size()[1] >= 8"
    ]


def test_a_sample_that_a_candidate_declines_at_every_size_is_left_out_and_told() -> None:
    taken: list[dict] = []

    def once(feeds: dict) -> Mapping:
        if taken:
            raise SizesRefused("Guard failed: x.size()[0] == 2")
        taken.append(feeds)
        return double(feeds)

    verdict = judged(double, once)
    assert verdict and [dict(sample.sizes) for sample in verdict.samples] == [{"n": 2, "m": 5}]
    assert "and the result declares that it does not: Guard failed: x.size()[0] == 2" in verdict.notes[0].text


def test_a_candidate_that_takes_no_sizes_at_all_disagrees() -> None:
    def closed(feeds: dict) -> Mapping:
        raise SizesRefused("Guard failed: x.size()[1] >= 1000000")

    verdict = judged(double, closed)
    assert not verdict
    assert "Guard failed" in verdict.comparisons[0].detail


@pytest.mark.parametrize(
    ("made", "output", "detail"),
    [
        (lambda feeds: {"z": feeds["x"] * 2}, "y", "the result has no such output; it has z"),
        (lambda feeds: {**double(feeds), "z": feeds["x"]}, "z", "the reference has no such output"),
    ],
)
def test_outputs_go_by_name(made: Call, output: str, detail: str) -> None:
    verdict = judged(double, made)
    assert not verdict
    assert {c.output: c.detail for c in verdict.comparisons}[output] == detail


def test_inputs_go_by_name() -> None:
    other = Signature((TensorSpec("renamed", "float32", ("n", "m")),), PLAIN.outputs)
    verdict = judge(live("one", default=double), live("other", other, default=double), Feeds(PLAIN))
    assert not verdict
    assert "wants inputs that the reference has not: renamed" in verdict.comparisons[0].detail


def test_an_input_that_the_result_dropped_is_noted() -> None:
    both = Signature((X, TensorSpec("unused", "float32", ("n",))), PLAIN.outputs)
    verdict = judge(live("one", both, default=double), live("other", default=double), Feeds(both))
    assert verdict
    assert [note.text for note in verdict.notes] == ["the result takes no input unused"]


@pytest.mark.parametrize("height", [32, 48, 64])
def test_a_reader_of_lines_is_fed_lines_of_its_height(height: int) -> None:
    image = Signature((TensorSpec("x", "float32", ("n", 1, "h", "w")),), PLAIN.outputs)

    def reader(feeds: dict) -> Mapping:
        if feeds["x"].shape[2] != height:
            raise ValueError("another height")
        return double(feeds)

    verdict = judged(reader, reader, image)
    assert verdict
    assert {sample.sizes["h"] for sample in verdict.samples} == {height}
    assert len({sample.sizes["w"] for sample in verdict.samples}) == 3


def test_a_detector_of_speech_is_fed_pieces_of_its_length_and_small_batches() -> None:
    """As Silero's: a piece of 512 samples, and a state that has the batch on its second axis."""
    pieces = TensorSpec("x", "float32", ("batch", "samples"))
    state = TensorSpec("state", "float32", (2, "batch", 4))

    def detector(feeds: dict) -> Mapping:
        if not 192 <= feeds["x"].shape[1] < 704:
            raise ValueError("not a piece")
        return double(feeds)

    verdict = judged(detector, detector, Signature((pieces, state), PLAIN.outputs))
    assert verdict
    sizes = [(sample.sizes["batch"], sample.sizes["samples"]) for sample in verdict.samples]
    assert sizes == [(2, 512), (3, 576), (1, 640)]


def test_sizes_that_the_reference_refuses_are_replaced_and_noted() -> None:
    def strided(feeds: dict) -> Mapping:
        x = feeds["x"]
        return {"y": x.reshape(x.shape[0], 16, -1)}

    verdict = judged(strided, strided)
    assert verdict
    assert all(sample.sizes["m"] % 16 == 0 for sample in verdict.samples)
    assert len({sample.sizes["m"] for sample in verdict.samples}) > 1
    assert "refused 1 choices of sizes, first n=2, m=5" in verdict.notes[0].text


def test_a_dimension_that_never_moved_is_noted() -> None:
    feeds = Feeds(PLAIN, samples=2, sizes={"m": [4]})
    verdict = judge(live("one", default=double), live("other", default=double), feeds)
    assert verdict
    assert [note.text for note in verdict.notes] == ["judged at one size only: m at 4"]


def test_a_reference_that_runs_on_nothing_is_no_judgement() -> None:
    def broken(feeds: dict) -> Mapping:
        raise ValueError("never")

    with pytest.raises(RunnerFailed, match=r"runs on none of the inputs tried:\n  n=2, m=5: ValueError: never"):
        judged(broken, double)


def test_the_users_inputs_are_enough_where_the_reference_takes_no_others() -> None:
    def narrow(feeds: dict) -> Mapping:
        if not (feeds["x"] == 1).all():
            raise ValueError("only ones")
        return {"y": feeds["x"]}

    feeds = Feeds(PLAIN, samples=3, user={"x": np.ones((11, 1), np.float32)})
    verdict = judge(live("one", default=narrow), live("other", default=narrow), feeds)
    assert verdict
    assert [sample.origin for sample in verdict.samples] == ["user"]
    assert "took no other sizes" in verdict.notes[0].text


def test_integers_that_turn_out_to_be_indices_are_tried_small() -> None:
    signature = Signature((TensorSpec("i", "int64", (40,)),), ())

    def table(feeds: dict) -> Mapping:
        return {"y": np.array([5.0, 7.0], np.float32)[feeds["i"]]}

    verdict = judged(table, table, signature)
    assert verdict
    assert len(verdict.samples) == 3


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda feeds: {"y": feeds["x"] * np.float32("nan")}, "held no finite number"),
        (lambda feeds: {"y": feeds["x"][:0]}, "was empty"),
    ],
)
def test_agreement_over_nothing_is_noted(call: Call, what: str) -> None:
    verdict = judged(call, call)
    assert verdict
    assert [note.text for note in verdict.notes] == [f"'y' {what} in any sample, so its agreement proves little"]


def test_an_output_made_at_random_is_compared_by_its_spread_and_marked() -> None:
    source = np.random.default_rng(0)

    def noisy(factor: float) -> Call:
        return lambda feeds: {"y": feeds["x"] * 2, "r": source.standard_normal((400,)).astype(np.float32) * factor}

    verdict = judged(noisy(1.0), noisy(1.0))
    assert verdict
    assert {c.output: c.grade for c in verdict.comparisons} == {"y": "exact", "r": "noise"}
    assert verdict.notes[0].topic == "random"
    assert not judged(noisy(1.0), noisy(3.0))


def test_the_verdict_says_with_which_way_of_the_reference_the_result_agrees() -> None:
    def padded(feeds: dict) -> Mapping:
        return {"y": np.where(feeds["x"] > 1, np.float32(0), feeds["x"] * 2)}

    feeds = Feeds(PLAIN)
    reference = live("one", default=padded, fast_path_off=double)
    verdict = judge(reference, live("other", default=double), feeds)
    assert verdict
    assert verdict.reference == "one (fast path off)"
    assert "computes differently with its fast path off" in verdict.notes[0].text
    assert verdict.notes[0].text.endswith("agrees with its fast path off")
    neither = judge(reference, live("other", default=lambda feeds: {"y": feeds["x"]}), feeds)
    assert not neither
    assert neither.notes[0].text.endswith("agrees with neither")


def test_layouts_that_were_asked_for_are_brought_back() -> None:
    image = Signature(
        (TensorSpec("x", "float32", ("n", 3, "h", "w")),), (TensorSpec("y", "float32", ("n", 3, "h", "w")),)
    )

    def nhwc(feeds: dict) -> Mapping:
        assert feeds["x"].shape[-1] == 3
        return double(feeds)

    assert judged(double, nhwc, image, input_layouts={"x": "NHWC"}, output_layouts={"y": "NHWC"})
    with pytest.raises(UsageError, match="has 2 axes, which the layout 'NHWC' does not describe"):
        judged(double, double, input_layouts={"x": "NHWC"})


def test_the_users_own_tolerance_decides() -> None:
    def off(feeds: dict) -> Mapping:
        return {"y": feeds["x"] * 2 + np.float32(0.01)}

    assert not judged(double, off)
    assert judged(double, off, atol={"y": 0.02})
    assert not judged(double, off, atol=0.001, rtol=0.0)


@pytest.mark.onnxruntime
def test_two_files_in_their_own_processes(tmp_path: Path) -> None:
    paths = {k: nets.scale(tmp_path / f"{k}.onnx", k) for k in (2.0, 2.001)}
    with ProcessRunner("onnx", paths[2.0]) as one, ProcessRunner("onnx", paths[2.001]) as other:
        assert judge(one, one, Feeds(one.signature))
        verdict = judge(one, other, Feeds(one.signature))
    assert verdict.comparisons[0].grade == "drift"
    assert verdict.comparisons[0].max_rel == pytest.approx(5e-4, rel=0.01)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_torchs_attention_fast_path_is_told_from_the_graph() -> None:
    torch = pytest.importorskip("torch")
    from isthmus.verify.runners.torch import SLOW_PATH, live_module

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = torch.nn.TransformerEncoder(layer, 1, enable_nested_tensor=True)
    signature = Signature((TensorSpec("x", "float32", ("n", "m", 8)),), ())

    def call(feeds: dict) -> Mapping:
        mask = torch.zeros(feeds["x"].shape[:2], dtype=torch.bool)
        mask[0, -1] = True
        return {"y": encoder(feeds["x"], src_key_padding_mask=mask)}

    reference = live_module(encoder, call, signature)
    assert reference.variants == ("default", SLOW_PATH)
    slow = LiveRunner("result", signature, {"default": reference.calls[SLOW_PATH]})
    verdict = judge(reference, slow, Feeds(signature))
    assert verdict
    assert verdict.reference.endswith(f"({SLOW_PATH})")
    assert [note.topic for note in verdict.notes] == ["variants"]
