"""The conductor's side of the driver: starts the process, follows its progress, and reads what it wrote."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from harness.errors import HarnessError, MachineError
from harness.far import SILENCE_S, Offset, beating, begin, command
from harness.load import far
from harness.schema.job import Job, Progress
from harness.schema.request import Record
from harness.schema.run import ClientReport
from harness.typed import decoded, decoder

KEY = "HARNESS_API_KEY"
"""The child's alone: what the caller may have in a variable of that name is for another server."""
PART = 1 << 16
STOP_LIMIT_S = 60.0  # it still writes the records of what was in flight


class _Last(msgspec.Struct, frozen=True):
    report: ClientReport


def drive(
    job: Job,
    records_path: Path,
    on_progress: Callable[[Progress], None],
    *,
    environment: Mapping[str, str],
    api_key: str | None,
) -> ClientReport:
    """Runs `job` in a process of its own and waits for it; `records_path` then holds one `Record` a line.

    The key goes through the child's environment, never through a file or an argument. An exception here (Ctrl-C, say) ends the child
    first. Raises `HarnessError` when the driver itself fails.
    """
    job_path = records_path.with_suffix(".job.json")
    key = {} if api_key is None else {KEY: api_key}
    try:
        job_path.write_bytes(msgspec.json.encode(job))
        with TemporaryFile() as errors:
            child = subprocess.Popen(
                [sys.executable, "-m", "harness.load", str(job_path), str(records_path)],
                env={name: value for name, value in environment.items() if name != KEY} | key,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )
            report = _wait(child, on_progress)
            errors.seek(0)
            said = errors.read().decode("utf-8", "replace").strip().splitlines()
    finally:
        job_path.unlink(missing_ok=True)
    if report is None or child.returncode:
        raise HarnessError(
            f"the load driver ended with code {child.returncode}: {said[-1] if said else 'it said nothing'}",
            "this is a fault of the harness, or something ended the process: look for it in the kernel's log (out of memory?)",
        )
    return report


def drive_from(
    host: str,
    python: str,
    job: Job,
    records_path: Path,
    on_progress: Callable[[Progress], None],
    *,
    environment: Mapping[str, str],
    api_key: str | None,
    silence_s: float = SILENCE_S,
) -> ClientReport:
    """The same with the driver on another host, by ssh; the records' times are moved to our clock.

    `python` is one there that has the harness. The key goes through standard input. Raises `MachineError` when nobody answers there, or
    nothing is heard for `silence_s`.
    """
    with TemporaryFile() as errors:
        child = subprocess.Popen(
            command(host, python, "harness.load"),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        try:
            offset = _begin(child, far.Order(job, api_key), host, python)
            assert child.stdout is not None
            with beating(child, silence_s) as hear, records_path.open("wb") as records:

                def heard(progress: Progress) -> None:
                    hear()
                    on_progress(progress)

                report = _follow(child, heard)
                while part := child.stdout.read(PART):
                    hear()
                    records.write(part)
        except BaseException:
            assert child.stdin is not None
            with suppress(OSError):  # it may be gone, and what it was told unread
                child.stdin.close()  # with it the driver stops
            child.stdin = None
            _end(child)
            raise
        child.communicate()
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace").strip().splitlines()
    if child.returncode == -signal.SIGKILL:
        raise MachineError(
            f"the load driver on {host} hangs: nothing was heard of it for {silence_s:.0f} s",
            "look at that host: its memory, its kernel's log",
        )
    if report is None or child.returncode:
        raise MachineError(
            f"the load driver on {host} ended with code {child.returncode}: {said[-1] if said else 'it said nothing'}",
            "look at the connection, and whether that host has memory enough",
        )
    far.on_our_clock(records_path, offset.offset_ns)
    return msgspec.structs.replace(report, host=host, clock_error_ns=offset.error_ns)


def _begin(child: subprocess.Popen[bytes], order: far.Order, host: str, python: str) -> Offset:
    try:
        return begin(child, order)
    except (OSError, msgspec.DecodeError):
        raise MachineError(
            f"the load driver does not answer on {host}",
            f"check that `ssh {host} {python} -m harness --version` works without a password: --load-python names another Python there",
        ) from None


def read_records(path: Path) -> list[Record]:
    """The records of one trial, in the order of the job."""
    decode = decoder(Record).decode
    with path.open("rb") as file:
        return sorted((decode(line) for line in file), key=lambda record: record.index)


def _wait(child: subprocess.Popen[bytes], on_progress: Callable[[Progress], None]) -> ClientReport | None:
    """What it reports, once it has ended: by itself, or because of an exception here."""
    try:
        report = _follow(child, on_progress)
        child.communicate()
    except BaseException:
        child.terminate()
        _end(child)
        raise
    return report


def _end(child: subprocess.Popen[bytes]) -> None:
    """Waits for a driver that has been told to stop."""
    try:
        child.communicate(timeout=STOP_LIMIT_S)  # from another host its records come first, and would wait to be read
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


def _follow(child: subprocess.Popen[bytes], on_progress: Callable[[Progress], None]) -> ClientReport | None:
    assert child.stdout is not None
    for line in child.stdout:
        if line.startswith(b'{"report"'):
            return decoded(line, _Last).report
        on_progress(decoded(line, Progress))
    return None
