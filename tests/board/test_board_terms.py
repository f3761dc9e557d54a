"""On whose terms a machine of one's own runs: what of it is measured, what only its owner can say, and what nobody knows."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.board import join, measured, offers, own, published, terms
from harness.facts import load, prices
from harness.measure import sovereignty
from harness.schema.board import Entry
from harness.schema.egress import Egress
from harness.schema.result import Result
from harness.store import index
from tests.board.systems import figure, point, recipe, summary
from tests.measure.test_sovereignty import PUBLIC, QUIET, run

DAY = datetime.date(2026, 11, 25)
FACTS = load.load()


def of(root: Path, *results: Result, seat: str | None = None) -> dict[str, Entry]:
    """The only row of what is stored."""
    for number, result in enumerate(results):
        folder = root / "sample" / str(number)
        folder.mkdir(parents=True)
        (folder / "result.json").write_bytes(msgspec.json.encode(result))
    (row,) = measured.rows(index.summaries(root), own.Own(FACTS, DAY, seat=seat))
    (row,) = join.board([row], [], day=DAY, facts=FACTS).rows
    return row.entries


def at(result: Result, hour: int, ident: str) -> Result:
    anchor = msgspec.structs.replace(result.anchor, wall=f"2026-11-24T{hour:02}:00:00.000+00:00")
    return msgspec.structs.replace(result, anchor=anchor, id=ident)


def test_a_quiet_run_of_ones_own(tmp_path: Path) -> None:
    found = of(tmp_path, run(), seat="de")
    said = {name: (found[name].value, found[name].origin) for name in ("leaves_desk", *terms.OF_PROVIDERS) if found[name].value}
    assert said == {
        "leaves_desk": ("no", "measured"),
        "parent_seat": ("DE", "given"),
        "residency": ("this machine", "measured"),
        "residency_eu": ("yes", "computed"),
        "trains_on_data": ("no", "computed"),
        "weights_self_hostable": ("yes", "listed"),
        "weights_licence": ("Apache-2.0", "listed"),
    }
    assert "9 looks" in found["leaves_desk"].how
    assert found["leaves_desk"].result == run().id
    assert found["dpa"].why == terms.NO_PROVIDER


def test_its_score_is_the_one_of_its_result(tmp_path: Path) -> None:
    found = of(tmp_path, run(), seat="DE")
    theirs = sovereignty.local(index.summary(run(), tmp_path), FACTS, seat="DE", day=DAY)
    score = found["sovereignty"]
    assert (score.value, score.low, score.high) == (22.1, 22.1, 92.2)
    assert found["coverage"].value == round(theirs.coverage, 1)
    assert [found[name].value for name in ("seal", "seal_law", "seal_data")] == [
        "SEAL-0 to SEAL-1",
        "SEAL-0 to SEAL-4",
        "SEAL-0 to SEAL-3",
    ]
    assert found["seal_law"].how.endswith(": 3 of 6 criteria of SOV-2: 2.1 by seat; 2.2 by seat, leaves; 2.3 by seat, leaves")


def test_the_owners_seat_decides_and_is_not_guessed(tmp_path: Path) -> None:
    unsaid, abroad = of(tmp_path / "a", run()), of(tmp_path / "b", run(), seat="US")
    assert (unsaid["residency_eu"].value, unsaid["residency_eu"].why) == (None, terms.NO_SEAT)
    assert (abroad["residency_eu"].value, abroad["parent_seat"].value) == ("no", "US")
    assert unsaid["trains_on_data"].value == "no", "wherever it stands"


@pytest.mark.parametrize(
    ("egress", "leaves", "why"),
    [
        (msgspec.structs.replace(QUIET, connections=(PUBLIC,)), "yes", "something left the machine: 1 to 1.1.1.1:443 by vllm"),
        (msgspec.structs.replace(QUIET, unseen=("what ran on spark-2",)), None, "not looked at: what ran on spark-2"),
        (None, None, "it was measured by a harness that did not look at connections"),
    ],
)
def test_where_something_left_or_may_have_nothing_is_claimed(
    tmp_path: Path, egress: Egress | None, leaves: str | None, why: str
) -> None:
    found = of(tmp_path, run(egress), seat="DE")
    assert found["leaves_desk"].value == leaves
    for name in ("residency", "residency_eu", "trains_on_data"):
        assert (found[name].value, found[name].why) == (None, why), name


def test_a_server_that_the_harness_did_not_start_may_be_anybodys(tmp_path: Path) -> None:
    engine = msgspec.structs.replace(run().engine, start_s={})
    unseen = msgspec.structs.replace(QUIET, unseen=("the server, which the harness did not start",))
    found = of(tmp_path, run(unseen, engine=engine), seat="DE")
    assert (found["parent_seat"].value, found["parent_seat"].why) == (None, sovereignty.NOT_STARTED)
    assert {found[name].value for name in ("leaves_desk", "residency", "residency_eu", "trains_on_data", "seal_law")} == {None}


def test_the_newest_sound_result_counts(tmp_path: Path) -> None:
    loud = run(msgspec.structs.replace(QUIET, connections=(PUBLIC,)))
    assert of(tmp_path / "a", at(run(), 8, "older1"), at(loud, 9, "newer1"))["leaves_desk"].value == "yes"
    broken = msgspec.structs.replace(run(None), cells=())
    assert of(tmp_path / "b", at(run(), 8, "older2"), at(broken, 9, "newer2"))["leaves_desk"].result == "older2"


def test_of_a_published_system_nothing_is_known_but_its_weights() -> None:
    own_ = own.Own(FACTS, DAY, seat="DE")
    mistral = msgspec.structs.replace(recipe(figure("decode_tok_s", 41.0)), model=run().model)
    (row,) = join.board([], published.rows([(mistral, "sglang")], own_), day=DAY, facts=FACTS).rows
    known = {name for name in ("leaves_desk", *terms.ASSESSED, *terms.OF_PROVIDERS) if row.entries[name].value is not None}
    assert known == {"weights_self_hostable", "weights_licence"}
    assert {row.entries[name].why for name in ("leaves_desk", "seal_data", "trains_on_data")} == {terms.NO_RUN}


def test_what_was_seen_of_an_api_stands_before_what_is_known_of_all_of_them() -> None:
    listed = prices.every(FACTS, DAY)
    seen: dict[str, Any] = {"server": "https://api.mistral.ai", "model": "mistral-small-2603", "hardware": ""}
    rows = measured.rows([summary(point(1), launched=False, left=True, **seen)], own.Own(FACTS, DAY))
    named = [offers.named(row, prices.at(row.provider, row.model, DAY), listed) for row in rows]
    board = join.board(named, [], day=DAY, facts=FACTS, offers=offers.rows(FACTS, listed))
    row = next(row for row in board.rows if row.id == "mistral-small-4 @ mistral")
    leaves = row.entries["leaves_desk"]
    assert (leaves.value, leaves.origin, [each.origin for each in leaves.also]) == ("yes", "measured", ["listed"])
    assert row.entries["parent_seat"].value == "FR", "its terms, not ours"
    assert row.entries["seal_law"].value == "SEAL-0 to SEAL-1"
