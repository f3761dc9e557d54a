"""A network namespace with nothing in it but loopback, for this process and all that it starts from now on (network_namespaces(7))."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

from harness.errors import MachineError

NEW_NETWORK, NEW_USER = 0x40000000, 0x10000000
"""CLONE_NEWNET and CLONE_NEWUSER of sched.h."""
GET_FLAGS, SET_FLAGS, UP = 0x8913, 0x8914, 1
"""SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of netdevice(7)."""


def enter() -> None:
    """Before any thread is started: one that runs already would keep its network. Without root by a user namespace, in which we are the
    same user. Raises `MachineError`."""
    if len(os.listdir("/proc/self/task")) > 1:
        raise MachineError(
            "--airtight: threads of this process already run, and would keep their network",
            "start the harness without what else runs in its Python (a debugger, sitecustomize)",
        )
    user, group = os.geteuid(), os.getegid()
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    try:
        if unshare(NEW_NETWORK) != 0:
            if unshare(NEW_USER | NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
                Path(f"/proc/self/{name}").write_text(text)
        _loopback_up()
    except OSError as error:
        raise MachineError(
            f"--airtight: this system gives no network namespace: {error.strerror}",
            "run it as root, or let users have namespaces (sysctl kernel.apparmor_restrict_unprivileged_userns=0, or in a container "
            "--cap-add SYS_ADMIN); without --airtight the connections of a run are watched and recorded",
        ) from None


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, GET_FLAGS, asked), 16)
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sH14x", b"lo", flags | UP))
