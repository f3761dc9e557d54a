"""Runs put away between two looks at them, in a tenth of the memory: a run of hours has very many requests.

Requests lie in columns: numbers as numbers of eight bytes, equal values once, and what is the same for a whole trial is kept only
once for it.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from harness.measure.latency import Timing
from harness.measure.runs import Request, Run
from harness.schema.request import Record

T = TypeVar("T", Record, Timing)
Column = Sequence[Any]


class Packed:
    """`unpack` gives the run again, equal to what it was."""

    def __init__(self, run: Run) -> None:
        self._run = msgspec.structs.replace(run, requests=())
        self._records = _Table([request.record for request in run.requests])
        self._timings = _Table([request.timing for request in run.requests])
        self._excluded = _column([request.excluded for request in run.requests])

    def unpack(self) -> Run:
        rows = zip(self._records, self._timings, self._excluded, strict=True)
        return msgspec.structs.replace(self._run, requests=tuple(Request(*row) for row in rows))


class _Table(Generic[T]):
    def __init__(self, structs: Sequence[T]) -> None:
        self._kind: type[T] | None = type(structs[0]) if structs else None
        names = structs[0].__struct_fields__ if structs else ()
        self._columns = {name: _column([getattr(struct, name) for struct in structs]) for name in names}

    def __iter__(self) -> Iterator[T]:
        kind = self._kind
        if kind is not None:
            names = tuple(self._columns)
            for values in zip(*self._columns.values(), strict=True):
                yield kind(**dict(zip(names, values, strict=True)))


class _Constant(Sequence[Any]):
    def __init__(self, value: object, count: int) -> None:
        self._value, self._count = value, count

    def __getitem__(self, place: Any) -> Any:
        if not -self._count <= place < self._count:
            raise IndexError(place)
        return self._value

    def __len__(self) -> int:
        return self._count


def _column(values: Sequence[Any]) -> Column:
    first = values[0] if values else None
    if all(value is first or (type(value) is type(first) and value == first) for value in values):
        return _Constant(first, len(values))
    for kind, code in ((int, "q"), (float, "d")):
        if all(type(value) is kind for value in values):
            return array(code, values)
    known: dict[Hashable, Any] = {}
    return [known.setdefault(_key(value), value) for value in values]


def _key(value: Any) -> Hashable:
    """Equal for values that may stand for each other."""
    return (type(value), tuple(sorted(value.items())) if isinstance(value, dict) else value)
