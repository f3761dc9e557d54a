"""Where a result can be sent: a module for each (`harness.share.parcel.Target`)."""

from __future__ import annotations

from harness.share.parcel import Target
from harness.share.targets.file import File
from harness.share.targets.git import Git
from harness.share.targets.http import Http
from harness.share.targets.huggingface import HuggingFace
from harness.share.targets.spark_arena import SparkArena

TARGETS: dict[str, Target] = {
    "file": File(),
    "git": Git(),
    "http": Http(),
    "huggingface": HuggingFace(),
    "spark-arena": SparkArena(),
}
