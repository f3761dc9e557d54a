"""List prices: as the package reckons them, as two other lists have them, and without a network."""

from __future__ import annotations

import csv
import datetime
import subprocess
import sys
from datetime import UTC
from pathlib import Path

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from harness.errors import FactsError
from harness.facts import prices
from harness.facts.load import load
from harness.schema.facts import Facts, Model, Price

DAY = datetime.date(2026, 11, 23)
NOON = datetime.datetime(2026, 11, 23, 12, tzinfo=UTC)
TABLE = Path(__file__).parent / "list_prices_2026-11-23.csv"


@pytest.fixture(scope="module")
def facts() -> Facts:
    return load()


def reckoned(ref: str, tokens: int) -> tuple[float, float]:
    """(input, output) per million tokens of a request with that many input tokens, by the package's own arithmetic."""
    provider, _, name = ref.partition("/")
    whole = next(one for one in get_snapshot().providers if one.id == provider)
    model = next(one for one in whole.models if one.id == name)
    cost = model.calc_price(genai_prices.Usage(input_tokens=tokens, output_tokens=1000), whole, genai_request_timestamp=NOON)
    return float(cost.input_price) / tokens * 1e6, float(cost.output_price) * 1000


def refs(facts: Facts) -> list[str]:
    return [ref for model in facts.models for ref in (model.own_price, *model.hosted) if ref]


def test_a_thousand_tokens_cost_what_the_package_reckons(facts: Facts) -> None:
    """Asked with 1,000 tokens and scaled: asked with a million it takes the price of long requests."""
    for ref in refs(facts):
        listed = prices.listed(ref, DAY)
        assert (listed.input_mtok.value, listed.output_mtok.value) == pytest.approx(reckoned(ref, 1000)), ref


def charged(price: Price, tokens: int) -> tuple[float | None, float | None]:
    """(input, output) of a request with so many input tokens."""
    tier = price.tier(tokens)
    return (tier.input_mtok, tier.output_mtok) if tier else (price.input_mtok.value, price.output_mtok.value)


def test_long_requests_cost_what_the_package_reckons(facts: Facts) -> None:
    tiered = {ref: price for ref in refs(facts) if (price := prices.listed(ref, DAY)).tiers.value}
    assert "openai/gpt-5.5" in tiered
    for ref, listed in tiered.items():
        start = (listed.tiers.value or ())[0].above_tokens
        for tokens in (start, start + 1, 1_000_000):
            assert charged(listed, tokens) == pytest.approx(reckoned(ref, tokens)), (ref, tokens)


def test_other_lists_agree_but_for_known_differences() -> None:
    """The table that was put together by hand from vendors' pages, litellm 1.109.1 and genai-prices 0.2.3. A difference that is new here is
    a price that changed, or was wrong: say which in the table."""
    different = {}
    for row in csv.DictReader(TABLE.read_text().splitlines()):
        rates = charged(prices.listed(row["ref"], DAY), int(row["above_tokens"] or 0) + 1)
        if rates != (float(row["input"]), float(row["output"])):
            different[row["ref"]] = (row, f"{row['ref']}: {row['input']} and {row['output']} there, {rates} here")
    new = [text for row, text in different.values() if not row["differs"]]
    assert not new, "\n".join(new)
    assert set(different) == {
        "mistral/mistral-large-4",
        "deepseek/deepseek-v4-pro",
        "deepseek/deepseek-v4-flash",
        "ovhcloud/gpt-oss-120b",
    }


def test_a_price_is_that_of_its_day() -> None:
    def output(day: str) -> float | None:
        return prices.listed("mistral/mistral-large-4", datetime.date.fromisoformat(day)).output_mtok.value

    assert [output(day) for day in ("2026-10-19", "2026-10-20", "2026-10-28", "2026-10-29")] == [2.09, 4.18, 4.18, 2.1]
    opus = prices.listed("anthropic/claude-opus-4-6", datetime.date(2026, 3, 12))
    assert charged(opus, 200_001)[1] == 37.5
    assert prices.listed("anthropic/claude-opus-4-6", datetime.date(2026, 3, 13)).tiers.value == ()


def test_a_price_by_the_hour_is_that_of_most_hours() -> None:
    listed = prices.listed("deepseek/deepseek-v4-pro", DAY)
    assert (listed.input_mtok.value, listed.output_mtok.value) == (0.66, 1.98)
    assert listed.note == "in the hours from 1, 2, 3, 6, 7, 8, 9 o'clock UTC 1.32, 0.044, 3.96 (input, cached input, output)"


def test_what_a_run_may_cost_goes_by_the_dearest_hour_and_by_tokens_alone() -> None:
    deepseek = "https://api.deepseek.com"
    usual, most = (ask(deepseek, "deepseek-v4-pro", DAY) for ask in (prices.at, prices.most))
    assert usual is not None
    assert most is not None
    assert (usual.output_mtok.value, most.input_mtok.value, most.output_mtok.value) == (1.98, 1.32, 3.96)
    sonar = "https://api.perplexity.ai", "sonar", DAY
    assert (prices.at(*sonar) is not None, prices.most(*sonar)) == (True, None), "each request costs something too"


def test_evidence() -> None:
    listed = prices.listed("openai/gpt-5.5", DAY)
    (source,) = listed.output_mtok.sources
    assert source.kind == "package"
    assert source.date == prices.edition().date == datetime.date(2026, 11, 9)
    assert "genai-prices 0.2.3" in source.dated
    assert listed.cached_input_mtok.value == 0.5
    free = prices.listed("google/gemma-4-26b-a4b-it", DAY)
    assert (free.output_mtok.value, free.output_mtok.why, free.output_mtok.sources) == (None, "not listed", ())


def test_a_reference_is_matched_letter_by_letter() -> None:
    with pytest.raises(FactsError) as wrong:
        prices.listed("anthropic/claude-opus-4.7", DAY)
    assert wrong.value.hint == "did you mean 'anthropic/claude-opus-4-7'?"
    with pytest.raises(FactsError, match="no price for nobody/x"):
        prices.listed("nobody/x", DAY)


def test_the_articles_prices_stand_beside_what_is_listed(facts: Facts) -> None:
    beside = {one.claim.row: one for one in prices.beside(facts, DAY)}
    ratios = {row: one.ratio and round(one.ratio, 2) for row, one in beside.items()}
    assert ratios == {
        "Claude Opus 4.7": 3.0,
        "Claude Opus 4.6 Thinking": 3.0,
        "GPT-5.5 High": 3.33,
        "Gemini 3 Pro": 6.67,
        "Qwen3.5-0.8B BF16 (sglang)": None,
        "Qwen3.6-35B-A3B INT4 (vllm)": 0.04,
        "gpt-oss-120b MXFP4 (2 nodes)": 0.12,
        "Qwen3-Coder-Next int4": 0.06,
        "gemma-4-26B-A4B FP8 (4 nodes)": 0.07,
        "Mistral Small 4 119B NVFP4 + EAGLE (this stack)": 0.08,
    }


def test_the_same_weights_at_others(facts: Facts) -> None:
    model = next(model for model in facts.models if model.id == "gpt-oss-120b")
    found = prices.of_model(model, DAY, facts.prices)
    by: dict[str, Price] = {price.provider: price for price in found}
    assert {"groq", "ovhcloud", "deepinfra", "scaleway", "nebius"} <= set(by)
    assert by["deepinfra"].output_mtok.value == 0.17
    assert all(price.model == "gpt-oss-120b" for price in found)
    assert prices.own(model, DAY) is None
    closed: Model = next(model for model in facts.models if model.id == "claude-opus-4.7-thinking")
    assert (own := prices.own(closed, DAY)) is not None
    assert own.output_mtok.value == 25


def test_nothing_is_asked_of_the_network() -> None:
    code = """
import socket
def refuse(*words, **more):
    raise AssertionError("the network was asked")
socket.socket.__init__ = socket.getaddrinfo = refuse
import datetime, threading
from harness.facts import load, prices
found = prices.every(load.load(), datetime.date(2026, 11, 23))
assert len(found) > 40 and threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", code], check=True)
