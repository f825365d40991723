"""Window arithmetic, against counting by hand."""

from __future__ import annotations

import itertools

import pytest

from isthmus.lower.windows import Window, ceiled, known, outputs_of, paddings_of, same_padding


def test_a_window_fills_in_ones():
    window = Window.of((3, 2), None, (2, 1))
    assert window == Window((3, 2), (1, 1), (2, 1))
    assert (window.rank, window.extents, window.dilated, window.taps) == (2, (5, 2), True, 6)


def test_known_sizes_are_ints():
    assert known([1, 2])
    assert not known([1, "n"])


@pytest.mark.parametrize(("size", "extent", "stride"), [*itertools.product((0, 1, 5, 8), (1, 2, 5), (1, 2, 3))])
def test_same_padding_gives_size_over_stride_windows(size: int, extent: int, stride: int):
    before, after = same_padding(size, extent, stride, upper=True, larger=max)
    assert same_padding(size, extent, stride, upper=False, larger=max) == (after, before)
    assert 0 <= after - before <= 1
    if size:
        fit = outputs_of(size + before + after, extent, stride)
        assert fit == -(-size // stride)


def test_stride_1_needs_no_size():
    assert same_padding(None, 4, 1, upper=True, larger=max) == (1, 2)


def test_pads_are_begins_then_ends():
    window = Window.of((3, 3), None, None)
    assert paddings_of("NOTSET", (1, 2, 3, 4), window, [9, 9], larger=max) == [(1, 3), (2, 4)]
    assert paddings_of("NOTSET", None, window, [9, 9], larger=max) == [(0, 0), (0, 0)]
    assert paddings_of("VALID", (1, 2, 3, 4), window, [9, 9], larger=max) == [(0, 0), (0, 0)]
    assert paddings_of("SAME_LOWER", None, Window.of((2,), (2,), None), [5], larger=max) == [(1, 0)]


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [
        (s, k, t, (b, e))
        for s, k, t in itertools.product((3, 4, 7), (1, 2, 3), (1, 2, 3))
        for b, e in itertools.product(range(k), repeat=2)
    ],
)
def test_the_last_partial_window_counts_where_it_starts_on_the_input(
    size: int, kernel: int, stride: int, pads: tuple[int, int]
):
    begin, end = pads
    starts = [0]
    while starts[-1] + kernel < begin + size + end and starts[-1] + stride < begin + size:
        starts.append(starts[-1] + stride)
    (widened,) = ceiled([pads], Window.of((kernel,), (stride,), None), [size], smaller=min)
    assert widened[0] == begin
    assert outputs_of(size + sum(widened), kernel, stride) == len(starts)
