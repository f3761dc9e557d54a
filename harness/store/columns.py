"""Records and samples as Parquet, by DuckDB: `requests` has a row per request, `events` a row per event, `samples` a row per reading.

Nothing is derived and nothing is lost: `read` gives the structs that were written. Nested parts are flattened with a prefix
(`usage_prompt_tokens`, `timings_decode_ms`); a null `usage_…` throughout means that the server sent no usage at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec

from harness.errors import StoreError
from harness.schema.request import Event, Record, ServerTimings, Usage
from harness.schema.run import Trial
from harness.schema.sensors import Sample
from harness.store.folder import replace, sample_files

if TYPE_CHECKING:
    import duckdb

_SQL = {int: "BIGINT", float: "DOUBLE", str: "VARCHAR"}
_NESTED: dict[str, type[msgspec.Struct]] = {"usage": Usage, "timings": ServerTimings}
_EVENTS = "events"
_LARGEST_LINE_BYTES = 512 * 2**20
_SUM = "count(*), bit_xor(hash(t))"
"""Reads every value, so that a table is known to be whole before its source goes."""


def _types(kind: type[msgspec.Struct]) -> dict[str, str]:
    """SQL type of each field that is one value, or may be null instead."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        plain = next((part for part in get_args(hint) if part in _SQL), hint)
        if plain in _SQL:
            found[name] = _SQL[plain]
    return found


def write(path: Path, trials_path: Path, trials: Sequence[Trial]) -> None:
    """The tables of `trials`, from their JSON lines. Raises `StoreError` when a table does not come out whole."""
    import duckdb

    db = _open()
    files = [str(trials_path / f"{trial.index:05d}.jsonl") for trial in trials]
    db.execute("CREATE TABLE trials (trial BIGINT, cell VARCHAR, block BIGINT)")
    if trials:
        db.executemany("INSERT INTO trials VALUES (?, ?, ?)", [(trial.index, trial.cell, trial.block) for trial in trials])
    try:
        db.execute(f"CREATE VIEW raw AS {_lines(files, _record_columns())}")
    except duckdb.Error as error:
        raise _not_written(trials_path, error) from None
    plain = ", ".join(f'raw."{name}"' for name in _types(Record))
    flat = ", ".join(f'raw.{part}."{name}" AS {part}_{name}' for part, kind in _NESTED.items() for name in _types(kind))
    present = ", ".join(f"raw.{part} IS NOT NULL AS has_{part}" for part in _NESTED)
    requests = f"SELECT trial, cell, block, {plain}, {present}, {flat} FROM raw JOIN trials USING (trial)"
    events = """
        SELECT trial, request, seq - 1 AS seq, (e->>0)::BIGINT AS t_ns, e->>1 AS kind, e->>2 AS text, (e->>3)::BIGINT AS tokens FROM
        (SELECT trial, index AS request, unnest(events) AS e, generate_subscripts(events, 1) AS seq FROM raw)"""
    sampled = [str(path) for path in sample_files(trials_path, trials)]
    samples = f"""
        SELECT trial, (j->>0)::BIGINT AS t_ns, j->>1 AS source, j->>2 AS scope, j->>3 AS name, (j->>4)::DOUBLE AS value, j->>5 AS unit
        FROM ({_objects(sampled)})"""  # as they lie in the files: many readings share an instant
    for name, query in (("requests", requests), ("events", events), ("samples", samples)):
        _copy(db, query, path / f"{name}.parquet")


def read(path: Path) -> tuple[dict[int, list[Record]], list[Sample]]:
    """(records by trial, samples). Raises `StoreError` naming the table that cannot be read."""
    db = _open()
    events: dict[tuple[int, int], list[Event]] = {}
    for trial, request, *event in _rows(
        db, path / "events.parquet", "trial, request, t_ns, kind, text, tokens", "trial, request, seq"
    ):
        events.setdefault((trial, request), []).append(Event(*event))
    names = {part: list(_types(kind)) for part, kind in _NESTED.items()}
    plain = list(_types(Record))
    columns = [*plain, *(f"has_{part}" for part in names), *(f"{part}_{name}" for part in names for name in names[part])]
    records: dict[int, list[Record]] = {}
    for trial, *values in _rows(db, path / "requests.parquet", ", ".join(["trial", *columns]), "trial, index"):
        row: dict[str, Any] = dict(zip(columns, values, strict=True))
        nested: dict[str, Any] = {
            part: kind(**{name: row[f"{part}_{name}"] for name in names[part]}) if row[f"has_{part}"] else None
            for part, kind in _NESTED.items()
        }
        own = events.get((trial, row["index"]), [])
        records.setdefault(trial, []).append(Record(**{name: row[name] for name in plain}, **nested, events=tuple(own)))
    rows = _rows(db, path / "samples.parquet", "t_ns, source, scope, name, value, unit", "file_row_number")
    return records, [Sample(*row) for row in rows]


def _open() -> duckdb.DuckDBPyConnection:
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _record_columns() -> str:
    nested = {
        part: "STRUCT(" + ", ".join(f'"{n}" {t}' for n, t in _types(kind).items()) + ")" for part, kind in _NESTED.items()
    }
    columns = {**_types(Record), **nested, _EVENTS: "JSON[]"}
    return "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items()) + "}"


def _lines(files: Sequence[str], columns: str) -> str:
    return (
        "SELECT *, regexp_extract(filename, '(\\d+)\\.[a-z]+$', 1)::BIGINT AS trial "
        f"FROM read_json({_listed(files)}, format = 'newline_delimited', columns = {columns}, filename = true, "
        f"maximum_object_size = {_LARGEST_LINE_BYTES})"
    )


def _objects(files: Sequence[str]) -> str:
    return (
        "SELECT json AS j, TRY_CAST(regexp_extract(filename, '/(\\d+)\\.[a-z]+$', 1) AS BIGINT) AS trial "
        f"FROM read_json_objects({_listed(files)}, format = 'newline_delimited', filename = true)"
    )


def _copy(db: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    import duckdb

    part = path.with_name(f"{path.name}.part")
    try:
        db.execute(f"COPY ({query}) TO '{_quoted(part)}' (FORMAT parquet, COMPRESSION zstd)")
        ((meant, sum_meant),) = db.execute(f"SELECT {_SUM} FROM ({query}) AS t").fetchall()
        ((found, sum_found),) = db.execute(f"SELECT {_SUM} FROM read_parquet('{_quoted(part)}') AS t").fetchall()
    except duckdb.Error as error:
        raise _not_written(path, error) from None
    if (meant, sum_meant) != (found, sum_found):
        what = f"{found} rows instead of {meant}" if found != meant else f"its {found} rows read back differently"
        raise StoreError(f"{path}: {what}", f"the finished trials are kept in {path.parent / 'trials'}")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    replace(part, path)


def _not_written(path: Path, error: duckdb.Error) -> StoreError:
    said = str(error).splitlines()[0]
    return StoreError(f"{path}: cannot be written: {said}", f"the finished trials are kept in {path.parent / 'trials'}")


def _rows(db: duckdb.DuckDBPyConnection, path: Path, columns: str, order: str) -> list[tuple[Any, ...]]:
    import duckdb

    try:
        rows: list[tuple[Any, ...]] = db.execute(
            f"SELECT {columns} FROM read_parquet('{_quoted(path)}', file_row_number = true) ORDER BY {order}"
        ).fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StoreError(f"{path}: cannot be read: {said}", "the result is damaged: copy it again, or measure again") from None
    return rows


def _listed(files: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{_quoted(Path(file))}'" for file in files or ["/dev/null"]) + "]"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
