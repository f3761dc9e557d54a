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
from harness.measure.energy import energy
from harness.measure.windows import Window
from harness.schema.sensors import GPU, Sample
from harness.sense.remote import Remote, Unread
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S
from tests.far_host import CAN_SSH, far_host

needs_ssh = pytest.mark.skipif(not CAN_SSH, reason="needs OpenSSH's sshd and ssh")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with far_host(tmp_path) as environment:
        yield environment


def there() -> list[psutil.Process]:
    return [
        p for p in psutil.process_iter(["cmdline"]) if "harness.sense" in (p.info["cmdline"] or []) and p.pid != os.getpid()
    ]


@needs_ssh
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


@needs_ssh
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


@needs_ssh
@pytest.mark.parametrize(("host", "python"), [("far", "no-such-python"), ("nowhere.invalid", sys.executable)])
def test_a_host_that_cannot_be_used_is_named(environment: dict[str, str], host: str, python: str) -> None:
    with pytest.raises(MachineError) as caught:
        Remote(host, python, environment)
    assert f"the sensors of {host} do not answer" in caught.value.message
    assert "--sense-python" in caught.value.hint


def test_watts_are_not_summed_without_a_node_that_nobody_reads() -> None:
    began = clock.now() - 20 * NS_PER_S
    instants = [began + tenth * NS_PER_S // 10 for tenth in range(250)]
    one = [Sample(t_ns, "nvml@spark-1", GPU, "gpu0.power", 40.0 + t_ns % 3, "W") for t_ns in instants]
    window = Window(began + 2 * NS_PER_S, began + 18 * NS_PER_S)
    assert energy(one, [window])[GPU].mean_w == pytest.approx(41, abs=1)
    unread = Unread("spark-2", "it has no harness")
    found = energy([*one, *unread.read()], [window])[GPU]
    assert found.joules is None
    assert found.reason == "not measured on spark-2"
    assert unread.absent[0].text == "the sensors of spark-2 are not read, so its watts are missing: it has no harness"
