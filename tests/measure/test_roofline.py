"""The ceiling that memory sets to one stream."""

from __future__ import annotations

import pytest

from harness.measure.given import MEMORY_BYTES_S, Given
from harness.measure.roofline import bw_util, ceiling_steps_s, estimates, findings, step_bytes
from harness.measure.stats import Estimate
from harness.schema.weights import METADATA, CacheLayers, Weights
from tests.measure.streams import cell

CACHE = (
    CacheLayers(layers=10, token_bytes=1000.0),
    CacheLayers(layers=20, token_bytes=2000.0, window=128),
    CacheLayers(layers=3, token_bytes=50_000.0, window=1),
)
DENSE = Weights(source=METADATA, memory_bytes=10**9, step_bytes=10**9, cache=())
MODEL = Weights(source=METADATA, memory_bytes=9_000_000, step_bytes=1_000_000, cache=CACHE)


def test_the_cache_grows_with_the_context_up_to_each_window() -> None:
    assert step_bytes(MODEL, 0) == 1_000_000
    assert step_bytes(MODEL, 100) == 1_000_000 + 100_000 + 200_000 + 50_000
    assert step_bytes(MODEL, 1000) == 1_000_000 + 1_000_000 + 256_000 + 50_000


def test_an_unknown_cache_leaves_the_weights() -> None:
    assert step_bytes(Weights(source=METADATA, memory_bytes=9, step_bytes=9, cache_reason="not said"), 1000) == 9


def test_published_speeds_stay_below_the_ceiling_of_a_gb10() -> None:
    """Qwen2.5-Coder-7B Q8_0, 7.54 GiB, 29.3 tok/s on llama.cpp (its benches/dgx-spark.md, 2025-11-02): 87 % of 273 GB/s."""
    read = round(7.54 * 2**30)
    model = Weights(source=METADATA, memory_bytes=read, step_bytes=read)
    assert ceiling_steps_s(model, MEMORY_BYTES_S["NVIDIA GB10"], 0) == pytest.approx(33.7, rel=0.01)
    found = bw_util(Estimate(value=29.3, low=29.0, high=29.6, n=5), model, MEMORY_BYTES_S["NVIDIA GB10"], 0)
    assert found.value is not None
    assert found.value == pytest.approx(0.87, abs=0.01)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert found.n == 5


def test_no_speed_keeps_its_reason() -> None:
    assert bw_util(Estimate(reason="no stream"), MODEL, 1e9, 0) == Estimate(reason="no stream")


def test_the_spec_is_width_times_rate() -> None:
    assert MEMORY_BYTES_S["NVIDIA GB10"] == pytest.approx(256 / 8 * 8533e6, rel=1e-3)


def test_of_one_stream_in_the_table_of_figures() -> None:
    given = Given(weights=DENSE, memory_spec_bytes_s=100 * DENSE.step_bytes)
    figures = {
        "prompt_tokens": Estimate(value=0.0),
        "completion_tokens": Estimate(value=0.0),
        "acceptance_length": Estimate(reason="no drafts"),
        "decode_tok_s": Estimate(value=80.0, low=79.0, high=81.0, n=5),
        "steps_s": Estimate(reason="no drafts"),
    }
    found = estimates(cell(), figures, given)
    assert found["ceiling_tok_s"].value == pytest.approx(100)
    assert found["bw_util"].value == pytest.approx(0.8)
    assert found["bw_util"].low == pytest.approx(0.79)
    assert found["bw_util_measured"].reason is not None
    drafted = figures | {"acceptance_length": Estimate(value=2.5), "steps_s": Estimate(value=32.0)}
    assert estimates(cell(), drafted, given)["bw_util"].value == pytest.approx(0.32), "80 tokens, but only 32 passes"
    assert estimates(cell(), drafted, given)["ceiling_tok_s"].value == pytest.approx(250)
    assert estimates(cell(2), figures, given)["bw_util"].reason == "several streams share a pass over the weights"
    assert estimates(cell(), figures, Given(weights_reason="why"))["bw_util"].reason == "why"


def test_more_than_the_memory_gives_is_said() -> None:
    assert [found.code for found in findings(Estimate(value=1.2))] == ["bandwidth_exceeded"]
    assert findings(Estimate(value=0.99)) == findings(Estimate(reason="x")) == []
