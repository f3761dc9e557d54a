"""A stored result, facts and words joined: which of them counts, and what is not put together."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from harness import costs
from harness.errors import StoreError, UsageError
from harness.measure.entries import number
from harness.schema.cost import Comparison
from harness.schema.facts import ExchangeRate, Facts, HardwarePrice, Model, Rating
from harness.schema.machine import Gpu
from harness.schema.result import CellResult
from harness.store.folder import ResultFolder
from tests.measure.spark import fact, local, price
from tests.measure.test_cost_inputs import measured
from tests.measure.test_quality import rating
from tests.store import sample_run

DAY = datetime.date(2026, 11, 25)
FACTS = Facts(
    hardware_prices=(
        HardwarePrice(machine="DGX Spark", since=datetime.date(2025, 10, 15), currency="USD", price=fact(3999)),
        HardwarePrice(machine="DGX Spark", since=datetime.date(2026, 2, 23), currency="USD", price=fact(4699)),
    )
)
CELL = measured(
    4, output_tok_s=100, prefill_tok_s=None, system_w=120, system_idle_w=30, prompt_tokens=2048, completion_tokens=128
)


def stored(root: Path, *cells: CellResult, nodes: int = 1, gpu: str | None = "NVIDIA GB10") -> Path:
    cells = cells or (CELL,)
    made = ResultFolder.create(root, "sample", sample_run.RECIPE, sample_run.plan())
    gpus = (Gpu(index=0, name=gpu),) if gpu else ()
    result = sample_run.result()
    machine = msgspec.structs.replace(result.machine, gpus=gpus)
    made.save(msgspec.structs.replace(result, cells=cells, machine=machine, nodes=nodes))
    return made.path


def reckoned(path: Path, facts: Facts = FACTS, **said: object) -> Comparison:
    ask = costs.Ask(requests_per_day=1000, electricity_per_kwh=0.3, **said)  # type: ignore[arg-type]
    return costs.of_result(path, ask, facts, DAY)


def test_a_result_alone(tmp_path: Path) -> None:
    """1,000 × 128 tokens at 100 tok/s, its own prompts within: 0.3556 h at 120 W, the rest at 30 W; one Spark at today's price."""
    found = reckoned(stored(tmp_path))
    assert number(found.local.busy_h_per_day) == pytest.approx(128_000 / 100 / 3600)
    assert number(found.local.with_hardware.per_day) == pytest.approx(
        4699 / 1095 + 0.3 / 1000 * (120 * 0.35556 + 30 * 23.64444)
    )
    assert found.inputs["machine_price"].how == "DGX Spark, since 2026-02-23"
    assert "requests as long as those that were measured, where nothing else was said" in found.notes


def test_several_machines_cost_several_prices(tmp_path: Path) -> None:
    one, two = reckoned(stored(tmp_path)), reckoned(stored(tmp_path, nodes=2))
    assert number(two.local.with_hardware.per_day) - number(one.local.with_hardware.per_day) == pytest.approx(4699 / 1095)
    assert number(reckoned(stored(tmp_path, nodes=2), machines=1).local.with_hardware.per_day) == pytest.approx(
        number(one.local.with_hardware.per_day)
    )


def test_a_machine_without_a_known_price_has_none(tmp_path: Path) -> None:
    found = reckoned(stored(tmp_path, gpu="NVIDIA GB300"))
    assert found.local.with_hardware.per_day.why == "no price is known of a machine with GB300: --hardware-price"
    assert number(found.local.with_idle.per_day) > 0
    assert number(reckoned(stored(tmp_path, gpu=None), hardware="DGX Spark").local.with_hardware.per_day) > 0


def test_watts_of_two_scopes_are_never_put_together(tmp_path: Path) -> None:
    """The wall's by the user, idle of the DC input by the harness."""
    found = reckoned(stored(tmp_path), active_w=140.0)
    assert found.inputs["idle_w"].why == "not given, and the measured ones are of scope system"
    assert found.local.with_idle.per_day.value is None
    assert number(found.local.electricity.per_day) > 0
    both = reckoned(stored(tmp_path), active_w=140.0, idle_w=25.0)
    assert number(both.local.with_idle.per_day) > 0


def test_a_speed_that_was_given_has_no_prefill_in_it(tmp_path: Path) -> None:
    found = reckoned(stored(tmp_path), output_tok_s=50.0, prefill_tok_s=2000.0)
    assert number(found.local.busy_h_per_day) == pytest.approx((128_000 / 50 + 2_048_000 / 2000) / 3600)


def test_a_rate_that_is_not_given_is_the_newest_published_until_that_day() -> None:
    def rate(day: str, value: float, of: str = "EUR", to: str = "USD") -> ExchangeRate:
        return ExchangeRate(of=of, to=to, day=datetime.date.fromisoformat(day), rate=fact(value))

    facts = Facts(
        exchange=(rate("2026-10-30", 1.12), rate("2026-11-20", 1.15), rate("2026-11-26", 1.2), rate("2026-11-25", 9, "GBP"))
    )

    def found(currency: str, **given: tuple[float, datetime.date]) -> list[tuple[str, str, float, str]]:
        ask = costs.Ask(currency=currency, rates=given)
        known, lacking = costs.exchange([local(kwh_unit="EUR/kWh")], [price(1)], ask, facts, DAY)
        assert bool(lacking) == (currency == "CHF")
        return [(each.of, each.to, number(each.rate), each.rate.origin) for each in known]

    assert found("USD") == [("EUR", "USD", 1.15, "published")]
    assert found("EUR") == [("EUR", "USD", 1.15, "published")]
    assert found("USD", EUR=(1.3, DAY)) == [("EUR", "USD", 1.3, "given")]
    assert found("CHF") == []


def model(id_: str, *, weights: tuple[str, ...] = ()) -> Model:
    return Model(
        id=id_,
        name=id_,
        maker="x",
        weights=weights,
        open_weights=fact(True),
        licence=fact("x"),
        params_b=fact(1.0),
        active_params_b=fact(1.0),
    )


def test_win_rates_are_of_one_day(tmp_path: Path) -> None:
    def rated(*ratings: Rating) -> Comparison:
        listed = msgspec.structs.replace(price(25, 5, 0.5), model="opus")
        facts = msgspec.structs.replace(FACTS, models=(model("m"), model("opus")), prices=(listed,), ratings=ratings)
        return reckoned(stored(tmp_path), facts, hosted=("p:opus",))

    early, late = datetime.date(2026, 4, 29), datetime.date(2026, 9, 13)
    apart = rated(rating(1400, name="m", date=early), rating(1500, name="opus", date=late))
    assert apart.mixtures[0].win_rate.value is None
    assert "no day's ratings (text, overall) have both m and opus" in apart.mixtures[0].win_rate.why
    both = rated(
        *(rating(1400, name="m", date=day) for day in (early, late)),
        rating(1480, name="opus", date=early),
        rating(1500, name="opus", date=late),
        rating(1900, name="opus", date=late, category="coding"),
    )
    assert number(both.mixtures[0].win_rate) == pytest.approx(1 / (1 + 10 ** (100 / 400)))


def test_a_result_without_a_speed(tmp_path: Path) -> None:
    made = ResultFolder.create(tmp_path, "sample", sample_run.RECIPE, sample_run.plan())
    made.save(msgspec.structs.replace(sample_run.result(), cells=()))
    with pytest.raises(StoreError, match="no cell whose speed counts"):
        reckoned(made.path)


def test_a_cell_by_its_name(tmp_path: Path) -> None:
    def cell(pp: int, concurrency: int, speed: float) -> CellResult:
        return measured(concurrency, pp=pp, output_tok_s=speed, prefill_tok_s=2000, system_w=120)

    path = stored(tmp_path, cell(2048, 1, 40), cell(2048, 8, 160), cell(128, 8, 200))
    assert reckoned(path).inputs["output_tok_s"].value == 200, "the most tokens a second"
    assert reckoned(path, cell="c1").inputs["output_tok_s"].value == 40
    assert reckoned(path, cell="d0-pp2048-tg128-c8").inputs["output_tok_s"].value == 160
    for name in ("c8", "c2"):
        with pytest.raises(UsageError, match="one of d0-pp2048-tg128-c1"):
            reckoned(path, cell=name)
