"""What a user may type as the address of a power meter."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.sense.plug import address

NS = 1_000_000_000


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("shelly://192.168.1.20", address.Address("shelly", "0", "http://192.168.1.20", "192.168.1.20")),
        ("shelly://plug.local:8080/1", address.Address("shelly", "1", "http://plug.local:8080", "plug.local")),
        ("tasmota://[fe80::1]/", address.Address("tasmota", "0", "http://[fe80::1]", "fe80::1")),
        ("homeassistant://ha:8123/sensor.a_1", address.Address("homeassistant", "sensor.a_1", "http://ha:8123", "ha")),
        ("homeassistants://ha/sensor.a", address.Address("homeassistant", "sensor.a", "https://ha", "ha")),
        ("csv:///tmp/a%20b.csv?offset=-1.5", address.Address("csv", "/tmp/a b.csv", offset_ns=-1_500_000_000)),
        ("logs/meter.csv", address.Address("csv", "logs/meter.csv")),
        ("logs/a@b.csv", address.Address("csv", "logs/a@b.csv")),
        ("csv:///tmp/a@b.csv", address.Address("csv", "/tmp/a@b.csv")),
        ("logs/meter.csv?offset=3", address.Address("csv", "logs/meter.csv", offset_ns=3 * NS)),
    ],
)
def test_addresses(typed: str, expected: address.Address) -> None:
    assert address.parse(typed) == expected


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("192.168.1.20", "names no kind"),
        ("", "names no kind"),
        ("http://192.168.1.20", "'http' is no kind"),
        ("shely://192.168.1.20", "did you mean 'shelly'?"),
        ("shelly://", "host or port"),
        ("shelly://host:port", "host or port"),
        ("shelly://a b", "host or port"),
        ("shelly://[fe80::1", "host or port"),
        ("shelly://host/one", "'one' is no number"),
        ("shelly://host?id=1", "only the address of a CSV file"),
        ("tasmota://host/1", "nothing follows"),
        ("homeassistant://host:8123", "'' is no entity"),
        ("homeassistant://host:8123/Plug Power", "host or port"),
        ("homeassistant://host:8123/sensor/x", "'sensor/x' is no entity"),
        ("csv://relative.csv", "not absolute"),
        ("csv:///a.csv?offset=early", "'early' is no number"),
        ("csv:///a.csv?offset=nan", "'nan' is no number"),
        ("a.csv?ofset=1", "'ofset' is no option"),
    ],
)
def test_a_wrong_address_says_what_is_wrong_and_how_it_should_look(typed: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        address.parse(typed)
    assert why in refused.value.message
    assert "should look like" in refused.value.hint
    assert "\n" not in refused.value.message + refused.value.hint


@pytest.mark.parametrize(
    "typed",
    [
        "shelly://admin:hunter2@192.168.1.20",
        "shely://admin:hunter2@192.168.1.20",
        "shelly:/admin:hunter2@192.168.1.20",
        "admin:hunter2@192.168.1.20",
        "homeassistant://ha:8123/sensor.a?token=hunter2",
        "homeassistants:/ha:8123/sensor.a?token=hunter2",
    ],
)
def test_a_password_in_an_address_is_refused_and_not_repeated(typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        address.parse(typed)
    assert "hunter2" not in str(refused.value)
