"""`harness --help` must come at once, so it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "numpy",
    "duckdb",
    "openai",
    "rich",
    "yaml",
    "psutil",
    "pynvml",
    "prometheus_client",
    "pydantic",
    "genai_prices",
    "httpx2",
    "asyncio",
    "vllm",
    "sglang",
    "sqlalchemy",
    "starlette",
    "uvicorn",
)


def loaded_by(code: str) -> list[str]:
    script = f"{code}\nimport sys\nprint(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_help_loads_nothing_heavy() -> None:
    code = """
import contextlib, io, sys
from harness.cli import main
sys.argv = ["harness", "--help"]
with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
    main()
assert "bench" in out.getvalue()
"""
    assert not set(loaded_by(code)) & set(HEAVY)


def test_driver_loads_nothing_heavy() -> None:
    assert not set(loaded_by("import harness.load.__main__")) & (set(HEAVY) | {"typer"})


def test_importing_the_package_is_free() -> None:
    assert [m for m in loaded_by("import harness") if m == "msgspec"] == []
