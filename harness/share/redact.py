"""A result without what tells who and where its owner is, by allow-list: `fields.TABLE` says what becomes of each field, and of what is
not in it nothing is kept. What is kept recomputes: the redacted result still verifies.

Not covered: what a name that its owner calls public tells, and what figures and dates tell by themselves.
"""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from harness.schema.result import Redaction, Result
from harness.share import bundle, fields, recipe
from harness.share.names import IMAGE, MODEL, RECIPE, SERVER, Given, Names, Question
from harness.share.parcel import Shareable
from harness.store import folder
from harness.store.folder import Stored

replace = msgspec.structs.replace

UNCHECKABLE = (
    "the words of the answers before the run: whether they were sane cannot be asked again",
    "the words of findings and reasons that named something of this machine, prompts, answers and logs",
)


def draw() -> str:
    return secrets.token_hex(3)


def shareable(stored: Stored, names: Names, draw: Callable[[], str] = draw) -> Shareable:
    """What may be shown to others, with names as `names` has them; whatever `questions` asks and nobody has answered gets a random name.
    Two calls give different bytes, as names are drawn anew. Raises `StoreError` for a run that has not ended, or a full disk."""
    done = redacted(stored, names, draw)[0]
    return Shareable(stored=done, recipe=done.recipe_text, bundle=bundled(done))


def questions(stored: Stored, names: Names) -> list[Question]:
    """The names of which only the owner knows whether they are public: `names.said` answers them."""
    return redacted(stored, names)[1]


def redacted(stored: Stored, names: Names, draw: Callable[[], str] = draw) -> tuple[Stored, list[Question]]:
    given = Given(names, stored.result.anchor.mono_ns, draw)
    _meet(given, stored)
    text = recipe.redacted(given, stored.recipe_text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    plan = replace(fields.struct(given, stored.plan), recipe_sha256=digest)
    result: Result = fields.struct(given, stored.result)
    records = {trial: [fields.struct(given, record) for record in own] for trial, own in stored.records.items()}
    samples = [fields.struct(given, sample) for sample in stored.samples]
    marked = replace(result, recipe_sha256=digest, redacted=Redaction(version=fields.VERSION, left_out=tuple(_lost(given))))
    done = Stored(path=Path(result.id), result=marked, plan=plan, recipe_text=text, records=records, samples=samples)
    return done, given.questions


def bundled(stored: Stored) -> bytes:
    """The bundle's bytes, for which its files lie in a private folder for a moment."""
    with tempfile.TemporaryDirectory(prefix="harness-share-") as name:
        path, out = Path(name) / "result", Path(name) / "bundle.tar"
        path.mkdir()
        folder.put(path, stored)
        files = folder.evidence(path)
        bundle.write(out, files, bundle.manifest(files, result=stored.result.id, harness_version=stored.result.harness_version))
        return out.read_bytes()


def _meet(given: Given, stored: Stored) -> None:
    """Names first, so that they are known wherever they come up in a text."""
    result, plan = stored.result, stored.plan
    launches = [launch for launch in (plan.launch, *plan.workers) if launch]
    hosts = {plan.host, plan.driver_host, *(launch.host for launch in launches)}
    hosts |= {name for node in plan.nodes for name in (node.host, node.hostname, node.reached_at, node.address)}
    hosts |= {
        result.machine.hostname,
        *(trial.client.host for trial in result.trials),
        *(sample.host for sample in stored.samples),
    }
    for host in sorted(filter(None, hosts)):
        given.host(host)
    for kind, found in (
        (MODEL, (result.model, plan.model, plan.served_model)),
        (IMAGE, (launch.image for launch in launches)),
        (RECIPE, (result.recipe_name,)),
        (SERVER, (result.server,)),
    ):
        for name in filter(None, found):
            given.asked(kind, name)


def _lost(given: Given) -> Iterator[str]:
    yield from UNCHECKABLE
    for kind in sorted(given.private):
        yield f"the {kind}'s name, which is private"
