"""Records and samples as Parquet, by DuckDB: `requests` has a row per request, `events` a row per event, `samples` a row per reading.

Nothing is derived and nothing is lost: `read` gives the structs that were written. Nested parts are flattened with a prefix
(`usage_prompt_tokens`, `timings_decode_ms`); a null `usage_…` throughout means that the server sent no usage at all.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby, islice
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
MOST_ALIKE = 8
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


def examine(path: Path, *, most_rows: int, most_text: int) -> None:
    """Whether the tables are such as `write` makes, and not too large to be read: of files that somebody else made. Raises `StoreError`."""
    db = _open()
    rows = text = 0
    for name, columns in _tables().items():
        table = path / f"{name}.parquet"
        ((held,),) = _asked(db, table, f"SELECT sum(num_rows) FROM parquet_file_metadata('{_quoted(table)}')")
        rows += held or 0
        if rows > most_rows:
            raise StoreError(f"{table}: {rows:,} rows, and no more than {most_rows:,} are taken", _NOT_OURS)
        found = {n: kind for n, kind, *_ in _asked(db, table, f"DESCRIBE SELECT * FROM read_parquet('{_quoted(table)}')")}
        if found != {column: kind for column, (kind, _) in columns.items()}:
            odd = sorted(found.items() ^ {(column, kind) for column, (kind, _) in columns.items()})
            raise StoreError(
                f"{table}: other columns than a result has: {', '.join(f'{n} {k}' for n, k in odd[:3])}", _NOT_OURS
            )
        lengths = " + ".join([f'coalesce(sum(strlen("{c}")), 0)' for c, (kind, _) in columns.items() if kind == "VARCHAR"])
        empty = " + ".join([f'count(*) FILTER ("{c}" IS NULL AND {when})' for c, (_, when) in columns.items() if when])
        ((chars, nulls),) = _asked(db, table, f"SELECT {lengths}, {empty} FROM read_parquet('{_quoted(table)}')")
        text += chars
        if nulls or text > most_text:
            what = (
                f"{nulls:,} values are missing"
                if nulls
                else f"{text:,} bytes of text, and no more than {most_text:,} are taken"
            )
            raise StoreError(f"{table}: {what}", _NOT_OURS)


def outline(table: Path, shown: int) -> list[tuple[str, str, str]]:
    """(column, type, what it holds): of text every value that there is, up to so many; of others the range. Raises `StoreError`."""
    db, source = _open(), f"read_parquet('{_quoted(table)}')"
    found = []
    for name, kind, *_ in _asked(db, table, f"DESCRIBE SELECT * FROM {source}"):
        column = '"' + str(name).replace('"', '""') + '"'
        if kind == "VARCHAR":
            values = _asked(db, table, f"SELECT DISTINCT {column} FROM {source} ORDER BY 1 LIMIT {shown}")
            ((several,),) = _asked(db, table, f"SELECT count(DISTINCT {column}) FROM {source}")
            told = ", ".join("none" if value is None else repr(value) for (value,) in values)
            told += f", and {several - len(values):,} others" if several > len(values) else ""
        else:
            ((least, most),) = _asked(db, table, f"SELECT min({column}), max({column}) FROM {source}")
            told = "none" if least is None else f"{least} to {most}"
        found.append((str(name), str(kind), told))
    return found


def texts(table: Path) -> list[tuple[str, str]]:
    """(column, its text in the order of its rows): what is written over several rows is then in one piece. Of equal values one after
    another it has a few. Raises `StoreError`."""
    db, source = _open(), f"read_parquet('{_quoted(table)}')"
    found = []
    for name, kind, *_ in _asked(db, table, f"DESCRIBE SELECT * FROM {source}"):
        if kind not in ("BIGINT", "DOUBLE", "BOOLEAN"):
            values = [str(value) for (value,) in _asked(db, table, f'SELECT "{name}" FROM {source}') if value is not None]
            few = [value for value, same in groupby(values) for value in islice(same, MOST_ALIKE)]
            found += [(str(name), "".join(few)), (str(name), "\n".join(dict.fromkeys(values)))]
    return found


_NOT_OURS = "it was not written by a harness: trust none of it"


def _tables() -> dict[str, dict[str, tuple[str, str]]]:
    """Of each table and column: its type, and when it has a value (SQL; empty: it may be null at any time)."""

    def columns(kind: type[msgspec.Struct], when: str = "true", prefix: str = "") -> dict[str, tuple[str, str]]:
        hints = get_type_hints(kind)
        return {
            f"{prefix}{name}": (sql, "" if type(None) in get_args(hints[name]) else when) for name, sql in _types(kind).items()
        }

    whole, count = ("VARCHAR", "true"), ("BIGINT", "true")
    requests = {"trial": count, "cell": whole, "block": count, **columns(Record)}
    requests |= {f"has_{part}": ("BOOLEAN", "true") for part in _NESTED}
    for part, kind in _NESTED.items():
        requests |= columns(kind, f"has_{part}", f"{part}_")
    events = {"trial": count, "request": count, "seq": count, **columns(Event)}
    return {"requests": requests, "events": events, "samples": {"trial": ("BIGINT", ""), **columns(Sample)}}


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
    return _asked(db, path, f"SELECT {columns} FROM read_parquet('{_quoted(path)}', file_row_number = true) ORDER BY {order}")


def _asked(db: duckdb.DuckDBPyConnection, path: Path, query: str) -> list[tuple[Any, ...]]:
    """Of one table. Raises `StoreError`."""
    import duckdb

    try:
        rows: list[tuple[Any, ...]] = db.execute(query).fetchall()
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StoreError(f"{path}: cannot be read: {said}", "the result is damaged: copy it again, or measure again") from None
    return rows


def _listed(files: Sequence[str]) -> str:
    return "[" + ", ".join(f"'{_quoted(Path(file))}'" for file in files or ["/dev/null"]) + "]"


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
