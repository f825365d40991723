"""``isthmus doctor``: what is installed, what a missing one would enable, what does not go together."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.cli import arguments as shared


def add_parser(verbs: Any) -> None:
    parser = verbs.add_parser("doctor", help="versions found, what each missing one would enable, known-bad pairs")
    shared.add_talk(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from isthmus.cli.talk import show
    from isthmus.doctor import examine

    health = examine()
    show(arguments, health)
    return 0 if health else 1
