"""Whether several machines are fit to carry one server together: looked at on each of them before anything is started."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from harness.engines import topology
from harness.errors import MachineError
from harness.hosts.base import Host
from harness.hosts.cluster import Place
from harness.hosts.local import LocalHost
from harness.launch.watchdog import SHARED_MEMORY_FLOOR_BYTES, SHARED_MEMORY_GPUS
from harness.schema.doctor import FAIL, PASS, WARN, Check
from harness.schema.node import Link, Node
from harness.schema.plan import Launch, Plan
from harness.units import NS_PER_S

RUN_LIMIT_S = 20.0
HASH_LIMIT_S = 60.0
CLOCK_LIMIT_S = 1.0
GIB = 2**30
LISTING = r"""
if [ -f "$0" ]; then stat -L -c "%s" "$0"; exit; fi
cd "$0" || exit 3
find -L . -type f ! -path "*/.*" -printf "%P\t%s\n"
find . -lname "*/blobs/*" -printf "%P\t%l\n"
find -L . -type f ! -path "*/.*" -size -1024k -exec sha256sum {} +
"""
"""A model's files by name and size; the small ones by hash, too; the others by the names of Hugging Face's blobs, where they lie in its
cache: these are hashes."""


def require(checks: Iterable[Check]) -> None:
    """Raises `MachineError` for the first that fails."""
    for check in checks:
        if check.status == FAIL:
            raise MachineError(check.text, check.advice)


def floor(node: Node, asked: int | None) -> int:
    """Free bytes below which a node's rank is ended; 0: never."""
    if asked is not None:
        return asked
    return SHARED_MEMORY_FLOOR_BYTES if set(node.gpus) & SHARED_MEMORY_GPUS else 0


def look(
    plan: Plan, places: Sequence[Place], model_path: str | None, asked_floor: int | None = None, *, offline: bool = False
) -> Iterator[Check]:
    """`places`: of the plan's nodes. `model_path`: where this machine has the model, if it has. `offline`: no engine may fetch it. Raises
    `MachineError` for a machine that is lost meanwhile."""
    assert plan.launch is not None
    launches = (plan.launch, *plan.workers)
    for node in plan.nodes:
        yield Check("machine", PASS, f"{_name(node)} answers: Linux {node.kernel}, {node.memory_bytes / GIB:.1f} GiB")
        if "gpu" in plan.requires and not node.gpus:
            yield Check(
                "gpu", FAIL, f"{node.host} has no NVIDIA GPU that its driver shows", "choose machines with one, or a CPU recipe"
            )
    yield from _engine(plan, launches, places)
    yield _model(plan, places, model_path, offline=offline)
    yield from _clocks(places)
    yield from _links(plan, places)
    yield from _ports(plan, places)
    for node, place in zip(plan.nodes, places, strict=True):
        yield _memory(node, place, floor(node, asked_floor))


def _name(node: Node) -> str:
    return node.host if node.hostname == node.host else f"{node.host} ({node.hostname})"


def _same(name: str, what: str, found: Sequence[tuple[str, str]], advice: str) -> Check:
    """`found`: what each host has, in the words to say it in."""
    if len({has for _, has in found}) == 1:
        return Check(name, PASS, f"{what} is the same on {', '.join(host for host, _ in found)}: {found[0][1]}")
    return Check(name, FAIL, f"{what} differs: {'; '.join(f'{has} on {host}' for host, has in found)}", advice)


def _engine(plan: Plan, launches: Sequence[Launch], places: Sequence[Place]) -> Iterator[Check]:
    head = launches[0]
    if head.executor == "docker" and head.image is not None:
        asked = [_image(launch, place) for launch, place in zip(launches, places, strict=True)]
        missing = [place.name for place, image in zip(places, asked, strict=True) if image is None]
        if missing:
            text = f"the image {head.image} is not on {', '.join(missing)}"
            yield Check("image", FAIL, text, f"docker pull {head.image} there; Docker must answer without a password")
            return
        ids = [(place.name, image or "") for place, image in zip(places, asked, strict=True)]
        yield _same("image", f"the image {head.image}", ids, "pull it anew everywhere, or name it by its digest")
        return
    found = []
    for launch, place in zip(launches, places, strict=True):
        program = launch.argv[0]
        if place.host.run(["sh", "-c", 'command -v -- "$0"', program], timeout_s=RUN_LIMIT_S).code != 0:
            yield Check(
                "engine", FAIL, f"{program} is not on {place.name}", "install the engine in the same place on every machine"
            )
            return
        package = f"{PurePosixPath(program).parent.parent}/lib/python3*/site-packages/{plan.engine}-*.dist-info"
        folders = place.host.glob(package) if "/" in program else ()
        found.append((place.name, ", ".join(PurePosixPath(folder).name.removesuffix(".dist-info") for folder in folders)))
    if any(version for _, version in found):
        yield _same("engine", plan.engine, found, "install the same version everywhere")
    else:
        yield Check("engine", PASS, f"{launches[0].argv[0]} is on every machine; its version there is not known")


def _image(launch: Launch, place: Place) -> str | None:
    """Its own number where it is run by that, else its digest in its registry, where it has one; None: it is not there."""
    docker = launch.argv[: launch.argv.index("run")]
    words = [*docker, "image", "inspect", "--format", "{{json .RepoDigests}} {{.Id}}", launch.image or ""]
    done = place.host.run(words, timeout_s=RUN_LIMIT_S)
    if done.code != 0:
        return None
    digests, _, number = done.out.strip().rpartition(" ")
    known = json.loads(digests or "[]") or []
    return sorted(digest.rpartition("@")[2] for digest in known)[0] if known and not launch.image_found else number


def _model(plan: Plan, places: Sequence[Place], model_path: str | None, *, offline: bool) -> Check:
    listed = []
    for node, place in zip(plan.nodes, places, strict=True):
        path = model_path or (plan.model if plan.model.startswith("/") else _snapshot(plan, node, place))
        done = place.host.run(["sh", "-c", LISTING, path], timeout_s=HASH_LIMIT_S) if path else None
        listed.append((place.name, sorted(done.out.splitlines()) if done and done.code == 0 else None))
    there, missing = [name for name, files in listed if files], [name for name, files in listed if not files]
    if not there:
        status = FAIL if offline or model_path or plan.model.startswith("/") else WARN
        return Check(
            "model", status, f"{plan.model} is on none of the machines", f"hf download {plan.model} on each, or copy it there"
        )
    if missing:
        text = f"{plan.model} is on {', '.join(there)}, and not on {', '.join(missing)}"
        return Check(
            "model", FAIL, text, f"bring the same files there: hf download {plan.model}, or rsync them from {there[0]}"
        )
    first = set(listed[0][1] or ())
    for name, files in listed[1:]:
        if off := sorted(first ^ set(files or ())):
            file = off[0].split("\t")[0].split("  ")[-1].removeprefix("./")
            text = f"{plan.model} differs between {listed[0][0]} and {name}: {file} is another, or missing on one"
            return Check("model", FAIL, text, f"bring the same files there: rsync them from {listed[0][0]}")
    return Check("model", PASS, f"{plan.model} is the same on {', '.join(there)}, by names, sizes, and hashes of what is small")


def _snapshot(plan: Plan, node: Node, place: Place) -> str | None:
    """The folder of the wanted revision in Hugging Face's cache there."""
    folder = f"{node.hf_hub or f'{node.hf_home}/hub'}/models--{plan.model.replace('/', '--')}"
    wanted = plan.model_revision or "main"
    named = (place.host.read(f"{folder}/refs/{wanted}") or b"").decode("utf-8", "replace").strip()
    return next((found for each in (named, wanted) if each for found in place.host.glob(f"{folder}/snapshots/{each}")), None)


def _clocks(places: Sequence[Place]) -> Iterator[Check]:
    for place in places:
        if place.far is None:
            continue
        found = place.far.wall_offset()
        off_s, error_ms = found.offset_ns / NS_PER_S, found.error_ns / 1e6
        text = f"the clock of {place.name} is {abs(off_s):.3f} s {'ahead of' if off_s > 0 else 'behind'} ours (± {error_ms:.1f} ms)"
        bad = abs(off_s) > CLOCK_LIMIT_S
        yield Check("clock", FAIL if bad else PASS, text, "set both by NTP: sudo timedatectl set-ntp true" if bad else "")


def _links(plan: Plan, places: Sequence[Place]) -> Iterator[Check]:
    """Whether the ranks are tied by the fastest link that has a cable: a wrong one works, some ten times slower."""
    for rank, (node, place) in enumerate(zip(plan.nodes, places, strict=True)):
        link = next((link for link in node.links if link.name == node.link), None)
        if link is None:
            continue
        said = f"{node.host} is tied to the others by {link.name} ({_speed(link)})"
        faster = next((other for other in node.links if _better(other, link)), None)
        if faster and not node.named:
            advice = f"give {faster.name} of each an address in one subnet, or name the interface in a cluster file"
            yield Check("link", FAIL, f"{said}, though {faster.name} ({_speed(faster)}) is connected", advice)
            continue
        device = _device(place, f"{plan.nodes[0].address}") if rank else link.name
        if device != link.name:
            text = f"{said}, but reaches {plan.nodes[0].address} by {device or 'no interface'}"
            yield Check("link", WARN if node.named else FAIL, text, f"look at its routes: ip route get {plan.nodes[0].address}")
        else:
            yield Check("link", PASS, said)


def _better(other: Link, link: Link) -> bool:
    if bool(other.rdma) != bool(link.rdma):
        return bool(other.rdma)
    return (other.speed_mbit or 0) > (link.speed_mbit or 0)


def _speed(link: Link) -> str:
    speed = "speed unknown" if link.speed_mbit is None else f"{link.speed_mbit / 1000:g} Gb/s"
    return f"{speed}, RDMA" if link.rdma else speed


def _device(place: Place, address: str) -> str | None:
    """By which it would send there."""
    words = place.host.run(["ip", "-oneline", "route", "get", address], timeout_s=RUN_LIMIT_S).out.split()
    return words[words.index("dev") + 1] if "dev" in words else None


def _ports(plan: Plan, places: Sequence[Place]) -> Iterator[Check]:
    assert plan.launch is not None
    head = places[0]
    wanted: list[tuple[str, Host, str, int]] = [(head.name, head.host, plan.host, plan.port)]
    if head.far and plan.driver_host == head.name:  # it is brought here
        wanted.append(("this machine", LocalHost(), plan.host, plan.port))
    if len(places) > 1:
        wanted += [
            (head.name, head.host, f"{plan.nodes[0].address}", port) for port in topology.ports(plan.engine, plan.launch.argv)
        ]
    for name, host, address, port in wanted:
        if host.port_free(address, port):
            yield Check("port", PASS, f"{port} is free on {name}")
        else:
            owner = host.port_owner(port)
            text = f"port {port} on {name} is taken{f' by {owner}' if owner else ''}"
            yield Check(
                "port", FAIL, text, "end that program" + (", or choose another port: --set port=…" if port == plan.port else "")
            )


def _memory(node: Node, place: Place, least: int) -> Check:
    lines = (place.host.read("/proc/meminfo") or b"").decode().splitlines()
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    if free is None:
        return Check("memory", WARN, f"what is available on {node.host} cannot be read", "look into /proc/meminfo there")
    text = f"{free / GIB:.1f} of {node.memory_bytes / GIB:.1f} GiB are available on {node.host}"
    if free <= least:
        return Check(
            "memory", FAIL, f"{text}, below the floor of {least / GIB:.1f}", "end other programs there, or: --memory-floor"
        )
    return Check("memory", PASS, text)
