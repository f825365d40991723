"""``isthmus inspect SOURCE``: what a model is, without running it."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("inspect", help="signature, operators, parameters, types, opset; never runs the model")
    parser.add_argument("source", help="a model's path, or package.module:factory")
    shared.add_reading(parser)
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus import api
    from isthmus.cli.talk import show

    show(arguments, api.run_inspection(shared.source(arguments), options=shared.options(arguments)))
    return 0
