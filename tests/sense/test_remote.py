"""Sensors of another host, over a real sshd on loopback."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.errors import MachineError
from harness.sense.remote import Remote
from harness.sense.sampler import Sampler
from tests.far_host import CAN_SSH, far_host

pytestmark = pytest.mark.skipif(not CAN_SSH, reason="needs OpenSSH's sshd and ssh")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with far_host(tmp_path) as environment:
        yield environment


def there() -> list[psutil.Process]:
    return [
        p for p in psutil.process_iter(["cmdline"]) if "harness.sense" in (p.info["cmdline"] or []) and p.pid != os.getpid()
    ]


def test_its_samples_come_on_our_clock_under_its_name(environment: dict[str, str]) -> None:
    began = clock.now()
    remote = Remote("far", sys.executable, environment)
    with Sampler((remote,)) as sampler:
        clock.sleep(2.5)
        samples = sampler.take()
        ended = clock.now()
    assert {"memory@far", "cpu@far"} <= {sample.source for sample in samples}
    assert all(began - 10**8 < sample.t_ns < ended + 10**8 for sample in samples)
    memory = [sample for sample in samples if sample.name == "memory.available"]
    assert len(memory) >= 2
    assert "nvml@far" in {absent.source for absent in remote.absent}
    gone = clock.now()
    while there() and clock.since(gone) < 10:
        clock.sleep(0.1)
    assert not there(), "it ends when we do"


def test_one_that_dies_is_said_once(environment: dict[str, str]) -> None:
    remote = Remote("far", sys.executable, environment)
    with Sampler((remote,)) as sampler:
        clock.sleep(1.0)
        for process in there():
            process.send_signal(signal.SIGKILL)
        clock.sleep(1.0)
        start = clock.now()
        sampler.wait_past(start)
        assert clock.since(start) < 3.5
        lost = [absent for absent in sampler.report().absent if absent.code == "lost"]
    assert [absent.source for absent in lost] == ["remote@far"]


@pytest.mark.parametrize(("host", "python"), [("far", "no-such-python"), ("nowhere.invalid", sys.executable)])
def test_a_host_that_cannot_be_used_is_named(environment: dict[str, str], host: str, python: str) -> None:
    with pytest.raises(MachineError) as caught:
        Remote(host, python, environment)
    assert f"the sensors of {host} do not answer" in caught.value.message
    assert "--sense-python" in caught.value.hint
