"""Which rank is blamed when several complain: the first, and not those that only say that another has gone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import clock
from harness.engines import vllm
from harness.hosts.cluster import Place
from harness.hosts.local import LocalHost
from harness.launch.processes import Family
from harness.launch.ranks import RECENT_S, Rank, first_error

PEER = "RuntimeError: [gloo/transport/tcp/pair.cc:553] Connection closed by peer [10.0.0.2]:4711\n"
MEMORY = "ValueError: Free memory on device cuda:0 (9.1/119.7 GiB) is less than desired GPU memory utilization\n"
TORCH = "ModuleNotFoundError: No module named 'torch'\n"


@pytest.fixture
def ranks(tmp_path: Path) -> Iterator[list[Rank]]:
    """The first one ends with code 1 at once, the second lives."""
    host, made = LocalHost(), list[Rank]()
    for number, command in enumerate((["sh", "-c", "exit 1"], ["sleep", "600"])):
        log = tmp_path / f"{number}.log"
        process = host.spawn(command, env=dict(os.environ), cwd=None, log=str(log))
        family = Family(host, f"HARNESS_RUN=first-error-{number}")
        family.root = process
        made.append(Rank(number, Place(f"spark-{number + 1}", host, {}, None), None, family, process, log))
    while host.exit_code(made[0].process) is None:
        clock.sleep(0.01)
    yield made
    for rank in made:
        rank.family.kill()


def say(rank: Rank, now: float, words: str) -> None:
    with rank.log.open("a") as log:
        log.write(f'Traceback (most recent call last):\n  File "x.py", line 1, in f\n{words}')
    rank.look(now)


def blamed(ranks: list[Rank], now: float) -> str:
    for rank in ranks:
        rank.look(now)
    return first_error(vllm, ranks).message


def test_the_first_in_time(ranks: list[Rank]) -> None:
    """Rank 0's own words are louder and last; it ended, the other did not."""
    say(ranks[1], 100.0, MEMORY)
    say(ranks[0], 100.4, TORCH)
    said = blamed(ranks, 100.6)
    assert said.startswith("rank 1 on spark-2: ValueError: Free memory on device")
    assert said.endswith("rank 0 on spark-1 ended with it")


def test_its_place_is_found_though_blanks_differ(ranks: list[Rank]) -> None:
    """In what is said they are single; with no place it would be of the log's beginning, long before."""
    say(ranks[1], 0.0, "INFO ready\n")
    say(ranks[1], 100.0, MEMORY.replace("Free memory", "Free  memory"))
    say(ranks[0], 100.4, TORCH)
    assert blamed(ranks, 100.6).startswith("rank 1 on spark-2: ValueError: Free memory on device")


def test_what_only_echoes_comes_last(ranks: list[Rank]) -> None:
    """The news of it may even arrive sooner."""
    say(ranks[1], 100.0, PEER)
    say(ranks[0], 100.1, TORCH)
    assert blamed(ranks, 100.2).startswith("rank 0 on spark-1: vllm ended with exit code 1: ModuleNotFoundError")


def test_one_that_died_without_a_word_is_blamed_before_the_echo(ranks: list[Rank]) -> None:
    say(ranks[1], 100.0, PEER)
    assert blamed(ranks, 100.2).startswith("rank 0 on spark-1: vllm ended with exit code 1; last log line: (none)")


def test_an_old_error_is_no_reason(ranks: list[Rank]) -> None:
    """Something was logged as an error while the server went on for minutes. (Rank 0 is not looked at before it is dead.)"""
    say(ranks[1], 100.0, MEMORY)
    assert blamed(ranks, 101.0 + RECENT_S).startswith("rank 0 on spark-1: vllm ended with exit code 1")
