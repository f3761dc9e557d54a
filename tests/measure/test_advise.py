"""Self-host, cloud or hybrid: by hand, and what may never be chosen."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.measure import conditions
from harness.measure.advise import CLOUD, HYBRID, NONE, SELF_HOST, advise, brief
from harness.measure.cost_local import local_cost
from harness.measure.entries import is_number, number
from harness.measure.quality import elo_of, expected
from harness.schema.board import Entry
from harness.schema.cost import Advice, Candidate, Demand, Local, Rest
from tests.measure.spark import demand, local, of, price
from tests.measure.test_quality import rating

MUST = conditions.parse(["residency=EU,trains=no"])


def terms(**said: str | None) -> dict[str, Entry]:
    return {
        name: Entry(value=value, origin="listed") if value else Entry(why="nothing was found")
        for name, value in ({"residency_eu": "yes", "trains_on_data": "no"} | said).items()
    }


def home(points: float | None = 1420, system: Local | None = None, name: str = "home") -> Candidate:
    rated = None if points is None else rating(points, name=name)
    return Candidate(name=name, local=system or local(), rating=rated, terms=terms())


def cloud(output: float | None, points: float | None = 1503, name: str = "opus", **said: str | None) -> Candidate:
    rated = None if points is None else rating(points, name=name)
    return Candidate(name=name, price=price(output, ref=name), rating=rated, terms=terms(**said))


def advised(*candidates: Candidate, loss: float | None = None, asked: Demand | None = None) -> Advice:
    return advise(asked or demand(), candidates, max_loss_elo=loss, must=MUST, currency="USD")


def test_the_cheapest() -> None:
    """4.59 a day at home against 12.50 of Opus 4.7 and 0.30 of the same weights hosted."""
    found = advised(home(), cloud(25), cloud(0.6, 1420, "hosted"))
    assert found.best is not None
    assert (found.verdict, found.best.model) == (CLOUD, "opus")
    assert [way.names for way in found.ways] == [("hosted",), ("home",), ("opus",)]
    assert advised(home(), cloud(25)).verdict == SELF_HOST


def test_conditions_keep_the_cheapest_out() -> None:
    found = advised(home(), cloud(0.6, name="hosted", trains_on_data="opt-out"), cloud(0.5, name="silent", residency_eu=None))
    assert found.verdict == SELF_HOST
    assert [(check.part, check.asked, check.said) for way in found.ways[1:] for check in way.against] == [
        ("hosted", "trains=no", "opt-out"),
        ("silent", "residency=EU", "not known: nothing was found"),
    ]


def test_a_mixture_that_is_just_good_enough() -> None:
    """83 Elo are 0.3828 at home; 40 Elo are 0.4427: (0.4427 - 0.3828) / (0.5 - 0.3828) = 0.511, 52 % to the cloud."""
    found = advised(home(), cloud(25), loss=40)
    assert found.verdict == HYBRID
    way = found.ways[0]
    here, least = expected(-83), expected(-40)
    assert way.cloud_share == math.ceil((least - here) / (0.5 - here) * 100) / 100 == 0.52
    assert number(way.loss_elo) == pytest.approx(-elo_of(0.52 * 0.5 + 0.48 * here))
    assert number(way.loss_elo) <= 40
    assert number(way.per_day) == pytest.approx(
        0.52 * 12.5 + 4699 / 1095 + 0.3 / 1000 * (140 * 0.48 * 3.3875 + 25 * (24 - 0.48 * 3.3875)), abs=1e-3
    )
    alone = next(way for way in found.ways if way.names == ("home",))
    assert [check.said for check in alone.against] == ["83 Elo below the best"]
    assert advised(home(), cloud(10), loss=40).verdict == CLOUD  # 5.00 a day, the mixture 7.18


def test_what_the_machine_has_no_time_for_goes_out() -> None:
    """10 M tokens are 67.75 h: 1 - 24 / 67.75 = 0.6458."""
    asked = demand(requests=20_000)
    found = advised(home(), cloud(25), asked=asked)
    assert found.verdict == HYBRID
    assert found.ways[0].cloud_share == 0.65
    (check,) = next(way for way in found.ways if way.names == ("home",)).against
    assert (check.asked, "does not fit" in check.said) == ("cost", True)


def test_none() -> None:
    found = advised(home(None), cloud(None), loss=10)
    assert found.verdict == NONE
    assert [(check.asked, check.said) for way in found.ways for check in way.against] == [
        ("quality", "not known: not rated"),
        ("cost", "not known: output price: not listed"),
    ]
    assert not found.arithmetic
    assert advised().verdict == NONE


points = st.floats(1200, 1600)


@given(points, points, st.floats(0.05, 100), st.floats(0, 300), st.floats(100, 100_000))
def test_whatever_is_chosen_keeps_its_promises(ours: float, theirs: float, output: float, loss: float, requests: float) -> None:
    asked = demand(requests=requests)
    found = advised(home(ours), cloud(output, theirs), loss=loss, asked=asked)
    chosen = [way for way in found.ways if not way.against]
    assert (found.verdict == NONE) == (not chosen)
    for way in chosen:
        assert number(way.loss_elo) <= loss + 1e-6
        assert number(found.ways[0].per_day) <= number(way.per_day)
        rest = Demand(
            requests_per_day=asked.requests_per_day * (1 - way.cloud_share),
            input_tokens_per_request=0,
            output_tokens_per_request=asked.output_tokens_per_request,
        )
        assert is_number(local_cost(rest, local(), "USD").with_hardware.per_day)


def test_a_slow_end_is_counted() -> None:
    wide = local(tok_s=of(41, "tok/s", 30, 52))
    found = advised(home(system=wide), cloud(25), asked=demand(requests=6000))  # 3 M: 20.3 h, at the slow end 27.8
    mixed = next(way for way in found.ways if way.verdict == HYBRID)
    assert mixed.cloud_share == 0.14


def test_the_arithmetic_of_the_one_that_is_chosen() -> None:
    """Words behind each part of a mixture, and the figures that it rests on; of the others none."""
    found = advised(home(), cloud(25), loss=40)
    way = found.ways[0]
    assert list(found.arithmetic) == ["home, busy", "home", "opus, if all went there", "together", "below the best"]
    here, there, both = (number(found.arithmetic[name]) for name in ("home", "opus, if all went there", "together"))
    assert there == 12.5
    assert both == pytest.approx(here + 0.52 * there)
    assert both == number(way.per_day)
    assert number(found.arithmetic["home, busy"]) == pytest.approx(0.48 * 500_000 / 41 / 3600)
    assert {"output_tok_s", "machine_price", "output there", "rating of home", "rating of opus"} <= found.inputs.keys()
    assert not {"prefill_tok_s", "input there"} & found.inputs.keys()
    alone = advised(home(), cloud(25))
    assert list(alone.arithmetic) == ["home, busy", "home", "below the best"]


systems = st.tuples(points, st.floats(5, 500))
offers = st.tuples(points, st.floats(0.01, 100), st.sampled_from(["no", "opt-in", "yes", None]))


@given(st.lists(systems, max_size=2), st.lists(offers, max_size=3), st.floats(0, 200), st.floats(0, 200), st.floats(10, 30_000))
def test_whoever_asks_for_more_never_pays_less(
    homes: list[tuple[float, float]],
    clouds: list[tuple[float, float, str | None]],
    some: float,
    more: float,
    requests: float,
) -> None:
    own = [home(rated, local(tok_s=speed), f"home {index}") for index, (rated, speed) in enumerate(homes)]
    theirs = [cloud(usd, rated, f"api {index}", trains_on_data=said) for index, (rated, usd, said) in enumerate(clouds)]
    paid = []
    for loss, must in ((None, ""), (some + more, ""), (some, ""), (some, "trains=no"), (some, "trains=no,residency=EU")):
        asks = conditions.parse([must] if must else [])
        found = advise(demand(requests=requests), [*own, *theirs], max_loss_elo=loss, must=asks, currency="USD")
        paid.append(math.inf if found.verdict == NONE else number(found.ways[0].per_day))
    for less, stricter in itertools.pairwise(paid):
        assert stricter >= less - 1e-9


def test_in_brief() -> None:
    """Twelve clouds that may be chosen are cheaper than home, two that may not: ten, home and the nearest are listed, the rest counted."""
    clouds = [cloud(1 + index / 10, name=f"cloud-{index}") for index in range(12)]
    kept_out = [
        cloud(0.5, name="opting", trains_on_data="opt-out"),
        cloud(0.4, name="worse", trains_on_data="yes", residency_eu=None),
    ]
    found = advised(home(), *clouds, *kept_out)
    short = brief(found)
    assert [way.names[0] for way in short.ways] == [*(f"cloud-{index}" for index in range(10)), "home", "opting"]
    assert short.rest == (
        Rest(verdict=CLOUD, fails=(), count=2),
        Rest(verdict=CLOUD, fails=("residency=EU", "trains=no"), count=1),
    )
    assert len(short.ways) + sum(each.count for each in short.rest) == len(found.ways)
    assert set(short.terms) == {name for way in short.ways for name in way.names}
    assert (short.verdict, short.arithmetic) == (found.verdict, found.arithmetic)
