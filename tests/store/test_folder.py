"""Results on disk: read back as they were written, whatever ends the run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import StoreError
from harness.schema.request import Event, Record, ServerTimings, Usage
from harness.schema.sensors import Sample
from harness.store import folder, query
from harness.store.folder import ResultFolder, Stored
from tests.store import sample_run


def written(root: Path, records: Sequence[Sequence[Record]], samples: Sequence[Sequence[Sample]], *, finish: bool) -> Stored:
    made = ResultFolder.create(root, "sample", sample_run.RECIPE, sample_run.plan())
    for index, (own, read) in enumerate(zip(records, samples, strict=True)):
        made.trial_path(index).write_text("what the driver wrote")
        made.add_trial(sample_run.trial(index), own, read)
        made.save(sample_run.result(index + 1, "running"))
    if finish:
        made.finish(sample_run.result(len(records)))
    return folder.read(made.path)


@pytest.mark.parametrize("finish", [False, True])
def test_read_gives_what_was_written(tmp_path: Path, finish: bool) -> None:
    records = [sample_run.records(index) for index in range(3)]
    stored = written(tmp_path, records, [sample_run.samples(index) for index in range(3)], finish=finish)
    assert stored.records == dict(enumerate(records))
    assert stored.samples == [sample for index in range(3) for sample in sample_run.samples(index)]
    assert stored.plan == sample_run.plan()
    assert stored.recipe_text == sample_run.RECIPE
    assert (stored.path / "trials").exists() is not finish
    assert not list(stored.path.rglob("*.part"))
    assert not list(stored.path.rglob("*.raw"))


@pytest.mark.parametrize("finish", [False, True])
def test_what_was_read_while_idle_lies_around_the_trials(tmp_path: Path, finish: bool) -> None:
    made = ResultFolder.create(tmp_path, "sample", sample_run.RECIPE, sample_run.plan())
    before, own, after = ([Sample(t_ns, "x", "gpu", "gpu0.power", 4.0, "W")] for t_ns in (1, 2, 3))
    made.add_idle("before", before)
    made.add_trial(sample_run.trial(0), sample_run.records(0), own)
    made.add_idle("after", after)
    made.save(sample_run.result(1, "running"))
    if finish:
        made.finish(sample_run.result(1))
    assert folder.read(made.path).samples == before + own + after


TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
COUNT = st.none() | st.integers(0, 2**40)
INSTANT = st.integers(0, 2**62)
RECORD = st.builds(
    Record,
    index=st.just(0),
    phase=TEXT,
    slot=st.integers(0, 2000),
    t_sched_ns=INSTANT,
    t_send_ns=INSTANT,
    t_hdr_ns=st.none() | INSTANT,
    t_end_ns=INSTANT,
    status=st.none() | st.integers(100, 599),
    error=st.none() | TEXT,
    error_detail=TEXT,
    finish_reason=st.none() | TEXT,
    usage=st.none()
    | st.builds(Usage, prompt_tokens=COUNT, completion_tokens=COUNT, cached_tokens=COUNT, reasoning_tokens=COUNT),
    timings=st.none()
    | st.builds(
        ServerTimings,
        prefill_tokens=st.integers(0, 2**31),
        prefill_ms=st.floats(0, 1e9),
        decode_tokens=st.integers(0, 2**31),
        decode_ms=st.floats(0, 1e9),
        draft_tokens=COUNT,
    ),
    first_tokens=COUNT,
    retokenized=COUNT,
    bytes_in=st.integers(0, 2**40),
    events=st.lists(st.builds(Event, t_ns=INSTANT, kind=TEXT, text=TEXT, tokens=COUNT), max_size=4).map(tuple),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(RECORD, min_size=1, max_size=3), min_size=1, max_size=2))
def test_nothing_is_lost_in_the_tables(made: list[list[Record]]) -> None:
    trials = [[msgspec.structs.replace(record, index=index) for index, record in enumerate(trial)] for trial in made]
    with tempfile.TemporaryDirectory() as root:
        stored = written(Path(root), trials, [[] for _ in trials], finish=True)
    assert stored.records == dict(enumerate(trials))


@pytest.mark.parametrize("finish", [False, True])
def test_readings_of_one_instant_keep_their_order(tmp_path: Path, finish: bool) -> None:
    read = [Sample(5 - index % 2, "sysfs", "host", f"sensor {index * 7919 % 5000}", index / 3, "W") for index in range(5000)]
    assert written(tmp_path, [sample_run.records(0)], [read], finish=finish).samples == read


@pytest.mark.parametrize("finish", [False, True])
def test_a_trial_without_requests_is_still_a_trial(tmp_path: Path, finish: bool) -> None:
    assert written(tmp_path, [[], sample_run.records(1)], [[], []], finish=finish).records == {0: [], 1: sample_run.records(1)}


def test_the_recipe_is_kept_to_the_byte(tmp_path: Path) -> None:
    recipe = "name: x\r\ndescription: größer\r\n"
    made = ResultFolder.create(tmp_path, "sample", recipe, sample_run.plan())
    made.finish(sample_run.result(0))
    assert folder.read(made.path).recipe_text == recipe
    assert (made.path / "recipe.yaml").read_bytes() == recipe.encode()


def test_a_finished_run_is_read_whatever_is_left_of_its_journal(tmp_path: Path) -> None:
    records = [sample_run.records(index) for index in range(3)]
    stored = written(tmp_path, records, [[], [], []], finish=True)
    (stored.path / "trials").mkdir()  # what a kill leaves while the journal is removed
    (stored.path / "trials" / "00002.jsonl").write_text("")
    assert folder.read(stored.path).records == dict(enumerate(records))


def test_a_run_without_trials_can_be_finished(tmp_path: Path) -> None:
    assert written(tmp_path, [], [], finish=True).records == {}


WRITER = """
import sys, resource, signal
from pathlib import Path
from harness.errors import StoreError
from harness.store.folder import ResultFolder
from tests.store import sample_run
made = ResultFolder.create(Path(sys.argv[1]), "sample", sample_run.RECIPE, sample_run.plan())
if len(sys.argv) > 2:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
print(made.path, flush=True)
try:
    for index in range(10_000):
        made.add_trial(sample_run.trial(index), sample_run.records(index, 3 + index * 40), sample_run.samples(index))
        made.save(sample_run.result(index + 1, "running"))
        print(index, flush=True)
except StoreError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


def writer(root: Path, *words: str, program: str = WRITER) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, str(root), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


def test_a_killed_run_keeps_every_finished_trial(tmp_path: Path) -> None:
    seeded = random.Random(7)
    for _ in range(12):
        child = writer(tmp_path)
        assert child.stdout is not None
        path = Path(child.stdout.readline().strip())
        child.stdout.readline()  # the first trial is done
        time.sleep(seeded.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        out, _ = child.communicate()
        done = [0, *map(int, out.split())]
        stored = folder.read(path)
        assert set(done) <= set(stored.records)
        assert all(stored.records[index] == sample_run.records(index, 3 + index * 40) for index in done)
        assert stored.result.state == "running"


FINISHER = """
import sys
from pathlib import Path
from harness.store.folder import ResultFolder
from tests.store import sample_run
while True:
    made = ResultFolder.create(Path(sys.argv[1]), "sample", sample_run.RECIPE, sample_run.plan())
    for index in range(20):
        made.add_trial(sample_run.trial(index), sample_run.records(index), sample_run.samples(index))
    made.save(sample_run.result(20, "running"))
    print(made.path, flush=True)
    made.finish(sample_run.result(20))
"""


def test_a_run_killed_while_it_is_finished_is_whole(tmp_path: Path) -> None:
    seeded = random.Random(11)
    states = set()
    for kill in range(8):
        child = writer(tmp_path, program=FINISHER)
        assert child.stdout is not None
        paths = [child.stdout.readline() for _ in range(1 + kill % 2)]  # the second comes when the first run is finished
        time.sleep(seeded.uniform(0, 0.4))
        child.send_signal(signal.SIGKILL)
        paths += child.communicate()[0].splitlines()
        for path in paths:
            stored = folder.read(Path(path.strip()))
            states.add(stored.result.state)
            assert stored.records == {index: sample_run.records(index) for index in range(20)}
    assert "complete" in states


FULL_AT_THE_END = """
import resource, signal, sys
from pathlib import Path
import msgspec
from harness.errors import StoreError
from harness.store.folder import ResultFolder
from tests.store import sample_run
limit = int(sys.argv[2])
last = msgspec.structs.replace(sample_run.result(1), notes=("much to say " * limit,))
made = ResultFolder.create(Path(sys.argv[1]), "sample", sample_run.RECIPE, sample_run.plan())
made.add_trial(sample_run.trial(0), sample_run.records(0), sample_run.samples(0))
made.save(sample_run.result(1, "running"))
print(made.path, flush=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
for step in (lambda: made.finish(last), lambda: made.save(last)):
    try:
        step()
    except StoreError as error:
        print(error, file=sys.stderr)
"""


@pytest.mark.parametrize("limit", [500, 30_000])  # no table fits; all tables do, but not the result
def test_a_disk_that_is_full_at_the_end_loses_nothing(tmp_path: Path, limit: int) -> None:
    out, err = writer(tmp_path, str(limit), program=FULL_AT_THE_END).communicate(timeout=60)
    assert [line.startswith("Hint: ") for line in err.splitlines()] == [False, True, False, True]
    stored = folder.read(Path(out.strip()))
    assert stored.result.state == "running"
    assert stored.records == {0: sample_run.records(0)}
    assert (stored.path / "requests.parquet").exists() is (limit > 500)


def test_a_plan_that_cannot_be_kept_is_an_error_of_the_store(tmp_path: Path) -> None:
    made = ResultFolder.create(tmp_path, "sample", "", sample_run.plan())
    (made.path / "plan.json.part").mkdir()
    with pytest.raises(StoreError, match=r"plan\.json.*cannot be written"):
        made.save_plan(sample_run.plan())


def test_a_full_disk_ends_the_run_and_keeps_its_trials(tmp_path: Path) -> None:
    child = writer(tmp_path, str(60_000))
    out, err = child.communicate(timeout=60)
    path, *done = out.split()
    assert child.returncode == StoreError.exit_code
    message, hint = err.splitlines()
    assert "cannot be written" in message
    assert path in hint
    assert set(map(int, done)) <= set(folder.read(Path(path)).records)


def test_results_cannot_lie_under_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        ResultFolder.create(tmp_path / "file", "sample", "", sample_run.plan())


def test_another_version_is_named(tmp_path: Path) -> None:
    stored = written(tmp_path, [], [], finish=True)
    file = stored.path / "result.json"
    file.write_text(file.read_text().replace('"schema_version":1', '"schema_version":99'))
    with pytest.raises(StoreError, match="version 99"):
        folder.read(stored.path)


@pytest.mark.parametrize(
    "name", ["result.json", "plan.json", "recipe.yaml", "requests.parquet", "events.parquet", "samples.parquet"]
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    stored = written(tmp_path, [sample_run.records(0)], [[]], finish=True)
    (stored.path / name).write_bytes(b"\xff\xfe{")
    with pytest.raises(StoreError, match=name):
        folder.read(stored.path)


def test_results_are_found_by_path_id_and_latest(tmp_path: Path) -> None:
    for trials, ident in ((1, "aa11"), (2, "ab22")):
        made = ResultFolder.create(tmp_path, "sample", "", sample_run.plan())
        made.finish(sample_run.result(0, ident=ident))
        os.replace(made.path, tmp_path / "sample" / ident)
        text = (tmp_path / "sample" / ident / "result.json").read_text()
        (tmp_path / "sample" / ident / "result.json").write_text(text.replace("09:00:00", f"09:00:0{trials}"))
    (tmp_path / "sample" / "damaged").mkdir()
    (tmp_path / "sample" / "damaged" / "result.json").write_text("{")
    (tmp_path / "sample" / "empty").mkdir()
    assert [summary.id for summary in query.list_results(tmp_path)] == ["aa11", "ab22"]
    assert query.find(tmp_path, "latest").name == "ab22"
    assert query.find(tmp_path, "aa").name == "aa11"
    os.replace(tmp_path / "sample" / "ab22", tmp_path / "sample" / "20261123T091500Z-ab22")
    assert query.find(tmp_path, "20261123T0915").name == "20261123T091500Z-ab22"
    assert query.find(tmp_path, str(tmp_path / "sample" / "aa11")).name == "aa11"
    with pytest.raises(StoreError, match="2 results begin with 'a'"):
        query.find(tmp_path, "a")
    with pytest.raises(StoreError) as unknown:
        query.find(tmp_path, "aa12")
    assert "did you mean 'aa11'?" in unknown.value.hint
    with pytest.raises(StoreError, match=r"empty: no whole result\.json"):
        query.find(tmp_path, str(tmp_path / "sample" / "empty"))
    with pytest.raises(StoreError, match="there are no results"):
        query.find(tmp_path / "none", "latest")
