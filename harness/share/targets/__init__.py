"""Where a result can be sent: a module for each (`harness.share.parcel.Target`)."""

from __future__ import annotations

from harness.share.parcel import Target
from harness.share.targets.file import File
from harness.share.targets.git import Git
from harness.share.targets.http import Http

TARGETS: dict[str, Target] = {"file": File(), "git": Git(), "http": Http()}
