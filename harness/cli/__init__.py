"""The command line: parse, call, print. Whatever takes time to import is imported inside the command that wants it."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point of `harness`. Exit codes: `harness/errors.py`."""
    from harness.cli.app import app
    from harness.errors import HarnessError

    try:
        app()
    except HarnessError as error:
        if os.environ.get("HARNESS_DEBUG"):
            raise
        for note in getattr(error, "__notes__", ()):  # what else went wrong while stopping
            print(f"harness: {note}", file=sys.stderr)
        print(f"harness: {error.message}\nHint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `harness … | head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is still buffered has nowhere to go
        sys.exit(141)
