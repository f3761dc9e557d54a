"""Each format against what its own program says of the same events; what a format cannot tell is said; nobody's names are in any.

`tests/real/test_real_exports.py` makes the stored files with the programs themselves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import parser as classic
from prometheus_client.openmetrics import parser as openmetrics

from harness.errors import InvalidResult
from harness.measure.metrics import METRICS
from harness.report.exports import base, benchy, forum, prometheus, vllm_bench
from harness.report.exports.formats import FORMATS, FROM_RAW
from harness.schema.result import Finding
from tests.measure import streams
from tests.report import exported
from tests.report.test_report import matches

DATA = Path(__file__).parent / "data/exports"


def test_llama_benchy_says_the_same_of_the_same_events() -> None:
    ours = json.loads(benchy.as_json(*exported.grid()).text)
    theirs = json.loads((DATA / "grid-by-llama-benchy.json").read_text())
    assert ours.keys() == theirs.keys()
    one, two = _flat(ours), _flat(theirs)
    assert {name for name, value in one.items() if value is None} == {name for name, value in two.items() if value is None}
    assert len(one) > 200
    for name, value in two.items():
        assert one[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value), name
    assert one.keys() == two.keys()


def test_the_csv_is_what_sparkrun_makes_of_our_json() -> None:
    assert benchy.as_csv(*exported.grid()).text.encode() == (DATA / "grid-by-sparkrun.csv").read_bytes()


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {inner: found for key, part in value.items() for inner, found in _flat(part, f"{name}/{key}").items()}
    if isinstance(value, list):
        return {inner: found for key, part in enumerate(value) for inner, found in _flat(part, f"{name}/{key}").items()}
    return {name: value}


def test_what_llama_benchys_format_cannot_tell_is_empty_and_said() -> None:
    made = benchy.as_json(*exported.everything())
    plain, staggered, early = json.loads(made.text)["benchmarks"]
    assert plain["tg_throughput"]["mean"] == pytest.approx(100, rel=0.05)
    assert [staggered[name] for name in ("pp_throughput", "tg_throughput", "peak_throughput")] == [None] * 3
    assert staggered["tg_req_throughput"]["mean"] == pytest.approx(100)
    assert [early[name] for name in ("pp_throughput", "pp_req_throughput", "est_ppt")] == [None] * 3
    assert (early["ttfr"]["mean"], early["e2e_ttft"]["mean"]) == (50.0, 100.0)
    assert [line.partition(": ")[0::2] for line in made.left_out] == [
        ("pp514 tg8 2/s", "llama-benchy knows no open loop"),
        ("pp516 tg8 c1", "it is invalid"),
        ("pp512 tg8 c2", "of its totals 1 of 1 rounds: their requests, one a slot, do not begin together"),
        ("pp515 tg8 c1", "its prefill: an empty first event came early, and llama-benchy times prefill by the first event"),
    ]


def test_tokens_that_nobody_counted_are_not_spread() -> None:
    record = exported.answer(0, 0, counts=(3, 2, 3))
    silent = [msgspec.structs.replace(event, tokens=None) for event in record.events]
    uncounted = msgspec.structs.replace(record, events=tuple(silent), token_source="none")
    (run,) = json.loads(benchy.as_json(*exported.result((streams.cell(), [[uncounted]]))).text)["benchmarks"]
    assert [run[name] for name in ("tg_throughput", "tg_req_throughput", "peak_throughput")] == [None] * 3
    assert run["e2e_ttft"]["values"] == [100.0]
    (run,) = json.loads(benchy.as_json(*exported.result((streams.cell(), [[uncounted, exported.answer(300, 1)]]))).text)[
        "benchmarks"
    ]
    assert run["tg_throughput"] is None, "a mean of the other would be of other requests"


@pytest.mark.parametrize("name", FROM_RAW)
def test_faked_acceptance_goes_out_in_no_format_that_has_no_word_for_it(name: str) -> None:
    result, plan, records = exported.grid()
    fake = Finding(code="synthetic_acceptance", severity="invalid", text="it fakes")
    with pytest.raises(InvalidResult, match="synthetic_acceptance"):
        FORMATS[name](msgspec.structs.replace(result, findings=(fake,)), plan, records)


def test_vllm_says_the_same_of_the_same_events() -> None:
    ours = json.loads(vllm_bench.as_json(*exported.result((streams.cell(), exported.many()))).text)
    theirs = json.loads((DATA / "many-by-vllm.json").read_text())
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, rel=1e-9)


def test_vllms_keys_are_all_there_and_what_we_do_not_have_is_null() -> None:
    real = json.loads((DATA / "vllm-chat.json").read_text())
    ours = json.loads(vllm_bench.as_json(*exported.result((streams.cell(), exported.many()))).text)
    assert real.keys() <= ours.keys()
    assert ours.keys() - real.keys() == {
        f"p{percent}_{name}_ms" for percent in (90, 95) for name in ("ttft", "tpot", "itl", "e2el")
    }
    assert {name for name, value in ours.items() if value is None} == {
        *("label", "tokenizer_id", "request_goodput"),  # vLLM's own has null for the first and the last, too
        *("queue_times", "max_output_tokens_per_s", "max_concurrent_requests", "rtfx"),
    }
    assert (ours["max_concurrency"], ours["request_rate"], ours["completed"], ours["failed"]) == (1, "inf", 700, 0)


def test_of_vllms_json_each_cell_is_a_line_and_percentiles_need_requests() -> None:
    made = vllm_bench.as_json(*exported.everything())
    lines = [json.loads(line) for line in made.text.splitlines()]
    assert [(line["max_concurrency"], line["request_rate"]) for line in lines] == [
        (1, "inf"),
        (2, "inf"),
        (1, "inf"),
        (None, 2.0),
    ]
    assert made.left_out == ("pp516 tg8 c1: it is invalid",)
    assert (lines[0]["median_ttft_ms"] is None, lines[0]["p90_ttft_ms"], lines[0]["p99_ttft_ms"]) == (False, None, None)
    assert lines[2]["mean_ttft_ms"] == 100.0, "an empty first event is no token"


@pytest.mark.parametrize("parser", [classic, openmetrics])
def test_prometheus_text_is_valid_and_has_every_figure(parser: Any) -> None:
    result, plan, records = exported.everything()
    families = {
        family.name: family for family in parser.text_string_to_metric_families(prometheus.as_text(result, plan, records).text)
    }
    found = {
        (name, sample.labels["cell"]): sample.value
        for name, family in families.items()
        for sample in family.samples
        if "cell" in sample.labels and not name.endswith("_info") and not name.endswith("_cell_requests")
    }
    wanted = {}
    for cell in result.cells:
        for name, figure in cell.figures.items():
            for part in ("value", "low", "high"):
                if (value := getattr(figure, part)) is not None:
                    full, unit, factor = prometheus.family(name, part)
                    wanted[full, cell.cell.words] = value * factor
                    assert full.endswith(f"_{unit}")
                    assert families[full].documentation.startswith(METRICS[name].text)
                    assert families[full].type == "gauge"
    assert found == wanted
    assert found["spark_harness_ttft_seconds", "pp515 tg8 c1"] == pytest.approx(0.1)
    verdicts = {sample.labels["cell"]: sample.labels["verdict"] for sample in families["spark_harness_cell_info"].samples}
    assert verdicts == {cell.cell.words: cell.verdict for cell in result.cells}


def test_prometheus_names_are_different_and_of_base_units() -> None:
    names = [prometheus.family(name, part)[0] for name in METRICS for part in prometheus.PARTS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) and "__" not in name for name in names)
    known = {name: prometheus.family(name)[0].removeprefix("spark_harness_") for name in METRICS}
    assert [
        known[name] for name in ("decode_tok_s", "decode_tok_s_n1", "ttft_p50_ms", "request_s", "slo_share", "wall_j_tok")
    ] == [
        "decode_tokens_per_second",
        "decode_n1_tokens_per_second",
        "ttft_p50_seconds",
        "requests_per_second",
        "slo_ratio",
        "wall_joules_per_token",
    ]


def test_labels_are_escaped() -> None:
    result, plan, records = exported.grid()
    odd = 'a"b\\c\nd'
    text = prometheus.as_text(msgspec.structs.replace(result, id=odd), plan, records).text
    parser: Any = openmetrics
    families = parser.text_string_to_metric_families(text)
    (info,) = (family for family in families if family.name == "spark_harness_result_info")
    assert info.samples[0].labels["result"] == odd


def test_the_post() -> None:
    matches("exported.md", forum.as_markdown(*exported.everything()).text.rstrip("\n"))


def test_names_in_the_post_are_words_and_nothing_more() -> None:
    """A server of somebody else's tells its model's name and its version itself."""
    result, plan, records = exported.grid()
    bad = "m](http://x) <img src=y>|`*\n# h"
    result = msgspec.structs.replace(
        result,
        model=bad.replace("//", ""),
        quantization=bad,
        recipe_name="r; curl x | sh",
        engine=msgspec.structs.replace(result.engine, version=bad),
        machine=msgspec.structs.replace(result.machine, product=bad),
        cells=tuple(
            msgspec.structs.replace(cell, cell=msgspec.structs.replace(cell.cell, variant=bad)) for cell in result.cells
        ),
    )
    text = forum.as_markdown(result, plan, records).text
    assert not re.search(r"(?<!\\)[\]<>`]", text)
    assert not re.search("^# h", text, re.MULTILINE)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")} == {
        text.splitlines()[2].count("|")
    }
    assert "harness bench 'r; curl x | sh' --profile" in text


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/model-7b", "org/model-7b"),
        ("~/models/m", "m"),
        ("data/ann/models/m", "m"),
        ("http://box:8000/m", "m"),
        ("file:///home/ann/m", "m"),
    ],
)
def test_of_a_path_only_its_end_goes_out(name: str, told: str) -> None:
    assert base.public(name) == told


@pytest.mark.parametrize("name", FORMATS)
def test_no_host_user_address_or_path_goes_out(name: str) -> None:
    text = FORMATS[name](*exported.everything()).text
    assert "SECRET" not in text
    assert "model-7b" in text


def test_a_recipe_that_was_made_of_an_address_is_not_named() -> None:
    result, plan, records = exported.grid()
    result = msgspec.structs.replace(result, recipe_name="10.1.2.3-8000")
    plan = msgspec.structs.replace(plan, recipe_path="http://10.1.2.3:8000", launch=None)
    for made in FORMATS.values():
        assert "10.1.2.3" not in made(result, plan, records).text


def test_a_second_ends_where_the_next_begins() -> None:
    made = exported.result((streams.cell(tg=3), [[exported.answer(0, 0, counts=(1, 1, 1), step=500, tokens=3, asked=3)]]))
    (run,) = json.loads(benchy.as_json(*made).text)["benchmarks"]
    assert run["peak_throughput"]["values"] == [2.0]


def test_a_row_without_totals_is_none_as_for_sparkrun() -> None:
    rows = benchy.as_csv(*exported.everything()).text.splitlines()
    assert [row.split(",")[1] for row in rows] == ["test_name", "pp512 (c1)", "tg8 (c1)", "tg8 (c1)"]


def test_of_rounds_those_count_that_begin_together() -> None:
    late = [exported.answer(0, 0), exported.answer(150, 1)]
    together = [exported.answer(0, 0), exported.answer(5, 1)]
    made = benchy.as_json(*exported.result((streams.cell(2), [late, together])))
    (run,) = json.loads(made.text)["benchmarks"]
    assert run["tg_throughput"]["values"] == [pytest.approx(14 / 0.075)]
    assert made.left_out == ("pp512 tg8 c2: of its totals 1 of 2 rounds: their requests, one a slot, do not begin together",)
