"""Without a network: what engines are told, and what must be on this machine before a start. Asks nobody."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path

import msgspec
import psutil

from harness.engines import ENGINES, flags
from harness.errors import MachineError
from harness.schema.machine import Machine
from harness.schema.plan import Plan
from harness.weights import hub, model

ENV = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
"""Without the last, vLLM 0.32.0 reports what it runs to its makers."""
TRUE = ("1", "ON", "YES", "TRUE")
"""As huggingface_hub reads its HF_HUB_OFFLINE."""
TOKENIZERS = ("--tokenizer", "--tokenizer-path")
LOADS_NOTHING = "paced"
"""Our own server of known speed has no model."""


def asked(environment: Mapping[str, str]) -> bool:
    return environment.get("HF_HUB_OFFLINE", "").upper() in TRUE


def is_here(host: str | None) -> bool:
    """Whether an address is this machine's; a name other than localhost would have to be asked for."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    ours = {each.address.partition("%")[0] for found in psutil.net_if_addrs().values() for each in found}
    return address.is_loopback or str(address) in ours


def models(plan: Plan) -> tuple[tuple[str, str | None], ...]:
    """What the command line loads, as (model, revision): the recipe's model, and drafts and tokenizers besides."""
    launch = plan.launch
    if launch is None or plan.engine == LOADS_NOTHING:
        return ()
    revision = plan.model_revision if plan.model_revision and plan.model_revision in " ".join(launch.argv) else None
    claim = ENGINES[plan.engine].memory(launch.argv, launch.env)
    others = dict.fromkeys((claim.draft if claim else None, flags.value(launch.argv, *TOKENIZERS)))
    return ((plan.model, revision), *((name, None) for name in others if name and name != plan.model))


def check(plan: Plan, machine: Machine) -> None:
    """Raises `MachineError` for the first model that is not here."""
    if lacking := missing(plan, machine):
        raise MachineError(f"{lacking[0]}, and nothing may be fetched (--offline)", lacking[1])


def missing(plan: Plan, machine: Machine) -> tuple[str, str] | None:
    """Of the models the first that is not here, or not whole, and how it comes here."""
    weightless = {flags.value(plan.launch.argv, *TOKENIZERS)} - {plan.model} if plan.launch else set()
    for name, revision in models(plan):
        found = model.place(name, revision, machine)
        if why := found if isinstance(found, str) else _lacks(found, weights=name not in weightless):
            return f"{name}: {why}", _fetch(name, revision)
    return None


def _fetch(name: str, revision: str | None) -> str:
    if "/" in name and not name.startswith(("/", ".", "~")):
        return f"hf download {name}{f' --revision {revision}' if revision else ''}"
    return "`make engines` brings the small models; see the recipe for others"


def _lacks(place: Path, *, weights: bool) -> str:
    try:
        absent = hub.absent(place) or (["any weights"] if weights and not hub.has_weights(place) else [])
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        return f"{place} cannot be read: {error}"
    return f"{place} lacks {', '.join(absent)}" if absent else ""
