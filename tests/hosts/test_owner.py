"""Whether whoever started something still lives, of which only a text is left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.hosts import owner
from harness.hosts.owner import ELSEWHERE, GONE, LIVES

ASK = "from harness.hosts import owner; print(owner.me(), flush=True); input()"


def test_a_process_is_known_while_it_lives_and_as_gone_afterwards() -> None:
    child = subprocess.Popen([sys.executable, "-c", ASK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    who = child.stdout.readline().strip()
    assert owner.look(who) == LIVES
    child.communicate("\n")
    assert owner.look(who) == GONE
    assert owner.look(owner.me()) == LIVES


def test_another_process_with_its_number_is_not_it() -> None:
    head, _, ticks = owner.me().rpartition(".")
    assert owner.look(f"{head}.{int(ticks) + 1}") == GONE


@pytest.mark.parametrize(
    "change", [lambda me: "0" + me[1:] if me[0] != "0" else "1" + me[1:], lambda me: "", lambda me: "x.1.2.3"]
)
def test_of_another_boot_nothing_is_known(change) -> None:  # type: ignore[no-untyped-def]
    assert owner.look(change(owner.me())) == ELSEWHERE


def test_a_number_counts_in_its_own_count_of_processes_only() -> None:
    boot, space, pid, ticks = owner.me().split(".")
    assert owner.look(f"{boot}.{int(space) + 1}.{pid}.{ticks}") == ELSEWHERE


@pytest.mark.skipif(os.getuid() != 0, reason="a namespace of processes needs root")
def test_one_in_a_container_cannot_be_looked_at_from_here() -> None:
    words = ("unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", ASK)
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert owner.look(child.stdout.readline().strip()) == ELSEWHERE
    child.communicate("\n")
