"""Real connections in network namespaces of the test's own: which are seen, whose they are said to be, and what follows."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import clock
from harness.measure import egress
from harness.schema.egress import Egress
from harness.schema.result import Result
from harness.sense import sockets
from harness.store import index
from harness.store.folder import read_result
from tests.store import sample_run

ROOT = Path(__file__).parents[2]
namespaces = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"),
    reason="network namespaces need root and iproute2",
)
PUBLIC, PUBLIC6, PRIVATE, OURS = "1.1.1.1", "2606:4700:4700::1111", "10.99.0.2", "10.99.0.1"
"""Of the other end, which nothing but this test's cable leads to."""
SERVER = """
import socket, threading
s = socket.create_server(("::", 443), family=socket.AF_INET6, dualstack_ipv6=True)
print("up", flush=True)
while True:
    threading.Thread(target=lambda c: c.recv(1) and None, args=(s.accept()[0],), daemon=True).start()
"""
WAIT = """
import os, socket, sys, time
def until_seen():
    last = time.monotonic() + 20
    while not os.path.exists(os.environ.get("SEEN", "")) and time.monotonic() < last:
        time.sleep(0.02)
"""
SEEN = """
s = [socket.create_connection((address, 443)) for address in sys.argv[1:]]
until_seen()
time.sleep(0.6)  # one of them is seen, and at the next look all are
for each in s:
    each.close()
socket.socket().connect_ex(("127.0.0.1", 9))  # so that the tables are read again
time.sleep(0.6)
"""
HOLD = """
import socket, sys, time
s = [socket.create_connection((address, 443)) for address in sys.argv[2:]]
time.sleep(float(sys.argv[1]))
for each in s:
    each.close()
time.sleep(0.5)
"""
UDP = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 53))
time.sleep(0.5)
"""
LOOPBACK = """
import socket, time
s = socket.create_server(("127.0.0.1", 0))
for _ in range(20):
    socket.create_connection(s.getsockname()).close()
time.sleep(0.5)
"""
ITSELF = """
import socket, time
s = socket.create_server(("0.0.0.0", 0))
c = socket.create_connection(("10.99.0.1", s.getsockname()[1]))
time.sleep(0.5)
"""
APART = """
import socket, time
time.sleep(2.2)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("9.9.9.9", 53))
own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own.connect(("10.99.0.2", 53))
time.sleep(0.5)
"""
SHORT = """
import socket, time
for _ in range(12):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("1.1.1.1", 53))
    time.sleep(0.15)
    s.close()
    time.sleep(0.05)
"""
LISTEN = """
s = socket.create_server(("0.0.0.0", 8000))
c = s.accept()
until_seen()
"""
COMES = """
import socket, time
while True:
    try:
        c = socket.create_connection(("10.99.0.1", 8000))
        break
    except OSError:
        time.sleep(0.05)
c.recv(1)
"""


class Desk(msgspec.Struct, frozen=True):
    """A namespace with one cable, at whose other end is "the internet"."""

    name: str
    net: str

    def words(self, code: str, *args: str, net: bool = False) -> list[str]:
        return ["ip", "netns", "exec", self.net if net else self.name, sys.executable, "-c", code, *args]

    def watched(self, *argv: str) -> Egress:
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, sys.executable, "-m", "tests.sense.watched", *argv],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout, type=Egress)

    def child(self, code: str, *args: str) -> Egress:
        return self.watched(sys.executable, "-c", code, *args)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    made = Desk(f"hse{os.getpid()}", f"hsi{os.getpid()}")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    try:
        for name in (made.name, made.net):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", "cable0", "netns", made.name, "type", "veth", "peer", "name", "cable0", "netns", made.net)
        for name, four, six in (
            (made.name, (OURS + "/24",), ("fd99::1/64",)),
            (made.net, (PRIVATE + "/24", PUBLIC + "/32"), ("fd99::2/64", PUBLIC6 + "/128")),
        ):
            for address in four:
                ip("-n", name, "addr", "add", address, "dev", "cable0")
            for address in six:
                ip("-n", name, "addr", "add", address, "dev", "cable0", "nodad")
            ip("-n", name, "link", "set", "cable0", "up")
        ip("-n", made.name, "route", "add", "default", "via", PRIVATE)
        ip("-n", made.net, "route", "add", "9.9.9.9/32", "via", OURS)
        ip("-n", made.name, "-6", "route", "add", "default", "via", "fd99::2")
        with process(made.words(SERVER, net=True)) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == "up\n"
            yield made
    finally:
        for name in (made.name, made.net):
            subprocess.run(["ip", "netns", "del", name], check=False)


@contextmanager
def process(argv: list[str]) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@given(st.ip_addresses())
def test_addresses_as_the_kernel_writes_them(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    packed = address.packed
    words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
    told = sockets.address("".join(f"{word:08X}" for word in words).encode())
    assert told == str(getattr(address, "ipv4_mapped", None) or address)


def test_a_table_as_the_kernel_prints_it() -> None:
    """One of each kind, as read from Linux 6.18 on a little-endian machine, addresses changed."""
    table = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F40 01 00000000:00000000 00:00000000 00000000  1000        0 42 1 0 20 4 30 10 -1
   2: 0163630A:C351 01010101:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 43 1 0 20 4 30 10 -1
   3: 0163630A:C352 01010101:01BB 06 00000000:00000000 03:00001234 00000000     0        0 0 3 0
   4: 0163630A:1F40 0263630A:D431 01 00000000:00000000 00:00000000 00000000  1000        0 44 1 0 20 4 30 10 -1
"""
    if sys.byteorder == "big":
        pytest.skip("printed on another kind of machine")
    assert list(sockets.rows(table, "tcp")) == [
        ("tcp", "10.99.99.1", 50001, "1.1.1.1", 443, 1000, 43, True),
        ("tcp", "10.99.99.1", 50002, "1.1.1.1", 443, 0, 0, True),
        ("tcp", "10.99.99.1", 8000, "10.99.99.2", 54321, 1000, 44, False),
    ]


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.3.2.1", "loopback"),
        ("::1", "loopback"),
        ("192.168.1.7", "own"),
        ("192.168.1.8", "private"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("169.254.3.4", "link"),
        ("fe80::1", "link"),
        ("224.0.0.251", "link"),
        ("1.1.1.1", "public"),
        ("2606:4700:4700::1111", "public"),
    ],
)
def test_where_an_address_is(address: str, where: str) -> None:
    assert sockets.where(address, {"192.168.1.7"}) == where


@namespaces
def test_connections_of_a_child(desk: Desk) -> None:
    found = desk.child(WAIT + SEEN, PUBLIC, PUBLIC6, PRIVATE)
    seen = {(one.where, one.address, one.port, one.protocol, one.outbound, one.count) for one in found.connections}
    assert seen == {
        ("public", PUBLIC, 443, "tcp", True, 1),
        ("public", PUBLIC6, 443, "tcp", True, 1),
        ("private", PRIVATE, 443, "tcp", True, 1),
    }
    assert all(one.process.startswith("python") for one in found.connections)
    assert all(found.t_start_ns < one.first_ns <= one.last_ns < found.t_end_ns for one in found.connections)
    assert not found.doubtful, "when they were closed it was still known whose they had been"
    went, said = egress.left(found)
    assert went is True
    assert f"1 to {PUBLIC}:443 by python" in said
    assert f"1 to [{PUBLIC6}]:443 by python" in said
    assert PRIVATE not in said
    within = msgspec.structs.replace(found, connections=tuple(one for one in found.connections if one.where == "private"))
    went, said = egress.left(within)
    assert went is None, "it may pass things on"
    assert f"1 to {PRIVATE}:443 by python" in said


@namespaces
def test_nothing_but_loopback(desk: Desk) -> None:
    found = desk.child(LOOPBACK)
    assert (found.connections, found.doubtful, found.unseen) == ((), (), ())
    assert found.opened == 20
    went, said = egress.left(found)
    assert went is False
    assert "found none that leads away; " in said
    counted = [egress.left(msgspec.structs.replace(found, sent_bytes=sent))[1] for sent in (0, 70, None)]
    assert ["no interface sent a byte" in said for said in counted] == [True, False, False]
    assert ["one shorter than 0." in said for said in counted] == [False, True, True]
    elsewhere = msgspec.structs.replace(found, unseen=("what ran on spark-2",))
    assert egress.left(elsewhere) == (None, "not looked at: what ran on spark-2")


@namespaces
def test_another_address_of_the_machine_itself(desk: Desk) -> None:
    assert egress.left(desk.child(ITSELF))[0] is False


@namespaces
def test_a_datagram_socket(desk: Desk) -> None:
    (one,) = desk.child(WAIT + UDP.replace("time.sleep(0.5)", "until_seen()"), PUBLIC).connections
    assert (one.address, one.port, one.protocol) == (PUBLIC, 53, "udp")


@namespaces
def test_who_comes_from_outside_is_answered(desk: Desk) -> None:
    with process(desk.words(COMES, net=True)):
        found = desk.child(WAIT + LISTEN)
    (one,) = found.connections
    assert (one.where, one.address, one.port, one.outbound) == ("private", PRIVATE, 8000, False)
    assert f"1 from {PRIVATE}" in egress.left(found)[1]


@namespaces
def test_a_connection_too_short_to_see_whose_it_was(desk: Desk) -> None:
    """Which leaves its trace in the kernel's tables for a minute."""
    found = desk.child("import socket, time; time.sleep(0.4)\n" + HOLD, "0", PUBLIC)
    assert not found.connections
    assert [(one.address, one.process) for one in found.doubtful] == [(PUBLIC, "")]
    went, said = egress.left(found)
    assert went is None
    assert PUBLIC in said


@namespaces
def test_what_others_do_is_not_ours(desk: Desk) -> None:
    """Open before, opened meanwhile, and closed meanwhile."""
    with process(desk.words(HOLD, "30", PUBLIC)), process(desk.words("import time; time.sleep(1)\n" + HOLD, "0.7", PUBLIC)):
        clock.sleep(0.5)
        found = desk.child("import time; time.sleep(2.5)")
    assert (found.connections, found.doubtful) == ((), ())
    assert egress.left(found)[0] is False


@namespaces
def test_what_was_gone_when_its_owner_was_looked_for(desk: Desk) -> None:
    """Nobody's process had it then, so it may have been one of ours that ended."""
    with process(desk.words("import time; time.sleep(1)\n" + SHORT)):
        found = desk.child("import time; time.sleep(3.5)")
    assert not found.connections
    assert [(one.address, one.port) for one in found.doubtful] == [(PUBLIC, 53)]


@namespaces
def test_a_child_in_another_namespace(desk: Desk) -> None:
    """All that is connected there is ours, whoever holds the socket; but for what stays within it."""
    with process(desk.words(UDP.replace("0.5", "9"), "9.9.9.9", net=True)):
        found = desk.watched(*desk.words(APART, net=True))
    assert found.spaces == 2
    assert [(one.address, one.port, one.protocol, one.count) for one in found.connections] == [("9.9.9.9", 53, "udp", 2)]


@namespaces
def test_who_may_not_look_does_not_know(desk: Desk) -> None:
    """A sandbox that shows no sockets."""
    hidden = 'mount -t tmpfs none /proc/$$/net && exec "$0" -m tests.sense.watched true'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", hidden, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Egress)
    went, said = egress.left(found)
    assert (went, found.looks) == (None, 0)
    assert "could not be looked at" in said
    assert "net/tcp" in said


VLLM = f"""\
#!{sys.executable}
import socket, sys
from harness.engines.paced import __main__ as program
if "--tells" in sys.argv:
    telemetry = socket.create_connection(("{PUBLIC}", 443))
program.main(["--port", sys.argv[sys.argv.index("--port") + 1], "--ttft-ms", "5", "--tpot-ms", "1"])
"""
RECIPE = """\
recipe_version: "2"
name: told
model: paced
runtime: vllm
defaults: {port: 18927}
command: vllm serve {model} --port {port} --device cpu MORE
harness: {sanity: false, profile: short, profiles: {short: {pp: [64], tg: [16], concurrency: [2], requests: 10, runs: 1, target: null}}}
"""


def run(folder: Path, namespace: str, more: str) -> tuple[Result, str]:
    """A benchmark in a network namespace, and what `harness results show` says of it."""
    (folder / "vllm").write_text(VLLM)
    (folder / "vllm").chmod(0o755)
    (folder / "x.yaml").write_text(RECIPE.replace("MORE", more))
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    within = ["ip", "netns", "exec", namespace, sys.executable, "-m", "harness"]
    done = subprocess.run([*within, "bench", "x.yaml"], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 6), done.stdout + done.stderr
    (path,) = folder.glob("results/[!.]*/*")
    return read_result(path), " ".join(done.stdout.split())


@namespaces
def test_a_run_that_nothing_leaves(tmp_path: Path) -> None:
    """In a namespace without a cable the counters of the interfaces say so too."""
    name = f"hsn{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        result, shown = run(tmp_path, name, "")
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)
    found = result.egress
    assert found is not None
    assert (found.connections, found.doubtful, found.unseen, found.sent_bytes) == ((), (), (), 0)
    assert found.opened is not None
    assert found.opened > 3, "the driver's, and those for the server's pages"
    assert found.processes >= 2, "the harness and the server; its driver may live shorter than a look"
    assert found.cpu_s < 0.1 * (found.t_end_ns - found.t_start_ns) / 1e9
    assert "Network nothing left this machine: " in shown
    assert "no interface sent a byte" in shown
    told = egress.entry(index.summary(result, tmp_path))
    assert (told.value, told.origin, told.result, str(told.date)) == ("no", "measured", result.id, result.anchor.wall[:10])


@namespaces
def test_a_server_that_tells_somebody(tmp_path: Path, desk: Desk) -> None:
    result, shown = run(tmp_path, desk.name, "--tells")
    assert result.egress is not None
    assert [(one.address, one.where) for one in result.egress.connections] == [(PUBLIC, "public")]
    assert f"connected to the internet: 1 to {PUBLIC}:443 by vllm" in shown
    assert egress.entry(index.summary(result, tmp_path)).value == "yes"


def test_a_result_of_an_older_harness() -> None:
    """It says nothing of connections, and nothing is said for it."""
    plain = {name: value for name, value in msgspec.to_builtins(sample_run.result()).items() if name != "egress"}
    told = egress.entry(index.summary(msgspec.convert(plain, Result), Path()))
    assert (told.value, told.why) == (None, egress.NOT_LOOKED)
