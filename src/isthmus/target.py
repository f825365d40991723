"""Where a result goes: staged beside its target, published whole or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from isthmus.errors import UsageError

UNVERIFIED = ".unverified"
"""Added to the names of a result that disagrees with its source."""


@dataclass(frozen=True)
class Staging:
    """A private folder on the target's own file system; what is written to ``path`` can be published by renaming."""

    folder: Path
    target: Path

    @property
    def path(self) -> Path:
        return self.folder / self.target.name

    def publish(self, *, unverified: bool = False) -> Path:
        """Move everything staged to the target's folder, replacing what has the same names; return the new path.

        What is replaced is kept until all is in place, and put back if anything fails. With ``unverified`` the
        names get that suffix and the target is left as it was.
        """
        suffix = UNVERIFIED if unverified else ""
        attic = Path(tempfile.mkdtemp(prefix="old-", dir=self.folder))
        # The target itself comes last: whoever looks meanwhile finds the old model or the new one, complete.
        staged = sorted((p for p in self.folder.iterdir() if p != attic), key=lambda p: p == self.path)
        with ExitStack() as undo:
            for item in staged:
                final = self.target.parent / (item.name + suffix)
                if final.exists() or final.is_symlink():
                    final.replace(attic / item.name)
                    undo.callback((attic / item.name).replace, final)
                item.replace(final)
                undo.callback(_remove, final)
            undo.pop_all()
        return self.target.parent / (self.target.name + suffix)


@contextmanager
def staging(target: Path) -> Iterator[Staging]:
    """A staging folder beside ``target``, gone at the end whatever happens. Raises errors.UsageError."""
    folder = target.parent / f".{target.name}.{secrets.token_hex(4)}"
    # The folder is made inside of the try: an interrupt right after it must not leave it behind.
    try:
        try:
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(
                f"{target.parent}: cannot write there ({error.strerror})", hint="choose another target"
            ) from error
        yield Staging(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_free(target: Path, *, overwrite: bool) -> None:
    """Raise errors.UsageError where ``target`` is there already, or its folder is not."""
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent}: no such folder", hint="create it first")
    for place in (target, companion(target)):
        if place is not None and (place.exists() or place.is_symlink()) and not overwrite:
            raise UsageError(f"{place} exists", hint="pass --overwrite (overwrite=True) to replace it")
    if not os.access(target.parent, os.W_OK):
        raise UsageError(f"{target.parent}: no permission to write there", hint="choose another target")


def companion(path: Path) -> Path | None:
    """The weights that stand beside a target of source."""
    return path.with_suffix(".safetensors") if path.suffix == ".py" else None


def fingerprints(path: Path) -> Mapping[str, str]:
    """sha256 of each file that makes up the artifact at ``path``, by name relative to the artifact's folder."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.is_file())
        return {f.relative_to(path).as_posix(): _sha256(f) for f in files}
    parts = sorted(
        p for p in path.parent.glob(f"{path.name}*") if p.is_file() and not p.name.endswith(".isthmus.json")
    )
    beside = companion(path)
    parts += [beside] if beside is not None and beside.is_file() else []
    return {f.name: _sha256(f) for f in parts}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
