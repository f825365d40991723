"""``isthmus convert SOURCE TARGET``: carry a model across and judge it."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("convert", help="carry a model across and judge it against its source")
    parser.add_argument("source", help="a model's path, or package.module:factory")
    parser.add_argument("target", help="model.onnx, or a folder for a SavedModel")
    parser.add_argument(
        "--to", choices=("onnx", "saved_model", "torch", "python"), help="where the name does not tell"
    )
    shared.add_reading(parser)
    shared.add_writing(parser)
    shared.add_judging(parser)
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus import api
    from isthmus.cli.talk import progress, show

    with progress(arguments) as step:
        conversion = api.run_conversion(
            shared.source(arguments),
            arguments.target,
            to=arguments.to,
            inputs=arguments.inputs,
            shapes=shared.shapes(arguments),
            options=shared.options(arguments),
            progress=step,
        )
    show(arguments, conversion.report)
    return 0 if conversion else 1
