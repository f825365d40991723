"""Who may import whom, read off the syntax tree; and what importing Isthmus may load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import isthmus

ROOT = Path(isthmus.__file__).parent

# room → rooms below it that it may use. The first part of a module's path that is listed here is its room.
MAY_USE = {
    "types": set(),
    "errors": {"types"},
    "quiet": set(),
    "hub": {"types", "errors"},
    "lower": {"types", "errors", "hub"},
    "passes": {"types", "errors", "hub", "lower"},
    "opening": {"types", "errors"},
    "readers": {"types", "errors", "quiet", "hub", "lower", "passes", "opening"},
    "writers": {"types", "errors", "quiet", "hub", "lower", "passes"},
    "verify.runners": {"types", "errors", "opening"},
    "verify": {"types", "errors", "hub", "lower", "passes", "verify.runners"},
    "report": {"types", "errors", "doctor"},
    "source": {"types", "errors", "opening"},
    "target": {"types", "errors"},
    "doctor": {"types", "errors"},
    "shapes": {"types", "errors"},
    "roads": {"types", "errors", "hub", "readers", "writers", "source", "doctor"},
    "judging": {
        *("types", "errors", "quiet", "hub", "opening", "readers", "verify", "verify.runners"),
        *("source", "shapes", "roads"),
    },
    "inspection": {"types", "errors", "quiet", "hub", "opening", "readers", "source", "roads"},
    "api": {
        *("types", "errors", "hub", "verify", "source", "target"),
        *("shapes", "doctor", "roads", "judging", "inspection"),
    },
    "cli": {"types", "errors", "api", "report", "source", "doctor"},
    "__init__": {"api", "types", "errors"},
    "__main__": {"cli"},
}
OWN_FOLDERS = ("opening", "readers/torch", "readers/tensorflow", "writers/tensorflow", "writers/torch")
"""Whose modules may import their framework at the top, since only they themselves are imported late."""
FRAMEWORKS = {"torch", "tensorflow", "keras", "onnxruntime", "onnxscript", "tf_keras"}
HOMES = {
    "readers/torch": {"torch", "onnxscript"},
    "opening": {"tensorflow", "keras", "tf_keras"},
    "readers/tensorflow": {"tensorflow", "keras", "tf_keras"},
    "writers/tensorflow": {"tensorflow"},
    "writers/torch": {"torch"},
    "verify/runners/torch.py": {"torch"},
    "verify/runners/tensorflow.py": {"tensorflow"},
    "verify/runners/onnx.py": {"onnxruntime"},
    "judging.py": {"torch"},  # to tell an ExportedProgram that is alive in this process
    "inspection.py": {"torch", "tensorflow"},  # never at the top: to open a file of theirs
}
MODULES = sorted(ROOT.rglob("*.py"))


def room_of(dotted: str) -> str:
    parts = dotted.removeprefix("isthmus").strip(".").split(".")
    return ".".join(parts[:2]) if ".".join(parts[:2]) in MAY_USE else parts[0] or "__init__"


def imports(path: Path) -> Iterator[tuple[str, ast.stmt, bool]]:
    """(module, statement, whether at the top level) of each import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(ast.iter_child_nodes(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node, node in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            is_package = (ROOT.parent / node.module.replace(".", "/")).is_dir()
            yield from ((name if is_package else node.module, node, node in top) for name in inner)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_rooms_use_only_what_lies_below(path: Path) -> None:
    dotted = ".".join(("isthmus", *path.relative_to(ROOT).with_suffix("").parts))
    room = room_of(dotted)
    for module, node, _ in imports(path):
        if module.split(".")[0] == "isthmus":
            other = room_of(module)
            other = "__init__" if other not in MAY_USE else other
            assert other in (room, "__init__") or other in MAY_USE[room], f"{path}:{node.lineno}: {room} uses {other}"
            if room in ("readers", "writers") and other == room:
                here, there = dotted.split("."), module.split(".")
                family = {parts[2].partition("_")[0] for parts in (here, there) if len(parts) > 2}
                assert len(family) < 2, f"{path}:{node.lineno}: two {room} see each other"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_frameworks_stay_in_their_own_rooms(path: Path) -> None:
    relative = path.relative_to(ROOT).as_posix()
    allowed = {name for home, names in HOMES.items() if relative.startswith(home) for name in names}
    own_folder = relative.startswith(OWN_FOLDERS)
    for module, node, top in imports(path):
        framework = module.split(".")[0]
        if framework in FRAMEWORKS:
            assert framework in allowed, f"{path}:{node.lineno} imports {framework}"
            assert own_folder or not top, f"{path}:{node.lineno} imports {framework} too early"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_room_says_what_it_is_for_and_is_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"
    assert text.count("\n") <= 400, f"{path} is over 400 lines"


def loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {*FRAMEWORKS, "onnx_ir", "onnx"}


def test_importing_isthmus_loads_nothing_heavy() -> None:
    assert not loaded_by("import isthmus") & HEAVY


def test_importing_a_reader_or_writer_loads_no_framework() -> None:
    rooms = (f"isthmus.{folder.replace('/', '.')}" for folder in OWN_FOLDERS)
    assert not loaded_by(f"import isthmus.roads, {', '.join(rooms)}") & FRAMEWORKS


def test_building_the_command_line_loads_nothing_heavy() -> None:
    assert not loaded_by("from isthmus.cli.main import build_parser; build_parser().format_help()") & HEAVY


def test_every_public_name_has_a_home() -> None:
    for name in isthmus.__all__:
        assert getattr(isthmus, name) is not None


def test_the_verb_verify_is_not_shadowed_by_its_room() -> None:
    import isthmus.verify.judge

    assert callable(isthmus.verify)
