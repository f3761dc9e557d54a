"""The guard of tests/guard, which every other test stands under."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from tests.guard.sitecustomize import VARIABLE, Leak

ELSEWHERE = ("192.0.2.1", 9)
"""RFC 5737: for documents, nobody's."""
TRIES = {
    "tcp": "socket.socket().connect(('192.0.2.1', 9))",
    "swallowed": "try: socket.create_connection(('192.0.2.1', 9), 0.1)\nexcept BaseException: pass",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    "ipv6": "socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 9))",
    "a name": "socket.getaddrinfo('example.org', 80)",
    "an old way to ask for a name": "socket.gethostbyname('example.org')",
    "the name of an address": "socket.gethostbyaddr('192.0.2.1')",
    "another way to ask for it": "socket.getnameinfo(('192.0.2.1', 9), 0)",
}


def caught() -> str:
    """What the guard wrote down, which is then forgotten."""
    path = os.environ[VARIABLE].partition(":")[0]
    with open(path) as log:
        said = log.read()
    os.unlink(path)
    return said


def test_this_process() -> None:
    with pytest.raises(Leak), socket.socket() as tried:
        tried.connect(ELSEWHERE)
    assert "192.0.2.1" in caught()


@pytest.mark.parametrize("how", TRIES)
def test_a_child(how: str) -> None:
    subprocess.run([sys.executable, "-c", f"import socket\n{TRIES[how]}"], capture_output=True, check=False)
    assert "by " in caught()


def test_loopback_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert not os.path.exists(os.environ[VARIABLE].partition(":")[0])
