"""The command line: parse, call, print. Whatever takes time to import is imported inside the command that wants it."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of `harness`. Exit codes: `harness/errors.py`."""
    from harness.cli.app import app
    from harness.comm import HARNESS, name_process
    from harness.errors import HarnessError

    name_process(HARNESS)
    try:
        app()
    except HarnessError as error:
        if os.environ.get("HARNESS_DEBUG"):
            raise
        _print_notes(error)
        print(f"harness: {error.message}\nHint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt as error:
        _print_notes(error)
        sys.exit(130)
    except SystemExit as error:
        _print_notes(error)
        raise


def _print_notes(error: BaseException) -> None:
    """What else went wrong while stopping: a server that would not end, say."""
    for note in getattr(error, "__notes__", ()):
        print(f"harness: {note}", file=sys.stderr)
