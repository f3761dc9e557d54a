"""The index saves time and changes nothing: what is listed is what `result.json` says by now."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from harness.measure import egress
from harness.schema.result import Figure, Reading, Result, Summary
from harness.store import index
from tests.store.sample_run import result


def _keep(root: Path, name: str, found: Result) -> Path:
    folder = root / "sample" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_bytes(msgspec.json.encode(found))
    return folder


def _listed(root: Path) -> dict[str, Summary]:
    return {summary.id: summary for summary in index.summaries(root)}


def test_a_summary_has_what_the_result_says(tmp_path: Path) -> None:
    folder = _keep(tmp_path, "a", result())
    (found,) = index.summaries(tmp_path)
    assert (found.path, found.state, found.verdict, found.hardware) == (str(folder), "complete", "invalid", "Cortex-X925")
    one, four = found.points
    assert (one.shape, one.verdict, four.shape, four.verdict) == ("pp128 tg4 c1", "valid", "pp128 tg4 c4", "invalid")
    assert one.figures["decode_tok_s"].value == found.decode_tok_s == 104.2871
    assert one.figures["ttft_p90_ms"] == Reading(reason="needs 53 more requests")
    assert "acceptance_length" not in one.figures
    assert (one.why, four.why) == ("", "requests left late: p99 4.1 ms, allowed 1 ms")
    assert (found.launched, found.left, found.left_how) == (True, None, egress.NOT_LOOKED)


def test_what_costs_are_reckoned_from_is_kept(tmp_path: Path) -> None:
    """Of a scope that was measured, idle or at work, why the rest of it is not known too; of others nothing."""
    figures = {
        "in_flight": Figure(value=7.5, unit="requests"),
        "cached_share": Figure(value=None, unit="share", reason="usage does not tell"),
        "system_w": Figure(value=None, unit="W", reason="fewer than 10 readings"),
        "system_idle_w": Figure(value=26.0, unit="W"),
        "wall_w": Figure(value=None, unit="W", reason="not measured"),
        "wall_idle_w": Figure(value=None, unit="W", reason="not measured"),
    }
    base = result()
    _keep(tmp_path, "a", msgspec.structs.replace(base, cells=(msgspec.structs.replace(base.cells[0], figures=figures),)))
    (found,) = index.summaries(tmp_path)
    assert found.points[0].figures == {
        "in_flight": Reading(7.5),
        "system_w": Reading(reason="fewer than 10 readings"),
        "system_idle_w": Reading(26.0),
    }


def test_changes_are_seen(tmp_path: Path) -> None:
    first, second = _keep(tmp_path, "a", result(ident="aaaaaa")), _keep(tmp_path, "b", result(ident="bbbbbb"))
    assert _listed(tmp_path).keys() == {"aaaaaa", "bbbbbb"}
    _keep(tmp_path, "a", result(ident="aaaaaa", state="interrupted"))
    _keep(tmp_path, "c", result(ident="cccccc"))
    (second / "result.json").unlink()
    assert {name: found.state for name, found in _listed(tmp_path).items()} == {"aaaaaa": "interrupted", "cccccc": "complete"}
    (first / "result.json").write_text("{")
    assert _listed(tmp_path).keys() == {"cccccc"}


def test_what_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    file = _keep(tmp_path, "a", result()) / "result.json"
    before = _listed(tmp_path)
    state, size = file.stat(), len(file.read_bytes())
    file.write_bytes(b" " * size)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert _listed(tmp_path) == before


@pytest.mark.parametrize("damaged", [b"", b"\x00", b"not msgpack", msgspec.msgpack.encode({"version": 0, "known": {}})])
def test_an_index_that_cannot_be_used_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    _keep(tmp_path, "a", result())
    before = _listed(tmp_path)
    (tmp_path / index.FILE).write_bytes(damaged)
    assert _listed(tmp_path) == before
    assert (tmp_path / index.FILE).read_bytes() != damaged


def test_results_that_were_moved_are_found_where_they_are(tmp_path: Path) -> None:
    _keep(tmp_path / "old", "a", result())
    index.summaries(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / "new")
    (found,) = index.summaries(tmp_path / "new")
    assert found.path == str(tmp_path / "new" / "sample" / "a")


def test_a_folder_that_cannot_be_written_is_listed_all_the_same(tmp_path: Path) -> None:
    _keep(tmp_path, "a", result())
    (tmp_path / index.FILE).mkdir()  # as root, modes keep nobody out
    assert len(index.summaries(tmp_path)) == 1
    assert not list((tmp_path / index.FILE).iterdir())
