"""``isthmus check SOURCE --to KIND``: every blocker at once, each with its remedy, before any work."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("check", help="can it be carried there? every blocker at once")
    parser.add_argument("source", help="a model's path, or package.module:factory")
    parser.add_argument("--to", required=True, choices=("onnx", "saved_model", "torch", "python"))
    shared.add_reading(parser)
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus import api
    from isthmus.cli.talk import show
    from isthmus.errors import Unsupported

    support = api.run_check(
        shared.source(arguments),
        to=arguments.to,
        inputs=arguments.inputs,
        shapes=shared.shapes(arguments),
        options=shared.options(arguments),
    )
    show(arguments, support)
    return 0 if support else Unsupported.exit_code
