"""What the judge sees in a pair of answers."""

from __future__ import annotations

import itertools
import math
import re

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from isthmus.types import Comparison
from isthmus.verify import compare
from isthmus.verify.compare import Measure, spread_agrees
from isthmus.verify.runners.codec import Value
from isthmus.verify.tolerance import ScaledTolerance

RNG = np.random.default_rng(7)
X = RNG.standard_normal((4, 10)).astype(np.float32)


def measured(*pairs: tuple[Value, Value], **tolerance: float) -> Comparison:
    measure = Measure("y")
    for reference, candidate in pairs:
        measure.add(reference, candidate, ScaledTolerance(**tolerance))
    return measure.result()


floats = npst.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]),
    npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    elements=st.floats(width=16),
)


@settings(max_examples=100)
@given(array=floats)
def test_anything_equals_itself_exactly(array: np.ndarray) -> None:
    found = measured((array, array.copy()))
    assert found.grade == "exact"
    assert found.max_abs == found.max_rel == found.mean_abs == found.nonfinite == found.argmax_flips == 0


@settings(max_examples=100)
@given(array=floats.filter(lambda a: a.size > 0), data=st.data())
def test_a_gross_error_anywhere_is_never_passed(array: np.ndarray, data: st.DataObject) -> None:
    place = tuple(data.draw(st.integers(0, n - 1)) for n in array.shape)
    other = array.copy()
    other[place] = 1.0 if not np.isfinite(array[place]) else np.nan
    found = measured((array, other))
    assert found.grade == "wrong"
    assert found.nonfinite == 1


@pytest.mark.parametrize(("error", "grade"), [(0.0, "exact"), (2e-5, "noise"), (1e-3, "drift"), (0.5, "wrong")])
def test_grades_follow_the_size_of_the_error(error: float, grade: str) -> None:
    assert measured((X, X + np.float32(error))).grade == grade


def test_one_bad_sample_among_good_ones_is_kept() -> None:
    pairs = [(X, X), (X, X + 1), (X, X)]
    for order in itertools.permutations(pairs):
        found = measured(*order)
        assert found.grade == "wrong"
        assert found.max_abs == pytest.approx(1, rel=1e-5)


def test_the_measures_are_what_they_say() -> None:
    found = measured((np.array([2.0, 4.0, 0.0]), np.array([2.5, 4.0, 0.0])))
    assert found.max_abs == 0.5
    assert found.max_rel == 0.25
    assert found.mean_abs == pytest.approx(0.5 / 3)
    assert found.cosine == pytest.approx((2 * 2.5 + 16) / (math.sqrt(20) * math.sqrt(22.25)))


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    other = X + RNG.standard_normal(X.shape).astype(np.float32) * 1e-3
    whole = measured((X, other))
    monkeypatch.setattr(compare, "_CHUNK", 7)
    assert measured((X, other)).max_abs == whole.max_abs
    assert measured((X, other)).argmax_flips == whole.argmax_flips
    assert measured((X, other)).cosine == pytest.approx(whole.cosine, abs=1e-12)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint64, bool])
def test_integers_and_booleans_must_be_equal(kind: type) -> None:
    left = np.array([1, 0, 1], kind)
    right = np.array([1, 0, 0], kind)
    assert measured((left, left)).grade == "exact"
    assert measured((left, right)).grade == "wrong"


def test_integers_that_float64_cannot_tell_apart_are_told_apart() -> None:
    big = np.array([2**62], np.int64)
    assert measured((big, big + 1)).grade == "wrong"
    top = np.array([2**64 - 1], np.uint64)
    assert measured((top, top - np.uint64(1))).grade == "wrong"


def test_an_integer_within_the_users_own_tolerance_is_noise() -> None:
    left = np.array([100, 7], np.uint8)
    assert measured((left, left + np.uint8(1)), atol=1.0).grade == "noise"


def test_a_sigmoid_of_nothing_is_nothing_to_within_two_steps_at_one() -> None:
    """ONNX Runtime's gives 1.8e-7 at -16.94, where the true one is 4.4e-8."""
    true = np.full(8, 4.391e-8, np.float32)
    assert measured((true, np.full(8, 1.788e-7, np.float32))).grade == "noise"
    assert measured((true, np.full(8, 3e-7, np.float32))).grade == "drift"


def test_strings_must_be_equal() -> None:
    left = np.array(["a", "b"], dtype=object)
    assert measured((left, left.copy())).grade == "exact"
    found = measured((left, np.array(["a", "c"], dtype=object)))
    assert (found.grade, found.detail) == ("wrong", "1 of 2 entries differ")


def test_infinities_are_compared_by_sign_and_nan_equals_nan() -> None:
    left = np.array([np.inf, -np.inf, np.nan, 1], np.float32)
    assert measured((left, left.copy())).grade == "exact"
    found = measured((left, np.array([-np.inf, -np.inf, np.nan, 1], np.float32)))
    assert (found.grade, found.nonfinite) == ("wrong", 1)


@pytest.mark.parametrize(
    ("candidate", "detail"),
    [
        (X.astype(np.float64), "the reference is float32, the result float64"),
        (X[:, :5], r"the reference is \[4, 10\], the result \[4, 5\]"),
        (None, "the result empty"),
        ([X], "the result a sequence of 1"),
        ({"a": X}, "the result a map"),
    ],
)
def test_another_kind_of_value_is_wrong_and_says_so(candidate: Value, detail: str) -> None:
    found = measured((X, candidate))
    assert found.grade == "wrong"
    assert re.search(detail, found.detail)


def test_sequences_and_maps_are_compared_inside() -> None:
    assert measured(([X, X], [X, X])).grade == "exact"
    assert measured(([X, X], [X, X + 1])).grade == "wrong"
    assert "2 elements" in measured(([X, X], [X])).detail
    assert measured(({1: X}, {1: X + np.float32(1e-5)})).grade == "noise"
    assert "keys differ" in measured(({1: X}, {2: X})).detail


def test_argmax_flips_count_only_beyond_ties() -> None:
    reference = np.array([[1.0, 1.0 + 1e-7], [3.0, 1.0]], np.float32)
    tie = np.array([[1.0 + 1e-7, 1.0], [3.0, 1.0]], np.float32)
    flip = np.array([[1.0, 1.0 + 1e-7], [1.0, 3.0]], np.float32)
    assert measured((reference, tie)).argmax_flips == 0
    assert measured((reference, flip)).argmax_flips == 1


def test_a_mask_that_fills_with_huge_numbers_hides_nothing() -> None:
    reference = np.where(RNG.random(X.shape) < 0.5, X, np.float32(-1e9))
    wrong = np.where(reference > -1e8, reference + np.float32(0.5), reference)
    assert measured((reference, wrong)).grade == "wrong"
    assert measured((reference, reference + np.float32(1e-6))).agrees


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_one_unit_in_the_last_place_is_noise_in_any_float(dtype: type) -> None:
    left = X.astype(dtype)
    bits = left.view(f"u{left.dtype.itemsize}")
    right = (bits ^ (np.arange(bits.size).reshape(bits.shape) % 2).astype(bits.dtype)).view(dtype)
    assert measured((left, right)).grade == "noise"
    assert measured((left, (left.astype(np.float32) * -1).astype(dtype))).grade == "wrong"


def test_a_coarser_type_inside_the_graph_widens_the_bounds_of_its_outputs() -> None:
    other = X * np.float32(1 + 5e-3)
    assert not measured((X, other)).agrees
    assert measured((X, other), compute_dtype="float16").agrees


def test_empty_and_scalar_outputs_are_judged_too() -> None:
    assert measured((np.zeros((0, 3), np.float32), np.zeros((0, 3), np.float32))).grade == "exact"
    assert measured((np.float32(3).reshape(()), np.float32(-3).reshape(()))).grade == "wrong"


def test_numbers_at_the_end_of_their_range_do_not_overflow_the_judge() -> None:
    huge = np.array([1e308, -1e308])
    assert measured((huge, huge)).grade == "exact"
    assert measured((huge, -huge)).grade == "wrong"


def test_complex_outputs_are_compared_as_complex() -> None:
    left = (X + 1j * X).astype(np.complex64)
    assert measured((left, left)).grade == "exact"
    assert measured((left, left.conj())).grade == "wrong"


def test_overrides_by_output_name_win() -> None:
    measure = Measure("y")
    measure.add(X, X + np.float32(0.1), ScaledTolerance(atol={"y": 0.2}, rtol={"z": 0.0}))
    assert measure.result().grade == "noise"


def test_random_draws_are_held_against_mean_and_spread() -> None:
    draws = RNG.standard_normal((2, 5000)).astype(np.float32)
    assert spread_agrees(draws[0], draws[1])
    assert not spread_agrees(draws[0], draws[1] + 1)
    assert not spread_agrees(draws[0], draws[1] * 2)
    assert not spread_agrees(draws[0], draws[1][:10])
    assert spread_agrees(draws[0, :1], draws[1, :1])  # one number has no spread


def test_a_list_of_maps_is_held_against_the_matrix_that_stands_for_it() -> None:
    maps = [{2: 0.25, 0: 0.75}, {0: 0.5, 2: 0.5}]
    table = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    assert measured((maps, table)).grade == "exact"
    assert measured((maps, table[:, ::-1].copy())).grade == "wrong"
    assert measured((maps, table.astype(np.float64))).grade == "wrong"
    assert measured(([{0: 1.0}, {1: 1.0}], np.ones((2, 1), np.float32))).grade == "wrong"
