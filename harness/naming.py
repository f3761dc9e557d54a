"""Which names everybody knows, and which tell this machine and its users from others: what redaction and the last look go by."""

from __future__ import annotations

import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from harness import secret
from harness.facts import load as facts
from harness.recipe import catalog, load
from harness.share.grammar import PLAIN
from harness.share.names import IMAGE, MODEL, RECIPE, Names
from harness.store.folder import Stored

IDENTITIES = ("etc/machine-id", *(f"sys/class/dmi/id/{name}" for name in ("product_serial", "product_uuid", "board_serial")))
"""Files below `/`; some only root can read."""
LEAST = 8
"""Characters of a secret in the environment: what is shorter is a setting."""
_REPOSITORY = re.compile(r"(?<![\w./-])[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(?![\w/-])")


def names(stored: Stored, shipped: Sequence[Path], said: Mapping[str, Mapping[str, str]], root: Path) -> Names:
    """`shipped`: folders of the recipes that came with the harness, which are public like its facts; the user's own are not. `said`: by
    kind and name, what its owner wants it to be called. `root`: where this machine's /sys and /etc are."""
    recipes = [load.load(path) for path in catalog.paths(shipped)]
    known = facts.file(facts.SHIPPED / "models.yaml")
    models = {name for model in known.models for name in (model.id, *model.weights)}
    models |= {name for recipe in recipes for name in (recipe.model, str(recipe.defaults.get("served_model_name", "")))}
    models |= {name for recipe in recipes for name in _REPOSITORY.findall(recipe.text)}
    return Names(
        public={
            MODEL: frozenset(filter(None, models)),
            RECIPE: frozenset(recipe.name for recipe in recipes),
            IMAGE: frozenset(recipe.container for recipe in recipes if recipe.container),
        },
        said=said,
        recipes=frozenset(recipe.sha256 for recipe in recipes),
        own=frozenset(own(stored, root)),
    )


def own(stored: Stored, root: Path) -> set[str]:
    """Of this machine, and of those that the result was measured on."""
    machine = stored.result.machine
    user = pwd.getpwuid(os.getuid())
    found = {socket.gethostname(), machine.hostname, user.pw_name, *user.pw_gecos.split(",")[:1], Path(machine.home).name}
    found |= {part for name in (socket.gethostname(), machine.hostname) for part in name.split(".")[:1]}
    found |= {gpu.uuid or "" for gpu in machine.gpus}
    found |= {name or "" for node in stored.plan.nodes for name in (node.host, node.hostname, node.address)}
    for each in (address for nic in psutil.net_if_addrs().values() for address in nic):
        found.add(each.address.partition("%")[0])
    for name in IDENTITIES:
        with suppress(OSError):
            found.add((root / name).read_text(errors="replace").strip())
    return {name for name in found if name and name not in PLAIN and not re.fullmatch("[0:.]+|127.*", name)}


def secrets(environment: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that hold one, as `HF_TOKEN` does."""
    return (value for name, value in environment.items() if secret.in_name(name) and len(value) >= LEAST)
