"""Results that could be shared, and parcels of them, for the tests of the targets."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.schema.bundle import Entry
from harness.schema.consent import Receipt
from harness.schema.machine import Gpu
from harness.schema.plan import Image, Launch
from harness.share.parcel import Parcel, Shareable, Target
from harness.store.folder import Stored
from tests.report import exported

DIGEST = "vllm/vllm-openai@sha256:" + "5" * 64
SUBMISSION = "abcdefghijklmnopqrstuvwxy2"
RECIPE = """\
recipe_version: "1"
name: one-spark
model: org/model-7b
container: vllm/vllm-openai:v0.32.0
solo_only: true
metadata: {model_params: 7B, num_layers: 32, description: about it}
env: {HF_TOKEN: $HF_TOKEN, VLLM_LOGGING_LEVEL: INFO}
defaults: {port: 8000, max_model_len: 4096, tensor_parallel: 2, pipeline_parallel: 1}
command: vllm serve org/model-7b --port {port} --max-model-len {max_model_len} -tp {tensor_parallel}
harness: {profile: quick}
"""


def shareable(recipe: str = RECIPE, gpu: str = "NVIDIA GB10", **overrides: str) -> Shareable:
    """Measured on such a GPU, in a container that its registry knows by a digest."""
    result, plan, records = exported.grid()
    machine = msgspec.structs.replace(result.machine, gpus=(Gpu(index=0, name=gpu),) if gpu else ())
    image = Image(name="vllm/vllm-openai:v0.32.0", id="sha256:" + "1" * 64, digests=(DIGEST,))
    result = msgspec.structs.replace(result, machine=machine, image=image, finished="2026-11-25T10:00:00+00:00")
    launch = Launch(executor="docker", argv=("docker", "run"), env={})
    plan = msgspec.structs.replace(plan, overrides=overrides, launch=launch)
    stored = Stored(path=Path(result.id), result=result, plan=plan, recipe_text=recipe, records=dict(records), samples=[])  # type: ignore[arg-type]
    return Shareable(stored=stored, recipe=recipe, bundle=b"a bundle, to whoever only carries it\0" * 300)


def parcel(target: Target, name: str, where: str, made: Shareable | None = None) -> Parcel:
    made = made or shareable()
    files = target.files(made, where)
    return Parcel(target=name, where=where, submission=SUBMISSION, result=made.stored.result.id, files=files)


def receipt(of: Parcel, target: Target) -> Receipt:
    return Receipt(
        id="0" * 32,
        result=of.result,
        target=of.target,
        where=of.where,
        audience=target.audience(of.where),
        submission=of.submission,
        sha256=of.sha256,
        files={name: Entry(len(data), "") for name, data in of.files.items()},
        consent="terminal",
        began="2026-11-25T10:00:00+00:00",
    )
