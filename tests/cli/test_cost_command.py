"""`harness cost` on the whole command: a server of known speed measured and reckoned, a system described in words, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.cost import cost
from harness.errors import StoreError, UsageError
from harness.measure.entries import number
from harness.schema.cost import Comparison
from harness.store import folder
from tests.paced_server import paced

ARTICLE = ("--tok-s", "41", "--watts", "140", "--output-tokens", "500", "--requests-per-day", "1000", "--today", "2026-11-25")
PAID = ("--price-kwh", "0.30", "--hardware-price", "4699")
RECIPE = """\
recipe_version: "2"
name: known
model: openai/gpt-oss-120b
runtime: openai
harness:
  profiles:
    short: {pp: [64], tg: [16], concurrency: [1, 4], requests: 16, runs: 2, max_runs: 2, target: null, exact: true}
"""
TTFT_S, TPOT_S = 0.010, 0.004


def harness(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"XDG_DATA_HOME": str(cwd), "COLUMNS": "140"}
    command = [sys.executable, "-m", "harness", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def said(cwd: Path, *words: str) -> Comparison:
    done = harness(cwd, "cost", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout, type=Comparison)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cost")
    (root / "x.yaml").write_text(RECIPE)
    with paced(ttft_ms=TTFT_S * 1e3, tpot_ms=TPOT_S * 1e3) as server:
        done = harness(root, "bench", "x.yaml", "--url", server.url, "--profile", "short")
    assert list(root.glob("results/*/*/result.json")), done.stderr
    return root


@pytest.mark.quiet
def test_a_server_of_known_speed(measured: Path) -> None:
    """A request takes 10 ms and 15 more tokens: four at once serve 4,000 a day in 1,000 × 0.070 s, never in less."""
    found = said(measured, "--requests-per-day", "4000", "--watts", "100", "--idle-watts", "20", *PAID)
    each_s = TTFT_S + 15 * TPOT_S
    busy_h = number(found.local.busy_h_per_day)
    assert 1000 * each_s / 3600 * 0.99 < busy_h < 1000 * each_s / 3600 * 1.5
    assert busy_h == pytest.approx(4000 * 16 / number(found.inputs["output_tok_s"]) / 3600)
    assert number(found.local.electricity.per_day) == pytest.approx(busy_h * 0.1 * 0.3)
    assert found.demand.output_tokens_per_request == 16
    assert found.local.name.endswith("pp64 tg16 c4")
    assert found.inputs["output_tok_s"].result
    assert found.inputs["output_tok_s"].origin == "measured"
    single = said(measured, "latest", "--cell", "c1", "--requests-per-day", "4000", "--watts", "100", *PAID)
    assert 4000 * each_s / 3600 * 0.99 < number(single.local.busy_h_per_day) < 4000 * each_s / 3600 * 1.5
    assert "the speed is one stream's: several at once give more tokens an hour" in single.notes


def test_those_who_serve_the_same_weights_stand_beside_it(measured: Path) -> None:
    found = said(measured, "--requests-per-day", "10", "--watts", "100", "--idle-watts", "20", *PAID)
    assert len(found.offers) > 3
    assert "groq: openai/gpt-oss-120b" in [each.name for each in found.offers]


def test_all_that_fits_in_a_day(measured: Path) -> None:
    found = said(measured, "--watts", "100", "--idle-watts", "20", *PAID)
    busy = found.local.busy_h_per_day
    assert busy.high == pytest.approx(24)
    assert "no number of requests was given: as many as fit into a day" in found.notes


def test_watts_that_were_not_measured_are_not_made_up(measured: Path) -> None:
    (result,) = measured.glob("results/*/*/result.json")
    known = any(each.power for each in folder.read_result(result.parent).cells)
    found = said(measured, "--requests-per-day", "10", *PAID)
    assert (found.local.electricity.per_day.value is None) is not known


def test_the_articles_system_in_words(tmp_path: Path) -> None:
    """380 days against Opus 4.7."""
    found = said(tmp_path, *ARTICLE, *PAID, "--idle-watts", "25", "--model", "mistral-small-4", "--against", "claude-opus-4.7")
    (opus,) = found.offers
    assert number(opus.cost.per_day) == 12.5
    assert number(opus.break_even_days_electricity) == pytest.approx(380.2, abs=0.1)
    assert number(opus.break_even_days) == pytest.approx(385.1, abs=0.1)
    assert number(found.mixtures[0].win_rate) == pytest.approx(0.383, abs=0.001)
    assert found.mixtures[0].provider == "anthropic"


def test_facts_stand_in_and_say_so(tmp_path: Path) -> None:
    facts = ("--hardware", "DGX Spark", "--country", "DE")
    bare = said(tmp_path, *ARTICLE, *facts, "--idle-watts", "25", "--hosted", "mistral:mistral-small-4")
    ecb = bare.inputs["EUR"]
    assert (ecb.value, ecb.unit, ecb.origin, ecb.how, len(ecb.sources)) == (1.1172, "USD/EUR", "published", "of 2026-10-30", 1)
    assert number(bare.local.electricity.per_day) == pytest.approx(0.142276 / 0.30 * 0.3835 * 1.1172, abs=1e-5)
    swiss = said(tmp_path, *ARTICLE, *facts, "--idle-watts", "25", "--currency", "CHF")
    assert swiss.local.electricity.per_day.why == "electricity rate: no rate from EUR to CHF is given"
    assert [note for note in swiss.notes if "--fx" in note] == [
        "amounts in EUR are not known in CHF: give --fx EUR=RATE, what one EUR is in CHF",
        "amounts in USD are not known in CHF: give --fx USD=RATE, what one USD is in CHF",
    ]
    euros = said(tmp_path, *ARTICLE, *facts, "--idle-watts", "25", "--currency", "EUR")
    per_day = [number(each.local.with_hardware.per_day) for each in (bare, euros)]
    assert per_day[0] == pytest.approx(per_day[1] * 1.1172)
    found = said(tmp_path, *ARTICLE, *facts, "--idle-watts", "25", "--fx", "eur=1.1@2026-11-20", "--currency", "usd")
    kwh = found.inputs["electricity_per_kwh"]
    assert (kwh.value, kwh.unit, kwh.origin, kwh.how) == (0.3835, "EUR/kWh", "published", "DE, household, 2025-H1")
    assert kwh.sources
    assert number(found.local.electricity.per_day) == pytest.approx(0.142276 / 0.30 * 0.3835 * 1.1, abs=1e-5)
    assert str(found.local.electricity.per_day.date) == "2025-10-29"
    assert (found.inputs["machine_price"].value, str(found.inputs["EUR"].date)) == (4699, "2026-11-20")
    early = said(tmp_path, *ARTICLE[:-1], "2025-12-01", *facts, "--fx", "EUR=1.1")
    assert early.inputs["machine_price"].value == 3999
    before = said(tmp_path, *ARTICLE[:-1], "2025-12-01", *facts)
    assert before.local.electricity.per_day.why == "electricity rate: no rate from EUR to USD is given"


def test_text_and_markdown(tmp_path: Path) -> None:
    words = ("cost", *ARTICLE, *PAID, "--idle-watts", "25", "--against", "claude-opus-4.7")
    text, page = harness(tmp_path, *words), harness(tmp_path, *words, "--format", "md")
    assert "\x1b" not in text.stdout
    assert "385 d" in text.stdout
    assert (
        "(140 W (as given) × 3.388 h/day + 25 W (as given) × 20.61 h/day) / 1000 × 0.3 USD/kWh = 0.297 USD/day" in text.stdout
    )
    assert page.stdout.startswith("## ")
    assert "| anthropic: claude-opus-4-7 | 12.5 | 375 | 25.0 | 25.0 | 2.72 | 385 d |" in page.stdout


def test_prices_at_other_hours_are_named(tmp_path: Path) -> None:
    done = harness(tmp_path, "cost", *ARTICLE, *PAID, "--idle-watts", "25", "--hosted", "deepseek:deepseek-v4-pro")
    assert (
        "deepseek: deepseek-v4-pro: not reckoned with: in the hours from 1, 2, 3, 6, 7, 8, 9 o'clock UTC 1.32, 0.044, 3.96 "
        "(input, cached input, output)"
    ) in " ".join(done.stdout.split())


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    done = harness(tmp_path, "cost", *ARTICLE[:-4], "--requests-per-day", "20000", *PAID, "--idle-watts", "25")
    assert done.returncode == 0
    assert "3 copies would do" in done.stdout


def test_bad_input_is_two_lines(tmp_path: Path) -> None:
    done = harness(tmp_path, "cost", "--tok-s", "41", "--watts", "-1")
    assert done.returncode == UsageError.exit_code
    assert done.stderr == "harness: --watts: -1 is no amount\nHint: give a number that is not below 0\n"
    assert harness(tmp_path, "cost").returncode == StoreError.exit_code


WORDS: dict[str, Any] = {"tok_s": 41.0, "output_tokens": 5.0, "hardware_price": 4699.0, "price_kwh": 0.3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"output_tokens": None}, "--output-tokens N"),
        ({"input_tokens": 5.0}, "how many requests fit into a day is not known: prefill speed: not given"),
        ({"years": 0.0}, "--years"),
        ({"cached_share": 2.0}, "--cached-share: 2"),
        ({"fx": ["EUR"]}, "--fx EUR: no exchange rate"),
        ({"against": ["claude-opus-4-7x"]}, "did you mean 'claude-opus-4.7'?"),
        ({"against": ["smollm2-135m"]}, "no price of its maker is known of smollm2-135m"),
        ({"hosted": ["mistral:mistral-small"]}, "did you mean 'mistral:mistral-small-4'?"),
        ({"model": "nothing"}, "no model is called 'nothing'"),
        ({"price_kwh": None, "country": "FR"}, "known: BE"),
        ({"hardware_price": None, "hardware": "x"}, "known: DGX Spark"),
        ({"format_": "html"}, "one of table, md, json"),
    ],
)
def test_bad_input(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        cost(**(WORDS | words))
    assert said in str(error.value)


def test_an_unknown_cell(measured: Path) -> None:
    with pytest.raises(UsageError, match="one of d0-pp64-tg16-c1, d0-pp64-tg16-c4"):
        cost("latest", cell="c9", root=measured / "results")
