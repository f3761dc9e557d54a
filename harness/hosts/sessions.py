"""The ssh processes behind a far host: what they are told, what they say, how they end."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from typing import Any

from harness.errors import MachineError

END_S = 1.0
START_S = 30.0


class Spawned:
    """The ssh process behind a spawned command, and what its supervisor has said on standard error: one JSON object a line."""

    def __init__(self, ssh: subprocess.Popen[bytes]) -> None:
        self.ssh = ssh
        self.said: dict[str, Any] = {}
        self.words = ""
        self._told = threading.Condition()
        self._ended = False
        threading.Thread(target=self._listen, name="supervisor", daemon=True).start()

    def first(self, order: object) -> dict[str, Any]:
        """What it says to its order: `process` or `refused`; neither where it has ended."""
        self._until("ready")  # sooner it would be taken for a part of the program
        write(self.ssh, json.dumps(order).encode() + b"\n")
        self._until("process", "refused")
        return self.said

    def _until(self, *keys: str) -> None:
        with self._told:
            self._told.wait_for(lambda: self._ended or any(key in self.said for key in keys), START_S)

    def _listen(self) -> None:
        assert self.ssh.stderr is not None
        for line in self.ssh.stderr:
            with self._told:
                if line.startswith(b"{"):
                    self.said |= json.loads(line)
                else:
                    self.words = line.decode("utf-8", "replace").strip()
                self._told.notify_all()
        with self._told:
            self._ended = True
            self._told.notify_all()


def explain(name: str, said: str) -> MachineError:
    """Why ssh did not connect, from what it said."""
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said:
        return MachineError(
            f"{name} shows another host key than the one that ssh knows: it may be another machine",
            f"if it was installed anew, forget the old key (ssh-keygen -R HOST), then `ssh {name}` once and compare the new one",
        )
    if "Host key verification failed" in said:
        return MachineError(
            f"the host key of {name} is not known to ssh, and nobody is there to compare it",
            f"`ssh {name}` once by hand and compare its fingerprint, or: ssh-keyscan ADDRESS >> ~/.ssh/known_hosts",
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return MachineError(
            f"{name} refuses our key ({last})",
            f"make `ssh {name} true` work without a password: ssh-copy-id {name}, or ssh-add",
        )
    if re.search(r"python3.*not found|not found.*python3|Unknown command.*python3", said):
        return MachineError(
            f"{name} has no python3 that ssh finds", f"install it there; `ssh {name} python3 --version` must work"
        )
    return MachineError(f"{name} cannot be reached by ssh: {last}", f"make `ssh {name} true` work without a question first")


def write(child: subprocess.Popen[bytes], text: bytes, *, strict: bool = False) -> None:
    assert child.stdin is not None
    try:
        child.stdin.write(text)
        child.stdin.flush()
    except (OSError, ValueError):  # it has gone: whoever reads from it will see
        if strict:
            raise


def finish(child: subprocess.Popen[bytes]) -> None:
    """Closes its standard input, with which what it started there ends, and then it; a forwarded connection would hold it open."""
    if child.stdin is not None:
        try:
            child.stdin.close()
        except OSError:
            pass
    for end in (child.terminate, child.kill):
        try:
            child.wait(timeout=END_S)
            return
        except subprocess.TimeoutExpired:
            end()
    child.wait()
