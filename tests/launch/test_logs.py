from __future__ import annotations

from pathlib import Path

import pytest

from harness.launch import logs


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"Loading:   0%|    | 0/2\rLoading:  50%|    | 1/2\rLoading: 100%|####| 2/2", "Loading: 100%|####| 2/2"),
        (b"done\r", "done"),
        (b"\x1b[1;33mdeprecated\x1b[0m \x1b]0;title\x07flag", "deprecated flag"),
        (b"caf\xc3\xa9 \xff\xfe", "café ��"),
        (b"null\x00byte\x08", "nullbyte"),
        (b"x" * 9000, "x" * 3999 + "…"),
        (b"", ""),
    ],
)
def test_clean(raw: bytes, shown: str) -> None:
    assert logs.clean(raw) == shown


def test_tail_is_bounded_and_skips_blank_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"".join(b"line %d\n" % n for n in range(200_000)) + b"\n\n  \nhalf a li")
    assert logs.tail(log, 3) == ("line 199998", "line 199999", "half a li")
    assert logs.last(log) == "half a li"
    assert logs.head(log, 13) == ("line 0", "line 1")


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert logs.tail(tmp_path / "none") == ()
    assert logs.last(tmp_path / "none") == "(none)"
    assert logs.head(tmp_path / "none") == ("",)
