"""Everything that can go wrong, as a tree; each class is one exit code.

    HarnessError                 1  a fault of the harness itself, or one that has no better name
    ├── UsageError               2  the command line is wrong
    ├── RecipeError              3  a recipe or profile cannot be read, is wrong, or does not resolve
    ├── MachineError             4  this machine lacks something the plan needs (GPU, Docker, an engine, a free port)
    ├── EngineError              5  the engine died, never became ready, or answers wrongly
    ├── InvalidResult            6  the run ended, but at least one cell is not valid
    ├── StoreError               7  results cannot be written or read
    ├── VerifyError              8  a stored result, or a bundle, is not what was measured, cannot be true, or was changed
    ├── MemoryGuard              9  the server was stopped to protect the machine
    ├── NotReproduced           10  a published figure was not reproduced
    ├── Inconclusive            11  none was not reproduced, but at least one is inconclusive, or none could be tested
    ├── FactsError              12  facts from outside cannot be read, or are wrong
    ├── NoConsent               13  nothing was sent, since nobody agreed to just that
    └── NotConfirmed            14  something was sent, and the target did not confirm that it has it
    (Ctrl-C ends with 130, SIGTERM with 143, a closed terminal with 129)

An error is two lines: what is wrong and where, and the next step. `harness/cli` prints them; nobody below it prints.
"""

from __future__ import annotations


def one_line(text: str) -> str:
    """Whatever would begin another line, or steer a terminal, as Python writes it: names and texts are other people's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class HarnessError(Exception):
    """`message` says what is wrong and where; `hint` is the next step, one sentence."""

    exit_code = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = one_line(message)
        self.hint = one_line(hint)

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}"


class UsageError(HarnessError):
    exit_code = 2


class RecipeError(HarnessError):
    exit_code = 3


class MachineError(HarnessError):
    exit_code = 4


class EngineError(HarnessError):
    exit_code = 5


class InvalidResult(HarnessError):
    exit_code = 6


class StoreError(HarnessError):
    exit_code = 7


class VerifyError(HarnessError):
    """`problems`: what is wrong, each by itself, where that is more than one thing."""

    exit_code = 8

    def __init__(self, message: str, hint: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(map(one_line, problems)) or (self.message,)


class MemoryGuard(HarnessError):
    exit_code = 9


class NotReproduced(HarnessError):
    exit_code = 10


class Inconclusive(HarnessError):
    exit_code = 11


class FactsError(HarnessError):
    exit_code = 12


class NoConsent(HarnessError):
    exit_code = 13


class NotConfirmed(HarnessError):
    exit_code = 14


def did_you_mean(word: str, known: list[str] | tuple[str, ...]) -> str | None:
    """The known word nearest to `word`, or None when nothing is near."""
    from difflib import get_close_matches  # here because it is only wanted on the way to an error

    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return near[0] if near else None
