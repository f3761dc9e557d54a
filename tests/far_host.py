"""Another host: a real sshd of our own on loopback."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import clock
from harness.hosts.local import LocalHost, free_port

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
CAN_SSH = bool(SSHD and shutil.which("ssh"))


@contextmanager
def far_host(folder: Path) -> Iterator[dict[str, str]]:
    """In which `ssh far` reaches an sshd of our own, as a user's config would. What runs there has `folder` in its environment, and so has
    each `ssh`."""
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    server = folder / "sshd_config"
    server.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
        f"PermitRootLogin prohibit-password\nSetEnv PYTHONPATH={Path.cwd()} FAR_HOST={folder}\n"
    )
    client = folder / "ssh_config"
    client.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        f"  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile {folder}/known\n  LogLevel ERROR\n"
    )
    with_config = folder / "bin" / "ssh"
    with_config.parent.mkdir()
    with_config.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {client} "$@"\n')
    with_config.chmod(0o755)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd will not start without
    child = subprocess.Popen([str(SSHD), "-D", "-e", "-f", server], stderr=subprocess.DEVNULL)
    began = clock.now()
    while LocalHost().port_free("127.0.0.1", port) and clock.since(began) < 10:
        clock.sleep(0.05)
    try:
        yield {**os.environ, "PATH": f"{with_config.parent}:{os.environ['PATH']}"}
    finally:
        child.terminate()
        child.wait()
