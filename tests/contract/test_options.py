"""``Options`` and the command line's flags are the same list."""

from __future__ import annotations

import argparse
from dataclasses import fields

from isthmus.cli.arguments import FLAGS, options
from isthmus.cli.main import build_parser
from isthmus.types import Options


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def test_convert_has_a_flag_for_every_field() -> None:
    flags = {string for action in verbs()["convert"]._actions for string in action.option_strings}
    assert {FLAGS[field.name] for field in fields(Options)} <= flags


def test_the_defaults_of_the_flags_are_the_defaults_of_the_fields() -> None:
    assert options(build_parser().parse_args(["convert", "a.onnx", "b"])) == Options()


def test_flags_arrive_in_their_fields() -> None:
    line = "convert a.onnx b --opset 20 --trainable --signature s --input-layouts x:NHWC --no-verify --samples 5"
    line += " --seed 7 --atol 1e-3 --rtol y:1e-2,z:0.5 --overwrite --trust-pickle --timeout 9 --dtype float16"
    line += " --custom-objects nets:Swish --custom-objects nets:Layer"
    assert options(build_parser().parse_args(line.split())) == Options(
        opset=20,
        dtype="float16",
        trainable=True,
        signature="s",
        input_layouts={"x": "NHWC"},
        verify=False,
        samples=5,
        seed=7,
        atol=1e-3,
        rtol={"y": 1e-2, "z": 0.5},
        overwrite=True,
        trust_pickle=True,
        custom_objects=("nets:Swish", "nets:Layer"),
        timeout=9.0,
    )


def test_every_verb_speaks_json() -> None:
    assert all("--json" in parser.format_help() for parser in verbs().values())
