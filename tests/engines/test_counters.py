"""Counters from metrics pages that real servers gave (buckets left in, so that they must be told apart)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from harness.engines import llamacpp, openai_api, prometheus, sglang, vllm
from harness.engines.base import COUNTERS
from harness.errors import EngineError

DATA = Path(__file__).parent / "data"

LLAMACPP = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 233
# TYPE llamacpp:prompt_tokens_cached_total counter
llamacpp:prompt_tokens_cached_total 152
# TYPE llamacpp:tokens_predicted_total counter
llamacpp:tokens_predicted_total 320
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total 240
# TYPE llamacpp:spec_decode_num_draft_tokens_total counter
llamacpp:spec_decode_num_draft_tokens_total 100
# TYPE llamacpp:spec_decode_num_accepted_tokens_total counter
llamacpp:spec_decode_num_accepted_tokens_total 80
# TYPE llamacpp:spec_decode_num_drafts_total counter
llamacpp:spec_decode_num_drafts_total 25
# TYPE llamacpp:predicted_tokens_seconds gauge
llamacpp:predicted_tokens_seconds 144.689
llamacpp:spec_decode_num_accepted_tokens_per_pos_total{position="0"} 25
"""


def page(name: str) -> str:
    return (DATA / name).read_text()


def test_vllm() -> None:
    assert vllm.counters(page("vllm-metrics.txt")) == {
        "prompt_tokens": 2449.0,  # 4753 asked, 2304 of them cached
        "generation_tokens": 274.0,
        "requests_finished": 25.0,
        "cached_tokens": 2304.0,
        "cache_queries_tokens": 4753.0,
        "ttft_sum_s": 16.253124952316284,
        "ttft_count": 26.0,
    }


def test_vllm_speculation() -> None:
    found = vllm.counters(page("vllm-ngram-metrics.txt"))
    assert (found["spec_drafts"], found["spec_draft_tokens"], found["spec_accepted_tokens"]) == (58.0, 174.0, 116.0)


def test_an_older_vllm_tells_its_cache_hits_only() -> None:
    older = "\n".join(line for line in page("vllm-metrics.txt").splitlines() if "prompt_tokens_cached" not in line)
    assert vllm.counters(older) == vllm.counters(page("vllm-metrics.txt"))


def test_sglang() -> None:
    found = sglang.counters(page("sglang-metrics.txt"))
    assert found.pop("ttft_sum_s") == pytest.approx(2.2447254329576936 + 0.9028869180001493)
    assert found == {
        "prompt_tokens": 4797.0 - 2195.0,
        "generation_tokens": 288.0,
        "requests_finished": 28.0,
        "cached_tokens": 2195.0,
        "cache_queries_tokens": 4797.0,
        "ttft_count": 28.0,
    }


def test_sglang_before_its_first_cache_hit() -> None:
    fresh = "\n".join(line for line in page("sglang-metrics.txt").splitlines() if "cached_tokens" not in line)
    found = sglang.counters(fresh)
    assert (found["cached_tokens"], found["prompt_tokens"]) == (0.0, 4797.0)


def test_sglang_accepted_tokens_follow_from_verify_steps() -> None:
    # 288 tokens of 28 requests: 28 came from prefills, 100 from verify steps, so 160 were accepted drafts
    steps = '# TYPE sglang:spec_verify_calls_total counter\nsglang:spec_verify_calls_total{model_name="smollm2"} 100.0\n'
    found = sglang.counters(page("sglang-metrics.txt") + steps)
    assert (found["spec_drafts"], found["spec_accepted_tokens"]) == (100.0, 160.0)
    assert "spec_accepted_tokens" not in sglang.counters(page("sglang-metrics.txt"))


def test_an_older_sglang_has_only_its_gauge() -> None:
    text = page("sglang-metrics.txt")
    idle = next(line for line in text.splitlines() if line.startswith("sglang:spec_accept_length{"))
    name = idle.removesuffix(" 0.0")
    assert "spec_accept_length_gauge" not in sglang.counters(text), "0 without speculation"
    assert sglang.counters(text.replace(idle, f"{name} 2.5"))["spec_accept_length_gauge"] == 2.5
    other = name.replace('tp_rank="0"', 'tp_rank="1"')
    assert other != name
    assert sglang.counters(text.replace(idle, f"{name} 2.5\n{other} 3.5"))["spec_accept_length_gauge"] == 3.0, (
        "a mean, not a sum"
    )


def test_llamacpp() -> None:
    assert llamacpp.counters(LLAMACPP) == {
        "prompt_tokens": 233.0,
        "generation_tokens": 320.0,
        "cached_tokens": 152.0,
        "cache_queries_tokens": 385.0,
        "spec_drafts": 25.0,
        "spec_draft_tokens": 100.0,
        "spec_accepted_tokens": 80.0,
    }


@pytest.mark.parametrize("engine", [vllm, sglang, llamacpp])
def test_only_names_of_the_contract(engine: ModuleType) -> None:
    assert set(engine.COUNTERS) <= set(COUNTERS)


def test_what_a_page_lacks_is_left_out_and_not_zero() -> None:
    assert vllm.counters("") == {}
    assert openai_api.counters("anything") == {}


def test_labels_are_summed_and_buckets_left_out() -> None:
    text = (
        '# TYPE a counter\na_total{x="1"} 1\na_total{x="2"} 2\n# TYPE h histogram\nh_bucket{le="+Inf"} 9\nh_sum 4\nh_count 9\n'
    )
    assert prometheus.totals(text) == {"a_total": 3.0, "h_sum": 4.0, "h_count": 9.0}


@pytest.mark.parametrize("text", ["<html><body>404</body></html>", "a_total{x=1} what", "a_total{"])
def test_a_page_that_is_something_else_is_an_error(text: str) -> None:
    with pytest.raises(EngineError, match="metrics page cannot be read"):
        prometheus.totals(text)
