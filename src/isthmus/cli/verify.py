"""``isthmus verify A B``: judge one model against another."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("verify", help="judge one model against another")
    parser.add_argument("reference", help="the model that is right")
    parser.add_argument("candidate", help="the model that should be the same")
    shared.add_reading(parser)
    shared.add_judging(parser)
    shared.add_layouts(parser)
    parser.add_argument("--trainable", action="store_true", help="compare the gradient of every parameter too")
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus import api
    from isthmus.cli.talk import progress, show

    with progress(arguments) as step:
        step("judging")
        verdict = api.run_verification(
            shared.source(arguments, arguments.reference),
            arguments.candidate,
            inputs=arguments.inputs,
            shapes=shared.shapes(arguments),
            options=shared.options(arguments),
        )
    show(arguments, verdict)
    return 0 if verdict else 1
