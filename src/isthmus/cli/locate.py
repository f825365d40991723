"""``isthmus locate A B``: the first value at which two ONNX models part."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("locate", help="the first value whose inputs agree and which does not (ONNX models)")
    parser.add_argument("reference", help="the model that is right")
    parser.add_argument("candidate", help="the model that should be the same")
    parser.add_argument("--inputs", metavar="FILE.npz", help="arrays by input name")
    shared.add_judging(parser)
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus import api
    from isthmus.cli.talk import progress, show

    with progress(arguments) as step:
        step("locating")
        found = api.locate(
            arguments.reference, arguments.candidate, inputs=arguments.inputs, options=shared.options(arguments)
        )
    if found is None:
        print("null" if arguments.json else "nothing diverges")
        return 0
    show(arguments, found)
    return 1
