"""Plugs that are asked over the network: the real protocols on loopback."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterable

import pytest

from harness.errors import UsageError
from harness.schema.sensors import Sample
from harness.sense.base import Reading, Source
from harness.sense.plug import open_plug
from harness.sense.plug.network import Plug, wait_s
from tests.plug_server import BUSY, GARBAGE, GOOD, HALF, HANG, HUGE, LOCKED, PlugServer


def values(readings: Iterable[Reading | Sample]) -> dict[str, float]:
    found = {}
    for reading in readings:
        assert isinstance(reading, tuple)
        scope, name, value, unit = reading
        assert scope == "wall"
        assert unit == {"plug.power": "W", "plug.energy": "J"}[name]
        found[name] = value
    return found


def plugged(server: PlugServer, part: str = "plug") -> Plug:
    source = open_plug(server.address, server.token, part)
    assert isinstance(source, Plug)
    assert (source.name, source.period_s, source.alone) == ("plug", 1.0, True)
    return source


def codes(source: Source) -> list[str]:
    assert all(absent.scope == "wall" and absent.source == "plug" for absent in source.absent)
    return [absent.code for absent in source.absent]


# --- what they say


@pytest.mark.parametrize(
    ("protocol", "channel", "watts", "step_j"),
    [
        ("shelly1", "", 42.5, 60),
        ("shelly_em", "/2", 42.5, 360),
        ("shelly2", "", 42.5, 3.6),
        ("shelly2", "/1", 85.0, 3.6),
        ("shelly_pm", "/0", 42.5, 3.6),
        ("shelly_em1", "/1", 85.0, None),
        ("shelly_3em", "", 42.5, None),
        ("tasmota", "", 42, 3600),
    ],
)
def test_watts_and_joules(protocol: str, channel: str, watts: float, step_j: float | None) -> None:
    """A counter is below the truth by its step at the most."""
    with PlugServer(protocol, 42.5, joules=7_654_321) as server:
        source = open_plug(server.address + channel)
        for _ in range(3):
            before = server.read()[1]
            said = values(source.read())
            after = server.read()[1]
            assert said["plug.power"] == watts
            if step_j is None:
                assert "plug.energy" not in said
            else:
                factor = watts / 42.5 if channel == "/1" else 1
                assert before * factor - step_j <= said["plug.energy"] <= after * factor + step_j / 2
        assert server.connections == 1
        assert len(set(server.paths[-3:])) == 1  # the kind of device is found out once
        assert codes(source) == []
        source.close()


@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        ("sensor.plug_power", {"plug.power": 142.3}),
        ("sensor.plug_power_kw", {"plug.power": 142.3}),
        ("sensor.plug_energy", {"plug.energy": 7_200_000.0}),
    ],
)
def test_a_home_assistant_entity_is_read_by_its_unit(entity: str, expected: dict[str, float]) -> None:
    with PlugServer("homeassistant", 142.3, joules=7_200_100) as server:
        source = open_plug(f"homeassistant://127.0.0.1:{server.port}/{entity}", server.token + "\n")
        assert values(source.read()) == pytest.approx(expected)
        assert codes(source) == []


@pytest.mark.parametrize(
    ("entity", "code"), [("sensor.plug_voltage", "not_supported"), ("sensor.plug_lost", "lost"), ("sensor.other", "no_device")]
)
def test_an_entity_that_is_no_power_says_why(entity: str, code: str) -> None:
    with PlugServer("homeassistant") as server:
        source = open_plug(f"homeassistant://127.0.0.1:{server.port}/{entity}", server.token)
        assert list(source.read()) == []
        assert codes(source) == [code]
        assert entity in source.absent[0].text


@pytest.mark.parametrize(("protocol", "channel"), [("shelly_relay", "/0"), ("shelly2", "/2"), ("shelly1", "/1")])
def test_a_channel_without_a_meter_is_absent_and_not_0_watts(protocol: str, channel: str) -> None:
    with PlugServer(protocol) as server:
        source = open_plug(server.address + channel)
        assert list(source.read()) == []
        assert codes(source) == ["no_device"]


def test_a_known_curve_is_followed() -> None:
    with PlugServer("shelly2", 40) as server:
        source = plugged(server)
        start = values(source.read())["plug.energy"]
        truth = server.read()[1]
        for watts in (120, 60, 90):
            server.draw(watts)
            time.sleep(0.2)
            assert values(source.read())["plug.power"] == watts
        counted, drawn = values(source.read())["plug.energy"] - start, server.read()[1] - truth
        assert counted == pytest.approx(drawn, abs=2 * 3.6 + 1)
        assert drawn > 0.5 * (120 + 60 + 90) * 0.2


def test_the_server_runs_as_a_process_too() -> None:
    command = [sys.executable, "-m", "tests.plug_server", "tasmota", "40", "40", "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert values(open_plug(process.stdout.readline().strip()).read())["plug.power"] == 40
        process.communicate()
    assert process.returncode == 0


# --- what goes wrong


@pytest.mark.parametrize(
    ("mood", "code"), [(GARBAGE, "unreadable"), (HUGE, "unreadable"), (BUSY, "unreadable"), (LOCKED, "no_permission")]
)
@pytest.mark.parametrize("protocol", ["shelly1", "shelly2", "tasmota", "homeassistant"])
def test_a_wrong_answer_is_absent_once(protocol: str, mood: str, code: str) -> None:
    with PlugServer(protocol) as server:
        source = plugged(server)
        server.mood = mood
        for _ in range(5):
            assert list(source.read()) == []
        assert codes(source) == [code]
        assert "127.0.0.1" in source.absent[0].text
        assert str(server.port) not in source.absent[0].text


def test_a_deep_answer_is_only_unreadable() -> None:
    with PlugServer("tasmota") as server:
        source = plugged(server)
        server.answer = lambda path, authorization: (200, b'{"x":' + b"[" * 60_000)  # type: ignore[method-assign]
        assert list(source.read()) == []
        assert codes(source) == ["unreadable"]


def test_a_refused_token_is_shown_once_and_never_told() -> None:
    with PlugServer("homeassistant") as server:
        source = open_plug(server.address, "not-the-token")
        for _ in range(4):
            assert list(source.read()) == []
            time.sleep(0.05)
        assert server.paths == ["/api/states/sensor.plug_power"]
        assert codes(source) == ["no_permission"]
        assert "not-the-token" not in repr(source.absent)


@pytest.mark.parametrize("token", [None, "", "two words", "a\nb", "tökén"])
def test_a_token_that_cannot_be_one_is_refused_unread(token: str | None) -> None:
    with pytest.raises(UsageError) as refused:
        open_plug("homeassistant://127.0.0.1:1/sensor.x", token)
    assert not token or token not in str(refused.value)
    assert "long-lived access token" in refused.value.hint


def test_a_plug_that_hangs_gives_the_thread_back() -> None:
    with PlugServer("shelly2") as server:
        source = plugged(server)
        assert values(source.read())["plug.power"] == 42
        server.mood = HANG
        start = time.monotonic()
        assert list(source.read()) == []
        hung_s = time.monotonic() - start
        assert hung_s < 10  # five times its patience
        assert codes(source) == ["unreachable"]
        assert list(source.read()) == []  # the next beat asks again
        asked = len(server.paths)
        start = time.monotonic()
        for _ in range(50):
            assert list(source.read()) == []
        assert time.monotonic() - start < hung_s / 4
        assert len(server.paths) == asked  # it is left in peace now
        assert codes(source) == ["unreachable"]


def test_one_that_falls_silent_amid_an_answer_is_given_up() -> None:
    with PlugServer("tasmota") as server:
        source = plugged(server)
        server.mood = HALF
        assert list(source.read()) == []
        assert codes(source) == ["unreachable"]
        server.mood = GOOD
        assert values(source.read())["plug.power"] == 42


def test_a_measurement_that_the_plug_calls_invalid_is_none() -> None:
    with PlugServer("shelly1") as server:
        source = plugged(server)
        assert values(source.read())["plug.power"] == 42
        server.answer = lambda path, authorization: (200, b'{"power": 0.0, "is_valid": false}')  # type: ignore[method-assign]
        assert list(source.read()) == []
        assert codes(source) == ["lost"]


def test_nulls_are_no_readings() -> None:
    """As Gen 2 answers while its meter has an error."""
    with PlugServer("shelly2") as server:
        source = plugged(server)
        assert values(source.read())["plug.power"] == 42
        server.answer = lambda path, authorization: (200, b'{"id": 0, "apower": null, "errors": ["overpower"]}')  # type: ignore[method-assign]
        assert list(source.read()) == []
        assert codes(source) == ["unreadable"]


def test_several_plugs_have_names_of_their_own() -> None:
    with PlugServer("shelly2") as server:
        names = [name for _, name, _, _ in plugged(server, "plug1").read()]
        assert names == ["plug1.power", "plug1.energy"]


def test_a_plug_that_comes_back_is_read_again() -> None:
    with PlugServer("shelly1") as server:
        source = plugged(server)
        before = values(source.read())
        server.die()
        assert list(source.read()) == []
        assert codes(source) == ["unreachable"]
        server.rise()
        server.draw(66)
        after = values(source.read())
        assert after["plug.power"] == 66
        assert after["plug.energy"] >= before["plug.energy"]
        server.die()
        assert list(source.read()) == []
        server.rise()
        assert values(source.read())["plug.power"] == 66  # asked again at once: it had been there in between
        assert codes(source) == ["unreachable"]


def test_one_that_is_not_there_when_it_is_opened_may_come_later() -> None:
    with PlugServer("tasmota") as server:
        server.die()
        source = plugged(server)
        assert list(source.read()) == []
        server.rise()
        assert values(source.read()) == {"plug.power": 42, "plug.energy": 7_200_000}


def test_it_is_asked_less_often_the_longer_it_is_away() -> None:
    assert [wait_s(failures) for failures in range(1, 8)] == [0, 2, 4, 8, 10, 10, 10]


def test_a_hot_plug_recovers_its_mood() -> None:
    """After garbage, at the next beat."""
    with PlugServer("shelly2") as server:
        source = plugged(server)
        server.mood = GARBAGE
        assert list(source.read()) == []
        server.mood = GOOD
        assert values(source.read())["plug.power"] == 42
