"""A network namespace without any route, whose kernel counts what tried to leave."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

needed = pytest.mark.skipif(os.getuid() != 0 or shutil.which("nsenter") is None, reason="network namespaces need root")


class Nowhere(msgspec.Struct, frozen=True):
    """A namespace with nothing but its own loopback."""

    name: str

    @property
    def words(self) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self.name}")

    def run(self, *argv: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        done = [*self.words, *argv]
        return subprocess.run(done, cwd=cwd, env=env, capture_output=True, text=True, check=False)

    def tried_to_leave(self) -> int:
        """Packets for which no route was found, counted by the namespace's kernel since it was made."""
        said = subprocess.run(
            [*self.words, "cat", "/proc/net/snmp", "/proc/net/snmp6"], capture_output=True, text=True, check=True
        )
        names, values = (line.split() for line in said.stdout.splitlines() if line.startswith("Ip:"))
        six = next(line.split()[1] for line in said.stdout.splitlines() if line.startswith("Ip6OutNoRoutes"))
        return int(dict(zip(names, values, strict=True))["OutNoRoutes"]) + int(six)


@pytest.fixture
def nowhere() -> Iterator[Nowhere]:
    made = Nowhere(f"harness-{os.getpid()}")
    subprocess.run(["ip", "netns", "add", made.name], check=True)
    try:
        subprocess.run([*made.words, "ip", "link", "set", "lo", "up"], check=True)
        assert subprocess.run([*made.words, "ip", "route"], capture_output=True, check=True).stdout == b""
        yield made
    finally:
        subprocess.run(["ip", "netns", "del", made.name], check=True)
