"""``isthmus``: parse, run a verb, turn an error into its exit code. The outermost frame."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from isthmus import __version__
from isthmus.cli import check, convert, doctor, inspect, locate, verify
from isthmus.errors import IsthmusError

VERBS = (convert, verify, locate, inspect, check, doctor)
INTERRUPTED = 130
BROKEN = 70
"""An error of Isthmus itself (sysexits' EX_SOFTWARE): never one of the promised codes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code (0–6 as documented, 130 when interrupted, 70 on a defect)."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow reads it once, when it is imported
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("isthmus: interrupted; the target is as it was", file=sys.stderr)
        return INTERRUPTED
    except IsthmusError as error:
        print(f"isthmus: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost frame
        if arguments.verbose:
            traceback.print_exc()
        print(f"isthmus: a defect: {type(error).__name__}: {error}", file=sys.stderr)
        print("hint: run again with -v and report the traceback", file=sys.stderr)
        return BROKEN
    return code


def entry() -> NoReturn:
    """The program: ``main``, and an exit code that nothing can change any more.

    An interrupt that passes through C code leaves a mark in the interpreter, which would then end by the signal
    instead of the code, although everything has been cleaned up.
    """
    code = main()
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, without importing a framework."""
    parser = argparse.ArgumentParser(
        prog="isthmus",
        description="Carries a trained model between PyTorch, ONNX and TensorFlow, and proves that it is the same.",
        epilog="exit codes: 0 converted and agrees, 1 disagrees, 2 usage, 3 unsupported, 4 a runner died or timed "
        "out, 5 a framework is missing, 6 unsafe input",
    )
    parser.add_argument("--version", action="version", version=f"isthmus {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        verb.add_parser(verbs)
    return parser


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:
    """A polite kill is an interrupt: clean-up runs, nothing half-written stays."""
    raise KeyboardInterrupt
