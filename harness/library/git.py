"""A repository's YAML files, by the user's own `git`. It is cloned without a work tree and read object by object, so that no hook,
filter, attribute or link of it takes effect; what comes is held against the hash that the commit names it by. Nobody is asked for a
password or about a host's key: the user's agent, keys and credential helpers have what is needed, or it is an error."""

from __future__ import annotations

import hashlib
import re
import shlex
import signal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from harness.errors import RecipeError
from harness.far import GIT_SSH
from harness.hosts.base import Host
from harness.library.files import MOST, Found, acceptable, too_many

CLONE_LIMIT_S, READ_LIMIT_S = 300.0, 30.0
LARGEST = 256 << 20
"""Bytes of a clone's newest commit, packed: collections of recipes have some hundred kB."""
LONGEST_LIST = 32 << 20
"""Bytes of the list of its files: trees within trees can name more of them than there are atoms."""
STALLED_S = 60
TRANSPORTS = ("https", "ssh", "file")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:(?!//)")
_FORGET = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_TEMPLATE_DIR")
_REGULAR = ("100644", "100755")


def is_address(source: str) -> bool:
    """`https://…`, `ssh://…`, `file://…`, `git@host:path`."""
    return bool(_ADDRESS.match(source))


def is_remote(source: str) -> bool:
    return is_address(source) and not source.startswith("file://")


def without_secret(source: str) -> str:
    """The address as it may be stored: no name or password in it."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if parts.scheme != "ssh" else source


def fetch(host: Host, address: str, into: Path) -> tuple[str, list[Found]]:
    """(commit, its YAML files); `into` is an empty folder. Raises `RecipeError`."""
    allowed = [f"protocol.{name}.allow=always" for name in TRANSPORTS]
    # git's helper for https outlives a git that is killed, so it gives up by itself
    stalled = ["http.lowSpeedLimit=1", f"http.lowSpeedTime={STALLED_S}"]
    chosen = [word for it in ("protocol.allow=never", *allowed, *stalled, "core.hooksPath=/dev/null") for word in ("-c", it)]
    copy, listed = str(into / "copy"), into / "list"
    clone = ["clone", "--bare", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--", address, copy]
    _git(host, address, [*chosen, *clone], CLONE_LIMIT_S)
    here = ["--git-dir", copy]
    commit = _git(host, address, [*here, "rev-parse", "HEAD"], READ_LIMIT_S).strip()
    tree = [*here, "ls-tree", "-r", "-l", "-z", "--full-tree", commit]
    _git(host, address, tree, READ_LIMIT_S, out=str(listed), largest=LONGEST_LIST)
    lines = (host.read(str(listed), LONGEST_LIST) or b"").decode("utf-8", "replace").split("\0")[:-1]
    wanted = [line for line in lines if acceptable(line.partition("\t")[2])]
    if len(wanted) > MOST:
        raise too_many(without_secret(address))
    return commit, [_found(host, address, here, line) for line in wanted]


def _found(host: Host, address: str, here: list[str], line: str) -> Found:
    """A line of `git ls-tree`: `MODE blob NAME SIZE<tab>PATH`."""
    words, _, path = line.partition("\t")
    mode, _, name, size = words.split()
    if mode not in _REGULAR:
        return Found(path, None, "not a file of its own, but a link")
    if int(size) > Found.LARGEST:
        return Found(path, None, f"larger than {Found.LARGEST >> 10} KiB")
    data = _git(host, address, [*here, "cat-file", "blob", name], READ_LIMIT_S).encode()
    return Found(path, data, "") if _hash(data, name) == name else Found(path, None, "not UTF-8 text")


def _git(host: Host, address: str, words: list[str], limit_s: float, *, out: str = "", largest: int | None = None) -> str:
    """What git prints; into the file `out`, where one is named. No file of its making may be larger than so many bytes."""
    forget = [word for name in _FORGET for word in ("-u", name)]
    script = f'ulimit -f {(largest or LARGEST) // 512} && export GIT_SSH_COMMAND="{GIT_SSH}" && exec git "$@"'
    script += f" > {shlex.quote(out)}" if out else ""
    argv = ["env", *forget, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "sh", "-c", script, "git", *words]
    ran = host.run(argv, timeout_s=limit_s)
    if ran.code == 0:
        return ran.out
    shown = without_secret(address)
    if ran.code == 127:
        raise RecipeError(f"{shown}: git is not installed", "install it, or copy the files here and name their folder")
    if ran.code == -signal.SIGXFSZ:
        raise too_many(shown)
    lines = [line for line in ran.err.splitlines() if line.strip()] or [f"git ended with {ran.code}"]
    if ran.code is None:
        lines = [f"it did not end within {limit_s:g} s"]
    at = next((n for n, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
    said = " ".join(lines[: at + 1][-2:])  # ssh gives its reason before git's
    hint = f"look at it with: git clone {shown} (at most {LARGEST >> 20} MiB are taken)"
    raise RecipeError(f"{shown}: git cannot read it: {said}", hint)


def _hash(data: bytes, like: str) -> str:
    """Git's name for a file's content."""
    made = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
    made.update(b"blob %d\0" % len(data) + data)
    return made.hexdigest()
