"""Logs of other meters: real files, on the clock that the sampler uses."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from harness import clock
from harness.errors import UsageError
from harness.schema.sensors import Sample
from harness.sense.base import Source
from harness.sense.plug import open_plug
from harness.sense.plug.log import MeterLog, unix_ns
from harness.sense.sampler import Sampler
from tests.plug_server import PlugServer

NS = 1_000_000_000


def unix(ago_s: float = 0.0) -> float:
    return time.time() - ago_s


def log(path: Path, *lines: str) -> str:
    file = path / "meter.csv"
    file.write_text("".join(f"{line}\n" for line in lines))
    return str(file)


def append(file: str, text: str) -> None:
    with Path(file).open("a") as opened:
        opened.write(text)


def codes(source: Source) -> list[str]:
    assert all(absent.scope == "wall" and absent.source == "plug" for absent in source.absent)
    return [absent.code for absent in source.absent]


def read(source: Source) -> list[Sample]:
    assert isinstance(source, MeterLog)
    assert (source.name, source.period_s, source.alone) == ("plug", 1.0, True)
    samples = list(source.read())
    assert {(sample.source, sample.scope) for sample in samples} <= {("plug", "wall")}
    return samples


def zoned(moment: float, zone: timezone | None, sep: str = "T") -> str:
    """As a program would write it; without a zone in local time."""
    if zone is None:
        return datetime.fromtimestamp(moment).isoformat(sep)  # noqa: DTZ006
    return datetime.fromtimestamp(moment, zone).isoformat(sep)


@pytest.mark.parametrize(
    "form",
    [
        lambda at: f"{at:.3f}",
        lambda at: f"{at * 1000:.0f}",
        lambda at: f"{at * 1000:.3f}",
        lambda at: zoned(at, UTC).replace("+00:00", "Z"),
        lambda at: zoned(at, timezone(timedelta(hours=5, minutes=30))),
        lambda at: zoned(at, timezone(timedelta(hours=-8)), " "),
        lambda at: zoned(at, None),
        lambda at: zoned(at, None, " "),
    ],
    ids=["seconds", "milliseconds", "parts-of-ms", "utc", "zone", "zone-space", "local", "local-space"],
)
def test_each_form_of_time_is_the_instant_that_it_says(tmp_path: Path, form: object) -> None:
    """The row is 7 s old, on the clock that the sampler uses."""
    assert callable(form)
    written_ns, at = clock.now(), unix(7)
    source = open_plug(log(tmp_path, "time,power_w", f"{form(at)},41.5"))
    [sample] = read(source)
    assert (sample.name, sample.value, sample.unit) == ("plug.power", 41.5, "W")
    assert abs(sample.t_ns - (written_ns - 7 * NS)) < 0.1 * NS
    assert codes(source) == []


def test_whole_seconds_and_odd_fractions_are_exact() -> None:
    assert unix_ns("1700000000") == 1_700_000_000 * NS
    assert unix_ns("1700000000123") == 1_700_000_000 * NS + 123_000_000
    assert unix_ns("2023-11-14T22:13:20.5Z") == 1_700_000_000 * NS + NS // 2


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("time,power_w", "{t},41.5", {"plug.power": 41.5}),
        ("Timestamp,Voltage (V),Power (kW)", "{t},230,0.0415", {"plug.power": 41.5}),
        ("unix,current_power_mW", "{t},41500", {"plug.power": 41.5}),
        ("ts,energy_kwh", "{t},0.002", {"plug.energy": 7200}),
        ("Date;P [W];E [Wh]", "{t};41,5;2,5", {"plug.power": 41.5, "plug.energy": 9000}),
        ("epoch\twatts\tenergy_kwh", "{t}\t41.5\t", {"plug.power": 41.5}),
        ('"time","W"', '"{t}","41.5"', {"plug.power": 41.5}),
        ("\ufefftime,W", "{t},41.5", {"plug.power": 41.5}),
    ],
)
def test_columns_are_known_by_their_names(tmp_path: Path, header: str, row: str, expected: dict[str, float]) -> None:
    moment = f"{unix():.0f}"
    source = open_plug(log(tmp_path, header, row.format(t=moment)))
    samples = read(source)
    assert {sample.name: sample.value for sample in samples} == pytest.approx(expected)
    assert {sample.unit for sample in samples} == {{"plug.power": "W", "plug.energy": "J"}[name] for name in expected}
    assert len({sample.t_ns for sample in samples}) == 1
    assert codes(source) == []


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "the line that names the columns is missing"),
        (["1700000000,42"], "no column is called time"),
        (["power_w,energy_kwh"], "no column is called time"),
        (["time,power"], "no column's name ends in W"),
        (["time,power_MW"], "no column's name ends in W"),
        (["time,voltage_v"], "no column's name ends in W"),
        (["time,p1_w,p2_w"], "several columns are powers: p1_w, p2_w"),
        (["date,time,power_w"], "several columns are times: date, time"),
    ],
)
def test_a_wrong_header_is_refused_with_its_place(tmp_path: Path, lines: list[str], why: str) -> None:
    file = log(tmp_path, *lines)
    with pytest.raises(UsageError) as refused:
        open_plug(file)
    assert f"{file}:1: {why}" in refused.value.message
    assert "time,power_w,energy_kwh" in refused.value.hint


def test_a_missing_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.csv: No such file"):
        open_plug(str(tmp_path / "gone.csv"))


def test_a_growing_log_is_read_row_by_row_each_once(tmp_path: Path) -> None:
    """From the last row that was there on, and without a line that is not yet whole."""
    start = unix(10)
    file = log(tmp_path, "time,power_w", f"{start - 3},1", f"{start - 2},2", f"{start - 1},3")
    source = open_plug(file)
    assert [sample.value for sample in read(source)] == [3]
    assert read(source) == []
    append(file, f"{start},4\n{start + 1},5\n{start + 2},")
    assert [sample.value for sample in read(source)] == [4, 5]
    assert read(source) == []
    append(file, "678\n")
    rows = read(source)
    assert [sample.value for sample in rows] == [678]
    append(file, f"time,power_w\n{start + 3},9\n")  # the program that writes it was started again
    assert read(source)[0].t_ns - rows[0].t_ns == pytest.approx(NS, abs=2e6)
    assert codes(source) == []


def test_a_long_log_is_not_read_from_its_start(tmp_path: Path) -> None:
    start = unix()
    file = log(tmp_path, "time,power_w", *(f"{start - 20_000 + second},{second}" for second in range(20_000)))
    source = open_plug(file)
    assert [sample.value for sample in read(source)] == [19_999]


def test_a_log_that_is_written_anew_is_read_from_its_new_start(tmp_path: Path) -> None:
    source = open_plug(log(tmp_path, "time,power_w", f"{unix()},1", f"{unix()},2"))
    assert len(read(source)) == 1
    log(tmp_path, "power_kw,time", f"0.003,{unix()}")
    assert [sample.value for sample in read(source)] == [3]
    log(tmp_path, "volt,time")
    assert read(source) == []
    assert codes(source) == ["unreadable"]
    Path(tmp_path / "meter.csv").unlink()
    assert read(source) == []
    assert codes(source) == ["unreadable", "lost"]


def test_rows_that_cannot_be_read_cost_only_themselves(tmp_path: Path) -> None:
    file = log(tmp_path, "time,power_w")
    source = open_plug(file)
    now = f"{unix():.3f}"
    rows = [
        "",
        f"{now},",
        f"{now}",
        f"{now},off",
        f"noon,{now}",
        "nan,3",
        "\x00\xff",
        f"{now},nan",
        "1e300,3",
        "0001-01-01,3",
        "9999-12-31T23:59:59-01:00,3",
        f'{now},"{"x" * 140_000}"',
        "time,power_w",
        f"{now},5",
    ]
    append(file, "\n".join(rows) + "\n")
    assert [sample.value for sample in read(source)] == [5]
    assert codes(source) == ["unreadable"]
    assert now in source.absent[0].text


def test_a_meter_whose_clock_is_off_is_put_right(tmp_path: Path) -> None:
    now_ns, late = clock.now(), unix(7200)
    file = log(tmp_path, "time,power_w", f"{late},42")
    off = open_plug(file)
    assert read(off) == []
    assert codes(off) == ["clock_off"]
    assert "7200 s before now" in off.absent[0].text
    early = open_plug(f"{file}?offset=7230")
    assert read(early) == []
    assert "30 s after now" in early.absent[0].text
    [sample] = read(open_plug(f"{file}?offset=7200"))
    assert abs(sample.t_ns - now_ns) < 0.1 * NS
    [sample] = read(open_plug(f"csv://{file}?offset=7190"))
    assert abs(sample.t_ns - (now_ns - 10 * NS)) < 0.1 * NS


def test_a_plug_and_a_log_of_the_same_rising_power_lie_on_one_line(tmp_path: Path) -> None:
    """The log is written late and in lumps; each of its rows still stands at its own instant."""
    file, stop = log(tmp_path, "time,power_w"), threading.Event()
    with PlugServer("shelly2", lambda t: 40 + 100 * t) as server:

        def write() -> None:
            while not stop.is_set():
                rows = []
                for _ in range(4):
                    rows.append(f"{unix()},{server.read()[0]}\n")
                    stop.wait(0.1)
                append(file, "".join(rows))

        writer = threading.Thread(target=write)
        writer.start()
        with Sampler([open_plug(file), open_plug(server.address)]) as sampler:
            clock.sleep(1.2)
            end = clock.now()
            sampler.wait_past(end)
            samples = [sample for sample in sampler.take() if sample.name == "plug.power"]
        stop.set()
        writer.join()
    zero_w = [sample.value - 100 * sample.t_ns / NS for sample in samples]
    assert len(samples) > 10
    assert max(sample.t_ns for sample in samples) > end
    assert max(zero_w) - min(zero_w) < 15  # 0.15 s; at the instants of reading they would be half a second off


def test_a_log_beside_a_plug_has_a_name_of_its_own(tmp_path: Path) -> None:
    assert [sample.name for sample in read(open_plug(log(tmp_path, "time,W", f"{unix()},1"), part="plug2"))] == ["plug2.power"]
