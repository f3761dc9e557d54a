"""How a collector was told to serve."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.schema.collect import Bounds

MIB = 1 << 20


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    allowed: Path | None = None
    """An allowed-signers file (ssh-keygen(1)), for users without keys of their own. It is read anew for each bundle."""
    url: str = ""
    """Where others reach it, for the address in answers; empty: none is given."""
    proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For is believed."""
    largest_bytes: int = 256 * MIB
    memory_bytes: int = 1024 * MIB
    """Of the process that verifies one bundle."""
    cpu_s: int = 60
    per_minute: int = 120
    """Requests of one token; ten times that of one address, pages among them."""
    uploads: int = 64
    """At once, those that wait to be verified among them."""
    verifications: int = 2
    connections: int = 512
    pages_after_s: float = 2.0
    """After a change, or the start, until the pages are made anew: many changes make one site. At least as long as the last one took."""
    patience_s: float = 60.0
    """For a body, and besides for each of its bytes (`harness.collect.body`)."""
    look_s: float = 30.0
    """How often connections are looked at, for heads that are not complete and answers that are not read."""
    spare_bytes: int = 512 * MIB
    """That stay free on the disk."""
    recipes: tuple[Path, ...] = ()
    facts: Path = Path("facts")

    @property
    def examining(self) -> Bounds:
        return Bounds(memory_bytes=self.memory_bytes, cpu_s=self.cpu_s, file_bytes=self.largest_bytes)

    @property
    def building(self) -> Bounds:
        return Bounds(memory_bytes=4 * self.memory_bytes, cpu_s=20 * self.cpu_s, file_bytes=self.largest_bytes)
