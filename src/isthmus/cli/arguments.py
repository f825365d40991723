"""Argument groups that several verbs share, and what they mean: flags → ``Options``, shapes, sources."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from isthmus.errors import UsageError
from isthmus.types import Dim, Options

FLAGS: Mapping[str, str] = {field.name: f"--{field.name.replace('_', '-')}" for field in fields(Options)} | {
    "verify": "--no-verify"
}
"""The flag of each field of ``Options``: held together by a test."""

_SHAPE = re.compile(r"(?P<name>[^\[\]]+):\[(?P<dims>[^\[\]]*)\](?::(?P<dtype>\w+))?(?:,|$)")


def add_talk(parser: argparse.ArgumentParser) -> None:
    """``--json``, ``-q`` and ``-v``: how the program talks."""
    group = parser.add_argument_group("talk")
    group.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    group.add_argument("-q", "--quiet", action="store_true", help="no progress, no notes")
    group.add_argument("-v", "--verbose", action="store_true", help="say more: the passes, the road, tracebacks")


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How a source is opened."""
    group = parser.add_argument_group("reading")
    group.add_argument(
        "--weights", type=Path, metavar="FILE", help="a state dict for a package.module:factory source"
    )
    group.add_argument(
        "--input-shapes",
        metavar="x:[batch,3,224,224]",
        action="append",
        default=[],
        help="shapes by input; words are free dimensions; :int64 behind it sets the type (default float32)",
    )
    group.add_argument("--inputs", type=Path, metavar="FILE.npz", help="arrays by input name")
    group.add_argument("--signature", help="which signature of the source (default: serving_default)")
    group.add_argument(
        "--trust-pickle", action="store_true", help="let pickles and Lambda layers run code: only for files you made"
    )
    group.add_argument(
        "--custom-objects",
        metavar="package.module:Name",
        action="append",
        default=[],
        help="a class or function that a Keras file needs; may be given several times",
    )


def add_judging(parser: argparse.ArgumentParser) -> None:
    """How source and result are compared."""
    group = parser.add_argument_group("judging")
    group.add_argument("--samples", type=int, default=3, help="how many inputs are tried (default 3)")
    group.add_argument("--seed", type=int, default=0, help="seed of the synthesised inputs (default 0)")
    group.add_argument("--atol", metavar="X|out:X,…", help="absolute tolerance, for all outputs or by name")
    group.add_argument("--rtol", metavar="X|out:X,…", help="relative tolerance, for all outputs or by name")
    group.add_argument("--timeout", type=float, default=600.0, help="seconds a judging process may take")


def add_writing(parser: argparse.ArgumentParser) -> None:
    """How the result is made."""
    group = parser.add_argument_group("writing")
    group.add_argument("--opset", type=int, metavar="N", help="pin the ONNX opset (default: the lowest from 18 up)")
    group.add_argument("--dtype", help="element type of the result's floats (default: the source's)")
    group.add_argument("--trainable", action="store_true", help="keep every weight a variable, fold nothing")
    add_layouts(group)
    group.add_argument("--no-verify", action="store_true", help="do not judge the result against its source")
    group.add_argument("--overwrite", action="store_true", help="replace a target that exists")


def add_layouts(group: argparse._ActionsContainer) -> None:
    """Where the result has the channels of images, if not where the source has them."""
    group.add_argument("--input-layouts", metavar="x:NHWC,…", help="layouts of image inputs (default: the source's)")
    group.add_argument("--output-layouts", metavar="y:NHWC,…", help="layouts of image outputs")


def options(arguments: argparse.Namespace) -> Options:
    """``Options`` from whatever groups the verb has. Raises errors.UsageError."""
    given = vars(arguments)
    taken: dict[str, Any] = {field.name: given[field.name] for field in fields(Options) if field.name in given}
    if "no_verify" in given:
        taken["verify"] = not given["no_verify"]
    if "custom_objects" in taken:
        taken["custom_objects"] = tuple(taken["custom_objects"])
    for name in ("atol", "rtol"):
        if name in taken:
            taken[name] = _tolerance(FLAGS[name], taken[name])
    for name in ("input_layouts", "output_layouts"):
        if name in taken:
            taken[name] = _layouts(FLAGS[name], taken[name])
    return Options(**taken)


def shapes(arguments: argparse.Namespace) -> dict[str, tuple[tuple[Dim, ...], str | None]]:
    """``--input-shapes`` as {input: (shape, dtype or None)}. Raises errors.UsageError."""
    found: dict[str, tuple[tuple[Dim, ...], str | None]] = {}
    for text in arguments.input_shapes:
        end = 0
        for match in _SHAPE.finditer(text):
            if match.start() != end:
                break
            end = match.end()
            dims = [d.strip() for d in match["dims"].split(",") if d.strip()]
            found[match["name"].strip()] = (tuple(int(d) if d.isdigit() else d for d in dims), match["dtype"])
        if end != len(text):
            raise UsageError(
                f"--input-shapes {text!r} cannot be read", hint="write x:[batch,3,224,224] or x:[batch,seq]:int64"
            )
    return found


def source(arguments: argparse.Namespace, text: str | None = None) -> Any:
    """The source argument, with its weights where they were given."""
    from isthmus.source import Factory

    text = arguments.source if text is None else text
    return Factory(text, arguments.weights) if getattr(arguments, "weights", None) else text


def _tolerance(flag: str, text: str | None) -> float | dict[str, float] | None:
    if text is None:
        return None
    try:
        if ":" not in text:
            return float(text)
        pairs = (part.rpartition(":") for part in text.split(","))
        return {name: float(value) for name, _, value in pairs}
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is no number", hint=f"write {flag} 1e-4 or {flag} logits:1e-3") from error


def _layouts(flag: str, text: str | None) -> dict[str, str]:
    if not text:
        return {}
    pairs = [part.rpartition(":") for part in text.split(",")]
    if any(not name or not layout for name, _, layout in pairs):
        raise UsageError(f"{flag} {text!r} cannot be read", hint=f"write {flag} x:NHWC")
    return {name: layout.upper() for name, _, layout in pairs}
