"""Stored results, listed prices, terms and ratings joined into one piece of advice: by hand, end to end, and what is never guessed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness import advising, costs
from harness.measure import conditions
from harness.measure.advise import CLOUD, HYBRID, NONE, SELF_HOST
from harness.measure.entries import number
from harness.report import advise as report
from harness.schema.cost import Advice, Demand, Way
from harness.schema.egress import Egress
from harness.schema.facts import Facts, Price
from harness.schema.machine import Gpu
from harness.schema.result import CellResult
from harness.store.folder import ResultFolder
from tests.measure.spark import price
from tests.measure.test_cost_inputs import measured
from tests.measure.test_quality import rating
from tests.measure.test_sovereignty import QUIET, provider
from tests.store import sample_run
from tests.test_costs import CELL, DAY, FACTS, model

ASK = costs.Ask(electricity_per_kwh=0.3, country="DE")
DEMAND = Demand(requests_per_day=1000, input_tokens_per_request=2048, output_tokens_per_request=128)
HERE = 4699 / 1095 + 0.3 / 1000 * (120 * 0.355556 + 30 * 23.644444)
"""1,000 × 128 tokens at 100 tok/s with their prompts: 0.3556 h at 120 W, the rest at 30 W, and a Spark over three years: 4.517."""


def listed(name: str, output: float | None, provider: str = "vendor") -> Price:
    return msgspec.structs.replace(price(output, 0.0, provider=provider, ref=name), model=name)


def facts(*prices: Price, **terms: object) -> Facts:
    """Of two models that are rated 1420 and 1503, and what one vendor promises."""
    row = msgspec.structs.replace(
        provider(**({"residency_eu": "option", "trains_on_data": "opt-in", "retention_days": 30.0} | terms)),
        price_lists=("vendor",),
    )
    return msgspec.structs.replace(
        FACTS,
        models=(model("small", weights=("m",)), model("big"), model("new")),
        prices=prices,
        providers=(row,),
        ratings=(rating(1420, name="small"), rating(1503, name="big")),
    )


def stored(
    root: Path,
    *cells: CellResult,
    recipe: str = "spark",
    day: str = "2026-11-23",
    egress: Egress | None = QUIET,
    nodes: int = 1,
    server: str = "",
    model: str = "m",
) -> None:
    result = sample_run.result(ident=f"r{len(list(root.glob('*/*')))}")
    made = ResultFolder.create(root, recipe, sample_run.RECIPE, sample_run.plan())
    made.save(
        msgspec.structs.replace(
            result,
            recipe_name=recipe,
            model=model,
            nodes=nodes,
            server=server,
            egress=egress,
            cells=cells,
            anchor=msgspec.structs.replace(result.anchor, wall=f"{day}T09:00:00.000+00:00"),
            machine=msgspec.structs.replace(result.machine, gpus=(Gpu(index=0, name="NVIDIA GB10"),)),
        )
    )


def advised(
    root: Path,
    known: Facts,
    *,
    must: str = "",
    loss: float | None = None,
    demand: Demand = DEMAND,
    seat: str | None = "DE",
    more_copies: bool = True,
    ask: costs.Ask = ASK,
) -> Advice:
    wish = advising.Wish(
        demand=demand,
        max_loss_elo=loss,
        must=conditions.parse([must] if must else []),
        seat=seat,
        more_copies=more_copies,
    )
    return advising.advised(root, ask, wish, known, DAY)


def open_ways(found: Advice) -> list[Way]:
    return [way for way in found.ways if not way.against]


def why(found: Advice, name: str) -> list[tuple[str, str]]:
    way = next(way for way in found.ways if way.names == (name,))
    return [(check.asked, check.said) for check in way.against]


def test_self_host_by_hand(tmp_path: Path) -> None:
    """4.517 a day here; big's 128,000 output tokens at 100 are 12.80."""
    stored(tmp_path, CELL)
    found = advised(tmp_path, facts(listed("big", 100)), must="residency=EU,trains=no,leaves-desk=no")
    assert (found.verdict, found.ways[0].names) == (SELF_HOST, ("spark on GB10",))
    assert number(found.ways[0].per_day) == pytest.approx(HERE, abs=1e-4)
    assert number(found.ways[0].loss_elo) == 83
    assert why(found, "big @ vendor") == [("leaves-desk=no", "yes")]
    assert found.inputs["output_tok_s"].result == "r0"
    text = report.render(found, width=200, color=False)
    assert text.startswith("self-host: spark on GB10; 4.52 USD a day, the only way that would do\n")
    assert "4,699 USD / (365 days × 3 years)" in text
    assert "leaves-desk=no, spark on GB10: no (measured 2026-11-23; 9 looks, 0.25 s apart" in text
    assert "leaves-desk=no: yes: vendor" in text


def test_cloud_by_hand_and_its_option_is_said(tmp_path: Path) -> None:
    """At 10 a million they are 1.28."""
    stored(tmp_path, CELL)
    found = advised(tmp_path, facts(listed("big", 10)), must="residency=EU,trains=no,retention<=30")
    assert (found.verdict, found.ways[0].names) == (CLOUD, ("big @ vendor",))
    assert number(found.ways[0].per_day) == pytest.approx(1.28)
    assert len(open_ways(found)) == 2
    text = report.render(found, width=200, color=False)
    assert "the cheapest of 2 ways that would do" in text
    assert (
        "residency=EU, big @ vendor: option (listed 2026-11-25; an option, which has to be chosen; https://example.org/terms)"
        in text
    )
    assert "(128 output tok × 10 + 2,048 input tok × 0) USD/Mtok / 1e6 × 1,000 requests/day = 1.28 USD/day" in text


def test_hybrid_by_hand(tmp_path: Path) -> None:
    """83 Elo are 0.3828 and 40 are 0.4427: 52 % to big, 6.656 of its 12.80; here 0.48 of the busy hours."""
    stored(tmp_path, CELL)
    found = advised(tmp_path, facts(listed("big", 100)), loss=40)
    (way, *_) = open_ways(found)
    assert (found.verdict, way.names, way.cloud_share) == (HYBRID, ("spark on GB10", "big @ vendor"), 0.52)
    busy = 0.48 * 0.355556
    here = 4699 / 1095 + 0.3 / 1000 * (120 * busy + 30 * (24 - busy))
    assert number(way.per_day) == pytest.approx(here + 0.52 * 12.8, abs=1e-4)
    text = report.render(found, width=200, color=False)
    assert text.startswith("hybrid: 52% of the requests to big @ vendor, the rest to spark on GB10; ")
    assert "spark on GB10: 83.0" in text


def test_what_the_hours_do_not_hold(tmp_path: Path) -> None:
    """100,000 requests are 35.6 h, 35.9 by the slow end of 99 tok/s: a third goes out at 435 a day, or a second Spark comes in at 10."""
    stored(tmp_path, CELL)
    many = msgspec.structs.replace(DEMAND, requests_per_day=100_000)
    found = advised(tmp_path, facts(listed("big", 100)), demand=many)
    assert (found.verdict, found.ways[0].names) == (SELF_HOST, ("2 copies of spark on GB10",))
    assert number(found.ways[0].per_day) == pytest.approx(
        2 * 4699 / 1095 + 0.3 / 1000 * (120 * 35.5556 + 30 * 12.4444), abs=1e-3
    )
    assert why(found, "spark on GB10")[0][1].endswith(
        "it does not fit: 35.56 h of work a day, and 1 copy has 24; 2 copies would do"
    )
    slow = msgspec.structs.replace(DEMAND, requests_per_day=134_500)  # 47.8 h, and 48.3 by the slow end
    assert advised(tmp_path, facts(), demand=slow).ways[0].names == ("3 copies of spark on GB10",)
    none = advised(tmp_path, facts(listed("big", 100)), demand=many, more_copies=False)
    assert (none.verdict, none.ways[0].cloud_share) == (HYBRID, 0.34)
    two = advised(tmp_path, facts(), demand=many, more_copies=False, ask=msgspec.structs.replace(ASK, copies=2))
    assert (two.verdict, two.ways[0].names) == (SELF_HOST, ("spark on GB10",))


def test_nothing_measured_yet(tmp_path: Path) -> None:
    found = advised(tmp_path, facts(listed("big", 10)), must="trains=no")
    assert (found.verdict, found.notes[0]) == (CLOUD, advising.NOTHING)
    assert advised(tmp_path / "not there", facts()).verdict == NONE
    # where there is nothing that draws it, a country without a known price of electricity does not matter
    bare = msgspec.structs.replace(ASK, electricity_per_kwh=None, country="FR")
    assert advised(tmp_path, facts(listed("big", 10)), ask=bare).verdict == CLOUD


def test_nothing_fits(tmp_path: Path) -> None:
    stored(tmp_path, CELL, egress=None)
    found = advised(tmp_path, facts(listed("big", 10)), must="leaves-desk=no")
    assert found.verdict == NONE
    text = report.render(found, width=200, color=False)
    assert text.startswith("none: no way keeps every condition\n")
    fails = "leaves-desk=no (not known: it was measured by a harness that did not look at connections)"
    assert f"self-host: spark on GB10; 4.52 USD/day, but it fails {fails}" in text
    assert "cloud: big @ vendor; 1.28 USD/day, but it fails leaves-desk=no (yes)" in text


def test_each_unknown_is_kept_out_with_its_reason(tmp_path: Path) -> None:
    """A source after the other is taken away, and each time the condition that stood on it is no longer kept."""
    stored(tmp_path, CELL)
    must = "residency=EU,trains=no,retention<=30"
    known = facts(listed("big", 10), listed("new", 1), listed("small", None))
    whole = advised(tmp_path, known, must=must, loss=100)
    assert not why(whole, "big @ vendor")
    assert why(whole, "new @ vendor") == [("quality", "not known: not rated")]
    assert why(whole, "small @ vendor") == [("cost", "not known: output price: not listed")]
    for name, asked in (("residency_eu", "residency=EU"), ("trains_on_data", "trains=no"), ("retention_days", "retention<=30")):
        (row,) = known.providers
        missing = msgspec.structs.replace(row, **{name: provider().residency_eu})
        found = advised(tmp_path, msgspec.structs.replace(known, providers=(missing,)), must=must)
        assert why(found, "big @ vendor") == [(asked, "not known: not found")]
    nobody = advised(tmp_path, msgspec.structs.replace(known, providers=()), must="trains=no")
    assert why(nobody, "big @ vendor") == [("trains=no", f"not known: {conditions.NO_TERMS}")]
    nowhere = advised(tmp_path, known, must=must, seat=None)
    assert why(nowhere, "spark on GB10") == [("residency=EU", "not known: where the machine stands was not said: --seat")]
    dark = measured(4, output_tok_s=100, prefill_tok_s=None, prompt_tokens=2048, completion_tokens=128)
    stored(tmp_path, dark, recipe="dark")
    assert why(advised(tmp_path, known), "dark on GB10") == [
        ("cost", "not known: active watts: not measured; idle watts: not measured")
    ]


def test_of_each_system_the_newest_result_that_counts(tmp_path: Path) -> None:
    """Newer ones without a sound cell do not count, nor do servers of others; two machines are another system."""
    fast = measured(
        4, output_tok_s=200, prefill_tok_s=None, system_w=120, system_idle_w=30, prompt_tokens=2048, completion_tokens=128
    )
    stored(tmp_path, fast, day="2026-11-20")
    stored(tmp_path, CELL, day="2026-11-22")
    stored(tmp_path, measured(4, "invalid", output_tok_s=900), day="2026-11-24")
    stored(tmp_path, CELL, day="2026-11-22", nodes=2)
    stored(tmp_path, fast, server="https://api.example.com")
    stored(tmp_path, recipe="broken")
    found = advised(tmp_path, facts())
    assert [way.names[0] for way in found.ways] == ["spark on GB10", "spark on 2 × GB10"]
    assert [number(way.per_day) for way in found.ways] == pytest.approx([HERE, HERE + 4699 / 1095], abs=1e-3)
    assert found.inputs["output_tok_s"].value == 100
    assert [note for note in found.notes if note.startswith("broken")] == [
        "broken on GB10: no cell has a speed that counts; harness results show r5 says why"
    ]


def test_old_figures_and_missing_rates_are_said(tmp_path: Path) -> None:
    stored(tmp_path, CELL)
    found = advised(tmp_path, facts(listed("big", 10)), ask=msgspec.structs.replace(ASK, currency="CHF"))
    assert found.verdict == NONE
    assert "amounts in USD are not known in CHF: give --fx USD=RATE, what one USD is in CHF" in found.notes
    old = advised(tmp_path, facts(listed("big", 10)))
    assert old.notes[-1] == "older than 180 days: rating of big (2026-04-29)"


def test_offers_of_one_model_by_one_provider_have_their_own_names(tmp_path: Path) -> None:
    twice = (listed("big", 10), msgspec.structs.replace(listed("big", 12), ref="big-fast"))
    found = advised(tmp_path, facts(*twice))
    assert [way.names[0] for way in found.ways] == ["big @ vendor (big)", "big @ vendor (big-fast)"]


def test_the_busiest_cell_that_tells_counts(tmp_path: Path) -> None:
    """Eight streams have 16 input tokens to each output token in them, prefilled at 2,000 tok/s: 160 × 16 is more than that, so that
    nothing tells how fast they are without input. One stream's 40 × 16 is less."""
    one = measured(1, output_tok_s=40, prefill_tok_s=2000, system_w=100, system_idle_w=30)
    stored(tmp_path, one, measured(8, output_tok_s=160, system_w=110, system_idle_w=30))
    output = Demand(requests_per_day=1000, input_tokens_per_request=0, output_tokens_per_request=128)
    home = advised(tmp_path, facts(), demand=output)
    assert home.inputs["output_tok_s"].value == 40
    assert number(home.arithmetic["spark on GB10, busy"]) == pytest.approx((128_000 / 40 - 2048 * 1000 / 2000) / 3600)
    assert "the speed is one stream's: several at once give more tokens an hour" in home.notes
    assert advised(tmp_path, facts()).inputs["output_tok_s"].value == 160
    untold = tmp_path / "untold"
    stored(untold, measured(8, output_tok_s=160, system_w=110, system_idle_w=30))
    assert why(advised(untold, facts(), demand=output), "spark on GB10")[0][0] == "cost"


def test_many_reasons_are_counted(tmp_path: Path) -> None:
    """Ten systems, each with its own hours that a day has not."""
    for index in range(10):
        cell = measured(8, output_tok_s=100 + index, prefill_tok_s=2000, system_w=110, system_idle_w=30)
        stored(tmp_path, cell, recipe=f"recipe-{index}")
    busy = msgspec.structs.replace(DEMAND, requests_per_day=1e6)
    found = advised(tmp_path, facts(listed("big", 10)), demand=busy, more_copies=False)
    lines = report.render(found, width=200, color=False).splitlines()
    shown = [line for line in lines if line.startswith("  cost: ")]
    assert (len(shown), shown[-1]) == (9, "  cost: and 2 reasons more: --json --all has them")


def test_the_first_of_each_kind_is_shown(tmp_path: Path) -> None:
    """Twelve clouds at 1.28 and more are cheaper than home at 4.52: ten of them are shown, and home."""
    stored(tmp_path, CELL)
    found = advised(tmp_path, facts(*(listed("big", 10 + index, f"vendor-{index}") for index in range(12))))
    lines = report.render(found, width=100, color=False).splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("cloud  ", "self-host  "))] == ["cloud"] * 10 + ["self-host"]
    assert "  and 2 more: --all has them" in lines


@pytest.mark.parametrize("width", [80, 140])
def test_it_fits_the_terminal(tmp_path: Path, width: int) -> None:
    stored(tmp_path, CELL)
    names = [listed("big", 10 + index, f"vendor-{index}") for index in range(30)]
    found = advised(tmp_path, facts(*names), must="trains=no", loss=40)
    shown = report.render(found, width=width, color=False)
    assert max(map(len, shown.splitlines())) <= width
    assert len(shown.splitlines()) < 50, "30 offers that are kept out for one reason are a group"
