"""Where a result can be sent: a module for each (`harness.share.parcel.Target`)."""

from __future__ import annotations

from harness.share.parcel import Target

TARGETS: dict[str, Target] = {}
