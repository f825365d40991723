"""How verbs talk: results on standard output, progress on standard error and only on a terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console

Step = Callable[[str], None]


class Result(Protocol):
    """Anything that a verb can show."""

    def to_json(self) -> str: ...


@contextmanager
def progress(arguments: argparse.Namespace) -> Iterator[Step]:
    """A function that names the step under way: a spinner on a terminal, lines with ``-v``, else silence."""
    console = Console(stderr=True)
    if arguments.quiet:
        yield lambda step: None
    elif console.is_terminal:
        with console.status("starting") as status:
            yield status.update
    else:
        yield (lambda step: print(f"isthmus: {step}", file=sys.stderr)) if arguments.verbose else (lambda step: None)


def show(arguments: argparse.Namespace, result: Result) -> None:
    """Print ``result``: JSON with ``--json``, else for a person."""
    if arguments.json:
        print(result.to_json())
        return
    from isthmus.report.text import render

    # Into a file or a pipe nothing is cut to the width of a terminal that is not there.
    width = None if sys.stdout.isatty() else 200
    Console(soft_wrap=True, width=width).print(render(result, verbose=arguments.verbose, quiet=arguments.quiet))
