"""Forgeries whose every sum is right, and which their forger has signed: `verify` recomputes, and looks whether it can be true."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import __version__, recompute, verify
from harness.errors import StoreError, VerifyError
from harness.measure import metrics, plausible
from harness.measure.given import Given
from harness.schema.bill import Bill, Rates, Spent
from harness.schema.doctor import FAIL, PASS, SKIP, WARN, Check
from harness.schema.result import CellResult, Figure
from harness.schema.weights import METADATA, SAFETENSORS, Weights
from harness.share import bundle, sign
from harness.store import columns, folder
from harness.store.folder import Stored
from tests.share import forger
from tests.share.make_golden import GOLDEN, VERSION

Change = Callable[[Path], object]
replace = msgspec.structs.replace


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return forger.unpacked(tmp_path / "run")


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return folder.read(forger.unpacked(tmp_path_factory.mktemp("golden")))


def failed(found: list[Check]) -> str:
    return " | ".join(check.text for check in found if check.status == FAIL)


def result(change: Callable[[Any], object]) -> Change:
    return lambda run: forger.change_json(run / "result.json", change)


def plan(change: Callable[[Any], object]) -> Change:
    return lambda run: forger.change_json(run / "plan.json", change)


def table(name: str, select: str) -> Change:
    return lambda run: forger.change_table(run / f"{name}.parquet", select)


def faster(data: Any) -> None:
    figure = data["cells"][0]["figures"]["decode_tok_s"]
    for part in ("value", "low", "high"):
        figure[part] *= 1.25


FORGERIES: dict[str, tuple[Change, str]] = {
    "a rate": (result(faster), "decode_tok_s value: stored"),
    "an interval": (result(lambda r: r["cells"][1]["figures"]["request_s"].update(low=0.1)), "request_s low: stored"),
    "a percentile that there is not": (
        result(lambda r: r["cells"][0]["figures"]["ttft_p99_ms"].update(value=1.0, reason=None)),
        "ttft_p99_ms value: stored 1.0, recomputed None",
    ),
    "a figure of no metric": (
        result(lambda r: r["cells"][0]["figures"].update(wow_tok_s=r["cells"][0]["figures"]["request_s"])),
        "wow_tok_s: cannot be recomputed",
    ),
    "how many count": (result(lambda r: r["cells"][0].update(valid=99)), "valid: stored 99"),
    "a finding that there is not": (
        result(lambda r: r["cells"][0]["findings"].append({"code": "swift", "severity": "note", "text": "it is swift"})),
        "finding swift: stored note, recomputed none",
    ),
    "another recipe's name": (result(lambda r: r.update(recipe_name="vllm-405b")), "recipe_name: 'vllm-405b' is not what"),
    "another precision": (result(lambda r: r.update(quantization="bf16")), "quantization: 'bf16' is not what"),
    "more machines": (result(lambda r: r.update(nodes=8)), "nodes: 8 is not what"),
    "somebody else's server": (
        result(lambda r: r.update(server="https://a.example")),
        "server: 'https://a.example' is not what",
    ),
    "another engine": (result(lambda r: r["engine"].update(name="vllm")), "engine: 'vllm' is not that of the plan"),
    "another image": (result(lambda r: r.update(image={"name": "a", "id": "b"})), "image: Image(name='a'"),
    "an end of its own": (result(lambda r: r.update(state="perfect")), "state: there is none of the name 'perfect'"),
    "a healthy machine": (result(lambda r: r["health"].update(verdict="healthy")), "its verdict does not follow"),
    "another model": (result(lambda r: r.update(model="GPT-6")), "model or cells are not those of the plan"),
    "another shape": (result(lambda r: r["cells"][0]["cell"].update(pp=8192)), "model or cells are not those of the plan"),
    "another recipe": (lambda run: (run / "recipe.yaml").write_text("model: m\n"), "recipe.yaml is not the recipe"),
    "a trial left out": (result(lambda r: r["trials"].pop(2)), "trials are left out"),
    "a cell left out": (result(lambda r: r["cells"].pop()), "was measured but has no figures"),
    "token events that came sooner": (
        table("events", "SELECT * REPLACE (t_ns - seq * 1000000 AS t_ns) FROM t"),
        "decode_tok_s value: stored",
    ),
    "more tokens": (
        table("requests", "SELECT * REPLACE (usage_completion_tokens * 2 AS usage_completion_tokens) FROM t"),
        "valid: stored",
    ),
    "a request left out": (table("requests", 'SELECT * FROM t WHERE NOT (trial = 1 AND "index" = 2)'), "requests are left out"),
    "faked acceptance": (
        plan(lambda p: p["launch"]["env"].update(SGLANG_SIMULATE_ACC_LEN="4")),
        "the plan fakes the acceptance of drafts, and the result does not say so",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_signed_forgery_is_found(name: str, run: Path, tmp_path: Path, key: Path) -> None:
    change, said = FORGERIES[name]
    change(run)
    out = forger.bundled(run, tmp_path / "forged.tar", partial(sign.sign, key=key))
    found = verify.checks(out)
    assert [check.status for check in found if check.name in ("files", "signature")] == [PASS, PASS]
    assert said in failed(found)
    with pytest.raises(VerifyError):
        verify.verify(out)


def without(run: Path, unwanted: Callable[[Any], bool]) -> None:
    """Takes such trials away, with all their traces: numbers are 0, 1, 2 … again, and figures are those of the rest."""
    forger.change_json(run / "result.json", newer)
    indices = [trial.index for trial in folder.read_result(run).trials if not unwanted(trial)]
    places = ", ".join(f"({old}, {new})" for new, old in enumerate(indices))
    for name in ("requests", "events"):
        moved = f"SELECT t.* REPLACE (n AS trial) FROM t JOIN (VALUES {places}) AS p(o, n) ON t.trial = o"
        forger.change_table(run / f"{name}.parquet", moved)

    def renumbered(data: Any) -> None:
        data["trials"] = [data["trials"][old] | {"index": new} for new, old in enumerate(indices)]
        kept = {trial["cell"] for trial in data["trials"]}
        data["cells"] = [cell for cell in data["cells"] if cell["cell"]["id"] in kept]

    forger.change_json(run / "result.json", renumbered)
    stored = folder.read(run)
    samples = sorted(stored.samples, key=lambda sample: sample.t_ns)
    again = recompute.cells(stored, samples, recompute.given_of(stored, samples))
    cells = [replace(cell, stopped_by=said.stopped_by) for cell, said in zip(again, stored.result.cells, strict=True)]
    forger.change_json(run / "result.json", lambda data: data.update(cells=msgspec.to_builtins(cells)))


@pytest.mark.parametrize(
    ("unwanted", "said"),
    [
        (lambda trial: trial.cell.endswith("c2"), "cell d0-pp64-tg8-c2 of the plan was neither measured nor skipped"),
        (lambda trial: trial.index == 3, "c2 stopped_by: stored runs, recomputed nothing: there is a trial to come"),
        (lambda trial: trial.block == 2, "c1 stopped_by: stored runs, recomputed nothing: there is a trial to come"),
    ],
)
def test_trials_without_a_trace_are_missed_all_the_same(unwanted: Callable[[Any], bool], said: str, run: Path) -> None:
    without(run, unwanted)
    assert said in failed(verify.checks(run))
    forger.change_json(run / "result.json", lambda data: data.update(state="interrupted"))
    forger.change_json(run / "result.json", interrupted)
    assert failed(verify.checks(run)) == "", "it says itself that it was not measured to the end"


def interrupted(data: Any) -> None:
    for cell in data["cells"]:
        cell.update(stopped_by="interrupted")


def capped(data: Any) -> None:
    for cell in data["cells"]:
        cell.update(stopped_by="cap")


def charged(data: Any) -> None:
    bill, rates = (
        Bill(requests=50, input_tokens=10_000, output_tokens=500),
        Rates(usd_mtok_in=3, usd_mtok_out=15, source="--price"),
    )
    data["spent"] = msgspec.to_builtins(Spent(usd=bill.usd(rates), bill=bill, rates=rates, cap_usd=1.0))


def test_a_cell_that_was_ended_from_outside(run: Path) -> None:
    without(run, lambda trial: bool(trial.block == 2))
    result(interrupted)(run)
    assert "stored interrupted, recomputed nothing" in failed(verify.checks(run)), "the run is said to be complete"
    result(capped)(run)
    assert "stored cap, recomputed nothing" in failed(verify.checks(run)), "nothing was charged"
    result(charged)(run)
    assert failed(verify.checks(run)) == ""


def test_a_cell_that_was_not_measured_for_a_reason(run: Path) -> None:
    cell = msgspec.to_builtins(folder.read_result(run).cells[1].cell)
    without(run, lambda trial: bool(trial.cell == cell["id"]))
    whole = (run / "result.json").read_bytes()
    result(lambda r: r.update(skipped=[{"cell": cell, "reason": "the SLO was already broken"}]))(run)
    assert failed(verify.checks(run)) == ""
    (run / "result.json").write_bytes(whole)
    result(charged)(run)
    assert failed(verify.checks(run)) == "", "no trial of it was within the sum"


def test_trials_until_there_is_a_good_one(run: Path) -> None:
    """The plan, as it was said beforehand, wanted two."""
    forger.change_json(run / "result.json", newer)
    plan(lambda p: p["workload"]["profile"].update(runs=2))(run)
    assert "c1 stopped_by: stored runs, recomputed runs, a trial earlier" in failed(verify.checks(run))


def test_a_manifest_of_another_run(run: Path, tmp_path: Path) -> None:
    files: dict[str, bundle.Content] = dict(folder.evidence(run))
    for ident, version in (("ffffff", VERSION), ("77b05a", "9.9.9")):
        bundle.write(tmp_path / "other.tar", files, bundle.manifest(files, result=ident, harness_version=version))
        assert "MANIFEST.json is of another result" in failed(verify.checks(tmp_path / "other.tar"))


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not here (apt install openssh-client)")
    path = tmp_path_factory.mktemp("key") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def test_what_an_older_harness_measured_still_verifies() -> None:
    found = verify.checks(GOLDEN)
    assert failed(found) == ""
    assert "all agree (written by harness 0.1.0.dev0)" in verify.verify(GOLDEN)
    names = {status: [check.name for check in found if check.status == status] for status in (PASS, SKIP)}
    assert names[PASS] == ["files", "schema", "figures", "clocks", "tokens", "roofline", "acceptance"]
    assert names[SKIP] == ["signature", "version", "weights", "origin", "machine", "network", "others"]
    assert all(check.text for check in found)


def newer(data: Any) -> None:
    data["harness_version"] = __version__


def without_a_figure(data: Any) -> None:
    del data["cells"][0]["figures"]["ttft_ms"]


def with_another_reason(data: Any) -> None:
    data["cells"][0]["figures"]["ttft_p99_ms"]["reason"] = "there are too few"


def without_a_note(data: Any) -> None:
    data["cells"][0]["findings"] = [f for f in data["cells"][0]["findings"] if f["code"] != "steadiness_untested"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_a_figure, "ttft_ms: not stored"),
        (with_another_reason, "ttft_p99_ms reason: stored there are too few"),
        (without_a_note, "finding steadiness_untested: stored none, recomputed note"),
    ],
)
def test_an_older_harness_need_not_have_known_all(run: Path, change: Callable[[Any], None], said: str) -> None:
    forger.change_json(run / "result.json", change)
    older = verify.checks(run)
    assert failed(older) == ""
    assert any(check.status == WARN and "steadiness_untested" in check.text for check in older) == (change is without_a_note)
    forger.change_json(run / "result.json", newer)
    assert said in failed(verify.checks(run))


HOSTILE: dict[str, tuple[Change, str]] = {
    "text for numbers": (table("requests", "SELECT * REPLACE (t_send_ns::VARCHAR AS t_send_ns) FROM t"), "other columns"),
    "lists for numbers": (table("events", "SELECT * REPLACE ([t_ns] AS t_ns) FROM t"), "other columns"),
    "a column more": (table("samples", "SELECT *, 1 AS more FROM t"), "other columns"),
    "a column less": (table("samples", "SELECT * EXCLUDE (unit) FROM t"), "other columns"),
    "nothing for numbers": (table("requests", "SELECT * REPLACE (NULL::BIGINT AS t_end_ns) FROM t"), "values are missing"),
    "no table": (lambda run: (run / "events.parquet").write_bytes(b"PAR1" * 9), "cannot be read"),
    "another version": (result(lambda r: r.update(schema_version=99)), "format is version 99"),
    "a list for an object": (lambda run: (run / "plan.json").write_bytes(b"[]"), "cannot be read"),
    "an object in objects": (lambda run: (run / "plan.json").write_bytes(b'{"x":' + b"[" * 10**5), "cannot be read"),
    "no UTF-8": (lambda run: (run / "plan.json").write_bytes(b'{"schema_version":1,"recipe_name":"\xe8"}'), "cannot be read"),
    "no text": (lambda run: (run / "recipe.yaml").write_bytes(b"\xe8"), "cannot be read"),
    "words for a terminal": (
        result(lambda r: r["cells"][0]["findings"].append({"code": "\x1b[2J\r", "severity": "note", "text": ""})),
        "finding \\x1b[2J\\r: stored note",
    ),
    "a version for a terminal": (result(lambda r: r.update(harness_version="\x1b[2J")), ""),
    "rounds of nothing": (result(lambda r: r["cells"][0]["cell"].update(warmup=0)), "nothing can be computed from these"),
    "an engine of its own": (plan(lambda p: p.update(engine="__import__")), ""),
    "the largest instants": (table("events", "SELECT * REPLACE (9223372036854775807::BIGINT AS t_ns) FROM t"), "recomputed"),
    "the least instants": (
        table("requests", "SELECT * REPLACE ((-9223372036854775807)::BIGINT AS t_send_ns, 0::BIGINT AS t_sched_ns) FROM t"),
        "lies outside",
    ),
    "tokens below zero": (table("requests", "SELECT * REPLACE (-1::BIGINT AS usage_completion_tokens) FROM t"), "recomputed"),
    "no number": (table("samples", "SELECT * REPLACE ('nan'::DOUBLE AS value) FROM t"), ""),
    "a slot for each": (table("requests", "SELECT * REPLACE (2000000000::BIGINT AS slot) FROM t"), ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_a_verdict(name: str, run: Path, tmp_path: Path) -> None:
    about = folder.read_result(run)
    HOSTILE[name][0](run)
    files: dict[str, bundle.Content] = {file.relative_to(run).as_posix(): file for file in run.rglob("*") if file.is_file()}
    out = tmp_path / "hostile.tar"
    bundle.write(out, files, bundle.manifest(files, result=about.id, harness_version=about.harness_version))
    found = verify.checks(out)
    said = failed(found)
    assert HOSTILE[name][1] in said
    assert all(check.text.isprintable() for check in found)
    with suppress(StoreError):
        verify.checks(run)
    assert str(tmp_path) not in said
    assert "harness-bundle-" not in said


def test_a_table_that_would_not_fit_into_memory(run: Path) -> None:
    """Less than a megabyte on the disk can be gigabytes of text."""
    columns.examine(run, most_rows=5000, most_text=1 << 20)
    with pytest.raises(StoreError, match="rows, and no more than"):
        columns.examine(run, most_rows=1000, most_text=1 << 20)
    forger.change_table(
        run / "events.parquet", "SELECT t.* REPLACE (repeat('x', 10000) AS text) FROM t, range(20) ORDER BY trial"
    )
    assert (run / "events.parquet").stat().st_size < 1 << 20
    with pytest.raises(StoreError, match="bytes of text, and no more than"):
        columns.examine(run, most_rows=10**6, most_text=1 << 26)


def test_clocks(golden: Stored) -> None:
    def clocks(number: int = 0, trial: int = 1, **changed: object) -> str:
        records = dict(golden.records)
        records[trial] = list(records[trial])
        records[trial][number] = replace(records[trial][number], **changed)
        check = plausible.clocks(golden.result, records, golden.samples)
        assert (check.status == FAIL) == bool(changed)
        return check.text

    one = golden.records[1][0]
    assert "monotone in 6 trials, 48 requests" in clocks()
    assert "it lies outside its trial" in clocks(t_end_ns=one.t_end_ns + 10**12)
    assert "it was sent before it was due" in clocks(t_sched_ns=one.t_send_ns + 10**7)
    assert "its headers came before it was sent" in clocks(t_hdr_ns=one.t_send_ns - 10**7)
    assert "event 0 came before its headers came" in clocks(t_hdr_ns=one.events[0].t_ns + 10**7)
    backwards = tuple(reversed(one.events))
    assert "came before event" in clocks(events=backwards)
    assert "it ended before event" in clocks(t_end_ns=one.events[-1].t_ns - 10**7)
    early = next(r for r in golden.records[1] if r.t_send_ns > one.t_end_ns)
    text = clocks(golden.records[1].index(early), slot=one.slot, t_send_ns=one.t_end_ns - 5 * 10**6, t_sched_ns=0)
    assert "on a connection that had not yet answered another" in text
    swapped = replace(golden.result, trials=golden.result.trials[::-1])
    assert plausible.clocks(swapped, golden.records, golden.samples).status == FAIL
    assert plausible.clocks(golden.result, golden.records, golden.samples[::-1]).status == FAIL
    scaled = tuple(replace(t, t_end_ns=t.t_start_ns + (t.t_end_ns - t.t_start_ns) // 4) for t in golden.result.trials)
    said = plausible.clocks(replace(golden.result, trials=scaled), {}, ())
    assert (said.status, "its load driver says that it ran for" in said.text) == (FAIL, True)
    shorter = replace(golden.result, finished=golden.result.anchor.wall)
    assert plausible.clocks(shorter, golden.records, golden.samples).status == WARN


def test_tokens(golden: Stored) -> None:
    said = plausible.tokens(golden.result, golden.records)
    assert (said.status, said.text) == (PASS, "384 generated by usage, 384 by the engine's counters")
    bare = replace(golden.result, trials=tuple(replace(t, counters_before={}, counters_after={}) for t in golden.result.trials))
    assert plausible.tokens(bare, golden.records).status == SKIP
    silent = {index: [replace(record, usage=None) for record in each] for index, each in golden.records.items()}
    assert plausible.tokens(golden.result, silent).status == SKIP
    doubled = tuple(
        replace(t, counters_after={**t.counters_after, "generation_tokens": t.counters_after["generation_tokens"] + 50})
        for t in golden.result.trials
    )
    again = metrics.cell_result(
        golden.result.cells[0].cell,
        [t for t in doubled if t.cell == golden.result.cells[0].cell.id],
        golden.records,
        stopped_by="",
    )
    said = plausible.tokens(replace(golden.result, cells=(again,)), golden.records)
    assert said.status == WARN
    assert "another client, or counters that lag" in said.text


def cell(golden: Stored, **figures: float) -> CellResult:
    return replace(golden.result.cells[0], figures={name: Figure(value=value, unit="") for name, value in figures.items()})


def test_no_stream_is_faster_than_the_memory(golden: Stored) -> None:
    """GB10: 273 GB/s over 27.3 GB of weights are 10 passes a second."""
    weights = Weights(source=SAFETENSORS, memory_bytes=60_000_000_000, step_bytes=27_300_000_000)
    given = Given(weights=weights, memory_spec_bytes_s=273e9)

    def status(cell: CellResult, given: Given = given, nodes: int = 1, *, as_stored: bool = True) -> str:
        return plausible.roofline([cell], given, nodes, as_stored=as_stored).status

    assert status(cell(golden, decode_tok_s=9.9)) == PASS
    assert status(cell(golden, decode_tok_s=10.1)) == FAIL
    assert status(cell(golden, decode_tok_s=30.1, acceptance_length=3.0)) == FAIL
    assert status(cell(golden, decode_tok_s=29.9, acceptance_length=3.0)) == PASS
    assert status(cell(golden, decode_tok_s=29.9, acceptance_length_timings=3.0)) == PASS
    assert status(cell(golden, decode_tok_s=29.9, tokens_per_event=2.9)) == SKIP
    assert status(cell(golden, decode_tok_s=19.9), nodes=2) == PASS
    assert status(cell(golden, decode_tok_s=10.1), as_stored=False) == WARN
    assert status(cell(golden, decode_tok_s=10.1), replace(given, weights=replace(weights, source=METADATA))) == WARN
    measured = replace(given, memory_spec_bytes_s=None, memory_read_bytes_s=273e9)
    assert status(cell(golden, decode_tok_s=10.1), measured) == WARN
    assert status(cell(golden, decode_tok_s=9.9), measured) == PASS
    small = replace(weights, step_bytes=80_000_000)
    assert status(cell(golden, decode_tok_s=4000.0), replace(given, weights=small)) == WARN
    assert status(cell(golden, decode_tok_s=1.0), replace(given, weights=None)) == SKIP
    assert status(cell(golden, decode_tok_s=1.0), replace(given, memory_spec_bytes_s=None)) == SKIP
    assert status(cell(golden)) == SKIP


def test_faked_acceptance(golden: Stored) -> None:
    assert golden.plan.launch is not None
    synthetic = ("--speculative-config", '{"method": "eagle3", "rejection_sample_method": "synthetic"}')
    fake = replace(golden.plan.launch, argv=(*golden.plan.launch.argv, *synthetic))
    by_settings = replace(golden.result.engine, settings={"speculative_config.rejection_sample_method": "synthetic"})
    foreign = replace(golden.plan, launch=None)
    for result, plan, status in (
        (golden.result, golden.plan, PASS),
        (golden.result, replace(golden.plan, launch=fake), FAIL),
        (golden.result, replace(golden.plan, workers=(fake,)), FAIL),
        (replace(golden.result, engine=by_settings), golden.plan, FAIL),
        (replace(golden.result, engine=by_settings), foreign, FAIL),
        (golden.result, foreign, SKIP),
    ):
        assert plausible.acceptance(result, plan).status == status


def test_a_bill(golden: Stored) -> None:
    bill = Bill(requests=50, input_tokens=10_000, output_tokens=500)
    rates = Rates(usd_mtok_in=3.0, usd_mtok_out=15.0, source="--price")

    def status(bill: Bill, usd: float) -> str:
        spent = Spent(usd=usd, bill=bill, rates=rates, cap_usd=1.0)
        return plausible.spent(replace(golden.result, spent=spent), golden.records).status

    assert status(bill, bill.usd(rates)) == PASS
    assert status(bill, 0.9 * bill.usd(rates)) == FAIL
    fewer = replace(bill, output_tokens=383)
    assert status(fewer, fewer.usd(rates)) == FAIL
    fewer = replace(bill, input_tokens=100)
    assert status(fewer, fewer.usd(rates)) == FAIL


def test_the_command_names_what_is_wrong_in_two_lines(run: Path, tmp_path: Path) -> None:
    forger.change_json(run / "result.json", faster)
    out = forger.bundled(run, tmp_path / "forged.tar")
    argv = [sys.executable, "-m", "harness", "verify", str(out)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == VerifyError.exit_code
    message, hint = done.stderr.splitlines()
    assert "decode_tok_s value: stored" in message
    assert hint.startswith("Hint: ")
    assert done.stdout.startswith("pass  files")
    done = subprocess.run([*argv, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    read = msgspec.json.decode(done.stdout, type=list[Check])
    assert done.returncode == VerifyError.exit_code
    assert "decode_tok_s high" in failed(read)
