"""Finds the first real error of a dead server's log and says what it means.

An error line is the exception line of a Python traceback, a line logged as ERROR or worse, or what a parser, a shell, Docker
or the kernel say when they give up. It is the first one that counts: later ones mostly say that an earlier one happened. Not
counted are warnings (many quote the words of errors), wrappers that point back ("EngineCore failed to start"), and exceptions
that only tell of another process's end. Of exceptions chained by "direct cause" the first counts; of those chained by "during
handling" the first that is known here, else the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.engines.base import Diagnosis
from harness.engines.known import COMMON, Known

PREFIXES = tuple(
    re.compile(p)
    for p in (
        r"\([\w ./-]*pid=\d+\)\s?",  # vLLM: which process
        r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+\d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]*\] ?)?",  # vLLM
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[^\]]*\] ?",  # SGLang
        r"\d+\.\d\d\.\d{3}\.\d{3} (?P<level>[DIWE]) ",  # llama.cpp
        r"\[(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d[^\]]*\] ?",  # PyTorch's C++ side
        r"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL):\s+",  # uvicorn, logging
    )
)
HARMLESS = {"DEBUG", "INFO", "WARNING", "D", "I", "W"}
EXCEPTION = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|NotFound|Exceeded|Refused|Timeout|Failure|Exit)(?::.*)?$"
)
QUALIFIED = re.compile(r"(?:[A-Za-z_]\w*\.)+(?:[A-Z]\w*|\w*error)(?::.*)?$")
"""What ends a traceback may be called anything: triton.runtime.errors.OutOfResources, socket.gaierror."""
UNINFORMATIVE = re.compile(r"validation errors? for \w+$|Error:\s*$")
"""Exception lines that say nothing themselves (pydantic only counts the errors): the line after them does."""
WRAPPER = re.compile(
    r"Engine ?[Cc]ore (?:failed|initialization failed|encountered|died)|EngineDeadError|AsyncLLM output_handler failed"
    r"|Worker(?:Proc)? .*(?:failed|died)"
    r"|WorkerProc initialization failed|See (?:root cause|stack trace)|Error with model error="
    r"|Received sigquit from a child process|Scheduler hit an exception|killing? (?:all )?process"
    r"|Rank \d+ scheduler is dead|Initialization failed\. (?:warmup|Please)"
    r"|(?:^|\.)(?:CancelledError|KeyboardInterrupt|SystemExit|BrokenPipeError|EOFError)\b"
    r"|Exit code: -?\d+$|exiting due to|encountered an error while trying to fit params"
    r"|embedded: error: llama\.cpp's server did not start"
)
LAST_WORDS = re.compile(
    r"(?:^|: )(?:fatal )?error: |^docker: |^Error response from daemon|^invalid argument \"|^Killed$|^Segmentation fault|^Bus error"
    r"|^Illegal instruction|^Aborted"
    r"|^Fatal Python error: |^terminate called|command not found$|: not found$|[Pp]ermission denied$|No such file or directory$"
    r"|^\S+: (?:Error while finding module specification|No module named )|^exec .*: (?:no such file|exec format error)",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Chain:
    """The exceptions of one traceback, oldest first."""

    lines: list[str] = field(default_factory=list)
    handled: bool = False
    """Whether one was raised while another was being handled."""


def diagnose_with(table: Sequence[Known], log: Sequence[str]) -> Diagnosis | None:
    """The first error of `log`, explained from an engine's own table and the common one; None when no line looks like an
    error."""
    known = (*table, *COMMON)
    vague = None
    for candidate in _candidates(log):
        chain = [line for line in candidate.lines if not WRAPPER.search(line)]
        explained = [d for line in chain if (d := _explain(known, line))]
        if explained:
            return explained[0]
        if chain and vague is None:
            line = chain[-1 if candidate.handled else 0]
            vague = Diagnosis(_short(line), "an error this harness has no explanation for", "read the log from that line on")
            if EXCEPTION.match(line) or QUALIFIED.match(line) or LAST_WORDS.search(line):
                return vague
    return vague


def _explain(known: Sequence[Known], line: str) -> Diagnosis | None:
    for entry in known:
        if found := entry.pattern.search(line):
            words = {name: text or "?" for name, text in found.groupdict().items()}
            return Diagnosis(_short(line), entry.meaning.format_map(words), entry.advice.format_map(words))
    return None


def _candidates(log: Sequence[str]) -> Iterator[Chain]:
    """Error lines in order, tracebacks with all their exceptions as one."""
    chain: Chain | None = None
    inside = False  # between "Traceback" and its exception line
    wants_detail = False
    for raw in log:
        level, text = strip(raw)
        if text.endswith("Traceback (most recent call last):"):
            chain = chain or Chain()
            inside = True
        elif inside:
            if text and not text.startswith((" ", "\t")) and (EXCEPTION.match(text) or QUALIFIED.match(text)):
                assert chain is not None
                chain.lines.append(text)
                inside, wants_detail = False, bool(UNINFORMATIVE.search(text))
        elif wants_detail and text.strip():
            assert chain is not None
            chain.lines[-1], wants_detail = text.strip(), False
        elif text.startswith(("During handling of the above exception", "The above exception was the direct cause")):
            if chain:
                chain.handled |= text.startswith("During")
        elif text.strip():
            if chain and not text.startswith(" "):
                yield chain
                chain = None
            if level not in HARMLESS and (level is not None or LAST_WORDS.search(text)) and not text.startswith((" ", "File ")):
                yield Chain([text.strip()])
    if chain:
        yield chain


def strip(line: str) -> tuple[str | None, str]:
    """(level, rest) of a log line: the engines' prefixes taken off."""
    level = None
    for prefix in PREFIXES:
        if found := prefix.match(line):
            level = found.groupdict().get("level") or level
            line = line[found.end() :]
    return level, line


def _short(line: str, most: int = 300) -> str:
    line = " ".join(line.split())
    return line if len(line) <= most else line[: most - 1] + "…"
