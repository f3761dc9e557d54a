"""Several machines: network namespaces on one switch, each with its own address, processes, host name and sshd.

`spark-1`, `spark-2` … are reached from `home`, where the harness runs, as a user's ssh config would have it. Nothing of it is seen
outside: the cables are in namespaces too.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from harness import clock

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
LACKS = next(
    (
        what
        for what, there in (
            ("root", os.getuid() == 0),
            ("sshd", SSHD),
            *((w, shutil.which(w)) for w in ("ssh", "ip", "unshare")),
        )
        if not there
    ),
    None,
)
"""What this machine needs for it and has not."""
NEWNET = 0x40000000
_numbers = itertools.count()


class Machines:
    def __init__(self, folder: Path, count: int, path: str = "") -> None:
        """`path`: folders that come first on the PATH of every machine."""
        self.folder = folder
        tag = f"hs{os.getpid()}x{next(_numbers)}"
        self.wire, self.home = f"{tag}-wire", f"{tag}-home"
        self.names = [f"spark-{number}" for number in range(1, count + 1)]
        self._spaces = {name: f"{tag}-{name}" for name in self.names}
        self._sshds: dict[str, subprocess.Popen[bytes]] = {}
        self._path = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]

    def address(self, name: str) -> str:
        return f"10.77.0.{self.names.index(name) + 1 if name in self.names else 100}"

    def home_folder(self, name: str) -> Path:
        """Of its user: empty at first."""
        folder = self.folder / f"home-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def environment(self) -> dict[str, str]:
        """Without the engines of whoever runs the tests, and what they once said of their flags."""
        ours = {"PATH": f"{self.folder}/bin:{self._path}", "XDG_CACHE_HOME": f"{self.folder}/cache"}
        return {**os.environ, **ours, "HARNESS_ENGINES": f"{self.folder}/engines"}

    def command(self, *words: str, **more: str) -> subprocess.Popen[str]:
        """`harness WORDS` at home."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.home, sys.executable, "-m", "harness", *words],
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(Path(__file__).parents[1]), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def harness(self, *words: str, **more: str) -> tuple[int, str, str]:
        child = self.command(*words, **more)
        out, err = child.communicate()
        return child.returncode, out, err

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This process has home's network meanwhile, and so have the children it starts."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as before, open(f"/run/netns/{self.home}") as wanted:
            assert libc.setns(wanted.fileno(), NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert libc.setns(before.fileno(), NEWNET) == 0

    def cut(self, name: str, *, up: bool = False) -> None:
        """Pulls a machine's cable, or puts it back."""
        _ip("-n", self.wire, "link", "set", f"w-{name}", "up" if up else "down")

    def forget(self, name: str) -> None:
        """Its host key is not known any more."""
        known = self.folder / "known"
        known.write_text("".join(line for line in known.open() if not line.startswith(f"{self.address(name)} ")))

    def change_key(self, name: str) -> None:
        """ssh knows another key for it."""
        with (self.folder / "known").open("a") as known:
            known.write(f"{self.address(name)} {(self.folder / 'user.pub').read_text()}")

    def there(self, name: str, *words: str) -> list[str]:
        """A command as one that runs on that machine's network."""
        return ["ip", "netns", "exec", self._spaces[name], *words]

    def on(self, name: str, *words: str) -> str:
        return subprocess.run(self.there(name, *words), capture_output=True, text=True, check=True).stdout

    def processes(self, name: str) -> list[psutil.Process]:
        """All that run there, but for sshd's own."""
        space = os.readlink(f"/proc/{self._init(name)}/ns/pid")
        found = []
        for process in psutil.process_iter():
            try:
                if os.readlink(f"/proc/{process.pid}/ns/pid") == space and not process.name().startswith("sshd"):
                    found.append(process)
            except (OSError, psutil.Error):
                continue
        return [process for process in found if _runs(process)]

    def find(self, name: str, word: str) -> list[psutil.Process]:
        """Those with this word in their command."""
        found = []
        for process in self.processes(name):
            try:
                if word in process.cmdline():
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def empty(self, within_s: float = 60.0) -> bool:
        """Whether nothing is left anywhere, in time."""
        start = clock.now()
        while any(self.processes(name) for name in self.names):
            if clock.since(start) > within_s:
                return False
            clock.sleep(0.1)
        return True

    def stop_sshd(self, name: str) -> None:
        self._sshds.pop(name).kill()

    def _init(self, name: str) -> int:
        (child,) = psutil.Process(self._sshds[name].pid).children()
        return child.pid

    def build(self) -> None:
        for space in (self.wire, self.home, *self._spaces.values()):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip("-n", self.wire, "link", "add", "switch", "type", "bridge")
        _ip("-n", self.wire, "link", "set", "switch", "up")
        for name, space in (("home", self.home), *self._spaces.items()):
            _ip("link", "add", f"w-{name}", "netns", self.wire, "type", "veth", "peer", "name", "fast0", "netns", space)
            _ip("-n", self.wire, "link", "set", f"w-{name}", "master", "switch", "up")
            _ip("-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "fast0")
            _ip("-n", space, "link", "set", "fast0", "up")
        self._keys()
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd will not start without
        for name in self.names:
            self._sshds[name] = self._sshd(name)
        with self.inside():
            for name in self.names:
                _until_answers(self.address(name))

    def _keys(self) -> None:
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known").write_text("".join(f"{self.address(name)} {key}" for name in self.names))
        (self.folder / "ssh_config").write_text(
            "".join(f"Host {name}\n  HostName {self.address(name)}\n" for name in self.names)
            + f"Host *\n  User root\n  IdentityFile {self.folder}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {self.folder}/known\n"
            "  GlobalKnownHostsFile /dev/null\n"
        )
        ssh = self.folder / "bin" / "ssh"
        ssh.parent.mkdir()
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.folder}/ssh_config "$@"\n')
        ssh.chmod(0o755)

    def _sshd(self, name: str) -> subprocess.Popen[bytes]:
        config = self.folder / f"{name}.sshd"
        config.write_text(
            f"ListenAddress {self.address(name)}\nHostKey {self.folder}/host\nAuthorizedKeysFile {self.folder}/user.pub\n"
            f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
            f"SetEnv PYTHONPATH={self.folder}/site:{Path(__file__).parents[1]} PATH={self._path} HOME={self.home_folder(name)}\n"
        )
        apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts"]
        start = f"hostname {name}; exec {SSHD} -D -e -f {config}"
        return subprocess.Popen(
            ["ip", "netns", "exec", self._spaces[name], *apart, "sh", "-c", start],
            stderr=(self.folder / f"{name}.log").open("wb"),
        )

    def tear_down(self) -> None:
        for sshd in self._sshds.values():
            sshd.kill()
            sshd.wait()
        for space in (*self._spaces.values(), self.home, self.wire):
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)


@contextmanager
def machines(folder: Path, count: int, path: str = "") -> Iterator[Machines]:
    made = Machines(folder, count, path)
    try:
        made.build()
        yield made
    finally:
        made.tear_down()


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"


def _until_answers(address: str) -> None:
    start = clock.now()
    while True:
        try:
            socket.create_connection((address, 22), timeout=1).close()
        except OSError:
            assert clock.since(start) < 20, f"no sshd at {address}"
            clock.sleep(0.05)
        else:
            return
