"""A repository's YAML files, by the user's own `git`. It is cloned without a work tree and read object by object, so that no hook,
filter, attribute or link of it takes effect; what comes is held against the hash that the commit names it by."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from harness.errors import RecipeError
from harness.hosts.base import Host
from harness.library.files import Found, acceptable

CLONE_LIMIT_S, READ_LIMIT_S = 300.0, 30.0
LARGEST = 256 << 20
"""Bytes of a clone's newest commit, packed: collections of recipes have some hundred kB."""
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
    allowed = [word for name in TRANSPORTS for word in ("-c", f"protocol.{name}.allow=always")]
    clone = ["clone", "--bare", "--quiet", "--depth=1", "--single-branch", "--no-tags", "--", address, str(into)]
    _git(host, address, ["-c", "protocol.allow=never", *allowed, "-c", "core.hooksPath=/dev/null", *clone], CLONE_LIMIT_S)
    here = ["--git-dir", str(into)]
    commit = _git(host, address, [*here, "rev-parse", "HEAD"], READ_LIMIT_S).strip()
    tree = _git(host, address, [*here, "ls-tree", "-r", "-l", "-z", "--full-tree", commit], READ_LIMIT_S)
    found = []
    for line in tree.split("\0")[:-1]:
        words, _, path = line.partition("\t")
        mode, _, name, size = words.split()
        if not acceptable(path):
            continue
        if mode not in _REGULAR:
            found.append(Found(path, None, "not a file of its own, but a link"))
        elif int(size) > Found.LARGEST:
            found.append(Found(path, None, f"larger than {Found.LARGEST >> 10} KiB"))
        else:
            data = _git(host, address, [*here, "cat-file", "blob", name], READ_LIMIT_S).encode()
            same = _hash(data, name) == name
            found.append(Found(path, data, "") if same else Found(path, None, "not UTF-8 text"))
    return commit, found


def _git(host: Host, address: str, words: list[str], limit_s: float) -> str:
    forget = [word for name in _FORGET for word in ("-u", name)]
    blocks = str(LARGEST // 512)
    argv = ["env", *forget, "GIT_TERMINAL_PROMPT=0", "sh", "-c", 'ulimit -f "$0" && exec git "$@"', blocks, *words]
    ran = host.run(argv, timeout_s=limit_s)
    if ran.code == 0:
        return ran.out
    if ran.code == 127:
        raise RecipeError(
            f"{without_secret(address)}: git is not installed", "install it, or copy the files here and name their folder"
        )
    lines = [line for line in ran.err.splitlines() if line.strip()] or [f"git ended with {ran.code}"]
    said = next((line for line in lines if line.startswith("fatal:")), lines[-1])
    hint = f"look at it with: git clone {without_secret(address)} (at most {LARGEST >> 20} MiB are taken)"
    raise RecipeError(f"{without_secret(address)}: git cannot read it: {said}", hint)


def _hash(data: bytes, like: str) -> str:
    """Git's name for a file's content."""
    made = hashlib.sha256() if len(like) == 64 else hashlib.sha1(usedforsecurity=False)
    made.update(b"blob %d\0" % len(data) + data)
    return made.hexdigest()
