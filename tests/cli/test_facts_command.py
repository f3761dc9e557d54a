"""`harness facts list | show | check | article | import` as they are typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import duckdb

DAY = "--today=2026-11-25"
MINE = """\
sources:
  bill: {url: https://example.org/bill, quote: 27 cents, kind: primary, date: 2026-10-01}
electricity:
  - {country: DE, customer: household, period: 2026-H1, currency: EUR, per_kwh: 0.27, by: [bill]}
"""


def harness(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "COLUMNS": "120"}
    argv = [sys.executable, "-m", "harness", "facts", *words]
    return subprocess.run(argv, cwd=home, env=env, capture_output=True, text=True, check=False)


def test_list(tmp_path: Path) -> None:
    tables = harness(tmp_path, "list", DAY).stdout
    assert [line.split()[0] for line in tables.splitlines()[2:12]] == [
        "providers",
        "models",
        "ratings",
        "hardware_prices",
        "hardware_watts",
        "electricity",
        "exchange",
        "published",
        "prices",
        "claims",
    ]
    assert "LMArena leaderboard dataset (CC-BY-4.0)" in tables
    assert "Open Terms Archive (ODC-BY 1.0)" in tables
    rows = harness(tmp_path, "list", "hardware_prices", DAY).stdout.splitlines()
    assert rows[-1].split() == ["dgx-spark/2026-02-23", "4699", "268", "d"]
    prices = harness(tmp_path, "list", "prices", DAY).stdout
    (opus,) = (line for line in prices.splitlines() if line.startswith("claude-opus-4.7/anthropic"))
    assert opus.split()[1:] == ["5", "in,", "0.5", "cached,", "25", "out", "USD/Mtok", "75", "16", "d"]
    every = json.loads(harness(tmp_path, "list", "electricity", "--json").stdout)
    assert every[0]["per_kwh"]["sources"][0]["date"] == "2025-10-29"
    wrong = harness(tmp_path, "list", "prizes")
    assert (wrong.returncode, wrong.stderr) == (2, "harness: there is no table 'prizes'\nHint: did you mean 'prices'?\n")


def test_show(tmp_path: Path) -> None:
    shown = harness(tmp_path, "show", "anthropic/claude-api", DAY).stdout
    assert "  trains_on_data: no\n    “Anthropic may not train models on Customer Content from Services.” https://" in shown
    assert "(mirror, 2026-03-11, 259 d;" in shown
    assert "  weights_licence: unknown: its weights are not published\n" in shown
    words = harness(tmp_path, "show", "mistral", "plateforme", DAY)
    assert words.stdout.startswith("providers/mistral-ai/la-plateforme\n")
    several = harness(tmp_path, "show", "claude")
    assert several.returncode == 2
    assert "rows have 'claude' in their names\nHint: one of providers/anthropic/claude-api, " in several.stderr
    none = harness(tmp_path, "show", "models/gpt-oss-12b")
    assert none.stderr.endswith("Hint: did you mean 'models/gpt-oss-120b'?\n")
    assert json.loads(harness(tmp_path, "show", "models/gpt-oss-120b", "--json").stdout)["licence"]["value"] == "Apache-2.0"


def test_check(tmp_path: Path) -> None:
    fine = harness(tmp_path, "check", DAY)
    assert fine.returncode == 0
    assert "electricity: warning: 8 of 8 rows are over 180 days old" in fine.stdout
    early = harness(tmp_path, "check", "--today=2026-01-01")
    assert (early.returncode, "it is of 2026-03-11, after 2026-01-01" in early.stdout) == (12, True)
    assert early.stderr.endswith("Hint: mend the lines marked error above\n")
    folder = tmp_path / "data" / "spark-harness" / "facts"
    folder.mkdir(parents=True)
    long = MINE.replace("27 cents", " ".join(["word"] * 31))
    (folder / "a.yaml").write_text(long)
    (folder / "b.yaml").write_text(MINE + "  - {country: FR, customer: household, period: x, currency: EUR, per_kwh: 1}\n")
    (folder / "c.yaml").write_text("electricity: [1]\n")
    (folder / "d.yaml").write_text(
        "models:\n- {id: x, name: X, maker: x, arena: [claude-opus-4-7], own_price: anthropic/claude-opus-9}\n"
        "prices:\n- {provider: p, ref: r, model: nothing, currency: EUR}\n"
    )
    wrong = harness(tmp_path, "check", DAY)
    assert wrong.returncode == 12
    for line in (
        f"{folder}/a.yaml: source bill: error: its quote has 31 words, more than 30",
        "electricity/de/household/2026-h1: error: two files have this row",
        "electricity/fr/household/x: warning: per_kwh has a value and no source: it counts as unknown",
        f"{folder}/c.yaml:1: error: a row is no mapping (write its fields as `name: value`)",
        "models/x: error: 'claude-opus-4-7' is a name of claude-opus-4.7 too",
        f"models/x: error: genai-prices {version('genai-prices')} has no price for anthropic/claude-opus-9",
        "prices/nothing/p/r: error: there is no model 'nothing'",
    ):
        assert line in wrong.stdout.splitlines(), line


def test_import(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(MINE)
    folder = tmp_path / "data" / "spark-harness" / "facts"
    done = harness(tmp_path, "import", "mine.yaml")
    assert (done.returncode, done.stdout) == (0, f"{folder}/mine.yaml: 1 electricity\n")
    assert (folder / "mine.yaml").read_text() == MINE, "verbatim"
    assert (
        "per_kwh: 0.27\n    “27 cents” https://example.org/bill"
        in harness(tmp_path, "show", "de/household/2026-h1", DAY).stdout
    )
    (tmp_path / "mine.yaml").write_text(MINE.replace("0.27", "0.28"))
    again = harness(tmp_path, "import", "mine.yaml")
    assert (again.returncode, again.stderr) == (
        12,
        f"harness: {folder}/mine.yaml: there is another file of that name\nHint: --force replaces it\n",
    )
    assert harness(tmp_path, "import", "mine.yaml", "--force").returncode == 0
    (tmp_path / "bad.yaml").write_text(MINE.replace("2026-10-01", "2126-10-01"))
    bad = harness(tmp_path, "import", "bad.yaml")
    assert (bad.returncode, "it is of 2126-10-01, after" in bad.stderr) == (12, True)
    assert not (folder / "bad.yaml").exists()
    for name, text, said in (  # each is whole by itself, and would leave the facts in disorder
        ("two", MINE.replace("0.27", "0.31"), "electricity/de/household/2026-h1: two files have this row"),
        ("alias", "models:\n- {id: x, name: X, maker: x, arena: [claude-opus-4-7]}\n", "'claude-opus-4-7' is a name of "),
        ("ref", "models:\n- {id: x, name: X, maker: x, own_price: anthropic/none}\n", "has no price for anthropic/none"),
        ("terms", "providers:\n- {provider: P, product: Q, models: [none]}\n", "providers/p/q: there is no model 'none'"),
    ):
        (tmp_path / f"{name}.yaml").write_text(text)
        refused = harness(tmp_path, "import", f"{name}.yaml", "--force")
        assert (refused.returncode, said in refused.stderr) == (12, True), refused.stderr
        assert not (folder / f"{name}.yaml").exists()
    missing = harness(tmp_path, "import", "nothing.yaml")
    assert missing.stderr.startswith("harness: nothing.yaml: No such file or directory\nHint: ")
    parquet = (
        "model_name, 'o' AS organization, 'MIT' AS license, 1501.5 AS rating, 1490.0 AS rating_lower, 1510.0 AS rating_upper"
    )
    rest = "9 AS vote_count, 1 AS rank, 'overall' AS category, '2026-11-01' AS leaderboard_publish_date"
    duckdb.execute(f"COPY (SELECT 'gpt-oss-120b' AS {parquet}, {rest}) TO '{tmp_path / 'latest.parquet'}' (FORMAT parquet)")
    arena = harness(tmp_path, "import", "latest.parquet", "--config", "text")
    assert arena.stdout == f"{folder}/arena-text-2026-11-01.yaml: 1 ratings\n"
    shown = harness(tmp_path, "show", "ratings/gpt-oss-120b/text/overall/2026-11-01", DAY).stdout
    assert "model: gpt-oss-120b" in shown
    assert "rating: 1501.5 (1490 to 1510)" in shown


def test_a_day_that_is_none(tmp_path: Path) -> None:
    wrong = harness(tmp_path, "list", "--today", "soon")
    assert (wrong.returncode, wrong.stderr) == (2, "harness: soon: not a day\nHint: write it like 2026-11-23\n")


def test_article(tmp_path: Path) -> None:
    """The page that is kept in docs; own facts make another one."""
    kept = Path(__file__).parents[2] / "docs" / "article.md"
    shown = harness(tmp_path, "article", DAY)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == kept.read_text(encoding="utf-8")
    (tmp_path / "power.yaml").write_text(MINE.replace("country: DE, ", "country: EU, "))
    assert harness(tmp_path, "import", "power.yaml", DAY).returncode == 0
    assert (
        "Mean of EU households, 2026-H1: **0.27 EUR/kWh**: differs, 11 % too high." in harness(tmp_path, "article", DAY).stdout
    )
