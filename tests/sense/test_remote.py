"""Sensors of another host, over a real sshd on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.comm import SENSES
from harness.errors import MachineError
from harness.far import LEASE_S, begin
from harness.measure.energy import energy
from harness.measure.windows import Window
from harness.schema.sensors import GPU, Sample
from harness.sense.remote import Order, Remote, Unread
from harness.sense.sampler import Sampler
from harness.units import NS_PER_S
from tests.far_host import CAN_SSH, far_host

pytestmark = pytest.mark.skipif(not CAN_SSH, reason="needs OpenSSH's sshd and ssh")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    with far_host(tmp_path) as environment:
        yield environment


def there(environment: dict[str, str]) -> list[psutil.Process]:
    """Of this host's sensors: the programs there, and the `ssh` to them."""
    folder = environment["PATH"].partition("/bin:")[0]
    known = psutil.process_iter(["cmdline", "environ"])
    return [
        p
        for p in known
        if "harness.sense" in (p.info["cmdline"] or [])
        and folder
        in {(p.info["environ"] or {}).get("FAR_HOST"), (p.info["environ"] or {}).get("PATH", "").partition("/bin:")[0]}
    ]


def test_its_samples_come_on_our_clock_under_its_name(environment: dict[str, str]) -> None:
    began = clock.now()
    remote = Remote("far", sys.executable, environment)
    with Sampler((remote,)) as sampler:
        clock.sleep(2.5)
        samples = sampler.take()
        names = {process.name() for process in there(environment)}
        ended = clock.now()
    assert {"memory@far", "cpu@far"} <= {sample.source for sample in samples}
    assert all(began - 10**8 < sample.t_ns < ended + 10**8 for sample in samples)
    memory = [sample for sample in samples if sample.name == "memory.available"]
    assert len(memory) >= 2
    assert SENSES in names, "as it must not be called python3 where earlyoom looks for somebody to end"
    assert "nvml@far" in {absent.source for absent in remote.absent}
    gone = clock.now()
    while there(environment) and clock.since(gone) < 10:
        clock.sleep(0.1)
    assert not there(environment), "it ends when we do"


def test_a_clock_that_is_an_hour_ahead_is_put_right(tmp_path: Path) -> None:
    """In ssh's place a program that speaks as the sensors of such a host would."""
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f"#!{sys.executable}\n"
        "import json, sys, time\n"
        "def now(): return time.monotonic_ns() + 3_600_000_000_000\n"
        "while sys.stdin.readline() == '?\\n':\n"
        "    print(json.dumps({'t_ns': now()}), flush=True)\n"
        "sample = [now(), 'memory', 'host', 'memory.available', 1.0, 'bytes']\n"
        "print(json.dumps({'samples': [sample], 'absent': []}), flush=True)\n"
    )
    ssh.chmod(0o755)
    began = clock.now()
    remote = Remote("far", "python3", {"PATH": str(tmp_path)})
    (sample,) = remote.read()
    assert began < sample.t_ns < clock.now()
    assert sample.source == "memory@far"
    remote.close()


def test_it_ends_with_its_standard_input() -> None:
    """Though somebody still reads what it says."""
    child = subprocess.Popen([sys.executable, "-m", "harness.sense", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    begin(child, Order("/"))
    assert child.stdin is not None
    assert child.stdout is not None
    assert b"memory.available" in child.stdout.readline()
    child.stdin.close()
    assert child.wait(10) == 0
    child.stdout.close()


@pytest.mark.machines
def test_it_goes_on_while_we_are_there(environment: dict[str, str]) -> None:
    """Longer than it would wait in silence."""
    with Sampler((Remote("far", sys.executable, environment),)) as sampler:
        clock.sleep(LEASE_S + 3)
        age_s = clock.since(sampler.take()[-1].t_ns)
    assert age_s < 3


def test_one_that_dies_is_said_once(environment: dict[str, str]) -> None:
    remote = Remote("far", sys.executable, environment)
    with Sampler((remote,)) as sampler:
        clock.sleep(1.0)
        for process in there(environment):
            process.send_signal(signal.SIGKILL)
        clock.sleep(1.0)
        start = clock.now()
        sampler.wait_past(start)
        assert clock.since(start) < 3.5
        lost = [absent for absent in sampler.report().absent if absent.code == "lost"]
    assert [absent.source for absent in lost] == ["remote@far"]


def test_one_that_hangs_is_lost(environment: dict[str, str]) -> None:
    """Its connection stands, so nothing else would tell."""
    remote = Remote("far", sys.executable, environment, silence_s=2)
    frozen = [process for process in there(environment) if process.name() == SENSES]
    try:
        for process in frozen:
            process.send_signal(signal.SIGSTOP)
        start = clock.now()
        while list(remote.read()):
            assert clock.since(start) < 20
        assert [absent.code for absent in remote.absent if absent.source == "remote@far"] == ["lost"]
    finally:
        for process in frozen:
            process.send_signal(signal.SIGCONT)
        remote.close()
    assert psutil.wait_procs(frozen, timeout=10)[1] == []


def test_it_leaves_nothing_open(environment: dict[str, str]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    remote = Remote("far", sys.executable, environment)
    assert len(os.listdir("/proc/self/fd")) > before
    remote.close()
    assert len(os.listdir("/proc/self/fd")) == before


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
