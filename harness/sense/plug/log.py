"""A CSV file that another program appends the readings of any meter to. Each row carries its own instant.

The first line names the columns, by their last word as a unit: one of time (`time`, `timestamp`, `date` …: unix seconds or milliseconds,
or ISO 8601, local time where it names no zone), one of power (`power_w`, `P (kW)`), one of energy (`energy_kwh`), or only one of the two.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from harness import clock
from harness.errors import UsageError
from harness.schema.sensors import METER, WALL, Absent, Sample
from harness.sense.base import SELDOM_S
from harness.sense.plug.measured import CLOCK_OFF, LOST, UNITS_J, UNITS_W, UNREADABLE, Fault, Measured, unit_key
from harness.units import NS_PER_S, seconds

TIMES = {"time", "timestamp", "datetime", "date", "ts", "unix", "unixtime", "epoch"}
CHUNK_BYTES = 1 << 20
TAIL_BYTES = 1 << 16
FAR_NS = 300 * NS_PER_S
"""Rows further back belong to a clock that is wrong, to another time zone, or to a log that has ended. A program that writes its
buffer now and then is still within."""
AHEAD_NS = 2 * NS_PER_S
"""Rows later than now by more than a rounded second belong to a clock that is wrong: their watts would be laid beside other requests."""
MILLISECONDS_FROM = 1e11
"""As seconds that would be the year 5138."""
LAST_MOMENT = 1e15
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Columns(msgspec.Struct, frozen=True):
    time: int
    power: tuple[int, float] | None
    """Its place, and watts per unit."""
    energy: tuple[int, float] | None
    delimiter: str

    def row(self, line: str) -> tuple[int, Measured]:
        """The instant in unix nanoseconds, and what was measured. Raises ValueError, IndexError or OverflowError."""
        cells = _cells(line, self.delimiter)
        return unix_ns(cells[self.time]), Measured(self._value(cells, self.power), self._value(cells, self.energy))

    def _value(self, cells: Sequence[str], column: tuple[int, float] | None) -> float | None:
        """None for an empty cell."""
        if column is None or not (text := cells[column[0]]):
            return None
        if self.delimiter != ",":
            text = text.replace(",", ".")  # where the decimal sign is a comma, another sign parts the columns
        return float(text) * column[1]


class MeterLog:
    """Gives the last row that is there, then those that come; a last line without its end waits for the next time."""

    name, period_s, alone = METER, SELDOM_S, True

    def __init__(self, path: str, part: str, offset_ns: int) -> None:
        """`offset_ns` is added to each row's time. Raises UsageError when the file cannot be read or its header is wrong."""
        self._path, self._part, self._offset_ns = Path(path), part, offset_ns
        self._faults: dict[str, Absent] = {}
        try:
            self._header, self._place = _opened(self._path)
            self._columns: Columns | None = columns(self._header)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", "start the program that writes the meter's log first") from None
        except ValueError as error:
            raise UsageError(f"{path}:1: {error}", "the first line should look like: time,power_w,energy_kwh") from None

    def read(self) -> Iterator[Sample]:
        try:
            lines = self._new_lines()
        except OSError as error:
            self._failed(LOST, f"cannot be read: {error.strerror}")
            return
        to_monotonic_ns = self._offset_ns - clock.realtime_offset()
        for line in lines:
            try:
                yield from self._stamped(line, to_monotonic_ns)
            except Fault as fault:
                self._failed(fault.code, fault.text)

    @property
    def absent(self) -> tuple[Absent, ...]:
        return tuple(self._faults.values())

    def close(self) -> None:
        pass

    def _new_lines(self) -> list[str]:
        """Raises OSError."""
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._place:  # written anew
                self._place, self._columns = 0, None
            file.seek(self._place)
            chunk = file.read(CHUNK_BYTES)
        whole = chunk.rfind(b"\n") + 1 or (len(chunk) if len(chunk) == CHUNK_BYTES else 0)
        self._place += whole
        return [line for line in chunk[:whole].decode("utf-8", "replace").splitlines() if line.strip()]

    def _stamped(self, line: str, to_monotonic_ns: int) -> Iterator[Sample]:
        if self._columns is None:
            self._header, self._columns = line, _header(line)
        if line == self._header:
            return
        t_ns, measured = _row(self._columns, line)
        t_ns += to_monotonic_ns
        if not -FAR_NS <= (ahead_ns := t_ns - clock.now()) <= AHEAD_NS:
            side = "after" if ahead_ns > 0 else "before"
            raise Fault(
                CLOCK_OFF,
                f"has rows dated {abs(seconds(ahead_ns)):.0f} s {side} now: is it still written, and by the right clock?",
            )
        for reading in measured.readings(self._part):
            yield Sample(t_ns, self.name, *reading)

    def _failed(self, code: str, text: str) -> None:
        absent = Absent(source=self.name, scope=WALL, code=code, text=f"wall power is not read: {self._path.name} {text}")
        self._faults.setdefault(code, absent)


def columns(header: str) -> Columns:
    """Raises ValueError with what is wrong."""
    delimiter = max(",;\t", key=header.count)
    names = _cells(header, delimiter)
    words = [re.findall(r"[A-Za-z]+", name) for name in names]
    time = [place for place, of_name in enumerate(words) if TIMES & {word.lower() for word in of_name}]
    power, energy = _in_units(words, UNITS_W), _in_units(words, UNITS_J)
    for found, what in ((time, "times"), (power, "powers"), (energy, "energies")):
        if len(found) > 1:
            raise ValueError(f"several columns are {what}: " + ", ".join(names[place] for place in found))
    if not time:
        raise ValueError("no column is called time, timestamp, date or unix")
    if not power and not energy:
        raise ValueError("no column's name ends in W, kW, mW, Wh or kWh")
    return Columns(time[0], next(iter(power.items()), None), next(iter(energy.items()), None), delimiter)


def unix_ns(text: str) -> int:
    """Raises ValueError, and OverflowError for a date at the end of the calendar."""
    try:
        number = float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1) * 1000
    if not abs(number) < LAST_MOMENT:
        raise ValueError(text)
    microseconds = round(number * (1e3 if abs(number) > MILLISECONDS_FROM else 1e6))  # a float tells no nanoseconds of today
    return microseconds * 1000


def _in_units(words: Sequence[Sequence[str]], units: Mapping[str, float]) -> dict[int, float]:
    keys = [unit_key(of_name[-1]) if of_name else "" for of_name in words]
    return {place: units[key] for place, key in enumerate(keys) if key in units}


def _header(line: str) -> Columns:
    try:
        return columns(line)
    except ValueError as error:
        raise Fault(UNREADABLE, f"was written anew, and {error}") from None


def _row(known: Columns, line: str) -> tuple[int, Measured]:
    try:
        return known.row(line)
    except (ValueError, IndexError, OverflowError):
        raise Fault(UNREADABLE, f"has rows that cannot be read, such as {line[:60]!r}") from None


def _opened(path: Path) -> tuple[str, int]:
    """The header, and where the last whole row begins, or the next one will. Raises OSError and ValueError."""
    with path.open("rb") as file:
        header = file.readline(TAIL_BYTES)
        if not header.endswith(b"\n"):
            raise ValueError("the line that names the columns is missing")
        start = max(len(header), file.seek(0, 2) - TAIL_BYTES)
        file.seek(start)
        rows = file.read(TAIL_BYTES).rpartition(b"\n")[0]
    return header.decode("utf-8", "replace").splitlines()[0], start + rows.rfind(b"\n") + 1


def _cells(line: str, delimiter: str) -> list[str]:
    """Raises ValueError."""
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]
    except csv.Error as error:
        raise ValueError(str(error)) from None
