"""The last look, without any redaction before it: each kind in every wrapping is found, told by place, and never printed."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import duckdb
import msgspec
import pytest

from harness import secret
from harness.errors import VerifyError
from harness.share import scan
from tests.share.planted import ALL, IDENTIFIERS, OWN, SECRETS

ROOT = Path(__file__).parents[2]


def archive(name: str, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("x.txt", data)
    return file.getvalue()


def in_json(text: str) -> bytes:
    return msgspec.json.encode({"a": [{"b": text}]})


WRAPPINGS: dict[str, Callable[[str], bytes]] = {
    "as it is": str.encode,
    "in a sentence": lambda text: f"error: cannot use '{text}', give another\n".encode(),
    "in JSON": in_json,
    "in JSON in a string in JSON": lambda text: in_json(in_json(in_json(text).decode()).decode()),
    "in YAML's comment": lambda text: f"model: m # {text}\n".encode(),
    "in base64": lambda text: base64.b64encode(f"x {text} y".encode()),
    "in base64 of several lines": lambda text: base64.encodebytes(f"{'x ' * 40}{text} y".encode()),
    "in base64 in JSON in base64": lambda text: base64.b64encode(in_json(base64.b64encode(f"a {text}".encode()).decode())),
    "with percent signs": lambda text: quote(f"x {text}", safe="").encode(),
    "in hexadecimal digits": lambda text: f" {text}".encode().hex().encode(),
    "in UTF-16": lambda text: f" {text} ".encode("utf-16"),
    "in gzip": lambda text: gzip.compress(f" {text} ".encode()),
    "in zip": lambda text: zipped(f" {text} ".encode()),
    "in tar in gzip": lambda text: gzip.compress(archive("a.txt", f" {text} ".encode())),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_all_that_is_planted_is_found_and_not_printed(wrapping: str) -> None:
    missed = []
    for kind, planted in ALL.items():
        hits = scan.scan({"logs/x.bin": WRAPPINGS[wrapping](planted)}, OWN)
        if not hits:
            missed.append(kind)
        for hit in hits:
            assert len(hit.shown) <= 4
            assert hit.place.startswith("logs/x.bin")
            assert planted not in str(hit)
    assert not missed


@pytest.mark.parametrize("kind", ALL)
def test_in_names_of_files(kind: str) -> None:
    planted = ALL[kind]
    assert scan.scan({f"logs/{planted}.log": b""}, OWN)
    assert scan.scan({"x.tar": archive(planted.replace("\n", " ")[:90], b"")}, OWN) or len(planted) > 90


def test_in_tables(tmp_path: Path) -> None:
    db = duckdb.connect()
    db.execute("CREATE TABLE t (t_ns BIGINT, text VARCHAR)")
    planted = [f" {each} " for each in ALL.values()]
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, each) for n, each in enumerate(planted)])
    for name, compression in (("a", "zstd"), ("b", "uncompressed"), ("c", "snappy")):
        db.execute(f"COPY t TO '{tmp_path / name}' (FORMAT parquet, COMPRESSION {compression})")
        found = {hit.kind for hit in scan.scan({"events.parquet": (tmp_path / name).read_bytes()}, OWN)}
        assert len(found) > 35
        assert "private key" in found


def test_over_several_rows_of_a_table(tmp_path: Path) -> None:
    """A model that says a key says it token by token."""
    db = duckdb.connect()
    db.execute("CREATE TABLE t (text VARCHAR)")
    key = SECRETS["Hugging Face"]
    db.executemany("INSERT INTO t VALUES (?)", [(" ",), *((key[n : n + 3],) for n in range(0, len(key), 3))])
    db.execute(f"COPY t TO '{tmp_path / 'x'}' (FORMAT parquet)")
    (hit,) = scan.scan({"events.parquet": (tmp_path / "x").read_bytes()})
    assert str(hit) == "events.parquet: column text: Hugging Face token (hf_q…)"


def test_a_hit_is_an_error_with_its_place() -> None:
    with pytest.raises(VerifyError) as caught:
        scan.require({"a.txt": b"x", "plan.json": in_json(SECRETS["GitHub"])})
    assert caught.value.message == "nothing was sent, as it holds what must not leave: plan.json: GitHub token (ghp_…)"
    scan.require({"a.txt": b"x"}, OWN)


HARMLESS = (
    "vllm 0.11.0rc2.dev5+g1a2b3c4d5, CUDA 12.0.1.2, driver version 580.95.5.1, nvidia-nccl-cu13==2.27.7.1",
    "http://127.0.0.1:8000 http://localhost:30000 [::1]:8000 0.0.0.0 255.255.255.255 192.0.2.1 2001:db8::1",
    "12:34:56 2026-11-25T12:34:56+00:00 std::bad_alloc a::b ff::Matrix 00:11:22",
    "sha256:" + "0a1b2c3d" * 8 + " max_tokens=128 eos_token: <|im_end|> token_source: token_ids tokens: 12",
    "model: openai/gpt-oss-120b image ghcr.io/acme/x@sha256:" + "0a1b2c3d" * 8,
    "HF_TOKEN: $HF_TOKEN api_key=${OPENAI_API_KEY} --api-key <text> password: <text>",
    "risk-assessment-of-speculative-decoding-task-list disk-cache-directory-name-for-models",
    "/home/ /Users/ ~/.cache /models/x /usr/lib/python3/dist-packages",
    "host-3fa94c nvml@host-3fa94c model-77ab01 cell d0-pp2048-tg128-c1",
    "xq 1 root spark user nobody",
    "serial: none; Serial execution of requests",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret(text: str) -> None:
    assert scan.scan({"x": text.encode()}, ["xq", "root", "spark"]) == []


def test_shipped_recipes_raise_no_alarm() -> None:
    assert scan.scan({path.name: path.read_bytes() for path in (ROOT / "recipes").glob("*.yaml")}, OWN) == []


def test_names_of_this_machine_are_whole_words_in_any_case() -> None:
    assert scan.scan({"x": b"ZORGBLAT7-gpu0"}, OWN)
    assert scan.scan({"x": b"azorgblat77"}, OWN) == []


def test_every_kind_of_provider_has_a_plant_or_a_pattern_that_compiles() -> None:
    assert len(ALL) >= 40
    assert all(
        secret.in_text(f" {planted}") for kind, planted in SECRETS.items() if "by its name" not in kind and kind not in BY_NAME
    )
    assert not any(secret.in_text(planted) for kind, planted in IDENTIFIERS.items() if "token" not in kind)


BY_NAME = ("AWS secret", "a password", "a bearer", "a key in JSON in a string")


def test_what_lies_around_the_files_of_an_archive_and_behind_a_table(tmp_path: Path) -> None:
    key = SECRETS["GitHub"].encode()
    made = archive("a.txt", b"x")
    assert scan.scan({"x.tar": made}) == []
    for changed in (made[:600] + key + made[640:], made + key):
        assert [hit.kind for hit in scan.scan({"x.tar": changed})] == ["GitHub token"]
    db = duckdb.connect()
    db.execute(f"COPY (SELECT 1 AS a) TO '{tmp_path / 'x'}' (FORMAT parquet, KV_METADATA {{origin: '{key.decode()}'}})")
    assert [hit.kind for hit in scan.scan({"x.parquet": (tmp_path / "x").read_bytes()})] == ["GitHub token"]


@pytest.mark.parametrize(
    "text", ["d0-pp64-tg8-c1", "-", "content", "host-3fa94c", "a:", "ab.", "0a1b2c3d", "eyJ.", "x@", "\\", "%41", "&a"]
)
def test_long_texts_of_one_thing_are_looked_through_in_time(text: str) -> None:
    """A pattern that begins again at every letter of them would take hours; the test's own limit says so."""
    assert scan.scan({"x": (text * 40_000)[:200_000].encode()}) == []


def test_noise_raises_no_alarm(tmp_path: Path) -> None:
    """Compressed columns are noise, in which any short pattern stands by chance."""
    import random

    noise = random.Random(1).randbytes(1 << 21)
    db = duckdb.connect()
    db.execute("CREATE TABLE t (v BIGINT)")
    db.execute("INSERT INTO t SELECT hash(range)::HUGEINT % 1000000007 FROM range(100000)")
    db.execute(f"COPY t TO '{tmp_path / 'x'}' (FORMAT parquet, COMPRESSION zstd)")
    assert scan.scan({"x.tar": archive("samples.parquet", (tmp_path / "x").read_bytes())}) == []
    assert [hit.kind for hit in scan.scan({"x": noise})] in ([], ["e-mail address"])
