"""What pictures need of a result's tables: summed up inside DuckDB, so that a page of a long run costs milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import StoreError
from harness.schema.request import TOKEN_KINDS
from harness.schema.series import PER_DECADE, Gaps, Line, Series

if TYPE_CHECKING:
    import duckdb

POINTS = 200
"""Of a timeline, at most."""


def open_tables() -> duckdb.DuckDBPyConnection:
    """To be used for many results: opening one costs as much as reading one."""
    import duckdb

    return duckdb.connect(config={"threads": 1})


def read(path: Path, db: duckdb.DuckDBPyConnection) -> Series:
    """Of a finished result. Raises `StoreError`."""
    import duckdb

    try:
        return Series(lines=_lines(path, db), gaps=_gaps(path, db))
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise StoreError(f"{path}: cannot be read: {said}", "the result is damaged: copy it again, or measure again") from None


def _lines(path: Path, db: duckdb.DuckDBPyConnection) -> list[Line]:
    table = str(path / "samples.parquet")
    query = """
        WITH found AS (SELECT t_ns, source, scope, name, value, split_part(name, '.', 2) AS quantity FROM read_parquet($table)
                       WHERE split_part(name, '.', 2) IN ('power', 'temperature', 'clock')),
             span AS (SELECT min(t_ns) AS first, greatest(max(t_ns) - min(t_ns), 1) AS long FROM found)
        SELECT quantity, split_part(name, '.', 1) || ' (' || source || ')' AS who, scope, avg(t_ns)::BIGINT, avg(value)
        FROM found, span GROUP BY quantity, who, scope, least((t_ns - first) * $points // long, $points - 1)
        ORDER BY quantity, who, scope, 4"""
    found: dict[tuple[str, str, str], Line] = {}
    for quantity, who, scope, at_ns, value in db.execute(query, {"table": table, "points": POINTS}).fetchall():
        line = found.setdefault((quantity, who, scope), Line(quantity=quantity, name=who, scope=scope, at_ns=[], values=[]))
        line.at_ns.append(at_ns)
        line.values.append(value)
    return list(found.values())


def _gaps(path: Path, db: duckdb.DuckDBPyConnection) -> list[Gaps]:
    query = """
        WITH counted AS (SELECT trial, cell, index AS request FROM read_parquet($requests)
                         WHERE phase = 'measure' AND error IS NULL),
             tokens AS (SELECT trial, request, seq, t_ns FROM read_parquet($events) WHERE list_contains($kinds, kind)),
             gap AS (SELECT cell, (t_ns - lag(t_ns) OVER (PARTITION BY trial, request ORDER BY seq)) / 1e6 AS ms
                     FROM tokens JOIN counted USING (trial, request)),
             known AS (SELECT cell, greatest(ms, 0.001) AS ms FROM gap WHERE ms IS NOT NULL),
             bins AS (SELECT cell, floor(log10(ms) * $bins)::INT AS bin, count(*) AS n FROM known GROUP BY ALL),
             quantiles AS (SELECT cell, quantile_disc(ms, [0.5, 0.99]) AS q FROM known GROUP BY cell)
        SELECT cell, bin, n, q[1], q[2] FROM bins JOIN quantiles USING (cell) ORDER BY cell, bin"""
    given = {
        "requests": str(path / "requests.parquet"),
        "events": str(path / "events.parquet"),
        "kinds": list(TOKEN_KINDS),
        "bins": PER_DECADE,
    }
    found: dict[str, Gaps] = {}
    for cell, bin_, count, p50, p99 in db.execute(query, given).fetchall():
        found.setdefault(cell, Gaps(cell=cell, bins={}, p50_ms=p50, p99_ms=p99)).bins[bin_] = count
    return list(found.values())
