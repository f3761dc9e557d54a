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
    assert logs.follow(tmp_path / "none") == logs.Piece((), 0)


def test_follow_gives_whole_lines_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\ntwo\nthr")
    piece = logs.follow(log)
    assert piece == logs.Piece(("one", "two"), 8)
    assert logs.follow(log, piece.next) == logs.Piece((), 8)
    with log.open("ab") as file:
        file.write(b"ee\n\nfour\n")
    assert logs.follow(log, piece.next) == logs.Piece(("three", "", "four"), 20)


def test_follow_in_small_steps_sees_everything(tmp_path: Path) -> None:
    log = tmp_path / "log"
    lines = [f"line {n}" for n in range(100)]
    log.write_text("\n".join(lines) + "\n")
    seen: list[str] = []
    at = 0
    while (piece := logs.follow(log, at, limit=32)).next != at:
        seen += piece.lines
        at = piece.next
    assert seen == lines


def test_follow_does_not_wait_for_ever_on_an_endless_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100)
    assert logs.follow(log, 0, limit=64).next == 64
