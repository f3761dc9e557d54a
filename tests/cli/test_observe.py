"""Visits over days, in seconds: real servers, one of them behind TLS and charging, one that is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.measure import observation
from harness.observe import duration_s
from harness.schema.observation import Visit
from harness.store.observations import Journal
from tests.paced_server import paced
from tests.tls_relay import tls

HEAD = "pp: 64\ntg: 8\nrequests: 4\nendpoints:\n"
ENDPOINTS = {
    "local": "  - {{name: local, url: '{local}'}}\n",
    "cloud": "  - {{name: cloud, url: '{cloud}', model: big, api_key_env: A_KEY, price: [5, 25], max_usd: {sum}}}\n",
    "dead": "  - {{name: dead, url: 'http://127.0.0.1:9'}}\n",
}


class Place:
    def __init__(self, folder: Path, local: str, cloud: str, certificate: Path) -> None:
        self.folder, self._urls = folder, {"local": local, "cloud": cloud}
        self.environment = {**os.environ, "SSL_CERT_FILE": str(certificate), "A_KEY": "s3cret"}

    def start(
        self, name: str, *options: str, endpoints: Iterable[str] = tuple(ENDPOINTS), sum_usd: float = 5.0
    ) -> subprocess.Popen[str]:
        file = self.folder / f"{name}.yaml"
        file.write_text(HEAD + "".join(ENDPOINTS[each].format(sum=sum_usd, **self._urls) for each in endpoints))
        command = [sys.executable, "-m", "harness", "observe", str(file), "--results", str(self.folder), *options]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment, cwd=self.folder
        )

    def observe(
        self, name: str, *options: str, endpoints: Iterable[str] = tuple(ENDPOINTS), sum_usd: float = 5.0
    ) -> tuple[int, str, str]:
        child = self.start(name, *options, endpoints=endpoints, sum_usd=sum_usd)
        out, err = child.communicate(timeout=100)
        return child.returncode, out, err

    def visits(self, name: str) -> list[Visit]:
        return Journal(self.folder, name).visits()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("observe")
    with (
        paced(ttft_ms=10, tpot_ms=1) as local,
        paced(ttft_ms=40, tpot_ms=1, stranger=True, refuses="seed", api_key="s3cret") as inner,
        tls(inner.port, folder) as (port, certificate),
    ):
        yield Place(folder, local.url, f"https://localhost:{port}", certificate)


@pytest.mark.quiet
def test_a_visit_a_server_and_a_round(place: Place) -> None:
    code, out, err = place.observe("once", "--once", "--every", "1h")
    assert code == 0, err
    assert len(out.splitlines()) == 3
    local, cloud, dead = place.visits("once")
    assert (local.endpoint, local.round, local.sent, local.answered, len(local.ttft_ms), local.usd) == (
        "local",
        0,
        4,
        4,
        4,
        None,
    )
    assert len(local.decode_tok_s) == 4
    assert min(local.decode_tok_s) > 0
    assert (cloud.answered, cloud.decode_tok_s) == (4, ())  # it tells no token counts
    assert cloud.usd is not None
    assert cloud.usd > 0
    assert sorted(cloud.ttft_ms)[1] > sorted(local.ttft_ms)[1] * 2
    assert (dead.sent, dead.result) == (0, "")
    assert "does not answer" in dead.error
    assert "s3cret" not in "".join(path.read_text() for path in place.folder.rglob("*.json*"))

    code, out, _ = place.observe("once", "--once", "--every", "1h")
    assert (code, out, len(place.visits("once"))) == (0, "", 3), "the round was done"

    code, out, _ = place.observe("once", "--report")
    assert code == 0
    assert "dead: 1 × http://127.0.0.1:9 does not answer" in out


def test_what_was_killed_goes_on_where_it_was(place: Place) -> None:
    child = place.start("killed", "--every", "1h", "--for", "1d", endpoints=("local", "dead"))
    assert child.stdout is not None
    child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    before = place.visits("killed")
    assert before[0].endpoint == "local"
    with Journal(place.folder, "killed").path.open("ab") as file:
        file.write(b'{"endpoint": "dead", "rou')  # as a power cut leaves it
    place.observe("killed", "--once", "--every", "1h", endpoints=("local", "dead"))
    assert [visit.endpoint for visit in place.visits("killed")] == ["local", "dead"]


@pytest.mark.parametrize("sum_usd", [0.21, 0.251])
def test_the_sum_of_all_visits_is_kept(place: Place, sum_usd: float) -> None:
    """Of which 5 cents are spent. What is left is too little for the questions before a run, or for them and the requests: in neither case
    is anything sent, nor is the server said to be down."""
    name = f"capped{sum_usd}"
    earlier = datetime.now(UTC) - timedelta(hours=2)
    Journal(place.folder, name).add(Visit(endpoint="cloud", round=0, when=earlier.isoformat(), sent=1, answered=1, usd=0.05))
    _, out, _ = place.observe(name, "--once", "--every", "1h", endpoints=("cloud",), sum_usd=sum_usd)
    _, second = place.visits(name)
    assert (second.round, second.asked, second.usd) == (2, False, None)
    assert "a visit may cost $0.2" in out
    assert [seen.up for seen in observation.seen(place.visits(name))] == [1.0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_visit_that_is_cut_short_counts_as_the_most_that_it_can_have_cost(place: Place, number: int) -> None:
    name = f"cut{number}"
    child = place.start(name, "--every", "1h", endpoints=("cloud",))
    before = set(place.folder.glob("localhost*/*"))
    deadline = time.monotonic() + 60
    while set(place.folder.glob("localhost*/*")) <= before and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(number)
    child.communicate(timeout=60)
    (visit,) = place.visits(name)
    assert (child.returncode, visit.asked, visit.error) == (128 + number, False, "interrupted")
    assert visit.usd is not None
    assert visit.usd > 0.2


def test_what_is_over_is_not_begun_again(place: Place) -> None:
    """As a service that is always started again would do."""
    earlier = datetime.now(UTC) - timedelta(hours=2)
    Journal(place.folder, "over").add(Visit(endpoint="local", round=0, when=earlier.isoformat(), sent=1, answered=1))
    code, out, _ = place.observe("over", "--every", "15m", "--for", "1h", endpoints=("local",))
    assert (code, len(place.visits("over")), "visits" in out) == (0, 1, True)


def test_a_journal_keeps_its_step(place: Place) -> None:
    """The numbers of its instants would mean other times."""
    place.observe("step", "--once", "--every", "1h", endpoints=("dead",))
    code, _, err = place.observe("step", "--once", "--every", "15m", endpoints=("dead",))
    assert (code, "go on with --every 3600s" in err, len(place.visits("step"))) == (2, True, 1)


@pytest.mark.parametrize("text", ["15", "m", "nand", "-1h", "0s", "infd"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        duration_s(text)


def test_a_visit_that_fails_counts_as_the_most_that_it_can_have_cost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(place.environment, "A_KEY", "another one")
    place.observe("refused", "--once", "--every", "1h", endpoints=("cloud",))
    (visit,) = place.visits("refused")
    assert "wants a key" in visit.error or "HTTP 401" in visit.error
    assert visit.usd is not None
    assert visit.usd > 0.2


def test_two_do_not_write_one_journal(place: Place) -> None:
    with Journal(place.folder, "both").alone():
        code, _, err = place.observe("both", "--once")
    assert (code, "another harness" in err) == (7, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoints: []", "no endpoint is named"),
        ("endpoints: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]", "two endpoints have one name"),
        ("endpoints: [{name: a}]", "url"),
        ("endpoints: [{name: a, url: 'http://x', price: [1, 2]}]", "a has a price, and no max_usd"),
        ("endpoints: [{name: a, url: 'http://x', key: s}]", "key"),
        ("- 1", "object"),
        ("a: [", "bad.yaml"),
    ],
)
def test_a_bad_file_is_named(place: Place, text: str, said: str) -> None:
    file = place.folder / "bad.yaml"
    file.write_text(text)
    command = [sys.executable, "-m", "harness", "observe", str(file), "--once", "--results", str(place.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, said in done.stderr, "Hint: " in done.stderr) == (3, True, True), done.stderr
