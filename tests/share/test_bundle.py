"""A bundle is exactly what its manifest says: the same run gives the same bytes, and no other byte passes."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from harness import verify
from harness.errors import HarnessError, StoreError, UsageError, VerifyError
from harness.schema.bundle import Entry, Manifest
from harness.schema.doctor import FAIL
from harness.share import bundle
from harness.share.tar import BLOCK, END, header
from harness.store import folder
from tests.share import forger
from tests.share.make_golden import GOLDEN

FILES: dict[str, bundle.Content] = {"a.txt": b"one", "b/c.txt": b"", "b/d.bin": bytes(range(256)) * 5}
ABOUT = bundle.manifest(FILES, result="abc123", harness_version="0.1.0")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    bundle.write(tmp_path / "made.tar", FILES, ABOUT)
    return tmp_path / "made.tar"


def refused(path: Path, data: bytes, limits: bundle.Limits | None = None) -> str:
    """What is said of a bundle of these bytes; fails where nothing is, or where something is left or written elsewhere."""
    path.write_bytes(data)
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(HarnessError) as caught, bundle.opened(path, limits):
        pass
    assert sorted(path.parent.rglob("*")) == before
    return caught.value.message


def entry(name: str, content: bytes) -> bytes:
    return header(name, len(content)) + content + bytes(-len(content) % BLOCK)


def archive(about: Manifest, *parts: bytes) -> bytes:
    return b"".join([entry(bundle.MANIFEST, bundle.encoded(about)), *parts, END])


PARTS = [entry(name, content) for name, content in sorted(FILES.items()) if isinstance(content, bytes)]


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    sums = set()
    for number, umask in enumerate((0o022, 0o077)):
        run = forger.unpacked(tmp_path / str(number) / "results" / "r" / "run")
        for file in sorted(run.rglob("*"), reverse=bool(number)):
            os.utime(file, (number * 10**9, number * 10**9))
            file.chmod(0o700 if file.is_dir() else (0o600, 0o444)[number])
        (run / "report.html").write_text(f"page {number}")
        cwd = tmp_path / f"elsewhere{number}"
        cwd.mkdir()
        words = [sys.executable, "-m", "harness", "results", "bundle", str(run), "--out", f"out{number}.tar"]
        done = subprocess.run(words, cwd=cwd, umask=umask, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        sums.add(hashlib.sha256((cwd / f"out{number}.tar").read_bytes()).hexdigest())
    assert sums == {hashlib.sha256(GOLDEN.read_bytes()).hexdigest()}


def test_the_order_of_files_has_no_say(made: Path) -> None:
    other = dict(reversed(FILES.items()))
    bundle.write(made.with_name("other.tar"), other, bundle.manifest(other, result="abc123", harness_version="0.1.0"))
    assert made.with_name("other.tar").read_bytes() == made.read_bytes() == archive(ABOUT, *PARTS)


def test_tar_opens_it(made: Path) -> None:
    done = subprocess.run(["tar", "xvf", str(made)], cwd=made.parent, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == ([bundle.MANIFEST, *sorted(FILES)], "")
    for name, content in FILES.items():
        assert (made.parent / name).read_bytes() == content
    with tarfile.open(made) as read:
        assert {(m.uid, m.gid, m.uname, m.gname, m.mode, m.mtime) for m in read} == {(0, 0, "", "", 0o644, 315_532_800)}


def test_what_went_in_comes_out(made: Path) -> None:
    with bundle.opened(made) as found:
        assert (found.manifest, found.signature) == (ABOUT, None)
        assert {name: (found.folder / name).read_bytes() for name in ABOUT.files} == FILES
        assert found.folder.stat().st_mode & 0o077 == 0
    assert not found.folder.exists()


def positions(data: bytes, about: Manifest, chosen: random.Random) -> Iterator[tuple[int, str]]:
    """(place, file), in every header, content and padding: the first, the last, and some in between."""
    at = 0
    sizes = {bundle.MANIFEST: len(bundle.encoded(about)), **{name: each.bytes for name, each in about.files.items()}}
    for name, size in sizes.items():
        whole = range(at, at + BLOCK + size + -size % BLOCK)
        head, body, behind = whole[:BLOCK], whole[BLOCK : BLOCK + size], whole[BLOCK + size :]
        for part, number in ((head, 24), (body, 120 if name == bundle.MANIFEST else 16), (behind, 8)):
            yield from ((place, name) for place in {*part[:1], *part[-1:], *chosen.sample(part, min(number, len(part)))})
        at = whole.stop
    end = range(at, len(data))
    yield from ((place, "the end of the archive") for place in {*end[:1], *end[-1:], *chosen.sample(end, 16)})


@pytest.mark.parametrize("path", [pytest.param(GOLDEN, id="golden"), pytest.param(None, id="small")])
def test_any_changed_byte_is_found(path: Path | None, made: Path) -> None:
    data = bytearray((path or made).read_bytes())
    with bundle.opened(path or made) as found:
        about = found.manifest
    chosen = random.Random(7)
    target = made.with_name("changed.tar")
    tried = 0
    for place, name in positions(bytes(data), about, chosen):
        old = data[place]
        data[place] ^= chosen.randrange(1, 256)
        target.write_bytes(data)
        said = problems(target)
        assert said, f"byte {place} ({name}) may be {data[place]} instead of {old}"
        if name not in (bundle.MANIFEST, "the end of the archive"):
            assert any(name in each for each in said), (place, name, said)
        data[place] = old
        tried += 1
    assert tried > 250


def problems(path: Path) -> list[str]:
    """What is wrong with a bundle; of those whose archive is sound what verifying finds."""
    try:
        with bundle.opened(path) as found:
            if found.manifest.result == ABOUT.result and found.manifest.harness_version == ABOUT.harness_version:
                return []
            if not (found.folder / "result.json").exists():
                return ["the manifest's words are held against result.json, which the small bundle has not"]
        return [check.text for check in verify.checks(path) if check.status == FAIL]
    except VerifyError as error:
        return list(error.problems)
    except StoreError as error:
        return [error.message]


def test_each_file_that_is_wrong_missing_or_too_many_is_named(made: Path) -> None:
    one, two, three = PARTS
    for parts, said in (
        ((one, three), ["b/c.txt: it is missing"]),
        ((), ["a.txt: it is missing", "b/c.txt: it is missing", "b/d.bin: it is missing"]),
        ((one, two, three, entry("e", b"x")), ["e: the manifest does not have it, or has it once and elsewhere"]),
        ((entry("0", b"x" * 600), one, two, three), ["0: the manifest does not have it, or has it once and elsewhere"]),
        ((one, one, two, three), ["a.txt: the manifest does not have it, or has it once and elsewhere"]),
        (
            (entry("a.txt", b"four"), two, three),
            ["a.txt: its header says 4 bytes or another kind of file, the manifest 3 bytes"],
        ),
        ((two, one, three), ["a.txt: it is missing", "a.txt: the manifest does not have it, or has it once and elsewhere"]),
    ):
        made.write_bytes(archive(ABOUT, *parts))
        with pytest.raises(VerifyError) as caught, bundle.opened(made):
            pass
        assert list(caught.value.problems) == said
        assert all(each in caught.value.message for each in said)
    changed = archive(ABOUT, entry("a.txt", b"two"), two, entry("b/d.bin", bytes(1280)))
    assert (message := refused(made, changed)).count("its SHA-256 is") == 2
    assert "a.txt" in message
    assert "b/d.bin" in message


def linked(kind: bytes, name: str = "a.txt") -> bytes:
    """A header of another kind, whose own sum is right."""
    block = bytearray(header(name, 3))
    block[156:157] = kind
    block[157:168] = b"/etc/passwd"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"one".ljust(BLOCK, b"\0")


@pytest.mark.parametrize("kind", [bytes([kind]) for kind in b"1234567gxSLK\0"], ids=repr)
def test_nothing_but_plain_files(made: Path, kind: bytes) -> None:
    assert "a.txt" in refused(made, archive(ABOUT, linked(kind), *PARTS[1:]))
    assert "x: the manifest does not have it" in refused(made, archive(ABOUT, *PARTS, linked(kind, "x")))


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/x",
        "a/../../x",
        "./x",
        "a//x",
        "a/",
        "",
        ".x",
        "x\n",
        "x\0y",
        "\\x",
        "é",
        "x" * 101,
        "a.txt/x",
        "MANIFEST.json",
    ],
)
def test_names_stay_inside(made: Path, name: str) -> None:
    files = {**ABOUT.files, name: Entry(1, hashlib.sha256(b"x").hexdigest())}
    about = msgspec.structs.replace(ABOUT, files=dict(sorted(files.items())))
    contents = {**FILES, name: b"x"}
    parts = [entry(each, data) for each in about.files if isinstance(data := contents[each], bytes)] if name.isascii() else []
    assert bundle.MANIFEST in refused(made, archive(about, *parts))
    with pytest.raises(StoreError, match="no bundle can hold this result"):
        bundle.write(made.with_name("out.tar"), {**FILES, name: b"x"}, about)
    assert not made.with_name("out.tar").exists()


def test_bombs(made: Path) -> None:
    def sized(size: int, name: str = "a.txt") -> Manifest:
        return msgspec.structs.replace(ABOUT, files={**ABOUT.files, name: Entry(size, "0" * 64)})

    whole = archive(ABOUT, *PARTS)
    assert "bytes" in refused(made, archive(sized(8**11), *PARTS))
    assert "bytes" in refused(made, archive(sized(-1), *PARTS))
    assert "10,000,000,000 bytes" in refused(made, archive(sized(10**10), *PARTS))
    assert "cut off" in refused(made, archive(sized(10**9), header("a.txt", 10**9)))
    assert "no more than" in refused(made, archive(sized(10**9, "plan.json"), *PARTS))
    assert "no more than 2 are taken" in refused(made, whole, bundle.Limits(files=2))
    assert "no more than 1,000 are taken" in refused(made, whole, bundle.Limits(total_bytes=1000))
    assert "does not begin with" in refused(made, header(bundle.MANIFEST, 8**11 - 1) + bytes(BLOCK))
    assert bundle.MANIFEST in refused(made, entry(bundle.MANIFEST, b'{"schema_version":1,"x":' + b"[" * 10**6) + END)
    deep = msgspec.structs.replace(ABOUT, files={"/".join("a" * 20_000): Entry(1, "0" * 64)})
    tracemalloc.start()
    assert len(refused(made, archive(deep))) < 500
    assert tracemalloc.get_traced_memory()[1] < 1 << 20, "the names of all its folders are 400 MB"
    tracemalloc.stop()
    many = b"".join(entry(f"x{number}", b"") for number in range(5000))
    assert len(refused(made, archive(ABOUT, many))) < 5000


def test_what_is_cut_off_or_goes_on(made: Path) -> None:
    data = made.read_bytes()
    for end in chain(range(0, len(data), BLOCK), range(1, len(data), 997)):
        assert refused(made, data[:end])
    assert "the end" in refused(made, data + b"\0")
    assert "the end" in refused(made, data + bytes(8192))
    assert refused(made, data + data)
    assert refused(made, b"")


def test_another_spelling_of_the_manifest(made: Path) -> None:
    data = bundle.encoded(ABOUT)
    for other in (
        data[:-1] + b" ",
        data.replace(b'"files": {', b'"more": 1,\n "files": {'),
        data.replace(b'"abc123"', b'"\\u0061bc123"'),
        data.replace(b'"a.txt": {', b'"a.txt": {},\n  "a.txt": {'),
        msgspec.json.encode(ABOUT),
    ):
        assert bundle.MANIFEST in refused(made, b"".join([entry(bundle.MANIFEST, other), *PARTS, END]))
    newer = msgspec.structs.replace(ABOUT, schema_version=2)
    assert "its bundle format is version 2, this harness reads 1" in refused(made, archive(newer, *PARTS))
    backwards = msgspec.structs.replace(ABOUT, files=dict(reversed(ABOUT.files.items())))
    assert "not in the order" in refused(made, archive(backwards, *reversed(PARTS)))


def test_no_half_bundle(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("before")
    files: dict[str, bundle.Content] = {"a.txt": tmp_path / "a.txt"}
    about = bundle.manifest(files, result="x", harness_version="0.1.0")
    (tmp_path / "a.txt").write_text("behind")
    with pytest.raises(StoreError, match="changed meanwhile"):
        bundle.write(tmp_path / "out.tar", files, about)
    with pytest.raises(StoreError, match="cannot be written"):
        bundle.write(tmp_path / "none" / "out.tar", {}, bundle.manifest({}, result="x", harness_version="0.1.0"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_bundled(tmp_path: Path) -> None:
    run = forger.unpacked(tmp_path / "run")
    (run / "report.html").write_text("a page")
    assert sorted(folder.evidence(run)) == sorted([*folder.EVIDENCE, "logs/engine.log"])
    (tmp_path / "secret").write_text("secret")
    (run / "logs" / "leak").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match="it is a link"):
        folder.evidence(run)
    (run / "logs" / "leak").unlink()
    (run / "logs").rename(tmp_path / "logs")
    (run / "logs").symlink_to(tmp_path / "logs")
    with pytest.raises(StoreError, match="it is a link"):
        folder.evidence(run)
    (run / "logs").unlink()
    (run / "samples.parquet").unlink()
    with pytest.raises(StoreError, match="it is missing"):
        folder.evidence(run)
    forger.change_json(run / "result.json", lambda data: data.update(state="running"))
    with pytest.raises(StoreError, match="has not ended"):
        folder.evidence(run)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    run = forger.unpacked(tmp_path / "run")
    words = [sys.executable, "-m", "harness", "results", "bundle", str(run), "--out", str(run / "plan.json")]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (UsageError.exit_code, 2)
    assert "it is there already" in done.stderr
