"""What each plug is asked, and what its answers mean.

Sources: shelly-api-docs.shelly.cloud (Gen 1: /shelly, /meter, /emeter; Gen 2 and later: Switch, PM1, EM1, EM), tasmota.github.io/docs
(JSON status responses), developers.home-assistant.io/docs/external_api_rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from harness.http import Reply
from harness.sense.plug.measured import (
    LOST,
    NO_DEVICE,
    NO_PERMISSION,
    NOT_SUPPORTED,
    UNITS_J,
    UNITS_W,
    UNREADABLE,
    WH_J,
    Fault,
    Measured,
    unit_key,
)
from harness.typed import decoded

Get = Callable[[str], Reply]
"""Raises `Fault` when no answer comes."""
T = TypeVar("T")
WATT_MINUTE_J = 60.0
PASSWORD = "asks for a password: take it off while measuring, or read the plug through Home Assistant"


class Device(Protocol):
    locked: str
    """What its refusal means, and what helps."""

    def ask(self, get: Get) -> Measured:
        """Raises `Fault`."""


class _ShellyInfo(msgspec.Struct):
    type: str = ""
    gen: int = 1
    """Gen 1 does not say it."""


class _Gen1(msgspec.Struct):
    power: float
    total: float | None = None
    is_valid: bool = True


class _Counter(msgspec.Struct):
    total: float | None = None


class _Gen2(msgspec.Struct):
    """Of Switch and PM1, of EM1, or of EM; null while there is an error."""

    apower: float | None = None
    act_power: float | None = None
    total_act_power: float | None = None
    aenergy: _Counter | None = None


class Shelly:
    """Of any generation, which it says itself."""

    locked = PASSWORD

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._read: Callable[[Get], Measured] | None = None

    def ask(self, get: Get) -> Measured:
        if self._read is None:
            info = _decoded(get("/shelly"), _ShellyInfo)
            self._read = self._gen1(info.type) if info.gen == 1 else self._gen2(get)
        return self._read(get)

    def _gen1(self, model: str) -> Callable[[Get], Measured]:
        """A plug's meter counts watt-minutes, the meters of EM and 3EM (models SHEM, SHEM-3) watt-hours."""
        kind, unit_j = ("emeter", WH_J) if model.startswith("SHEM") else ("meter", WATT_MINUTE_J)

        def read(get: Get) -> Measured:
            reply = get(f"/{kind}/{self._channel}")
            if reply.status == 404:
                raise self._no_meter()
            said = _decoded(reply, _Gen1)
            if not said.is_valid:
                raise Fault(LOST, "says that its own measurement is not valid")
            return Measured(said.power, None if said.total is None else said.total * unit_j)

        return read

    def _gen2(self, get: Get) -> Callable[[Get], Measured]:
        for component in ("Switch", "PM1", "EM1", "EM"):
            path = f"/rpc/{component}.GetStatus?id={self._channel}"
            reply = get(path)
            if reply.ok and _power(_decoded(reply, _Gen2)) is not None:
                return lambda get: _gen2(get(path))
            # Which of these says "no such component" depends on the firmware.
            if not reply.ok and reply.status not in (400, 404, 500):
                raise _unexpected(reply)
        raise self._no_meter()

    def _no_meter(self) -> Fault:
        return Fault(NO_DEVICE, f"has no power meter on channel {self._channel}")


def _gen2(reply: Reply) -> Measured:
    """EM1 and EM keep their counters elsewhere and renew them each minute: their watts say more."""
    said = _decoded(reply, _Gen2)
    total = said.aenergy.total if said.aenergy else None
    return Measured(_power(said), None if total is None else total * WH_J)


def _power(said: _Gen2) -> float | None:
    return next((watts for watts in (said.apower, said.act_power, said.total_act_power) if watts is not None), None)


class _Energy(msgspec.Struct, rename="pascal"):
    power: float | None = None
    total: float | None = None


class _Sensors(msgspec.Struct):
    ENERGY: _Energy | None = None


class _Status8(msgspec.Struct):
    StatusSNS: _Sensors | None = None
    WARNING: str | None = None


class Tasmota:
    locked = PASSWORD

    def ask(self, get: Get) -> Measured:
        said = _decoded(get("/cm?cmnd=Status%208"), _Status8)
        if said.WARNING is not None:  # "Need user=…&password=…", with status 200 from older versions
            raise Fault(NO_PERMISSION, self.locked)
        energy = said.StatusSNS.ENERGY if said.StatusSNS else None
        if energy is None:
            raise Fault(NO_DEVICE, "has no power meter")
        return Measured(energy.power, None if energy.total is None else energy.total * 1e3 * WH_J)


class _Attributes(msgspec.Struct):
    unit_of_measurement: str | None = None


class _State(msgspec.Struct):
    state: str
    attributes: _Attributes = msgspec.field(default_factory=_Attributes)


class HomeAssistant:
    """One entity of it: power or energy, by its unit."""

    locked = "refuses the access token: create a new one on your profile page, under Security"

    def __init__(self, entity: str) -> None:
        self._entity = entity

    def ask(self, get: Get) -> Measured:
        reply = get(f"/api/states/{self._entity}")
        if reply.status == 404:
            raise Fault(NO_DEVICE, f"knows no entity {self._entity}")
        said = _decoded(reply, _State)
        if said.state in ("unavailable", "unknown"):
            raise Fault(LOST, f"{self._entity} is {said.state}")
        unit = said.attributes.unit_of_measurement or ""
        try:
            value = float(said.state)
        except ValueError:
            raise Fault(UNREADABLE, f"{self._entity} is not a number") from None
        if factor := UNITS_W.get(unit_key(unit)):
            return Measured(power_w=value * factor)
        if factor := UNITS_J.get(unit_key(unit)):
            return Measured(energy_j=value * factor)
        raise Fault(NOT_SUPPORTED, f"{self._entity} is neither in W nor in Wh: its unit is '{unit[:20]}'")


def _decoded(reply: Reply, kind: type[T]) -> T:
    if not reply.ok:
        raise _unexpected(reply)
    try:
        return decoded(reply.body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(UNREADABLE, "does not answer as such a device does") from None


def _unexpected(reply: Reply) -> Fault:
    return Fault(UNREADABLE, f"answers with HTTP status {reply.status}")
