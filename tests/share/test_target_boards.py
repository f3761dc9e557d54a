"""Spark Arena and the Hugging Face hub as somebody uses them: logged in, seen, agreed to at a terminal, sent, broken off, sent again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import MachineError, NotConfirmed
from harness.share import bundle, token_file
from harness.store import folder
from tests.share import forger, hub_server, web
from tests.share.arena_server import ID_TOKEN, REFRESH, Arena
from tests.share.hub_server import Hub
from tests.share.sitting import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.env = {name: value for name, value in made.env.items() if not name.startswith(("HF_", "XDG_"))}
    return made


def on_a_spark(place: Place) -> None:
    def change(data: dict[str, object]) -> None:
        machine: Any = data["machine"]
        machine["gpus"] = [{"index": 0, "name": "NVIDIA GB10"}]

    forger.change_json(place.result / "result.json", change)


def every_file_of(place: Place) -> bytes:
    """Of the result, and of the state folder."""
    folders = (place.result, place.state)
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


def test_spark_arena(place: Place) -> None:
    on_a_spark(place)
    arena = Arena(["", "cut after"])
    with web.serving(arena) as where:
        to = ("latest", "--to", f"spark-arena:{where}")
        with place.sit(*to) as sitting:
            code, seen = sitting.end()
            assert (code, "harness share login" in seen) == (MachineError.exit_code, True), "said before anybody is asked"
        token_file.save(place.home / ".config" / "spark-harness" / "spark-arena-token", REFRESH)
        with place.sit(*to) as sitting:
            phrase = sitting.phrase()
            assert arena.requests == [], "nothing goes before somebody agrees"
            sitting.type(phrase)
            code, seen = sitting.end()
        assert (code, "uploaded: " in seen) == (NotConfirmed.exit_code, False)
        assert "missing: logs/benchmark.csv, metadata/metadata.json" in seen.replace("\n", " ")
        arena.requests.clear()
        code, again = place.agree(*to)
        assert code == 0, again
        assert "uploaded: gs://" in again
        assert "decided there later" in again
        assert len(arena.requests) == 3, "the login, and the two that were missing"
    assert len({name.rsplit("/", 2)[0] for name in arena.stored}) == 1
    first, second = place.receipts()
    assert first.submission == second.submission
    told = every_file_of(place) + (seen + again).encode()
    assert not any(secret.encode() in told for secret in (REFRESH, ID_TOKEN))


def test_hugging_face(place: Place, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `share` is not installed")
    hub, token = Hub(), hub_server.TOKEN
    with web.serving(hub) as hub.url:
        to = ("latest", "--to", f"huggingface:{hub.url}/{hub_server.REPO}", "--token-env", "MINE")
        with place.sit(*to, MINE=token) as sitting:
            phrase = sitting.phrase()
            assert hub.requests == [], "nothing goes before somebody agrees"
            sitting.type(phrase)
            code, seen = sitting.end()
        assert (code, "uploaded: " in seen) == (0, True), seen
        (receipt,) = place.receipts()
        assert set(hub.main) == {f"results/{receipt.submission}/{name}" for name in receipt.files}
        (archive,) = (data for name, data in hub.main.items() if name.endswith(".tar"))
        code, again = place.agree("withdraw", receipt.id[:8], "--token-env", "MINE", MINE=token)
        assert (code, "the repository's history has" in again, hub.main) == (0, True, {})
    assert token.encode() not in every_file_of(place) + archive + (seen + again).encode()
    (tmp_path / "it.tar").write_bytes(archive)
    with bundle.opened(tmp_path / "it.tar") as found:
        assert folder.read_result(found.folder).redacted
