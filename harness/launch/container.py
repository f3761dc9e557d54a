"""A server's container: looked at before it starts, told apart from all others, asked how it ended, and removed on every path.

`docker` is the user's own, with the user's DOCKER_HOST or context.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from harness import clock
from harness.comm import LABEL
from harness.errors import EngineError, MachineError
from harness.hosts import owner
from harness.hosts.base import Host, Ran
from harness.hosts.local import is_this_machine
from harness.schema.plan import Image, Launch
from harness.typed import decoded

LOOK_LIMIT_S = 10.0
KILL_LIMIT_S = 20.0
REMOVE_LIMIT_S = 60.0
LATE_S = 10.0
"""How long Docker may take to make a container for a client that was ended meanwhile."""
VERSION_LABEL = re.compile(r"version|revision", re.IGNORECASE)
LABEL_LENGTH = 200
ENDED = ("exited", "dead")


class _Config(msgspec.Struct):
    labels: dict[str, str] | None = msgspec.field(name="Labels", default=None)


class _Inspected(msgspec.Struct):
    """Of `docker image inspect`, as JSON."""

    id: str = msgspec.field(name="Id")
    digests: tuple[str, ...] | None = msgspec.field(name="RepoDigests", default=None)
    created: str | None = msgspec.field(name="Created", default=None)
    architecture: str | None = msgspec.field(name="Architecture", default=None)
    config: _Config | None = msgspec.field(name="Config", default=None)


def image(host: Host, name: str, limit_s: float = LOOK_LIMIT_S) -> Image | None:
    """What a name means to Docker on that machine; None: it is not there. Raises `MachineError` when Docker does not say."""
    asked = host.run(["docker", "image", "inspect", "--format", "{{json .}}", name], timeout_s=limit_s)
    if asked.code != 0 and "no such image" in asked.err.lower():
        return None
    if asked.code != 0:
        said = asked.err.strip().removeprefix("Error response from daemon: ")
        raise MachineError(f"{name}: {said or 'Docker does not say what it is'}", f"ask again: docker image inspect {name}")
    found = decoded(asked.out, _Inspected)
    labels = (found.config.labels if found.config else None) or {}
    return Image(
        name=name,
        id=found.id,
        digests=found.digests or (),
        created=found.created or None,
        architecture=found.architecture or None,
        labels={key: value[:LABEL_LENGTH] for key, value in sorted(labels.items()) if VERSION_LABEL.search(key)},
    )


ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def check(found: Image | None, name: str, arch: str) -> None:
    """Raises `MachineError` for an image that is not there, or is for other machines than `arch` (as the kernel calls it)."""
    if found is None:
        local = "/" not in name.partition("@")[0]
        raise MachineError(
            f"the image {name} is not on this machine",
            "its name is that of a local build: build it as the recipe's author did, or name another with --set container=…"
            if local
            else f"docker pull {name}",
        )
    ours = ARCHITECTURES.get(arch, arch)
    if found.architecture not in (None, ours):
        raise MachineError(
            f"the image {name} is for {found.architecture}, and this machine is {ours}",
            f"take the one for {ours}, if there is one: docker pull --platform linux/{ours} {name}",
        )


ROOTLESS = "name=rootless"
"""Among what `docker info` calls its security options."""
APART = "Docker runs rootless here: what it calls the host's network is its own, in which nobody here reaches the server"
NOT_ROOTLESS = "use the machine's own Docker: docker context use default, or unset DOCKER_HOST"


def check_server(host: Host) -> None:
    """Raises `MachineError` where the user's Docker is another machine's, or has a network of its own: the server would listen there, not
    here."""
    asked = host.run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout_s=LOOK_LIMIT_S)
    address = urlsplit(asked.out.strip())
    if asked.code == 0 and address.hostname and not is_this_machine(address.hostname):
        raise MachineError(
            f"Docker is that of another machine here ({address.scheme}://{address.hostname}), so the server would run there",
            "run the harness on that machine; or choose this one's Docker: unset DOCKER_HOST, docker context use default",
        )
    if ROOTLESS in host.run(["docker", "info", "--format", "{{json .SecurityOptions}}"], timeout_s=LOOK_LIMIT_S).out:
        raise MachineError(APART, NOT_ROOTLESS)


class State(msgspec.Struct, frozen=True):
    """Of `docker container inspect`, as JSON."""

    running: bool = msgspec.field(name="Running", default=False)
    oom_killed: bool = msgspec.field(name="OOMKilled", default=False)
    exit_code: int = msgspec.field(name="ExitCode", default=0)


class Container:
    """The container of one start. `argv` is the plan's, with a name that no other container has and the label of its owner."""

    def __init__(self, launch: Launch, host: Host, run: str) -> None:
        assert launch.container_name is not None
        self.name = f"{launch.container_name}-{run[:8]}"
        self.argv = _named(launch.argv, self.name)
        self._docker = launch.argv[: launch.argv.index("run")]
        self._host = host

    def state(self) -> State | None:
        """None: there is none, or Docker does not say."""
        asked = self._run("container", "inspect", "--format", "{{json .State}}", self.name, limit_s=LOOK_LIMIT_S)
        return decoded(asked.out, State) if asked.code == 0 else None

    def ended(self, engine: str, code: int, log: Path) -> EngineError | None:
        """How it ended, where Docker knows more than the log and the exit code of `docker run` say."""
        state = self.state()
        if state is None:
            return None
        if state.running:
            return EngineError(
                f"the `docker run` of {engine} ended ({_how(code)}) while its container went on",
                "somebody ended Docker's client, or Docker was started anew: journalctl -u docker tells; then run it again",
            )
        if state.oom_killed:
            return EngineError(
                f"{engine} ended with {_how(state.exit_code)}: the kernel killed it or a part of it, for the memory that its container may "
                "use was full",
                f"ask for less memory, or raise executor_config.memory_limit where the recipe sets one; its log: {log}",
            )
        if state.exit_code == 128 + signal.SIGKILL:
            return EngineError(
                f"{engine} ended with {_how(state.exit_code)}: somebody killed it, as Docker saw no lack of memory",
                f"by `docker kill`, or by the kernel for the whole machine's sake, of which `dmesg` tells; its log: {log}",
            )
        return None

    def pid(self) -> int | None:
        """Of its first process; None where the numbers that Docker gives mean nothing here, as in another container or for another
        machine's Docker."""
        asked = self._run("container", "inspect", "--format", "{{.State.Pid}} {{.Id}}", self.name, limit_s=LOOK_LIMIT_S)
        pid, _, ident = asked.out.strip().partition(" ")
        group = self._host.read(f"/proc/{pid}/cgroup") if asked.code == 0 and pid.isdigit() and pid != "0" else None
        return int(pid) if group and ident and ident.encode() in group else None

    @property
    def removal(self) -> tuple[str, ...]:
        """The command that ends and removes it."""
        return (*self._docker, "rm", "-f", "-v", self.name)

    def kill(self) -> list[str]:
        """Ends it without asking; what went wrong."""
        done = self._run("kill", self.name, limit_s=KILL_LIMIT_S)
        if done.code == 0 or "No such container" in done.err or "is not running" in done.err:
            return []
        return [f"docker kill {self.name}: {done.err.strip()}"]

    def remove(self, *, late: bool) -> list[str]:
        """Ends and removes it; what went wrong. `late`: the client was ended, and Docker may still be making the container."""
        start = clock.now()
        while True:
            done = self._host.run(self.removal, timeout_s=REMOVE_LIMIT_S)
            missing = "No such container" in done.err
            if not missing and done.code != 0:
                return [f"docker rm -f {self.name}: {done.err.strip()}"]
            if not (missing and late) or clock.since(start) >= LATE_S:
                return []
            clock.sleep(0.25)

    def _run(self, *words: str, limit_s: float) -> Ran:
        return self._host.run([*self._docker, *words], timeout_s=limit_s)


class Leftover(msgspec.Struct, frozen=True):
    """A container of ours whose owner has gone."""

    id: str
    name: str
    created: str


def leftovers(host: Host, limit_s: float = LOOK_LIMIT_S) -> Iterator[Leftover]:
    """Those that a harness left behind when it was killed. Known by our label, never by the name alone; one whose owner cannot be looked at
    from here only when it has ended, since then nobody is served by it."""
    form = f'{{{{.ID}}}}\t{{{{.Label "{LABEL}.owner"}}}}\t{{{{.State}}}}\t{{{{.Names}}}}\t{{{{.CreatedAt}}}}'
    filters = ("--filter", f"label={LABEL}.owner", "--filter", f"name=^{LABEL}-")
    asked = host.run(["docker", "ps", "--all", "--no-trunc", *filters, "--format", form], timeout_s=limit_s)
    for line in asked.out.splitlines() if asked.code == 0 else ():
        ident, who, state, name, created = line.split("\t")
        found = owner.look(who)
        if found == owner.GONE or (found == owner.ELSEWHERE and state in ENDED):
            yield Leftover(ident, name, created)


def reap(host: Host) -> list[Leftover]:
    """Removes what `leftovers` finds, and gives what it removed. Raises `MachineError` for one that stays."""
    removed = []
    for each in leftovers(host):
        done = host.run(["docker", "rm", "-f", "-v", each.id], timeout_s=REMOVE_LIMIT_S)
        if done.code != 0 and "No such container" not in done.err and "already in progress" not in done.err:
            raise MachineError(
                f"{each.name}, left behind by a run that was killed, stays: {done.err.strip()}", f"docker rm -f {each.name}"
            )
        removed.append(each)
    return removed


def _named(argv: Sequence[str], name: str) -> tuple[str, ...]:
    at = argv.index("--name")
    return (*argv[: at + 1], name, "--label", f"{LABEL}.owner={owner.me()}", *argv[at + 2 :])


def _how(code: int) -> str:
    """`docker run` gives its container's code, which for a signal is 128 more than the signal's number."""
    number = -code if code < 0 else code - 128
    return f"signal {signal.Signals(number).name}" if number in list(signal.Signals) else f"exit code {code}"
