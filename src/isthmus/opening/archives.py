"""What a ``.keras`` archive or an HDF5 file may hold before anything of it is loaded: no escapes, no bombs."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

import h5py

from isthmus.errors import InvalidModel, UnsafeInput

_MOST_RATIO = 1032
"""The most that deflate and gzip can make of a byte."""

_SMALL = 1 << 20
_LARGEST_TEXT = 256 << 20
"""Bytes that a model's description may take: the largest known take a few megabytes."""


def check_archive(path: Path) -> None:
    """Raise UnsafeInput for members outside of the archive or larger than they can be, InvalidModel for damage."""
    with opened_archive(path) as archive:
        names = [info.filename for info in archive.infolist()]
        for info in archive.infolist():
            _check_member(path, info)
        if len(set(names)) != len(names):
            raise UnsafeInput(f"{path.name} holds a member twice, so readers may disagree on what it is")
        for name in names:
            if name.endswith((".h5", ".hdf5")):
                with archive.open(name) as file:
                    _check_hdf5(f"{path.name}/{name}", file)


def check_hdf5(path: Path) -> None:
    """Raise UnsafeInput for an HDF5 file that refers to others or claims more than it holds."""
    _check_hdf5(path.name, path)


@contextlib.contextmanager
def opened_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive. Raises errors.InvalidModel where it is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError) as error:
        raise InvalidModel(f"{path.name} is no archive of Keras, or damaged: {error}") from error


def text_of(archive: zipfile.ZipFile, name: str, path: Path) -> str:
    """A text member. Raises errors.InvalidModel where there is none."""
    if name not in archive.namelist():
        raise InvalidModel(f"{path.name} holds no {name}", hint="a .keras file is what model.save() writes")
    if archive.getinfo(name).file_size > _LARGEST_TEXT:
        raise UnsafeInput(f"{path.name}/{name} is larger than any model's description")
    return archive.read(name).decode("utf-8", "replace")


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.filename
    parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
    is_link = (info.external_attr >> 16) & 0o170000 == 0o120000
    if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive or is_link:
        raise UnsafeInput(f"{path.name} holds {name!r}, which lies outside of the archive")
    if info.file_size > _SMALL and info.file_size > 100 * max(info.compress_size, 1):
        raise UnsafeInput(
            f"{path.name}/{name} claims {info.file_size} bytes in {info.compress_size}: no weights pack so well"
        )


def _check_hdf5(label: str, file: Path | IO[bytes]) -> None:
    try:
        with h5py.File(file, "r") as opened:
            _check_group(label, opened)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InvalidModel(f"{label} is no HDF5 file, or damaged: {error}") from error


def _check_group(label: str, group: Any) -> None:
    for key in group:
        link = group.get(key, getlink=True)
        if isinstance(link, h5py.ExternalLink):
            raise UnsafeInput(f"{label} refers to another file: {key!r} → {link.filename!r}")
        if isinstance(link, h5py.SoftLink):
            raise UnsafeInput(f"{label} holds a link, which Keras never writes: {key!r}")
        thing = group[key]
        if isinstance(thing, h5py.Group):
            _check_group(label, thing)
        elif isinstance(thing, h5py.Dataset):
            _check_dataset(label, thing)


def _check_dataset(label: str, data: Any) -> None:
    if data.external or data.is_virtual:
        raise UnsafeInput(f"{label} keeps {data.name!r} in another file")
    if data.nbytes > _SMALL and data.nbytes > _MOST_RATIO * max(data.id.get_storage_size(), 1):
        raise UnsafeInput(
            f"{label} claims {data.nbytes} bytes for {data.name!r}, and holds {data.id.get_storage_size()}"
        )
