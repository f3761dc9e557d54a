from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from harness import clock
from harness.errors import MachineError
from harness.hosts.base import Host, Process
from harness.hosts.local import LocalHost, free_port

HOST = LocalHost()
ENV = {"PATH": os.environ["PATH"]}


def ended(host: LocalHost, process: Process) -> int:
    began = clock.now()
    while (code := host.exit_code(process)) is None:
        assert clock.since(began) < 20
        clock.sleep(0.01)
    return code


def test_it_is_a_host() -> None:
    host: Host = HOST
    assert host.name == "local"


def test_run() -> None:
    done = HOST.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)
    assert (done.code, done.out, done.err) == (3, "out\n", "err\n")


def test_run_what_is_not_there() -> None:
    done = HOST.run(["no-such-program-anywhere"], timeout_s=10)
    assert done.code is None
    assert "No such file" in done.err


def test_run_has_a_limit() -> None:
    began = clock.now()
    done = HOST.run(["sleep", "60"], timeout_s=0.2)
    assert done.code is None
    assert "0.2 s" in done.err
    assert clock.since(began) < 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a program that its caller may not kill, as sudo is")
def test_a_program_that_cannot_be_killed_is_not_waited_for() -> None:
    began = clock.now()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # where nobody may look, and set-uid counts
        Path(folder).chmod(0o755)
        stubborn = Path(shutil.copy(shutil.which("sleep") or "", folder))
        stubborn.chmod(0o4755)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os.write(write, HOST.run([str(stubborn), "5"], timeout_s=0.2).err.encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert b"did not end within 0.2 s" in os.read(read, 1000)
    assert clock.since(began) < 4


def test_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc\xff")
    assert HOST.read(str(tmp_path / "f")) == b"abc\xff"
    assert HOST.read(str(tmp_path / "f"), limit=2) == b"ab"
    assert HOST.read(str(tmp_path / "g")) is None
    assert HOST.glob(str(tmp_path / "*")) == (str(tmp_path / "f"),)


def test_spawn_in_a_session_of_its_own_with_exactly_its_environment(tmp_path: Path) -> None:
    host = LocalHost()
    log = tmp_path / "log"
    log.write_text("before\n")
    process = host.spawn(["sh", "-c", "env; pwd; echo err >&2; exit 4"], env={**ENV, "A": "1"}, cwd=str(tmp_path), log=str(log))
    assert ended(host, process) == 4
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert {"A=1", str(tmp_path), "err"} <= set(lines)
    assert not any(line.startswith("HOME=") for line in lines)


@pytest.mark.parametrize("argv", [["no-such-program-anywhere"], ["/etc/hostname"]])
def test_spawn_what_cannot_be_run(argv: list[str], tmp_path: Path) -> None:
    with pytest.raises(MachineError):
        HOST.spawn(argv, env=ENV, cwd=None, log=str(tmp_path / "log"))


def test_spawn_where_nothing_is(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no such folder"):
        HOST.spawn(["true"], env=ENV, cwd=str(tmp_path / "x"), log=str(tmp_path / "log"))
    with pytest.raises(MachineError, match="nowhere"):
        HOST.spawn(["true"], env=ENV, cwd=None, log=str(tmp_path / "nowhere" / "log"))


def test_exit_code_of_a_signal(tmp_path: Path) -> None:
    host = LocalHost()
    process = host.spawn(["sleep", "60"], env=ENV, cwd=None, log=str(tmp_path / "log"))
    assert host.exit_code(process) is None
    assert host.alive(process)
    assert os.getsid(process.pid) == process.pid
    assert host.signal(process, signal.SIGTERM)
    assert ended(host, process) == -signal.SIGTERM
    assert not host.alive(process)


def test_a_zombie_is_not_alive(tmp_path: Path) -> None:
    host = LocalHost()
    process = host.spawn(["true"], env=ENV, cwd=None, log=str(tmp_path / "log"))
    began = clock.now()
    while host.alive(process):  # nobody has asked for its exit code, so it stays a zombie
        assert clock.since(began) < 20
        clock.sleep(0.01)
    assert Path(f"/proc/{process.pid}").exists()
    assert ended(host, process) == 0


def test_a_process_lives_while_any_of_its_threads_does(tmp_path: Path) -> None:
    host = LocalHost()
    code = "import ctypes,threading,time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
    code += "ctypes.CDLL(None).pthread_exit(None)"
    process = host.spawn([sys.executable, "-c", code], env=ENV, cwd=None, log=str(tmp_path / "log"))
    try:
        began = clock.now()
        while b") Z " not in (host.read(f"/proc/{process.pid}/stat") or b""):
            assert clock.since(began) < 20
            clock.sleep(0.01)
        assert host.alive(process)
        assert process in host.family(process, "NO=mark")
    finally:
        host.signal(process, signal.SIGKILL)
    assert ended(host, process) == -signal.SIGKILL


def test_family_by_descent_session_and_mark(tmp_path: Path) -> None:
    host = LocalHost()
    mark = f"HARNESS_TEST=family-{os.getpid()}"
    name, _, value = mark.partition("=")
    inner = "import os,time\nif os.fork()==0: os.setsid(); time.sleep(60)\ntime.sleep(60)"
    root = host.spawn([sys.executable, "-c", inner], env={**ENV, name: value}, cwd=None, log=str(tmp_path / "log"))
    other = host.spawn(["sleep", "60"], env={**ENV, name: "other"}, cwd=None, log=str(tmp_path / "log"))
    try:
        began = clock.now()
        while len(family := host.family(root, mark)) < 2:
            assert clock.since(began) < 20
            clock.sleep(0.02)
        assert root in family
        assert other not in family
        by_mark = host.family(None, mark)
        assert set(by_mark) == set(family)
        assert set(host.family(root, "NO=mark")) == set(family)
        stranger = Process(root.pid, root.started + 1, root.name)  # the number of ours, given to somebody else
        assert host.family(stranger, "NO=mark") == ()
        assert not host.alive(stranger)
        assert host.signal(stranger, signal.SIGKILL)  # gone already, as far as that one is concerned
        assert host.alive(root)
    finally:
        for process in (*host.family(root, mark), other):
            host.signal(process, signal.SIGKILL)
        ended(host, root)
        ended(host, other)


def test_ports() -> None:
    port = free_port()
    assert HOST.port_free("127.0.0.1", port)
    assert HOST.port_owner(port) is None
    with socket.create_server(("127.0.0.1", port)):
        assert not HOST.port_free("127.0.0.1", port)
        assert not HOST.port_free("0.0.0.0", port)
        assert f"(pid {os.getpid()})" in (HOST.port_owner(port) or "")
    assert HOST.port_free("127.0.0.1", port)


def test_a_port_in_time_wait_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()  # the server's side closes first and so keeps the connection in TIME_WAIT
    assert HOST.port_free("127.0.0.1", port)


def test_a_free_port_of_either_family() -> None:
    for address in ("127.0.0.1", "::1", "localhost"):
        assert 0 < free_port(address) < 65536


def test_an_address_of_another_machine_has_no_free_port_and_none_is_called_taken() -> None:
    with pytest.raises(MachineError, match=r"no server can listen on 192\.0\.2\.1"):
        free_port("192.0.2.1")
    assert LocalHost().port_free("192.0.2.1", 8000), "the server will say what is wrong"
