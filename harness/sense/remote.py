"""The sources of another host, by the user's own ssh: `python -m harness.sense -` runs there, and its samples come on our clock.

The clocks are compared once, at the start; two machines' clocks drift apart by some tens of milliseconds an hour.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import msgspec

from harness import clock
from harness.errors import MachineError
from harness.far import SILENCE_S, beating, begin, command
from harness.schema.sensors import HOST, Absent, Sample
from harness.sense.base import OFTEN_S
from harness.typed import decoded

SAY_S = 0.5
"""How often the other host says what it has read."""
END_S = 5.0


class Order(msgspec.Struct, frozen=True):
    root: str
    """Where its /proc and /sys lie."""


class Said(msgspec.Struct, frozen=True):
    samples: list[Sample]
    absent: list[Absent]


class Remote:
    name, period_s, alone = "remote", OFTEN_S, True

    def __init__(self, host: str, python: str, environment: Mapping[str, str], silence_s: float = SILENCE_S) -> None:
        """Raises `MachineError` when nobody answers there."""
        self.host = host
        self._absent: list[Absent] = []
        self._lost: tuple[Absent, ...] = ()
        self._beating = ExitStack()
        self._child = subprocess.Popen(
            command(host, python, "harness.sense"),
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._offset_ns = begin(self._child, Order("/")).offset_ns
        except (OSError, msgspec.DecodeError):
            self.close()
            raise MachineError(
                f"the sensors of {host} do not answer",
                f"check that `ssh {host} {python} -m harness --version` works without a password: --sense-python names another there",
            ) from None
        self._heard = self._beating.enter_context(beating(self._child, silence_s))

    def read(self) -> Iterator[Sample]:
        """Waits for what it says next."""
        assert self._child.stdout is not None
        try:
            said = decoded(self._child.stdout.readline(), Said)
        except (OSError, ValueError, msgspec.MsgspecError):  # the pipe is closed, or ends within a line
            text = f"{self.host} says nothing any more: its connection or its harness has ended"
            self._lost = (Absent(source=f"{self.name}@{self.host}", scope=HOST, code="lost", text=text),)
            return
        self._heard()
        self._absent = [msgspec.structs.replace(absent, source=f"{absent.source}@{self.host}") for absent in said.absent]
        for sample in said.samples:
            yield msgspec.structs.replace(sample, t_ns=sample.t_ns - self._offset_ns, source=f"{sample.source}@{self.host}")

    @property
    def absent(self) -> tuple[Absent, ...]:
        return (*self._absent, *self._lost)

    def close(self) -> None:
        """It ends when its standard input does."""
        self._beating.close()
        if self._child.stdin is not None:
            try:
                self._child.stdin.close()
            except OSError:  # it has gone before
                pass
        try:
            self._child.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()


class Unread:
    """A machine that carries a part of the server and whose sensors nobody can read. It says so in a sample, once a second, so that it is
    seen in what is stored: a scope that it lacks is not known as a whole."""

    name, period_s, alone = "unread", 1.0, False

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        text = f"the sensors of {host} are not read, so its watts are missing: {why}"
        self.absent = (Absent(source=f"remote@{host}", scope=HOST, code="unreachable", text=text),)

    def read(self) -> Iterator[Sample]:
        yield Sample(clock.now(), f"remote@{self.host}", HOST, "sensors.read", 0.0, "bool")

    def close(self) -> None:
        pass
