"""`results/<recipe>/<time>-<id>/`: written trial by trial, read back as it was written.

While a run goes on, each finished trial lies in `trials/` as JSON lines (one `Record` a line, and its samples beside it); at the end
they become `requests.parquet`, `events.parquet` and `samples.parquet`, and `trials/` goes. Every file appears whole or not at all: it is
written under another name, synced, and renamed. What a killed run left is read from `trials/`.
"""

from __future__ import annotations

import os
import secrets
import shutil
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from harness import clock
from harness.errors import StoreError
from harness.schema.plan import PLAN_VERSION, Plan
from harness.schema.request import Record
from harness.schema.result import RESULT_VERSION, Result
from harness.schema.run import Trial
from harness.schema.sensors import AFTER, BEFORE, Sample
from harness.typed import decoded

EVIDENCE = ("recipe.yaml", "plan.json", "result.json", "requests.parquet", "events.parquet", "samples.parquet")
"""All that a result's figures rest on; `logs/` tells more. Pages beside it are made of these."""
LEAST_FREE_BYTES = 200 * 2**20
"""Below this a run does not start: a long one writes tens of megabytes, and must be able to end cleanly."""

T = TypeVar("T")


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A result as it lies on disk, with its raw data."""

    path: Path
    result: Result
    plan: Plan
    recipe_text: str
    records: dict[int, list[Record]]
    """By trial."""
    samples: list[Sample]


def sample_files(trials: Path, result_trials: Sequence[Trial]) -> list[Path]:
    """Of a run's journal, in the order of time."""
    names = [BEFORE, *(f"{trial.index:05d}" for trial in result_trials), AFTER]
    return [path for name in names if (path := trials / f"{name}.samples").exists() or name not in (BEFORE, AFTER)]


class ResultFolder:
    """The folder of one run, while it is being written."""

    def __init__(self, path: Path, ident: str) -> None:
        self.path, self.id = path, ident
        self.finished = False
        self.logs = path / "logs"
        self._trials = path / "trials"

    @classmethod
    def create(cls, root: Path, recipe_name: str, recipe_text: str, plan: Plan) -> ResultFolder:
        """A new folder with recipe and plan in it. Raises `StoreError` when it cannot be written, or the disk is all but full."""
        ident = secrets.token_hex(3)
        path = root / recipe_name / f"{clock.utc_now():%Y%m%dT%H%M%SZ}-{ident}"
        made = cls(path, ident)
        try:
            for folder in (path, made.logs, made._trials):
                folder.mkdir(parents=True)
            free = shutil.disk_usage(path).free
            write_atomic(path / "recipe.yaml", recipe_text.encode())
            write_atomic(path / "plan.json", pretty(plan))
        except OSError as error:
            raise StoreError(
                f"{error.filename or path}: results cannot be written: {error.strerror}",
                "make that folder writable, or choose another with --results DIR",
            ) from None
        if free < LEAST_FREE_BYTES:
            shutil.rmtree(path)
            raise StoreError(
                f"{root}: only {free // 2**20} MB are free", "free some space, or choose another disk with --results DIR"
            )
        return made

    def save_plan(self, plan: Plan) -> None:
        """The plan as it is now that the server runs. Raises `StoreError`."""
        try:
            write_atomic(self.path / "plan.json", pretty(plan))
        except OSError as error:
            raise _full(self.path, error) from None

    def trial_path(self, index: int) -> Path:
        """Where the load driver writes what it got; `add_trial` makes the lasting file of it."""
        return self._trials / f"{index:05d}.raw"

    def add_trial(self, trial: Trial, records: Sequence[Record], samples: Sequence[Sample]) -> None:
        """Keeps a finished trial. Raises `StoreError` when the disk does not take it."""
        try:
            write_atomic(self._trials / f"{trial.index:05d}.samples", lines(samples))
            write_atomic(self._trials / f"{trial.index:05d}.jsonl", lines(records))
            self.trial_path(trial.index).unlink(missing_ok=True)
        except OSError as error:
            raise _full(self.path, error) from None

    def add_idle(self, when: str, samples: Sequence[Sample]) -> None:
        """Keeps what was read before the first trial, or after the last. Raises `StoreError`."""
        try:
            write_atomic(self._trials / f"{when}.samples", lines(samples))
        except OSError as error:
            raise _full(self.path, error) from None

    def save(self, result: Result) -> None:
        """`result.json` as it is now. Raises `StoreError`."""
        try:
            write_atomic(self.path / "result.json", msgspec.json.encode(result))
        except OSError as error:
            raise _full(self.path, error) from None

    def finish(self, result: Result) -> None:
        """The tables in place of the trials, then the final `result.json`. Raises `StoreError`; the trials then stay as they are."""
        from harness.store import columns

        try:
            columns.write(self.path, self._trials, result.trials)
            for raw in self._trials.glob("*.raw"):  # what was sent of a trial that was not finished counts nowhere, but is kept
                raw.rename(self.logs / f"unfinished-{raw.stem}.jsonl")
            self.save(result)
            self.finished = True
            shutil.rmtree(self._trials)
        except OSError as error:
            raise _full(self.path, error) from None


def read(path: Path) -> Stored:
    """Everything in a result's folder, finished or not. Raises `StoreError` naming the file that is missing or broken."""
    from harness.store import columns

    result = read_result(path)
    plan, text = read_origin(path)
    if result.state == "running":
        records, samples = _journal(path / "trials", result)
    else:  # the tables were whole before this state was written; of `trials/` a kill may have left a part
        tables, samples = columns.read(path)
        records = {trial.index: tables.get(trial.index, []) for trial in result.trials}
    return Stored(path=path, result=result, plan=plan, recipe_text=text, records=records, samples=samples)


def put(path: Path, stored: Stored) -> None:
    """A finished result into a folder that is there and empty, as its run would have left it but for `logs/`; readings are of the trial
    that had begun last. Raises `StoreError`."""
    from harness.store import columns

    trials = path / "trials"
    bounds = [
        *(trial.t_start_ns for trial in stored.result.trials),
        *(trial.t_end_ns + 1 for trial in stored.result.trials[-1:]),
    ]
    samples: list[list[Sample]] = [[] for _ in range(len(stored.result.trials) + 2)]
    for sample in stored.samples:
        samples[bisect_right(bounds, sample.t_ns)].append(sample)
    try:
        trials.mkdir()
        (trials / f"{BEFORE}.samples").write_bytes(lines(samples[0]))
        (trials / f"{AFTER}.samples").write_bytes(lines(samples[-1]))
        for trial, own in zip(stored.result.trials, samples[1:-1], strict=True):
            (trials / f"{trial.index:05d}.samples").write_bytes(lines(own))
            (trials / f"{trial.index:05d}.jsonl").write_bytes(lines(stored.records.get(trial.index, ())))
        columns.write(path, trials, stored.result.trials)
        shutil.rmtree(trials)
        (path / "recipe.yaml").write_bytes(stored.recipe_text.encode())
        (path / "plan.json").write_bytes(pretty(stored.plan))
        (path / "result.json").write_bytes(msgspec.json.encode(stored.result))
    except OSError as error:
        raise _full(path, error) from None


def evidence(path: Path) -> dict[str, Path]:
    """The files of a finished result that show how its figures came about, by their names in its folder: its logs, too, and nothing else
    that may lie there. Raises `StoreError` for one that is missing, a run that goes on, and links: what they lead to is no part of it."""
    if read_result(path).state == "running":
        raise StoreError(
            f"{path}: the run has not ended, or was killed before its records were put in order",
            "wait for its end; what a killed run left can be shown and verified, but not bundled",
        )
    found = {name: path / name for name in EVIDENCE}
    found |= {
        file.relative_to(path).as_posix(): file for file in path.glob("logs/**/*") if file.is_symlink() or not file.is_dir()
    }
    for name, file in found.items():
        linked = file.resolve() != path.resolve() / name
        if linked or not file.is_file():
            raise StoreError(
                f"{file}: it is {'a link' if linked else 'no file' if file.exists() else 'missing'}",
                "put back the file as the run left it, or measure again",
            )
    return found


def read_result(path: Path) -> Result:
    """`result.json` alone. Raises `StoreError`."""
    return _decoded(path / "result.json", Result, "result", RESULT_VERSION)


def read_origin(path: Path) -> tuple[Plan, str]:
    """`plan.json`, and the recipe's text. Raises `StoreError`."""
    plan = _decoded(path / "plan.json", Plan, "plan", PLAN_VERSION)
    try:
        return plan, (path / "recipe.yaml").read_bytes().decode()  # verbatim: line ends too, whatever the locale
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(path / "recipe.yaml", error) from None


def keep_text(path: Path, name: str, text: str) -> None:
    """A page for people beside a result. Raises `StoreError`."""
    try:
        write_atomic(path / name, f"{text}\n".encode())
    except OSError as error:
        raise _full(path, error) from None


def write_atomic(path: Path, data: bytes) -> None:
    """The file is there whole, on the disk, or as it was before."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    replace(part, path)


def replace(part: Path, path: Path) -> None:
    """Renames a synced file, and syncs the folder that says so."""
    part.replace(path)
    synced(path.parent)


def synced(path: Path) -> None:
    """What a folder says of its files is on the disk."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def lines(items: Iterable[object]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def pretty(item: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(item), indent=2) + b"\n"


def _journal(trials: Path, result: Result) -> tuple[dict[int, list[Record]], list[Sample]]:
    """What a run that did not finish has left. A trial counts once `result.json` knows it."""
    records: dict[int, list[Record]] = {}
    samples: list[Sample] = []
    path = trials
    try:
        for trial in result.trials:
            path = trials / f"{trial.index:05d}.jsonl"
            records[trial.index] = [decoded(line, Record) for line in path.read_bytes().splitlines()]
        for path in sample_files(trials, result.trials):
            samples += [decoded(line, Sample) for line in path.read_bytes().splitlines()]
    except (OSError, msgspec.MsgspecError) as error:
        raise _broken(path, error) from None
    return records, samples


class _Versioned(msgspec.Struct, frozen=True):
    schema_version: int


def _decoded(path: Path, kind: type[T], what: str, version: int) -> T:
    try:
        data = path.read_bytes()
        found = decoded(data, _Versioned).schema_version
        if found != version:
            raise StoreError(
                f"{path}: its {what} format is version {found}, this harness reads {version}",
                "read it with the harness that wrote it (result.json names it), or a newer one",
            )
        return decoded(data, kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> StoreError:
    said = error.strerror if isinstance(error, OSError) else str(error)
    return StoreError(
        f"{path}: cannot be read: {said}", "the result is damaged or not a result: harness results list shows which are whole"
    )


def _full(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{error.filename or path}: cannot be written: {error.strerror}", f"free some space; finished trials are in {path}"
    )
