"""What is installed, what a missing framework would enable, and which versions do not go together."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from isthmus.errors import FrameworkMissing
from isthmus.types import to_json


@dataclass(frozen=True)
class Finding:
    """One package: its version, or what it would enable; and a problem where there is one."""

    package: str
    version: str | None
    enables: str
    problem: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Health:
    """The answer of ``doctor``. Truthy where no problem was found; an absent framework is none."""

    python: str
    platform: str
    findings: tuple[Finding, ...]

    def __bool__(self) -> bool:
        return not any(finding.problem for finding in self.findings)

    def to_json(self) -> str:
        return to_json(self)


@dataclass(frozen=True)
class _Package:
    names: tuple[str, ...]
    enables: str
    oldest: tuple[int, ...]
    extra: str = ""


_PACKAGES = (
    _Package(("onnx",), "ONNX files", (1, 20)),
    _Package(("onnx-ir",), "the hub", (1, 0)),
    _Package(("numpy",), "arrays", (2, 0)),
    _Package(("ml_dtypes",), "bfloat16, float8 and the sub-byte types", (0, 5)),
    _Package(("safetensors",), "weights without pickles", (0, 5)),
    _Package(("torch",), "PyTorch models, read, written and judged", (2, 9), "torch"),
    _Package(("onnxscript",), "reading PyTorch models, together with torch", (0, 7), "torch"),
    _Package(
        ("tensorflow", "tensorflow-cpu"),
        "TensorFlow models, read, written and judged",
        (2, 19),
        "tensorflow",
    ),
    _Package(("onnxruntime", "onnxruntime-gpu"), "judging ONNX models", (1, 24), "onnx"),
)

_BAD_PAIRS: tuple[tuple[str, str, str, str], ...] = (
    (
        "tensorflow",
        "tensorflow-cpu",
        "both own the package tensorflow: whichever was installed last has overwritten the other's files",
        "pip uninstall tensorflow tensorflow-cpu, then install one of them",
    ),
    (
        "onnxruntime",
        "onnxruntime-gpu",
        "both own the package onnxruntime",
        "pip uninstall onnxruntime onnxruntime-gpu, then install one of them",
    ),
    ("onnx-tf", "tensorflow", "onnx-tf needs an old tensorflow-addons, which breaks a current TensorFlow", ""),
)


def examine(installed: Mapping[str, str] | None = None) -> Health:
    """Look at what is installed, by metadata alone: nothing is imported.

    ``installed`` maps distribution names to versions; default: this environment's.
    """
    versions = {_normal(k): v for k, v in (_installed() if installed is None else installed).items()}
    findings = [_finding(package, versions) for package in _PACKAGES]
    for first, second, problem, hint in _BAD_PAIRS:
        if _normal(first) in versions and _normal(second) in versions:
            pair = f"{first} + {second}"
            findings.append(
                Finding(pair, f"{versions[_normal(first)]} + {versions[_normal(second)]}", "", problem, hint)
            )
    return Health(platform.python_version(), platform.platform(terse=True), tuple(findings))


def framework_versions() -> dict[str, str]:
    """Distribution → version of all that takes part in a conversion, for the report."""
    versions = _installed()
    return {name: versions[name] for package in _PACKAGES for name in package.names if name in versions}


def require(framework: str, need: str) -> None:
    """Raise errors.FrameworkMissing unless ``framework`` can be found; nothing is imported."""
    if importlib.util.find_spec(framework) is None:
        raise FrameworkMissing(framework, need)


def _finding(package: _Package, versions: Mapping[str, str]) -> Finding:
    name = next((n for n in package.names if _normal(n) in versions), package.names[0])
    version = versions.get(_normal(name))
    if version is None:
        hint = f"pip install 'isthmus[{package.extra}]'" if package.extra else f"pip install {name}"
        problem = "" if package.extra else "a core dependency is missing"
        return Finding(name, None, package.enables, problem, hint)
    if _release(version) < package.oldest:
        oldest = ".".join(map(str, package.oldest))
        return Finding(name, version, package.enables, f"older than {oldest}", f"pip install '{name}>={oldest}'")
    return Finding(name, version, package.enables)


def _installed() -> dict[str, str]:
    wanted = {name for package in _PACKAGES for name in package.names}
    wanted |= {name for pair in _BAD_PAIRS for name in pair[:2]}
    found = {}
    for name in wanted:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _release(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = "".join(ch for ch in part if ch.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
