"""Permutations and reshapes in a row, against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.passes.arrange import permuted_first, reshaped_first


def followed(array: np.ndarray, steps) -> np.ndarray:
    for kind, values in steps:
        array = array.transpose(values) if kind == "perm" else array.reshape(values)
    return array


CASES = {
    "nothing": ((2, 3), []),
    "permuted": ((2, 3, 4), [("perm", (2, 0, 1)), ("perm", (1, 0, 2))]),
    "filter": ((3, 3, 4, 5), [("perm", (3, 2, 0, 1))]),
    "filter of one": ((1, 1, 4, 5), [("perm", (3, 2, 0, 1)), ("shape", (5, 4))]),
    "depthwise": ((3, 5, 4, 2), [("perm", (2, 3, 0, 1)), ("shape", (8, 1, 3, 5))]),
    "depthwise of one": ((3, 5, 4, 1), [("perm", (2, 3, 0, 1)), ("shape", (4, 1, 3, 5))]),
    "vector": ((4,), [("shape", (1, 4, 1, 1)), ("shape", (4, 1, 1))]),
    "heads": ((8, 2, 4), [("shape", (8, 8)), ("perm", (1, 0))]),
    "heads out": ((2, 4, 6), [("shape", (8, 6)), ("perm", (1, 0))]),
    "there and back": ((2, 3, 4), [("shape", (6, 4)), ("perm", (1, 0)), ("perm", (1, 0)), ("shape", (2, 12))]),
    "as it was": ((6, 4), [("shape", (2, 3, 4)), ("perm", (0, 1, 2)), ("shape", (6, 4))]),
}


@pytest.mark.parametrize("name", CASES)
def test_one_permutation_and_one_shape_do_the_same(name: str) -> None:
    sizes, steps = CASES[name]
    array = np.arange(np.prod(sizes)).reshape(sizes)
    expected = followed(array, steps)
    found = permuted_first(sizes, steps)
    assert found is not None
    made = array if found[0] is None else array.transpose(found[0])
    made = made if found[1] is None else made.reshape(found[1])
    np.testing.assert_array_equal(made, expected)
    other = reshaped_first(sizes, steps)
    assert other is not None
    np.testing.assert_array_equal(array.reshape(other[0]).transpose(other[1]), expected)


def test_what_changes_nothing_is_not_said() -> None:
    assert permuted_first((2, 3), []) == (None, None)
    assert permuted_first((6, 4), [("shape", (2, 3, 4)), ("shape", (6, 4))]) == (None, None)
    assert permuted_first((4,), [("shape", (1, 4))]) == (None, (1, 4))
    assert permuted_first((3, 3, 4, 5), [("perm", (3, 2, 0, 1))]) == ((3, 2, 0, 1), None)


def test_an_axis_that_is_cut_cannot_be_put_together() -> None:
    cut = [("shape", (2, 3, 4)), ("perm", (1, 0, 2))]
    assert permuted_first((6, 4), cut) is None
    assert reshaped_first((6, 4), cut) == ((2, 3, 4), (1, 0, 2))
    assert reshaped_first((2, 3), [("perm", (1, 0)), ("shape", (6,))]) is None
    assert permuted_first((2, 3), [("perm", (1, 0)), ("shape", (2, 3))]) is None
