"""A result as one file: a plain tar, since `tar xf` opens it on every machine and no library's version has a say in its bytes (the tables
inside are compressed already).

    MANIFEST.json        size and SHA-256 of every file
    plan.json …          the files, in the order of their names
    MANIFEST.json.sig    if it is signed: whoever signs the manifest signs every file, and the rest of the archive stays as it was

A manifest allows exactly one sequence of bytes: each header and all padding follow from it. A bundle with any other byte is refused, so
there are no links, devices, places outside, duplicates or bombs to look for; headers are only read to name what is wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

import msgspec

from harness.errors import StoreError, VerifyError
from harness.schema.bundle import BUNDLE_VERSION, Entry, Manifest
from harness.share.tar import BLOCK, END, FILE_BYTES, NAME_BYTES, header, told
from harness.typed import decoded

MANIFEST, SIGNATURE = "MANIFEST.json", "MANIFEST.json.sig"
CHUNK = 1 << 20
NAME = re.compile(r"[\w+=@,-][\w.+=@, -]*(/[\w+=@,-][\w.+=@, -]*)*", re.ASCII)
SHOWN = 20
BYTES_BEHIND = "the bytes behind it are not empty"
COPY_AGAIN = "copy it again from where it was made; if it is the same there, trust none of it"

Content = Path | bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken from others."""

    total_bytes: int = 8 << 30
    files: int = 10_000
    manifest_bytes: int = 4 << 20
    text_bytes: int = 64 << 20
    """Of a file that is read whole: JSON, YAML."""
    signature_bytes: int = 16 << 10


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle whose every byte is as its manifest says. What its files say is not looked at."""

    folder: Path
    """Private, and gone afterwards."""
    manifest: Manifest
    signed: bytes
    """The manifest as it lies there, which is what is signed."""
    signature: bytes | None


def manifest(files: Mapping[str, Content], *, result: str, harness_version: str) -> Manifest:
    """Raises `StoreError` for a file that cannot be read, or that no bundle can hold."""
    return Manifest(
        result=result,
        harness_version=harness_version,
        files={name: _entry(name, files[name]) for name in sorted(files)},
    )


def write(out: Path, files: Mapping[str, Content], about: Manifest, sign: Callable[[bytes], bytes] | None = None) -> None:
    """Makes the bundle `out`, whole or not at all. `sign` gives the signature of the manifest's bytes. Raises `StoreError`, also for a
    file that is no longer what `about` says."""
    data = encoded(about)
    if problem := _strange(about, Limits(total_bytes=1 << 62)):
        raise StoreError(f"no bundle can hold this result: {problem}", "move what is named out of the result's folder")
    signature = sign(data) if sign else None
    part = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with part.open("xb") as file:
            _put(file, MANIFEST, len(data), iter([data]))
            for name, entry in about.files.items():
                _put(file, name, entry.bytes, _unchanged(name, files[name], entry))
            if signature is not None:
                _put(file, SIGNATURE, len(signature), iter([signature]))
            file.write(END)
            file.flush()
            os.fsync(file.fileno())
        part.replace(out)
    except OSError as error:
        raise StoreError(
            f"{out}: cannot be written: {error.strerror}", "make room, or write it elsewhere: --out FILE"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def signed(data: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """The bytes of a bundle without a signature, with one: as `write` makes it."""
    head = told(data[:BLOCK])
    assert head is not None
    signature = sign(data[BLOCK : BLOCK + head[1]])
    return data.removesuffix(END) + header(SIGNATURE, len(signature)) + signature + bytes(-len(signature) % BLOCK) + END


def encoded(about: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n"


@contextmanager
def opened(path: Path, limits: Limits | None = None) -> Iterator[Opened]:
    """The bundle's files in a folder of their own. Raises `VerifyError` that names every file which is not as the manifest says, is
    missing, or is none of it, or that the limits do not allow; `StoreError` for a bundle that cannot be read."""
    limits = limits or Limits()
    with tempfile.TemporaryDirectory(prefix="harness-bundle-") as name:
        try:
            with path.open("rb") as file:
                found = _open(file, path, Path(name), limits)
        except OSError as error:
            raise StoreError(
                f"{error.filename or path}: {error.strerror}", "see that it is there, and that there is room for its files"
            ) from None
        yield found


def _open(file: BinaryIO, path: Path, folder: Path, limits: Limits) -> Opened:
    size = os.fstat(file.fileno()).st_size
    head = file.read(BLOCK)
    about = told(head)
    if about is None or head != header(MANIFEST, about[1]) or about[1] > limits.manifest_bytes:
        raise VerifyError(f"{path}: it does not begin with {MANIFEST} as the harness packs it", COPY_AGAIN)
    data = file.read(about[1])
    said = _manifest(path, data, limits)
    problems = [f"{MANIFEST}: {BYTES_BEHIND}"] if any(file.read(-len(data) % BLOCK)) else []
    rest = _Rest(file, size, said, folder, limits)
    problems += [problem for problem, _ in zip(rest.read(), range(SHOWN + 1), strict=False)]
    if problems:
        more = ["and more"] if len(problems) > SHOWN else []
        raise VerifyError(f"{path}: {'; '.join([*problems[:SHOWN], *more])}", COPY_AGAIN, tuple(problems))
    return Opened(folder=folder, manifest=said, signed=data, signature=rest.signature)


class _Rest:
    """What follows the manifest, read once from the front to the end."""

    def __init__(self, file: BinaryIO, size: int, about: Manifest, folder: Path, limits: Limits) -> None:
        self.file, self.size, self.folder, self.limits = file, size, folder, limits
        self.left = dict(about.files)
        self.signature: bytes | None = None

    def read(self) -> Iterator[str]:
        """Everything that is wrong. Files that are not go into the folder."""
        while any(block := self.file.read(BLOCK)):
            yield from self._one(block)
        yield from (f"{name}: it is missing" for name in self.left)
        if block + self.file.read(BLOCK + 1) != END:
            yield f"the end of the archive: it is not {len(END)} empty bytes"

    def _one(self, block: bytes) -> Iterator[str]:
        name = next(iter(self.left), None)
        if name is not None and block == header(name, self.left[name].bytes):
            yield from self._take(name, self.left.pop(name))
            return
        seen = told(block)
        if seen is None:
            yield f"{name or 'behind the last file'}: its header was changed"
            self._skip(self.left.pop(name).bytes if name else self.size)
            return
        found, size = seen
        if found == SIGNATURE and not self.left and self.signature is None and block == header(found, size):
            yield from self._sign(size)
            return
        if found in self.left:
            for missing in list(takewhile(lambda each: each != found, self.left)):
                del self.left[missing]
                yield f"{missing}: it is missing"
            entry = self.left.pop(found)
            if block == header(found, entry.bytes):
                yield from self._take(found, entry)
                return
            yield f"{found}: its header says {size:,} bytes or another kind of file, the manifest {entry.bytes:,} bytes"
        else:
            yield f"{found}: the manifest does not have it, or has it once and elsewhere"
        self._skip(size)

    def _take(self, name: str, entry: Entry) -> Iterator[str]:
        digest, left = hashlib.sha256(), entry.bytes
        to = self.folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        with to.open("xb") as copy:
            while data := self.file.read(min(left, CHUNK)):
                left -= len(data)
                digest.update(data)
                copy.write(data)
        if left:
            yield f"{name}: {left:,} of its {entry.bytes:,} bytes are cut off"
        elif digest.hexdigest() != entry.sha256:
            yield f"{name}: its SHA-256 is {digest.hexdigest()}, the manifest says {entry.sha256}"
        if any(self.file.read(-entry.bytes % BLOCK)):
            yield f"{name}: {BYTES_BEHIND}"

    def _sign(self, size: int) -> Iterator[str]:
        if size > self.limits.signature_bytes:
            yield f"{SIGNATURE}: {size:,} bytes are no signature"
            self._skip(size)
            return
        self.signature = self.file.read(size)
        if any(self.file.read(-size % BLOCK)):
            yield f"{SIGNATURE}: {BYTES_BEHIND}"

    def _skip(self, size: int) -> None:
        self.file.seek(min(self.file.tell() + size + -size % BLOCK, self.size))


def _manifest(path: Path, data: bytes, limits: Limits) -> Manifest:
    """Raises `VerifyError` for one that `write` does not write, `StoreError` for one of another version."""
    try:
        version = decoded(data, _Versioned).schema_version
        if version != BUNDLE_VERSION:
            raise StoreError(
                f"{path}: its bundle format is version {version}, this harness reads {BUNDLE_VERSION}",
                "read it with a newer harness",
            )
        about = decoded(data, Manifest)
        problem = _strange(about, limits) or ("" if encoded(about) == data else "it is not as the harness writes it")
    except msgspec.MsgspecError as error:
        problem = str(error)
    if problem:
        raise VerifyError(f"{path}: {MANIFEST}: {problem}", COPY_AGAIN, (f"{MANIFEST}: {problem}",))
    return about


class _Versioned(msgspec.Struct):
    schema_version: int


def _strange(about: Manifest, limits: Limits) -> str:
    """What no manifest of ours has; empty: nothing."""
    names = list(about.files)
    total = sum(entry.bytes for entry in about.files.values())
    if len(names) > limits.files:
        return f"{len(names):,} files, and no more than {limits.files:,} are taken"
    if names != sorted(names):
        return "its files are not in the order of their names"
    if long := next((name for name in names if len(name) > NAME_BYTES), None):  # first: its folders could fill the memory
        return f"no file of a bundle is called {long[:NAME_BYTES]!r}…"
    folders = {str(parent) for name in names for parent in Path(name).parents}
    for name, entry in about.files.items():
        if not NAME.fullmatch(name) or name in folders or name in (MANIFEST, SIGNATURE):
            return f"no file of a bundle is called {name!r}"
        most = limits.text_bytes if name.endswith((".json", ".yaml")) else FILE_BYTES
        if not 0 <= entry.bytes <= most:
            return f"{name}: {entry.bytes:,} bytes, and no more than {most:,} are taken"
        if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            return f"{name}: {entry.sha256[:64]!r} is no SHA-256"
    return f"{total:,} bytes, and no more than {limits.total_bytes:,} are taken" if total > limits.total_bytes else ""


def _entry(name: str, content: Content) -> Entry:
    digest, size = hashlib.sha256(), 0
    for data in _chunks(name, content):
        digest.update(data)
        size += len(data)
    return Entry(size, digest.hexdigest())


def _unchanged(name: str, content: Content, entry: Entry) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    for data in _chunks(name, content):
        digest.update(data)
        size += len(data)
        yield data
    if (size, digest.hexdigest()) != (entry.bytes, entry.sha256):
        raise StoreError(f"{content if isinstance(content, Path) else name}: it was changed meanwhile", "bundle it again")


def _chunks(name: str, content: Content) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    try:
        with content.open("rb") as file:
            while data := file.read(CHUNK):
                yield data
    except OSError as error:
        raise StoreError(f"{content}: cannot be read: {error.strerror}", f"without {name} there is no bundle") from None


def _put(file: BinaryIO, name: str, size: int, content: Iterator[bytes]) -> None:
    file.write(header(name, size))
    file.writelines(content)
    file.write(bytes(-size % BLOCK))
