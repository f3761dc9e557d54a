"""Spark Arena's protocol against a server that behaves as documented, and against one that does not: nobody is told more than is true."""

from __future__ import annotations

import csv
import io
from uuid import UUID

import msgspec
import pytest
import yaml

from harness.errors import InvalidResult, MachineError, UsageError
from harness.report import share as report
from harness.share.parcel import TOKEN, Answer, Parcel
from harness.share.targets import TARGETS
from tests.share import parcels, web
from tests.share.arena_server import BUCKET, ID_TOKEN, REFRESH, USER, Arena
from tests.share.web import CUT

TARGET = TARGETS["spark-arena"]
SECRETS = {TOKEN: REFRESH}
NAMES = ("recipes/recipe.yaml", "logs/benchmark.csv", "metadata/metadata.json")


def send(arena: Arena, sent: tuple[str, ...] = (), secrets: dict[str, str] = SECRETS) -> tuple[Parcel, Answer, str]:
    """(what was to be sent, what came of it, all that is printed of it)."""
    said: list[str] = []
    with web.serving(arena) as where:
        parcel = parcels.parcel(TARGET, "spark-arena", where)
        answer = TARGET.send(parcel, secrets, frozenset(sent), said.append)
    receipt = msgspec.structs.replace(
        parcels.receipt(parcel, TARGET), ended="2026-11-25T10:01:00+00:00", **msgspec.structs.asdict(answer)
    )
    printed = "\n".join([*said, report.outcome(receipt), answer.said])
    for secret in (REFRESH, ID_TOKEN):
        assert secret not in printed
        assert all(secret.encode() not in data for data in parcel.files.values())
    assert ("uploaded" in printed) == answer.confirmed
    return parcel, answer, printed


def test_the_three_files() -> None:
    files = TARGET.files(parcels.shareable(max_model_len="8192", runtime="vllm-distributed"), "")
    assert tuple(files) == NAMES
    recipe = yaml.safe_load(files["recipes/recipe.yaml"])
    assert recipe["recipe_version"] == "2"
    assert (recipe["runtime"], recipe["container"]) == ("vllm", parcels.DIGEST)
    assert recipe["defaults"]["max_model_len"] == 8192
    assert recipe["env"]["HF_TOKEN"] == "$HF_TOKEN"
    assert "harness" not in recipe
    rows = list(csv.reader(io.StringIO(files["logs/benchmark.csv"].decode())))
    assert {len(row) for row in rows} == {16}
    assert rows[0][:4] == ["model", "test_name", "t_s_mean", "t_s_std"]
    facts = msgspec.json.decode(files["metadata/metadata.json"])
    assert facts["recipe"] | {"hash": 0, "effective_hash": 0} == {
        "name": "one-spark",
        "qualified_name": "one-spark",
        "type": "sparkrun",
        "model": "org/model-7b",
        "hf_model": "org/model-7b",
        "raw_container": "vllm/vllm-openai:v0.32.0",
        "container": parcels.DIGEST,
        "container_pinned": True,
        "runtime": "vllm",
        "runtime_full": "vllm",
        "registry": None,
        "registry_git": "",
        "hash": 0,
        "effective_hash": 0,
    }
    assert facts["cluster"] == {"cluster_id": None, "node_count": 1, "tp": 2}
    assert facts["model"] == {"params": "7B", "num_layers": 32}
    assert set(facts) == {"recipe", "timing", "cluster", "benchmark", "model", "runtime_info", "spark_harness"}
    grid = {"pp": [512, 513], "tg": [8], "depth": [0, 4096], "concurrency": [1, 2]}
    assert facts["benchmark"]["framework"] == "spark-harness"
    assert facts["benchmark"]["args"] == grid | {"prefix_caching": True, "runs": 3}
    begun, ended = facts["timing"]["start"], facts["timing"]["end"]
    assert (ended, facts["timing"]["duration"] > 0) == ("2026-11-25T10:00:00+00:00", begun < ended)


@pytest.mark.parametrize(
    ("runtime", "taken"), [("vllm-distributed", "vllm"), ("vllm-ray", "vllm-ray"), ("vllm", "vllm"), ("sglang", "sglang")]
)
def test_runtimes_as_the_backend_knows_them(runtime: str, taken: str) -> None:
    files = TARGET.files(parcels.shareable(runtime=runtime), "")
    facts = msgspec.json.decode(files["metadata/metadata.json"])
    assert (yaml.safe_load(files["recipes/recipe.yaml"])["runtime"], facts["recipe"]["runtime_full"]) == (taken, taken)


def test_what_is_not_known_is_not_made_up() -> None:
    made = parcels.shareable(recipe="model: org/m\ncommand: vllm serve org/m\n")
    bare = msgspec.structs.replace(made.stored.result, image=None, finished=None)
    made = msgspec.structs.replace(made, stored=msgspec.structs.replace(made.stored, result=bare))
    files = TARGET.files(made, "")
    facts = msgspec.json.decode(files["metadata/metadata.json"])
    assert (facts["recipe"]["container"], facts["recipe"]["container_pinned"]) == (None, False)
    assert (facts["timing"]["end"], facts["timing"]["duration"]) == (None, None)
    assert "container" not in yaml.safe_load(files["recipes/recipe.yaml"])


def test_results_that_have_no_place_there() -> None:
    for gpu in ("NVIDIA RTX PRO 6000", ""):
        with pytest.raises(UsageError, match="not measured on a DGX Spark"):
            TARGET.files(parcels.shareable(gpu=gpu), "")
    made = parcels.shareable()
    attached = msgspec.structs.replace(made.stored.plan, launch=None)
    with pytest.raises(UsageError, match="no recipe"):
        TARGET.files(msgspec.structs.replace(made, stored=msgspec.structs.replace(made.stored, plan=attached)), "")
    nothing = msgspec.structs.replace(made.stored.result, cells=())
    with pytest.raises(InvalidResult):
        TARGET.files(msgspec.structs.replace(made, stored=msgspec.structs.replace(made.stored, result=nothing)), "")


def test_accepted_by_the_storage_is_not_accepted_by_the_board() -> None:
    arena = Arena()
    parcel, answer, printed = send(arena)
    assert (answer.confirmed, answer.missing) == (True, ())
    assert "decided there later" in printed
    folder = f"submissions/{USER}/"
    ids = {name.removeprefix(folder).partition("/")[0] for name in arena.stored}
    (own,) = ids
    assert UUID(own).version == 4
    assert answer.reference == f"gs://{BUCKET}/{folder}{own}"
    assert {name.split("/", 3)[3]: data for name, data in arena.stored.items()} == parcel.files
    asked = [(request.method, request.path, request.headers["content-type"]) for request in arena.requests]
    begin = f"/v0/b/{BUCKET}/o?name=submissions%2F{USER}%2F{own}%2F"
    assert asked == [  # what sparkrun 0.4.2's own upload asked this server for, its submission aside (2026-11-25)
        ("POST", "/exchange", "application/json"),
        ("POST", f"{begin}recipes%2Frecipe.yaml", "application/octet-stream"),
        ("POST", f"{begin}logs%2Fbenchmark.csv", "application/octet-stream"),
        ("POST", f"{begin}metadata%2Fmetadata.json", "application/octet-stream"),
    ]


def test_the_same_submission_is_the_same_place() -> None:
    first, second = Arena(), Arena()
    assert send(first)[1].reference == send(second)[1].reference


@pytest.mark.parametrize("fault", ["cut within", "cut after"])
def test_a_broken_upload_goes_on_where_it_was(fault: str) -> None:
    arena = Arena()
    arena.uploads = ["", fault]
    _, answer, printed = send(arena)
    assert not answer.confirmed
    assert [name.split("/", 3)[3] for name in answer.sent] == [NAMES[0]]
    assert answer.missing == NAMES[1:]
    assert "may be there or not" in printed
    assert NAMES[1] in printed
    arena.requests.clear()
    _, again, _ = send(arena, answer.sent)
    assert (again.confirmed, again.missing, again.reference) == (True, (), answer.reference)
    uploads = [request.path for request in arena.requests if request.path.startswith("/v0")]
    assert len(uploads) == 2
    assert not any("recipe.yaml" in path for path in uploads)


def test_another_account_sends_everything_again() -> None:
    arena = Arena(["", CUT])
    _, answer, _ = send(arena)
    arena.exchange = arena.exchange._replace(body={"id_token": ID_TOKEN, "user_id": "other", "bucket": BUCKET})
    _, again, _ = send(arena, answer.sent)
    assert again.confirmed
    assert sum(name.startswith("submissions/other/") for name in arena.stored) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            web.Answer(401, {"error": {"code": 401, "message": f"bad token {ID_TOKEN} {REFRESH}"}}),
            "401: the login is not taken",
        ),
        (
            web.Answer(403, {"error": {"code": 403, "message": "Permission denied."}}),
            "403: it may not be written there: Permission",
        ),
        (web.Answer(429, b"slow down", {"retry-after": "30"}), "429: too many requests, come back in 30 s"),
        (web.Answer(500, b"<html>"), "answers 500"),
        (web.Answer(302, b"", {"location": "http://127.0.0.1:1/"}), "answers 302"),
        (web.Answer(204), "answers 204"),
        (web.Answer(200), "does not say what it has"),
        (web.Answer(200, {"ok": True}), "does not say what it has"),
        (web.Answer(200, ["name"]), "does not say what it has"),
        ("page", "does not say what it has"),
        ("without md5Hash", "does not say what it has"),
        ("without size", "does not say what it has"),
        ("without name", "does not say what it has"),
        ("other md5Hash", "of something else"),
        ("other size", "of something else"),
        ("other name", "of something else"),
        ("other bucket", "of something else"),
    ],
)
def test_told_as_it_is(fault: web.Answer | str, said: str) -> None:
    arena = Arena([fault])
    _, answer, printed = send(arena)
    assert (answer.confirmed, answer.sent, answer.missing) == (False, (), NAMES)
    assert said in printed
    assert arena.stored == {}


@pytest.mark.parametrize(
    ("exchange", "said", "hint"),
    [
        (web.Answer(401, {"message": f"unknown {REFRESH}"}), "it answers 401: unknown", "log in again"),
        (web.Answer(429, {}, {"retry-after": "7"}), "come back in 7 s", "later"),
        (web.Answer(500, b"x"), "it answers 500", "later"),
        (web.Answer(200, {"id_token": ID_TOKEN}), "does not say who you are", "later"),
        (web.Answer(200, b"<html>"), "does not say who you are", "later"),
        (CUT, "no answer", "later"),
    ],
)
def test_a_login_that_is_not_taken_sends_nothing(exchange: web.Answer, said: str, hint: str) -> None:
    arena = Arena()
    arena.exchange = exchange
    with pytest.raises(MachineError) as caught:
        send(arena)
    assert said in caught.value.message
    assert hint in caught.value.hint
    assert REFRESH not in str(caught.value)
    assert ID_TOKEN not in str(caught.value)
    assert [request.path for request in arena.requests] == ["/exchange"]


def test_nobody_is_logged_in() -> None:
    arena = Arena()
    with pytest.raises(MachineError, match="harness share login"):
        TARGET.check(parcels.parcel(TARGET, "spark-arena", ""), {})
    TARGET.check(parcels.parcel(TARGET, "spark-arena", ""), SECRETS)
    with pytest.raises(MachineError, match="harness share login"):
        send(arena, secrets={})
    assert arena.requests == []


def test_nobody_answers() -> None:
    with web.serving(Arena()) as where:
        parcel = parcels.parcel(TARGET, "spark-arena", where)
    with pytest.raises(MachineError, match="no answer"):
        TARGET.send(parcel, SECRETS, frozenset(), print)


def test_who_sees_it() -> None:
    audience = TARGET.audience("")
    assert "https://auth.sparkrun.dev" in audience.to
    assert "https://firebasestorage.googleapis.com" in audience.to
    assert "everybody" in audience.seen_by
    assert "none is documented" in audience.withdrawal
    assert "after the upload" in audience.terms


@pytest.mark.parametrize(
    "where",
    [
        "http://example.org",
        "https://example.org",
        "https://127.0.0.1:9",
        "http://127.0.0.1.example.org:80",
        "http://127.0.0.1:80@example.org",
        "http://user@127.0.0.1:80",
        "http://127.0.0.1:80/path",
        "http://127.0.0.1:x",
        "http://0.0.0.0:80",
        "me",
    ],
)
def test_it_goes_nowhere_else(where: str) -> None:
    for ask in (
        TARGET.audience,
        lambda where: TARGET.send(parcels.parcel(TARGET, "spark-arena", where), SECRETS, frozenset(), print),
    ):
        with pytest.raises(UsageError, match="always the same"):
            ask(where)


def test_nothing_takes_it_back() -> None:
    with pytest.raises(MachineError, match="no way to take a submission back"):
        TARGET.withdraw(parcels.receipt(parcels.parcel(TARGET, "spark-arena", ""), TARGET), SECRETS, print)
