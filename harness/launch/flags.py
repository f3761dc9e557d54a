"""Asks an engine which flags it knows: the recipe's own image, else the engine that is installed here; our own two say it themselves.

vLLM and SGLang have to be imported for that, which takes 5 to 25 s on two cores, so the answer is kept, by the image's digest or by the
wheel's list of files with their hashes. llama-server answers in 30 ms. Nothing is started, and a container gets no network.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from harness.engines import embedded, llamacpp_help, tell_flags
from harness.hosts.base import Host, Ran
from harness.schema.flags import Flags
from harness.schema.machine import Machine
from harness.typed import converted, decoded

LIMIT_S = 180.0
"""The first import after a start of the machine reads some GB."""
QUICK_S = 5.0
RECORD_LIMIT = 8 << 20
SOURCE = Path(tell_flags.__file__).read_text(encoding="utf-8")
FIND_LLAMA = 'exec "$(command -v llama-server || echo /app/llama-server)" --help'
"""Where llama.cpp's own images have it."""

Say = Callable[[str], None]


class Asked(NamedTuple):
    flags: Flags | None
    own: bool = False
    """Whether it is the very program that the recipe starts, and not another build of the engine."""
    reason: str = ""
    """Why nobody answered."""


class _Source(NamedTuple):
    """Whom to ask."""

    argv: list[str]
    key: str | None
    """What the answer holds for; None: it cannot be told, so the answer is not kept."""
    what: str
    clean_up: tuple[str, ...] = ()
    """What ends it when it takes too long."""


def ask(host: Host, machine: Machine, engine: str, image: str | None, *, kept: Path | None, say: Say | None = None) -> Asked:
    """`kept` is the folder of earlier answers. `say` is told when it is going to take seconds; without it only what is at hand is told:
    an earlier answer, or a quick one."""
    if engine in ("embedded", "paced"):
        return Asked(_ours(engine), own=True)
    reason = f"{engine or 'the engine'} is not installed here"
    for source, own in _sources(host, machine, engine, image):
        answer = _answer(host, engine, source, kept, say)
        if isinstance(answer, Flags):
            return Asked(answer, own)
        reason = answer
    return Asked(None, reason=reason)


def elsewhere(machine: Machine, engine: str) -> Machine:
    """For another machine to be asked as this one is: its own Docker, and the engine where it lies here, else on its PATH."""
    return msgspec.structs.replace(machine, docker=machine.docker or "", engines={engine: "", **machine.engines})


def _sources(host: Host, machine: Machine, engine: str, image: str | None) -> list[tuple[_Source, bool]]:
    found = []
    if image is not None and machine.docker is not None and (source := _image(host, engine, image)):
        found.append((source, True))
    if engine in machine.engines and (source := _installed(host, engine, machine.engines[engine])):
        found.append((source, image is None))
    return found


def _ours(engine: str) -> Flags:
    from harness.engines.paced.__main__ import parser as paced

    parser = embedded.parser() if engine == "embedded" else paced()
    return converted(tell_flags.told(engine, "", parser), Flags)


def _image(host: Host, engine: str, image: str) -> _Source | None:
    """None where the image is not here: it is not fetched for this."""
    asked = host.run(["docker", "image", "inspect", "--format", "{{.Id}}", image], timeout_s=QUICK_S)
    digest = asked.out.strip()
    if asked.code != 0 or not digest:
        return None
    name = f"spark-harness-flags-{hashlib.sha256(digest.encode()).hexdigest()[:12]}"
    words = ["-c", FIND_LLAMA] if engine == "llamacpp" else ["-c", SOURCE, engine]
    program = "sh" if engine == "llamacpp" else "python3"
    apart = ("--pull", "never", "--name", name, "--network", "none")
    argv = ["docker", "run", "--rm", *apart, "--entrypoint", program, digest, *words]
    return _Source(argv, digest, image, ("docker", "rm", "-f", name))


def _installed(host: Host, engine: str, folder: str) -> _Source | None:
    """`folder` "": the one on the PATH."""
    program = "llama-server" if engine == "llamacpp" else engine
    path = f"{folder}/{program}" if folder else host.run(["sh", "-c", f"command -v {program}"], timeout_s=QUICK_S).out.strip()
    if engine == "llamacpp":
        return _Source([path, "--help"], None, path) if path else None
    python = f"{folder}/python3" if folder else _interpreter(host, path)
    return _Source([python, "-c", SOURCE, engine], _wheel(host, engine, python), python) if python else None


def _interpreter(host: Host, script: str) -> str | None:
    """The Python that a script on the PATH runs on."""
    first = (host.read(script) or b"").partition(b"\n")[0].decode("utf-8", "replace")
    words = first.removeprefix("#!").split()
    return words[0] if first.startswith("#!") and len(words) == 1 else None


def _wheel(host: Host, engine: str, python: str) -> str | None:
    """Stands for every file that was installed: wheels record them with their hashes."""
    prefix = str(Path(python).parent.parent)
    records = [
        data
        for name in ("METADATA", "RECORD")
        for path in host.glob(f"{prefix}/lib/python3*/*-packages/{engine}*.dist-info/{name}")
        if (data := host.read(path, RECORD_LIMIT))
    ]
    return hashlib.sha256(b"".join(records)).hexdigest() if records else None


def _answer(host: Host, engine: str, source: _Source, folder: Path | None, say: Say | None) -> Flags | str:
    """What the engine knows, or why it is not known."""
    kept = None
    if source.key is not None and folder is not None:
        key = hashlib.sha256(f"{source.key} {SOURCE}".encode()).hexdigest()[:16]
        kept = folder / f"{engine}-{key}.json"
        try:
            return decoded(kept.read_bytes(), Flags)
        except (OSError, msgspec.MsgspecError):
            pass
    at_once = engine == "llamacpp" and not source.clean_up
    if say is None and not at_once:
        return f"{source.what} was not asked yet"
    if say is not None and not at_once:
        say(f"Asking {source.what} for the flags of {engine}, once: it takes some seconds")
    ran = host.run(source.argv, timeout_s=LIMIT_S)
    if ran.code is None and source.clean_up:
        host.run(source.clean_up, timeout_s=QUICK_S)
    found = _understood(engine, source, ran)
    if isinstance(found, Flags) and kept is not None:
        _keep(kept, found)
    return found


def _understood(engine: str, source: _Source, ran: Ran) -> Flags | str:
    try:
        if ran.code == 0 and engine == "llamacpp":
            found = llamacpp_help.flags(ran.out, "")
            return found if found.options else f"{source.what} --help names no flags"
        if ran.code == 0:
            return decoded(ran.out, Flags)
        said = [line for line in ran.err.splitlines() if line.strip() and "'docker run --help'" not in line]
        why = (said or ["it said nothing"])[-1]
    except msgspec.MsgspecError as error:
        why = str(error)
    return f"{source.what} does not tell its flags: {why[:200]}"


def _keep(path: Path, flags: Flags) -> None:
    """A cache that cannot be written costs the next run some seconds, and nothing else."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(flags))
        new.replace(path)
    except OSError:
        pass
