"""Every ONNX value crosses the border between processes bit by bit."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from isthmus.errors import UnsafeInput, UsageError
from isthmus.verify.runners import codec

NATIVE = ["bool", "int8", "uint16", "int64", "uint64", "float16", "float32", "float64", "complex64", "complex128"]
EXOTIC = sorted(set(codec._TO_NUMPY))


def same(left: codec.Value, right: codec.Value) -> bool:
    if isinstance(left, np.ndarray):
        if not isinstance(right, np.ndarray) or (left.dtype, left.shape) != (right.dtype, right.shape):
            return False
        return left.tolist() == right.tolist() if left.dtype == object else left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return left is None and right is None


def arrays() -> st.SearchStrategy[np.ndarray]:
    shapes = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    native = st.sampled_from(NATIVE).flatmap(lambda d: npst.arrays(np.dtype(d), shapes))
    text = npst.arrays(object, shapes, elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
    return native | text


values = st.recursive(
    arrays() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.integers(-9, 9), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=80)
@given(named=st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=3))
def test_what_is_saved_is_what_is_loaded(named: dict[str, codec.Value], tmp_path_factory) -> None:
    path = tmp_path_factory.mktemp("codec") / "values.npz"
    codec.save(path, named)
    assert same(named, codec.load(path))


@pytest.mark.parametrize("name", EXOTIC)
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_types_that_npz_lacks_keep_their_bits(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.ones(shape).astype(codec.numpy_dtype(name))
    codec.save(tmp_path / "v.npz", {"x": array})
    loaded = codec.load(tmp_path / "v.npz")["x"]
    assert same(array, loaded)
    assert codec.dtype_name(loaded.dtype) == name


def test_nan_payloads_and_signed_zero_survive(tmp_path: Path) -> None:
    bits = np.array([0x7FC00001, 0xFFC12345, 0x80000000], np.uint32)
    codec.save(tmp_path / "v.npz", {"x": bits.view(np.float32)})
    assert codec.load(tmp_path / "v.npz")["x"].view(np.uint32).tolist() == bits.tolist()


def test_bytes_that_are_no_utf8_survive_as_text() -> None:
    text = codec.as_text(np.array([b"\xff\x00", "ü"], dtype=object))
    assert text[0].encode("utf-8", "surrogateescape") == b"\xff\x00"
    assert text[1] == "ü"


def test_objects_other_than_strings_are_refused_by_type(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds a dict"):
        codec.save(tmp_path / "v.npz", {"x": np.array([{}], dtype=object)})


def test_a_pickle_in_the_archive_is_never_loaded(tmp_path: Path) -> None:
    manifest = b'{"x": {"kind": "tensor", "key": "a0", "dtype": "float32", "shape": [1]}}'
    payload = np.array([{"any": "object"}], dtype=object)
    np.savez(tmp_path / "v.npz", manifest=np.frombuffer(manifest, np.uint8), a0=payload)
    with pytest.raises(UnsafeInput, match="pickled"):
        codec.load(tmp_path / "v.npz")


def test_names_of_types_follow_onnx() -> None:
    assert codec.numpy_dtype("float") == np.float32
    assert codec.numpy_dtype("double") == np.float64
    assert codec.numpy_dtype("float8e4m3fn") == ml_dtypes.float8_e4m3fn
    assert codec.dtype_name(np.dtype("U3")) == "string"
