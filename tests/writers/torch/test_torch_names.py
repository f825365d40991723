"""Whatever names a model brings: identifiers that are valid, distinct and stable."""

from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch")

from torch import nn

from isthmus.writers.torch.names import Paths, component, identifier

pytestmark = pytest.mark.torch

HOSTILE = [
    "__class__",
    "__init__",
    "class",
    "a.b",
    "x y",
    "",
    "é",
    "名前",
    "a" * 300,
    "1x",
    "match",
    "a\nb",
    '"); x("',
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_identifiers(name: str) -> None:
    made = identifier(name)
    assert made.isidentifier() and made.isascii() and not keyword.iskeyword(made) and len(made) <= 80
    assert not made.startswith("__")
    assert identifier(name) == made


@given(st.lists(st.text(max_size=40), min_size=1, max_size=20))
def test_paths_are_distinct_and_can_hold_weights(names: list[str]) -> None:
    paths = Paths()
    made = [paths.choose(name) for name in names]
    assert len(set(made)) == len(made)
    for one in made:
        assert not any(other.startswith(f"{one}.") for other in made)
        assert all(part.isdigit() or part.isidentifier() for part in one.split("."))


@pytest.mark.parametrize("name", ["forward", "training", "__class__", "_modules", "register_buffer"])
def test_no_path_hides_what_a_module_is_made_of(name: str) -> None:
    assert not hasattr(nn.Module(), component(name))


def test_names_of_pytorch_stay() -> None:
    paths = Paths()
    names = ["layer1.0.conv1.weight", "layer1.0.conv1.bias", "fc.weight", "pos_embed"]
    assert [paths.choose(name) for name in names] == names
