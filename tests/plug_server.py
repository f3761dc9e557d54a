"""Power meters on loopback that speak the real protocols and draw a known curve, whose energy they count themselves.

In a thread: `with PlugServer("shelly1", lambda t: 40 + 20 * (t % 10 > 5)) as plug: open_plug(plug.address, plug.token)`.
As a process: `python -m tests.plug_server shelly2 40 120 10` draws 40 W and 120 W in turns of ten seconds, prints its address, and ends
when its standard input does.

The answers have the form that the makers' documentation shows; see harness/sense/plug/protocols.py.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

Curve = Callable[[float], float]
"""Watts by seconds since the meter was made."""
STEP_S = 0.005


class Meter:
    """Integrates its curve in steps of 5 ms, midpoint by midpoint, whenever it is asked."""

    def __init__(self, curve: Curve, joules: float = 0.0) -> None:
        self._curve, self._joules = curve, joules
        self._start = time.monotonic()
        self._done_s = 0.0
        self._lock = threading.Lock()

    def read(self) -> tuple[float, float]:
        """Watts now, and joules up to now."""
        with self._lock:
            now_s = time.monotonic() - self._start
            self._integrate(now_s)
            return self._curve(now_s), self._joules

    def draw(self, curve: Curve) -> None:
        """From now on."""
        with self._lock:
            self._integrate(time.monotonic() - self._start)
            self._curve = curve

    def _integrate(self, until_s: float) -> None:
        while self._done_s < until_s:
            step = min(STEP_S, until_s - self._done_s)
            self._joules += self._curve(self._done_s + step / 2) * step
            self._done_s += step


Answer = tuple[int, object]


def shelly1(watts: float, joules: float, path: str) -> Answer:
    """Plug S: one meter, which counts whole watt-minutes."""
    if path == "/shelly":
        return 200, {"type": "SHPLG-S", "mac": "0123456789AB", "auth": False, "fw": "1.14", "num_outputs": 1, "num_meters": 1}
    if path == "/meter/0":
        counters = [watts, watts, watts]
        meter = {"power": round(watts, 2), "overpower": 0.0, "is_valid": True, "timestamp": 1680779310, "counters": counters}
        return 200, {**meter, "total": int(joules / 60)}
    return 404, "Not Found"


def shelly_em(watts: float, joules: float, path: str) -> Answer:
    """3EM, Gen 1: counts watt-hours."""
    if path == "/shelly":
        return 200, {"type": "SHEM-3", "mac": "0123456789AB", "auth": False, "fw": "1.14", "num_emeters": 3}
    if path in ("/emeter/0", "/emeter/1", "/emeter/2"):
        phase = {"power": round(watts, 2), "pf": 1.0, "current": 0.08, "voltage": 232.06, "is_valid": True}
        return 200, {**phase, "total": round(joules / 3600, 1), "total_returned": 0.0}
    return 404, "Not Found"


def _gen2(component: str, status: Callable[[float, float], dict[str, object]]) -> Callable[[float, float, str], Answer]:
    """Channel 1 draws twice as much as channel 0; there is no channel 2."""

    def answer(watts: float, joules: float, path: str) -> Answer:
        if path == "/shelly":
            about = {"name": None, "id": "shellyplusplugs-0123456789ab", "mac": "0123456789AB", "model": "SNPL-00112EU"}
            return 200, {**about, "gen": 2, "ver": "1.0.8", "app": "PlusPlugS", "auth_en": False, "auth_domain": None}
        method, _, channel = path.removeprefix("/rpc/").partition("?id=")
        if method != f"{component}.GetStatus":
            return 404, {"code": 404, "message": f"No handler for {method}"}
        if channel not in ("0", "1"):
            return 500, {"code": -105, "message": f"Argument 'id', value {channel} not found!"}
        factor = 1 + int(channel)
        return 200, {"id": int(channel), **status(watts * factor, joules * factor)}

    return answer


def _metered(watts: float, joules: float) -> dict[str, object]:
    energy = {"total": round(joules / 3600, 3), "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779}
    return {"voltage": 237.5, "current": round(watts / 237.5, 3), "apower": round(watts, 1), "aenergy": energy}


def _switch(watts: float, joules: float) -> dict[str, object]:
    return {"source": "timer", "output": True, **_metered(watts, joules), "temperature": {"tC": 23.5, "tF": 74.4}}


def _em(watts: float, joules: float) -> dict[str, object]:
    return {
        "a_act_power": watts,
        "b_act_power": 0.0,
        "c_act_power": 0.0,
        "total_current": 0.1,
        "total_act_power": round(watts, 3),
    }


def _em1(watts: float, joules: float) -> dict[str, object]:
    return {"current": 0.2, "voltage": 234.9, "act_power": round(watts, 1), "aprt_power": 18.7, "pf": 0.9, "freq": 50}


def _relay(watts: float, joules: float) -> dict[str, object]:
    return {"source": "init", "output": True, "temperature": {"tC": 23.5, "tF": 74.4}}


def tasmota(watts: float, joules: float, path: str) -> Answer:
    if path != "/cm?cmnd=Status%208":
        return 200, {"Command": "Unknown"}
    energy = {"TotalStartTime": "2020-10-21T22:15:00", "Total": round(joules / 3.6e6, 3), "Yesterday": 0.028, "Today": 0.026}
    energy |= {"Power": round(watts), "ApparentPower": 5, "ReactivePower": 0, "Factor": 1.0, "Voltage": 233, "Current": 0.021}
    return 200, {"StatusSNS": {"Time": "2022-01-11T21:57:38", "ENERGY": energy}}


def home_assistant(watts: float, joules: float, path: str) -> Answer:
    entities = {
        "/api/states/sensor.plug_power": (f"{watts:.1f}", "W"),
        "/api/states/sensor.plug_power_kw": (f"{watts / 1e3:.4f}", "kW"),
        "/api/states/sensor.plug_energy": (f"{joules / 3.6e6:.3f}", "kWh"),
        "/api/states/sensor.plug_voltage": ("231.2", "V"),
        "/api/states/sensor.plug_lost": ("unavailable", "W"),
    }
    if path not in entities:
        return 404, {"message": "Entity not found."}
    state, unit = entities[path]
    attributes = {"state_class": "measurement", "unit_of_measurement": unit, "friendly_name": "Plug"}
    changed = "2026-11-23T10:00:00.000000+00:00"
    return 200, {
        "entity_id": path[12:],
        "state": state,
        "attributes": attributes,
        "last_changed": changed,
        "last_updated": changed,
    }


PROTOCOLS: dict[str, Callable[[float, float, str], Answer]] = {
    "shelly1": shelly1,
    "shelly_em": shelly_em,
    "shelly2": _gen2("Switch", _switch),
    "shelly_pm": _gen2("PM1", _metered),
    "shelly_em1": _gen2("EM1", _em1),
    "shelly_3em": _gen2("EM", _em),
    "shelly_relay": _gen2("Switch", _relay),
    "tasmota": tasmota,
    "homeassistant": home_assistant,
}
GOOD, HANG, GARBAGE, HUGE, HALF, LOCKED, BUSY = "good", "hang", "garbage", "huge", "half", "locked", "busy"


class PlugServer:
    """`mood` is how it answers from now on: one of the words above; `huge` is a right answer with a megabyte of
    blanks in it, `half` sends only its first bytes and then nothing. `draw` changes the curve. After `die` nobody listens, until `rise`
    opens the same port again; the meter goes on counting meanwhile."""

    token = "made-up.access_token"

    def __init__(self, protocol: str, watts: float | Curve = 42.0, *, joules: float = 7_200_000.0) -> None:
        self.protocol = protocol
        self.mood = GOOD
        self.paths: list[str] = []
        self.connections = 0
        self._meter = Meter(_curve(watts), joules)
        self._open: set[socket.socket] = set()
        self._wake = threading.Event()
        self.port = 0
        self.rise()

    @property
    def address(self) -> str:
        scheme = self.protocol.partition("_")[0].rstrip("12")
        return f"{scheme}://127.0.0.1:{self.port}" + ("/sensor.plug_power" if scheme == "homeassistant" else "")

    def draw(self, watts: float | Curve) -> None:
        self._meter.draw(_curve(watts))

    def read(self) -> tuple[float, float]:
        """The truth: watts now, and joules up to now."""
        return self._meter.read()

    def rise(self) -> None:
        plug = self

        class Handler(_Handler):
            of = plug

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def die(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:  # gone already
                pass

    def __enter__(self) -> PlugServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.set()
        self.die()

    def opened(self, connection: socket.socket) -> None:
        self.connections += 1
        self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        self._open.discard(connection)

    def answer(self, path: str, authorization: str | None) -> tuple[int, bytes]:
        self.paths.append(path)
        if self.mood == HANG:
            self._wake.wait(60)
        if self.mood == GARBAGE:
            return 200, b"\xff\xfe[" * 20_000
        if self.mood == BUSY:
            return 503, b"busy"
        if self.mood == LOCKED and self.protocol == "tasmota":
            return 200, msgspec.json.encode({"WARNING": "Need user=<username>&password=<password>"})
        wanted = f"Bearer {self.token}" if self.protocol == "homeassistant" else authorization
        if authorization != wanted or (self.mood == LOCKED and path != "/shelly"):
            return 401, b"401: Unauthorized"
        status, said = PROTOCOLS[self.protocol](*self._meter.read(), path)
        body = msgspec.json.encode(said)
        return status, body[:1] + b" " * (1 << 20) + body[1:] if self.mood in (HUGE, HALF) else body


class _Handler(BaseHTTPRequestHandler):
    of: PlugServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.of.opened(self.connection)

    def finish(self) -> None:
        self.of.closed(self.connection)
        super().finish()

    def do_GET(self) -> None:
        status, body = self.of.answer(self.path, self.headers.get("authorization"))
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        try:
            self.end_headers()
            self.wfile.write(body[:1000] if self.of.mood == HALF else body)
        except OSError:  # whoever asked has hung up
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def _curve(watts: float | Curve) -> Curve:
    return watts if callable(watts) else lambda _: watts


def main(protocol: str, low: float, high: float, turn_s: float) -> None:
    with PlugServer(protocol, lambda t: low if t % (2 * turn_s) < turn_s else high) as plug:
        print(plug.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:5]))
