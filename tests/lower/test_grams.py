"""n-grams of a TfIdfVectorizer, against reading the attributes by hand."""

from __future__ import annotations

import numpy as np

from isthmus.lower.grams import Grams, vocabulary


def test_a_vocabulary_is_read_from_the_attributes():
    words = vocabulary([7, 3, 3, 7, 9, 3], (0, 2), (2, 0, 1, 4), (0.5, 2.0, 4.0, 8.0), (1, 2))
    assert words.alphabet.tolist() == [3, 7, 9]
    assert [g.letters.tolist() for g in words.grams] == [[[1], [0]], [[0, 1], [2, 0]]]
    assert [g.columns.tolist() for g in words.grams] == [[2, 0], [1, 4]]
    assert words.width == 5
    assert words.weights.tolist() == [2.0, 4.0, 0.5, 1.0, 8.0]


def test_lengths_that_do_not_count_are_passed_over_with_their_columns():
    words = vocabulary(["b", "a", "a", "b"], (0, 2), (0, 1, 2), None, (2, 3))
    assert [(g.letters.tolist(), g.columns.tolist()) for g in words.grams] == [([[0, 1]], [2])]
    assert words.weights.tolist() == [1.0, 1.0, 1.0]


def test_every_gram_is_found_from_prefix_to_prefix_and_nothing_else():
    letters = np.array([[0, 1, 1], [2, 0, 1], [0, 1, 2], [2, 2, 2]])
    keys, column = Grams(letters, np.array([5, 6, 7, 8])).prefixes(3)
    found = {}
    for word in np.ndindex(3, 3, 3):
        state = 0
        for letter, known in zip(word, keys, strict=True):
            at = int(np.searchsorted(known, key := state * 3 + letter))
            state = at if at < len(known) and known[at] == key else None
            if state is None:
                break
        if state is not None:
            found[word] = int(column[state])
    assert found == {(0, 1, 1): 5, (2, 0, 1): 6, (0, 1, 2): 7, (2, 2, 2): 8}


def test_items_may_be_skipped_between_others_only():
    assert list(Grams(np.zeros((1, 1)), np.zeros(1)).strides(3)) == [1]
    assert list(Grams(np.zeros((1, 2)), np.zeros(1)).strides(2)) == [1, 2, 3]
