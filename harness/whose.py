"""What is public, and what names this machine and its users: what `harness.share.redact` and `harness.share.scan` are told before anything
leaves. Reads this machine's files, and asks no network."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import psutil

from harness.errors import RecipeError
from harness.facts import load as facts
from harness.facts import prices
from harness.recipe import load
from harness.schema.facts import Facts
from harness.schema.recipe import Recipe
from harness.share.names import IMAGE, MODEL, RECIPE, SERVER, Names
from harness.store.folder import Stored

SHIPPED = Path(__file__).parent / "share" / "shipped.txt"
"""SHA-256 and name of each recipe that comes with the harness: one that was changed, or lies beside them, is its owner's."""
_SERIALS = "product_serial board_serial chassis_serial product_uuid product_asset_tag board_asset_tag chassis_asset_tag"
_NOTHING = re.compile(
    r"|none|n/a|default( string)?|not (specified|applicable|available|set)|to be filled.*|[0x. -]+|unknown|system.*",
    re.IGNORECASE,
)
"""What makers write who write no serial number."""
LEAST_UID = 1000
"""Of people; below are the system's own."""


def names(stored: Stored, recipes: Sequence[Path], said: Mapping[str, Mapping[str, str]], root: Path = Path("/")) -> Names:
    """Of a result on this machine. `recipes`: files among which the shipped ones are; `said`: what its owner says of names, by kind. Facts
    are those that came with the harness: the owner's own may name what is not public. Raises `FactsError`."""
    known = [recipe for path in recipes if (recipe := _shipped(path)) is not None]
    public = {
        MODEL: frozenset((*_models(facts.load()), *(name for recipe in known for name in _recipe_models(recipe)))),
        RECIPE: frozenset(recipe.name for recipe in known),
        IMAGE: frozenset(recipe.container for recipe in known if recipe.container),
        SERVER: prices.servers(),
    }
    shipped = frozenset(recipe.sha256 for recipe in known)
    return Names(public=public, said=said, recipes=shipped, own=frozenset((*own(root), *of_result(stored))))


def own(root: Path = Path("/")) -> frozenset[str]:
    """Of this machine: its names, those of its people, its addresses, and its serial numbers as far as they may be read."""
    host = socket.gethostname()
    found = {host, host.partition(".")[0], *_aliases(root, host), *_people()}
    for addresses in psutil.net_if_addrs().values():
        found |= {each.address.partition("%")[0] for each in addresses}
    for name in _SERIALS.split():
        found.add(_read(root / "sys/class/dmi/id" / name))
    found |= {_read(root / "etc/machine-id"), _read(root / "sys/firmware/devicetree/base/serial-number").rstrip("\0")}
    found -= {"127.0.0.1", "::1", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "localhost"}
    return frozenset(name for name in found if not _NOTHING.fullmatch(name))


def of_result(stored: Stored) -> Iterator[str]:
    """What a result itself says of the machines that it was measured on and with."""
    result, plan = stored.result, stored.plan
    yield result.machine.hostname
    yield from (
        home.rpartition("/")[2] for home in (result.machine.home, *(node.home for node in plan.nodes)) if "/" in home.strip("/")
    )
    yield from (gpu.uuid for gpu in result.machine.gpus if gpu.uuid)
    for node in plan.nodes:
        yield from filter(None, (node.host.rpartition("@")[2], node.hostname, node.reached_at, node.address))
        yield from (address.partition("/")[0] for link in node.links for address in link.addresses)
    if result.egress is not None:
        yield from (found.address for found in (*result.egress.connections, *result.egress.doubtful))


@cache
def shipped() -> Mapping[str, str]:
    """Names of the shipped recipes by their SHA-256."""
    lines = (line.partition(" ") for line in SHIPPED.read_text(encoding="utf-8").splitlines())
    return {digest: name for digest, _, name in lines}


def _shipped(path: Path) -> Recipe | None:
    try:
        data = path.read_bytes()
        return load.parse(data, str(path)) if hashlib.sha256(data).hexdigest() in shipped() else None
    except (OSError, RecipeError):
        return None


def _models(known: Facts) -> Iterator[str]:
    for model in known.models:
        yield from (model.id, model.name, *model.weights, *model.arena)


def _recipe_models(recipe: Recipe) -> Iterator[str]:
    yield recipe.model
    yield from re.findall(r"(?<![\w./-])[\w.-]+/[\w.-]+(?![\w/])", f"{recipe.defaults} {recipe.metadata} {recipe.command}")
    if isinstance(served := recipe.defaults.get("served_model_name"), str):
        yield served


def _aliases(root: Path, host: str) -> Iterator[str]:
    """Other names by which this machine goes, as its files say: a resolver would ask the network."""
    for line in _read(root / "etc/hosts").splitlines():
        words = line.partition("#")[0].split()
        if host in words[1:]:
            yield from words[1:]
    for line in _read(root / "etc/resolv.conf").splitlines():
        match line.split():
            case ["search" | "domain", *domains]:
                yield from (f"{host}.{domain}" for domain in domains)


def _people() -> Iterator[str]:
    for person in pwd.getpwall():
        if LEAST_UID <= person.pw_uid < 60_000 or person.pw_uid == os.getuid():
            yield from (person.pw_name, person.pw_gecos.partition(",")[0])


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
