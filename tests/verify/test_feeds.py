"""What the models are fed: seeded, at more than one size, within range, or the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import UnsafeInput, UsageError
from isthmus.types import Dim, Signature, TensorSpec
from isthmus.verify.feeds import Feeds, free_sizes, load_inputs, synthesize
from isthmus.verify.sweep import Sweep


def signature(**shapes: tuple[str, tuple[Dim, ...] | None]) -> Signature:
    return Signature(tuple(TensorSpec(name, dtype, shape) for name, (dtype, shape) in shapes.items()), ())


TEXT = signature(
    ids=("int64", ("batch", "seq")), mask=("float32", ("batch", "seq")), h=("float32", ("batch", "past", 4))
)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    def drawn(seed: int) -> list[bytes]:
        return [value.tobytes() for feed in synthesize(TEXT, seed=seed) for value in feed.values.values()]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


names = st.sampled_from(["batch", "seq", "past", "h", "w", None, 3])


@given(shapes=st.lists(st.lists(names, max_size=5).map(tuple), min_size=1, max_size=3), samples=st.integers(2, 5))
def test_every_free_dimension_takes_two_sizes_and_never_only_one(shapes: list[tuple[Dim, ...]], samples: int) -> None:
    made = signature(**{f"x{i}": ("float32", shape) for i, shape in enumerate(shapes)})
    sweep = Sweep(made)
    taken = [sweep.sizes(index, 0) for index in range(samples)]
    for dim, role in sweep.dims.items():
        assert len({sizes[dim] for sizes in taken[:2]}) == 2
        assert 1 not in {sizes[dim] for sizes in taken[:2]}
        for sizes in taken:
            same = [other for other, size in sizes.items() if size == sizes[dim] and sweep.dims[other] == role]
            assert same == [dim]


def test_ties_expressions_and_unnamed_first_axes() -> None:
    made = signature(
        x=("float32", ("batch", "seq")),
        y=("float32", ("batch", "2*seq + 1")),
        z=("int64", (None, 3)),
        v=("bool", (None, 2)),
    )
    (feed,) = synthesize(made, samples=1)
    batch, seq = feed.sizes["batch"], feed.sizes["seq"]
    assert feed.values["x"].shape == (batch, seq)
    assert feed.values["y"].shape == (batch, 2 * seq + 1)
    assert feed.values["z"].shape[0] == feed.values["v"].shape[0] == feed.sizes["batch?"]
    assert list(feed.sizes) == ["batch", "seq", "batch?"]
    assert free_sizes(made, feed.values) | feed.sizes == free_sizes(made, feed.values)


def test_names_that_only_look_like_expressions_are_names() -> None:
    made = signature(x=("float32", ("unk__12", "batch size", "f(x)")))
    assert list(Sweep(made).dims) == ["unk__12", "batch size", "f(x)"]


def test_offered_sizes_are_taken_and_known_ones_come_last() -> None:
    sweep = Sweep(TEXT, offered={"seq": [16, 32]}, known={"batch": 6, "seq": 16, "past": 7})
    assert {sweep.sizes(k, 0)["seq"] for k in range(2)} == {16, 32}
    assert sweep.sizes(0, sweep.levels - 1)["batch"] == 6
    assert sweep.sizes(0, sweep.levels - 2)["past"] == 8


def test_values_stay_in_their_ranges() -> None:
    made = signature(
        ids=("int32", ("n", 50)),
        raw=("int64", (40,)),
        f=("float16", (30,)),
        flag=("bool", (30,)),
        t=("string", (30,)),
        u=("uint4", (30,)),
    )
    (feed,) = synthesize(made, samples=1, ranges={"ids": (3, 7), "f": (0.0, 0.5)})
    ids, raw, f = (feed.values[name] for name in ("ids", "raw", "f"))
    assert (ids.dtype, ids.min(), ids.max()) == (np.int32, 3, 7)
    assert raw.min() >= 0
    assert raw.max() <= 9
    assert f.dtype == np.float16
    assert 0 <= f.min() <= f.max() <= 0.5
    assert set(feed.values["flag"].tolist()) == {True, False}
    assert all(isinstance(word, str) for word in feed.values["t"])
    assert feed.values["u"].dtype == ml_dtypes.uint4


def test_sequences_and_optionals_are_made_too() -> None:
    specs = (
        TensorSpec("s", "float32", ("n",), kind="sequence"),
        TensorSpec("o", "float32", ("n",), kind="optional"),
        TensorSpec("scalar", "int64", ()),
    )
    (feed,) = synthesize(Signature(specs, ()), samples=1)
    assert [part.shape for part in feed.values["s"]] == [(5,), (5,)]
    assert feed.values["o"].shape == (5,)
    assert feed.values["scalar"].shape == ()


@pytest.mark.parametrize(("dtype", "shape", "lacks"), [("float32", None, "rank"), ("", ("n",), "element type")])
def test_what_is_not_known_is_not_made_up(dtype: str, shape: tuple[Dim, ...] | None, lacks: str) -> None:
    with pytest.raises(UsageError, match=f"its {lacks} is not known"):
        synthesize(signature(x=(dtype, shape)))


def good() -> dict[str, np.ndarray]:
    return {
        "ids": np.zeros((2, 5), np.int64),
        "mask": np.zeros((2, 5), np.float32),
        "h": np.zeros((2, 7, 4), np.float32),
    }


def test_the_users_inputs_come_first_and_then_others(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **good())
    user = load_inputs(tmp_path / "in.npz", TEXT)
    feeds = Feeds(TEXT, samples=2, user=user)
    first, second = (next(feeds.attempts(index)) for index in range(2))
    assert (first.origin, first.sizes) == ("user", {"batch": 2, "seq": 5, "past": 7})
    assert second.origin == "synthetic"
    assert load_inputs(tuple(good().values()), TEXT).keys() == user.keys()


def changed(**changes: object) -> Mapping[str, object]:
    return {key: value for key, value in {**good(), **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("given_inputs", "message"),
    [
        (changed(mask=None), "missing: mask"),
        (changed(extra=np.ones(2)), "unknown: extra"),
        (changed(ids=np.zeros((2, 5))), r"'ids' is float64, and the model takes int64\nhint: .*astype\('int64'\)"),
        (
            changed(h=np.zeros((2, 7, 5), np.float32)),
            r"shape \[2, 7, 5\], and the model takes h: float32\[batch, past, 4\]",
        ),
        (changed(h=np.zeros((2, 4), np.float32)), r"shape \[2, 4\]"),
        (changed(mask=np.zeros((3, 5), np.float32)), "'batch' is 2 in input 'ids' and 3 in input 'mask'"),
        ((np.zeros((2, 5), np.int64),), "1 inputs were given and the model takes 3: ids, mask, h"),
        ("absent.npz", "no file absent.npz"),
    ],
)
def test_inputs_that_do_not_fit_say_got_expected_and_fix(given_inputs: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_inputs(given_inputs, TEXT)


def test_a_pickle_among_the_inputs_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", ids=np.array([{}], dtype=object))
    with pytest.raises(UnsafeInput, match="pickled"):
        load_inputs(tmp_path / "in.npz", TEXT)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UsageError),
        (b"PK\x03\x04 cut short", UsageError),
        (b"\x93NUMPY cut short", UsageError),
        (b"some text", UsageError),
        (b"\x80\x04\x95 a pickle", UnsafeInput),
    ],
)
def test_a_broken_archive_is_named_and_nothing_loaded(tmp_path: Path, content: bytes, error: type) -> None:
    path = tmp_path / "in.npz"
    path.write_bytes(content)
    with pytest.raises(error, match=r"in\.npz"):
        load_inputs(path, TEXT)


def test_bfloat16_that_npz_turned_into_bytes_comes_back(tmp_path: Path) -> None:
    array = np.array([1, 2], ml_dtypes.bfloat16)
    np.savez(tmp_path / "in.npz", x=array)
    loaded = load_inputs(tmp_path / "in.npz", signature(x=("bfloat16", (2,))))["x"]
    assert loaded.tobytes() == array.tobytes()
    assert loaded.dtype == ml_dtypes.bfloat16


@pytest.mark.torch
def test_tensors_are_taken_as_they_are() -> None:
    torch = pytest.importorskip("torch")
    made = signature(x=("bfloat16", ("n",)))
    assert load_inputs((torch.ones(3, dtype=torch.bfloat16),), made)["x"].dtype == ml_dtypes.bfloat16
