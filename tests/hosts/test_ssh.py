"""A far machine over a real sshd: what it is asked, what runs there, and that nothing stays there whatever happens."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock
from harness.errors import MachineError
from harness.hosts.base import Host, Process
from harness.hosts.local import LocalHost
from harness.hosts.sessions import explain
from harness.hosts.ssh import SshHost
from harness.hosts.there import GRACE_TICKS, TICK_S
from tests.machines import LACKS, Machines, machines

pytestmark = pytest.mark.skipif(LACKS is not None, reason=f"needs {LACKS}")
MARK = "HARNESS_RUN=abc"
ENV = {"PATH": "/usr/bin:/bin", "HARNESS_RUN": "abc"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("machines"), 2) as made, made.inside():
        yield made


@pytest.fixture
def host(two: Machines) -> Iterator[SshHost]:
    with SshHost("spark-1", two.environment) as host:
        yield host
    assert two.empty(10)


def ended(host: Host, process: Process) -> int:
    began = clock.now()
    while (code := host.exit_code(process)) is None:
        assert clock.since(began) < 20
        clock.sleep(0.05)
    return code


def test_it_is_asked_as_this_machine_is(host: SshHost, tmp_path: Path) -> None:
    same: Host = host
    done = same.run(["sh", "-c", "hostname; echo err >&2; exit 3"], timeout_s=10)
    assert (done.code, done.out, done.err) == (3, "spark-1\n", "err\n")
    assert same.run(["no-such-program"], timeout_s=10).code is None
    assert "0.2 s" in same.run(["sleep", "60"], timeout_s=0.2).err
    (tmp_path / "f").write_bytes(b"\x00abc\xff\n")
    assert same.read(str(tmp_path / "f")) == b"\x00abc\xff\n"
    assert same.read(str(tmp_path / "f"), 2) == b"\x00a"
    assert same.read(str(tmp_path / "g")) is None
    assert same.glob(str(tmp_path / "*")) == (str(tmp_path / "f"),)
    assert same.port_free("127.0.0.1", 4711)
    assert not same.port_free("0.0.0.0", 22)
    assert same.port_owner(22) == "sshd (pid 1)"
    assert host.address == "10.77.0.1"
    assert abs(host.wall_offset().offset_ns) < 50_000_000


def test_what_is_spawned_speaks_into_our_log_and_ends_with_its_code(host: SshHost, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = host.spawn(["sh", "-c", "echo out; echo err >&2; exit 7"], env=ENV, cwd="/", log=str(log))
    assert ended(host, process) == 7
    assert sorted(log.read_text().split()) == ["err", "out"]
    assert not host.alive(process)
    killed = host.spawn(["sleep", "600"], env=ENV, cwd=None, log=str(log))
    assert host.exit_code(killed) is None
    assert [each.name for each in host.family(killed, MARK)] == ["sleep"]
    assert host.signal(killed, signal.SIGKILL)
    assert ended(host, killed) == -signal.SIGKILL
    with pytest.raises(MachineError, match="spark-1: no-such-engine: no such program"):
        host.spawn(["no-such-engine"], env=ENV, cwd=None, log=str(log))
    with pytest.raises(MachineError, match="/no/such: there is no such folder"):
        host.spawn(["true"], env=ENV, cwd="/no/such", log=str(log))


def test_an_answer_that_an_interrupt_left_unread_is_nobody_elses(host: SshHost) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(KeyboardInterrupt):
            host.run(["sh", "-c", "sleep 1; echo late"], timeout_s=10)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert host.run(["echo", "mine"], timeout_s=10).out == "mine\n"


def test_without_a_mark_nobody_is_ours(host: SshHost) -> None:
    assert host.family(None, "") == LocalHost().family(None, "") == ()


def test_no_argument_holds_a_secret(two: Machines, host: SshHost, tmp_path: Path) -> None:
    token = secrets.token_hex()  # other tests have secrets of their own on the machine
    host.spawn(["sleep", "600"], env={**ENV, "HF_TOKEN": token}, cwd=None, log=str(tmp_path / "log"))
    lines = ["\0".join(each.info["cmdline"] or []) for each in psutil.process_iter(["cmdline"]) if each.pid != os.getpid()]
    assert any("supervise" in line for line in lines)
    assert not any(token in line for line in lines)


CHILD = """
import os, sys
from harness.hosts.local import LocalHost
from harness.hosts.ssh import SshHost
host = SshHost("spark-2", os.environ)
deaf = "trap '' TERM; (setsid sleep 600 &) ; while :; do sleep 1; done"
env = {"PATH": "/usr/bin:/bin", "HARNESS_RUN": "abc"}
host.spawn(["sh", "-c", deaf], env=env, cwd=None, log=sys.argv[1], undo=["touch", sys.argv[1] + ".undone"])
print("up", flush=True)
sys.stdin.read()
"""


def test_it_all_ends_when_we_are_killed(two: Machines, tmp_path: Path) -> None:
    """Deaf to SIGTERM, and in a session of its own."""
    log = tmp_path / "log"
    ours = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(log)],
        env={**two.environment, "PYTHONPATH": str(Path.cwd())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert ours.stdout is not None
    assert ours.stdout.readline() == b"up\n"
    began = clock.now()
    while [process.name() for process in two.processes("spark-2")].count("sleep") < 2:
        assert clock.since(began) < 20
        clock.sleep(0.05)
    ours.kill()
    ours.communicate()
    assert two.empty(20)
    assert Path(f"{log}.undone").exists()


def test_what_it_leaves_is_undone_though_it_has_ended(two: Machines, tmp_path: Path) -> None:
    """As Docker's client does of a closed pipe, when its container goes on."""
    with SshHost("spark-1", two.environment) as host:
        process = host.spawn(["true"], env=ENV, cwd=None, log=str(tmp_path / "log"), undo=["touch", str(tmp_path / "undone")])
        ended(host, process)
    assert two.empty(10)
    assert (tmp_path / "undone").exists()


def test_below_its_floor_it_is_ended(host: SshHost, tmp_path: Path) -> None:
    """At once: it is deaf to SIGTERM, after which it would be left some seconds."""
    deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    process = host.spawn(deaf, env=ENV, cwd=None, log=str(tmp_path / "log"), floor=1 << 60)
    began = clock.now()
    while host.low_memory(process) is None:
        assert clock.since(began) < 20
        clock.sleep(0.05)
    killed = clock.now()
    while host.alive(process):
        assert clock.since(killed) < GRACE_TICKS * TICK_S / 2
        clock.sleep(0.02)
    assert 0 < (host.low_memory(process) or 0) < 1 << 60


def test_a_host_that_cannot_be_used_is_named_with_the_next_step(two: Machines, tmp_path: Path) -> None:
    said = {}
    for name in ("nowhere.invalid", "10.77.0.99"):
        with pytest.raises(MachineError) as caught:
            SshHost(name, two.environment)
        said[name] = caught.value.message
    assert "nowhere.invalid cannot be reached by ssh" in said["nowhere.invalid"]
    assert "10.77.0.99 cannot be reached by ssh" in said["10.77.0.99"]
    known = (two.folder / "known").read_text()
    two.forget("spark-1")
    with pytest.raises(MachineError, match="host key of spark-1 is not known") as caught:
        SshHost("spark-1", two.environment)
    assert "ssh-keyscan" in caught.value.hint
    assert "10.77.0.1 " not in (two.folder / "known").read_text(), "it was not accepted silently"
    two.change_key("spark-1")
    with pytest.raises(MachineError, match="another host key"):
        SshHost("spark-1", two.environment)
    (two.folder / "known").write_text(known)
    (two.folder / "user").rename(two.folder / "away")
    try:
        with pytest.raises(MachineError, match="spark-1 refuses our key") as caught:
            SshHost("spark-1", two.environment)
    finally:
        (two.folder / "away").rename(two.folder / "user")
    assert "ssh-copy-id" in caught.value.hint


@pytest.mark.parametrize(
    "said", ["bash: line 1: python3: command not found\n", "sh: 1: python3: not found\n", "fish: Unknown command: python3"]
)
def test_without_python(said: str) -> None:
    assert "has no python3" in explain("spark-1", said).message


@pytest.mark.machines
def test_a_cut_cable_is_noticed_here_and_there(two: Machines, tmp_path: Path) -> None:
    with SshHost("spark-2", two.environment) as host:
        process = host.spawn(["sleep", "600"], env=ENV, cwd=None, log=str(tmp_path / "log"))
        two.cut("spark-2")
        began = clock.now()
        with pytest.raises(MachineError, match="the connection to spark-2 is lost"):
            host.alive(process)
        assert clock.since(began) < 30
        with pytest.raises(MachineError, match="spark-2 cannot be reached"):
            host.alive(process)
        assert two.empty(60), "the supervisor there noticed the silence"
        two.cut("spark-2", up=True)
        clock.sleep(10)
        assert not host.alive(process), "connected anew"
        assert host.exit_code(process) == 255
