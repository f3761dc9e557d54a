"""A meter that is asked over the network: once a second, less often while it does not answer."""

from __future__ import annotations

from collections.abc import Iterable
from http.client import HTTPResponse

from harness import clock
from harness.http import Client, Reply
from harness.schema.sensors import METER, WALL, Absent
from harness.sense.base import SELDOM_S, Reading
from harness.sense.plug.measured import NO_PERMISSION, UNREACHABLE, UNREADABLE, Fault, Measured
from harness.sense.plug.protocols import Device
from harness.units import NS_PER_S

TIMEOUT_S = 2.0
LONGEST_WAIT_S = 10
FOREVER_NS = 1 << 62
ANSWER_BYTES = 64 << 10
"""Far more than any of these devices says."""


class Plug:
    name, period_s, alone = METER, SELDOM_S, True

    def __init__(self, host: str, part: str, client: SmallAnswers, device: Device) -> None:
        self._host, self._part, self._client, self._device = host, part, client, device
        self._faults: dict[str, Absent] = {}
        self._failures = 0
        self._silent_until_ns = 0

    def read(self) -> Iterable[Reading]:
        if clock.now() < self._silent_until_ns:
            return ()
        try:
            measured = self._device.ask(self._get)
            if measured == Measured():
                raise Fault(UNREADABLE, "says neither watts nor energy")
        except Fault as fault:
            self._failed(fault)
            return ()
        self._failures = 0
        return measured.readings(self._part)

    @property
    def absent(self) -> tuple[Absent, ...]:
        """Each way in which it has failed so far, also when it has come back since."""
        return tuple(self._faults.values())

    def close(self) -> None:
        self._client.close()

    def _get(self, path: str) -> Reply:
        reply = self._client.fetch(path)
        if reply.status == 0:
            raise Fault(UNREACHABLE, "does not answer")
        if reply.status in (401, 403):
            raise Fault(NO_PERMISSION, self._device.locked)
        return reply

    def _failed(self, fault: Fault) -> None:
        self._failures += 1
        # A wrong token is not shown again and again: Home Assistant notes each time, and may lock this machine out.
        wait_ns = FOREVER_NS if fault.code == NO_PERMISSION else wait_s(self._failures) * NS_PER_S
        self._silent_until_ns = clock.now() + wait_ns
        text = f"wall power is not read: {self._host} {fault.text}"
        self._faults.setdefault(fault.code, Absent(source=self.name, scope=WALL, code=fault.code, text=text))


def wait_s(failures: int) -> int:
    """After so many failures in a row: the first may be a hiccup, so the next beat asks again."""
    return min(LONGEST_WAIT_S, 2 ** (failures - 1)) if failures > 1 else 0


class SmallAnswers(Client):
    """A client that cuts off an answer longer than `ANSWER_BYTES`."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(url, headers)
        self._connection.response_class = _SmallAnswer

    def fetch(self, path: str, *, payload: object | None = None, timeout_s: float = TIMEOUT_S) -> Reply:
        reply = super().fetch(path, payload=payload, timeout_s=timeout_s)
        if len(reply.body) > ANSWER_BYTES:
            self.close()  # the rest of it would be taken for the next answer
        return reply


class _SmallAnswer(HTTPResponse):
    def read(self, amt: int | None = None) -> bytes:
        return super().read(ANSWER_BYTES + 1)
