"""Values of a known type out of JSON and plain data: the house's only way to them.

What msgspec has to know of a type it builds at the first use, and without a lock: two threads that need the same type for the first time at
the same moment end the process (segmentation fault, seen with 0.22.0 and found by `tests/test_typed.py` without this lock). So a type
becomes known to one thread at a time, and whoever comes later only reads.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TypeVar

import msgspec

T = TypeVar("T")
_one_at_a_time = threading.Lock()


def decoded(data: bytes | str, kind: type[T]) -> T:
    """Raises `msgspec.DecodeError` for what is no JSON, `msgspec.ValidationError` for what is not of this type."""
    try:
        return decoder(kind).decode(data)
    except (UnicodeDecodeError, RecursionError) as error:  # which msgspec passes on as they are
        raise msgspec.DecodeError(str(error)) from None


def converted(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Of dicts, lists and scalars, such as YAML gives. Raises `msgspec.ValidationError`."""
    decoder(kind)
    return msgspec.convert(value, kind, strict=strict)


def unpacked(data: bytes, kind: type[T]) -> T:
    """Of MessagePack. Raises as `decoded` does."""
    decoder(kind)
    return msgspec.msgpack.decode(data, type=kind)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """For many lines of one type."""
    with _one_at_a_time:
        return _decoder(kind)  # type: ignore[arg-type]  # mypy does not know that types are hashable


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)
