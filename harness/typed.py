"""Values of a known type out of JSON and plain data: the house's only way to them.

What msgspec has to know of a type it builds at the first use, and without a lock: two threads that need the same type for the first time at
the same moment end the process (segmentation fault, seen with 0.22.0 and found by `tests/test_typed.py` without this lock). So a type
becomes known to one thread at a time, and whoever comes later only reads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import msgspec

T = TypeVar("T")
_one_at_a_time = threading.Lock()


def decoded(data: bytes | str, kind: type[T]) -> T:
    """Raises `msgspec.DecodeError` for what is no JSON, `msgspec.ValidationError` for what is not of this type."""
    with _of_msgspec():
        return decoder(kind).decode(data)


def converted(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Of dicts, lists and scalars, such as YAML gives. Raises `msgspec.ValidationError`."""
    decoder(kind)
    with _of_msgspec():
        return msgspec.convert(value, kind, strict=strict)


def unpacked(data: bytes, kind: type[T]) -> T:
    """Of MessagePack. Raises as `decoded` does."""
    decoder(kind)
    with _of_msgspec():
        return msgspec.msgpack.decode(data, type=kind)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """For many lines of one type, of a program of our own: it also raises `UnicodeDecodeError` and `RecursionError`."""
    with _one_at_a_time:
        return _decoder(kind)  # type: ignore[arg-type]  # mypy does not know that types are hashable


@contextmanager
def _of_msgspec() -> Iterator[None]:
    """Errors that msgspec passes on as they are become its own."""
    try:
        yield
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.ValidationError(str(error)) from None


@cache
def _decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(kind)
