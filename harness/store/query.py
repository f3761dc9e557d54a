"""Which results there are, and which one is meant."""

from __future__ import annotations

from pathlib import Path

from harness.errors import StoreError, did_you_mean
from harness.schema.result import Summary
from harness.store import index


def list_results(root: Path) -> list[Summary]:
    """Every readable result below `root`, oldest first."""
    return sorted(index.summaries(root), key=lambda summary: (summary.started, summary.id))


def find(root: Path, which: str) -> Path:
    """The folder that `which` names: a path, the beginning of an id or of the folder's name, or `latest`. Raises `StoreError`."""
    path = Path(which)
    if (path / "result.json").is_file():
        return path
    known = list_results(root)
    fitting = [s for s in known if which == "latest" or s.id.startswith(which) or Path(s.path).name.startswith(which)]
    if not fitting and path.is_dir():
        raise StoreError(
            f"{path}: no whole result.json is in it",
            "either no trial was finished (logs/ has the engine's log), or this is not a result: harness results list shows them",
        )
    if not known:
        raise StoreError(f"{root}: there are no results", "measure something first: harness bench")
    if which == "latest":
        return Path(known[-1].path)
    if len(fitting) == 1:
        return Path(fitting[0].path)
    if fitting:
        raise StoreError(
            f"{len(fitting)} results begin with '{which}'", f"write more of it: {', '.join(s.id for s in fitting[:5])}"
        )
    near = did_you_mean(which, [summary.id for summary in known])
    raise StoreError(f"no result is called '{which}'", f"did you mean '{near}'?" if near else "harness results list shows them")
