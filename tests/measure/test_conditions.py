"""What `--must` understands, what keeps a condition and what does not, and what holds of a machine of one's own."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.board import terms
from harness.errors import UsageError
from harness.measure import conditions
from harness.measure.conditions import RULES, at_home, keeps, of_offer, parse
from harness.schema.board import Entry
from harness.schema.cost import Condition
from harness.schema.facts import Facts
from harness.schema.result import Summary
from harness.store import index
from tests.measure.test_sovereignty import PUBLIC, QUIET, provider
from tests.store import sample_run
from tests.test_costs import model

DAY = datetime.date(2026, 11, 25)
EVERY = [
    "residency=EU,trains=no,retention<=30,zero-retention=approval,seat=EU,law=EU,self-hostable=yes,cloud-act=none,leaves-desk=no"
]


def one(text: str) -> Condition:
    (found,) = parse([text])
    return found


def known(value: float | str | None) -> Entry:
    return Entry(why="nothing was found") if value is None else Entry(value=value, origin="listed")


@pytest.mark.parametrize(
    ("asked", "kept", "not_kept"),
    [
        ("residency=eu", ["yes", "option"], ["no", "EU"]),
        ("trains=no", ["no", "opt-in"], ["opt-out", "yes"]),
        ("trains=opt-out", ["no", "opt-in", "opt-out"], ["yes"]),
        ("retention<=30", [0.0, 30.0], [30.5, "30"]),
        ("retention <= 0", [0.0], [1.0]),
        ("zero-retention=self-serve", ["default", "self-serve"], ["approval", "no"]),
        ("zero-retention=default", ["default"], ["self-serve"]),
        ("seat=EU", ["FR", "EU", "NO"], ["US", "CH"]),
        ("seat=fr", ["FR"], ["DE", "EU"]),
        ("law=EU", ["yes"], ["no"]),
        ("self-hostable=yes", ["yes"], ["some", "no"]),
        ("cloud-act=indirect", ["none", "indirect"], ["direct"]),
        ("cloud-act=none", ["none"], ["indirect"]),
        ("leaves-desk=no", ["no"], ["yes"]),
    ],
)
def test_what_keeps_a_condition(asked: str, kept: list[Any], not_kept: list[Any]) -> None:
    condition = one(asked)
    assert [keeps(condition, known(value)) for value in kept] == [True] * len(kept)
    assert [keeps(condition, known(value)) for value in not_kept] == [False] * len(not_kept)
    assert not keeps(condition, known(None))


def test_several_at_once_and_one_after_another() -> None:
    found = parse([*EVERY])
    assert [each.term for each in found] == [rule.term for rule in RULES.values()]
    assert parse(["residency=EU", " trains = no "]) == parse(["residency=EU,trains=no"])
    assert [each.asked for each in parse(["seat=de", "retention<=7.5"])] == ["seat=DE", "retention<=7.5"]
    assert parse([]) == ()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("residence=EU", "--must residence=EU: there is no condition 'residence'", "did you mean 'residency'?"),
        ("colour=blue", "there is no condition 'colour'", "one of residency, trains, retention"),
        ("", "there is no condition ''", "one of residency"),
        ("trains=never", "trains has no 'never'", "write trains=no or trains=opt-out"),
        ("trains", "trains has no ''", "write trains=no"),
        ("trains<=no", "trains has no 'no'", "write trains=no"),
        ("residency=DE", "residency has no 'DE'", "write residency=EU"),
        ("seat=Germany", "seat has no 'Germany'", "write seat=EU, or a country such as DE"),
        ("retention=30", "not a number of days", "write it like retention<=30"),
        ("retention<=month", "not a number of days", "retention<=30"),
        ("retention<=-1", "not a number of days", "retention<=30"),
        ("retention<=nan", "not a number of days", "retention<=30"),
        ("trains=no,trains=no", "trains is said twice", "leave one out"),
    ],
)
def test_what_is_not_understood(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        parse([text])
    assert message in error.value.message
    assert error.value.hint.startswith(hint) or hint in error.value.hint
    assert "\n" not in error.value.message + error.value.hint


def test_an_offer_by_its_terms_and_its_model() -> None:
    offer = provider(
        residency_eu="option", trains_on_data="opt-in", contract_eu=True, weights_self_hostable="some", retention_days=30.0
    )
    found = of_offer(offer, model("m"))
    assert {name: entry.value for name, entry in found.items()} == {
        "residency_eu": "option",
        "trains_on_data": "opt-in",
        "retention_days": 30.0,
        "zero_retention": None,
        "parent_seat": None,
        "contract_eu": "yes",
        "weights_self_hostable": "yes",
        "cloud_act": None,
        "leaves_desk": "yes",
    }
    assert found["trains_on_data"].sources
    assert found["parent_seat"].why == "not found"
    assert of_offer(offer, None)["weights_self_hostable"].value == "some"
    nobody = of_offer(None, None)
    assert nobody["trains_on_data"].why == conditions.NO_TERMS
    assert not any(keeps(each, nobody[each.term]) for each in parse(EVERY))


def ran(egress: Any = QUIET, **changes: Any) -> Summary:
    return index.summary(msgspec.structs.replace(sample_run.result(), egress=egress, **changes), Path())


def failing(summary: Summary, seat: str | None) -> set[str]:
    found = at_home(summary, seat=seat, day=DAY)
    bad = [each for each in parse(EVERY) if not keeps(each, found[each.term])]
    assert all(found[each.term].value is not None or found[each.term].why for each in bad)
    return {each.asked.partition("=")[0].removesuffix("<") for each in bad}


def test_a_machine_of_ones_own_keeps_all_of_it() -> None:
    assert failing(ran(), "DE") == set()
    assert failing(ran(), "EU") == set()
    assert list(at_home(ran(), seat="DE", day=DAY)) == [rule.term for rule in RULES.values()]


def test_at_home_nothing_is_taken_for_known() -> None:
    """Where it stands was not said, or is abroad; it was online; nobody looked; it is somebody's server."""
    places = {"residency", "seat", "law", "cloud-act"}
    assert failing(ran(), None) == failing(ran(), "US") == places
    apart = set(RULES) - {"self-hostable", "seat", "law"}
    assert failing(ran(msgspec.structs.replace(QUIET, connections=(PUBLIC,))), "DE") == apart
    assert failing(ran(None), "DE") == apart
    engine = msgspec.structs.replace(sample_run.result().engine, start_s={})
    assert failing(ran(engine=engine), "DE") == set(RULES) - {"leaves-desk"}


@pytest.mark.parametrize("egress", [QUIET, None, msgspec.structs.replace(QUIET, connections=(PUBLIC,))])
@pytest.mark.parametrize("seat", ["DE", "US", None])
def test_the_board_says_the_same(egress: Any, seat: str | None) -> None:
    board = terms.of_run(ran(egress), Facts(), seat=seat, day=DAY)
    here = at_home(ran(egress), seat=seat, day=DAY)
    for name in ("residency_eu", "trains_on_data", "parent_seat", "leaves_desk"):
        assert here[name].value == board[name].value, name
    offer = provider(residency_eu="option", trains_on_data="opt-in", retention_days=30.0, parent_seat="US")
    listed = terms.of_provider(offer, Facts())
    assert all(entry == listed[name] for name, entry in of_offer(offer, None).items() if name in listed)
