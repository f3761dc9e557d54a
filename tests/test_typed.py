"""Types become known to one thread at a time."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.schema.request import Record
from harness.typed import converted, decoded, unpacked

HARNESS = Path(__file__).parent.parent / "harness"

TOGETHER = """
import sys, threading
import msgspec
from harness.schema.result import Result
from harness.typed import decoded
from tests.store.sample_run import result

sys.setswitchinterval(1e-6)
data, start = msgspec.json.encode(result()), threading.Event()

def read():
    start.wait()
    assert decoded(data, Result).schema_version

threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
start.set()
for thread in threads: thread.join()
"""


def test_eight_threads_that_need_a_type_for_the_first_time() -> None:
    """Fails by a segmentation fault, four times of five, where `decoded` is msgspec's own."""
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, cwd=HARNESS.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_does_not_fit_is_msgspec_s_error() -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(b"{", int)
    with pytest.raises(msgspec.ValidationError):
        decoded(b"{}", Record)
    with pytest.raises(msgspec.ValidationError):
        converted("1", int)
    assert converted("1", int, strict=False) == 1


def test_nobody_else_tells_msgspec_a_type() -> None:
    own = re.compile(r"msgspec\.(json|msgpack)\.(decode\(.*type=|Decoder\()|msgspec\.convert\(")
    assert [path.name for path in HARNESS.rglob("*.py") if own.search(path.read_text())] == ["typed.py"]


@pytest.mark.parametrize("data", [b'"\xe8"', b'{"x":' + b"[" * 10**5])
def test_what_is_no_json_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded(data, dict[str, object] if data[:1] == b"{" else str)


@pytest.mark.parametrize(("data", "kind"), [(b"\xa1\xff", str), (b"\x91" * 10**4 + b"\xc0", list)])
def test_what_is_no_messagepack_either(data: bytes, kind: type) -> None:
    with pytest.raises(msgspec.DecodeError):
        unpacked(data, kind)


def test_what_is_too_deep() -> None:
    deep: dict[str, Any] = {}
    for _ in range(10**4):
        deep = {"a": [deep]}
    with pytest.raises(msgspec.ValidationError):
        converted(deep, Deep)


class Deep(msgspec.Struct):
    a: list[Deep] = []
