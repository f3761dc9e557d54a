"""A server that charges: nothing is sent before somebody agreed to a sum, and that sum is never passed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.schema.result import Result
from harness.store import folder, query
from tests.paced_server import Paced, paced
from tests.tls_relay import tls

RUN = ("--profile", "quick", "--pp", "64", "--tg", "16", "--requests", "4", "--concurrency", "1,2")


class Endpoint:
    def __init__(self, server: Paced, port: int, certificate: Path, results: Path) -> None:
        self.server, self.url, self.results = server, f"https://localhost:{port}", results
        self.environment = {**os.environ, "SSL_CERT_FILE": str(certificate), "A_KEY": "s3cret"}

    def bench(self, *options: str) -> subprocess.CompletedProcess[str]:
        words = ["bench", "--url", self.url, "--model", "big", "--api-key-env", "A_KEY", *RUN, *options]
        command = [sys.executable, "-m", "harness", *words, "--results", str(self.results)]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment, stdin=subprocess.DEVNULL)

    def result(self) -> Result:
        return folder.read_result(query.find(self.results, "latest"))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """It takes `max_completion_tokens` and no seed, as some models do, and tells nothing but usage."""
    place = tmp_path_factory.mktemp("tls")
    with (
        paced(ttft_ms=20, tpot_ms=2, stranger=True, refuses="max_tokens,seed", api_key="s3cret") as server,
        tls(server.port, place) as (port, certificate),
    ):
        yield Endpoint(server, port, certificate, place / "results")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "what it charges is not known"),
        (("--price", "5,25"), "this run may cost up to $"),
        (("--price", "5,25", "--max-usd", "0.004"), "the questions before a run alone may cost $0.20"),
    ],
)
def test_nothing_is_sent_before_somebody_agreed(endpoint: Endpoint, options: tuple[str, ...], said: str) -> None:
    before = len(endpoint.server.truth())
    done = endpoint.bench(*options)
    assert (done.returncode, len(endpoint.server.truth())) == (2, before)
    assert said in done.stderr
    assert "Hint: " in done.stderr


def test_what_it_cost_is_what_the_servers_log_says(endpoint: Endpoint) -> None:
    before = len(endpoint.server.truth())
    done = endpoint.bench("--price", "5,25", "--max-usd", "5")
    truth = [one for one in endpoint.server.truth()[before:] if one.status == 200]
    spent = endpoint.result().spent
    assert spent is not None, done.stderr
    assert spent.bill.input_tokens == pytest.approx(sum(one.prompt_tokens for one in truth), abs=20)
    assert spent.bill.output_tokens == sum(one.tokens for one in truth)
    assert spent.usd == pytest.approx((spent.bill.input_tokens * 5 + spent.bill.output_tokens * 25) / 1e6)
    assert f"Spent    ${spent.usd:.4f}" in done.stdout
    assert "does not take max_tokens: requests say max_completion_tokens" in " ".join(endpoint.result().notes)
    assert "s3cret" not in (query.find(endpoint.results, "latest") / "result.json").read_text()


def test_an_address_in_capitals_is_one_that_may_charge(endpoint: Endpoint) -> None:
    before = len(endpoint.server.truth())
    endpoint.url, small = endpoint.url.replace("https", "HTTPS"), endpoint.url
    done = endpoint.bench()
    endpoint.url = small
    assert (done.returncode, "what it charges is not known" in done.stderr) == (2, True), done.stderr
    assert len(endpoint.server.truth()) == before


SOAK = """\
recipe_version: "2"
name: soak
model: m
runtime: openai
harness:
  profiles:
    soak: {pp: [64], tg: [16], requests: 2, runs: 1, max_runs: 1, target: null, idle_seconds: 0, soak_seconds: 600}
"""


def test_load_that_is_not_measured_is_paid_too(endpoint: Endpoint, tmp_path: Path) -> None:
    """Ten minutes of it would cost more than the sum: it ends before."""
    (tmp_path / "soak.yaml").write_text(SOAK)
    before = len(endpoint.server.truth())
    words = ["bench", str(tmp_path / "soak.yaml"), "--url", endpoint.url, "--model", "big", "--api-key-env", "A_KEY"]
    words += ["--profile", "soak", "--price", "5,25", "--max-usd", "0.21", "--results", str(tmp_path / "results")]
    subprocess.run([sys.executable, "-m", "harness", *words], env=endpoint.environment, capture_output=True, timeout=120)
    truth = [one for one in endpoint.server.truth()[before:] if one.status == 200]
    spent = folder.read_result(query.find(tmp_path / "results", "latest")).spent
    assert spent is not None
    assert spent.usd <= 0.21
    assert sum(one.prompt_tokens * 5 + one.tokens * 25 for one in truth) / 1e6 <= spent.usd * 1.01


@pytest.mark.parametrize("cap", [0.2, 0.21, 0.22])
def test_the_sum_is_never_passed(endpoint: Endpoint, cap: float) -> None:
    before = len(endpoint.server.truth())
    endpoint.bench("--price", "5,25", "--max-usd", str(cap))
    truth = [one for one in endpoint.server.truth()[before:] if one.status == 200]
    assert sum(one.prompt_tokens * 5 + one.tokens * 25 for one in truth) / 1e6 <= cap
    result = endpoint.result()
    assert "cap" in {finding.code for finding in result.findings}
    assert {cell.stopped_by for cell in result.cells} <= {"cap", "runs", "max_runs"}


def test_a_free_server_needs_no_agreement(endpoint: Endpoint) -> None:
    endpoint.bench("--price", "0,0", "--runs", "1")
    assert endpoint.result().state == "complete"


@pytest.mark.parametrize("price", ["5", "5,x", "-1,2", "1,2,3", "nan,1"])
def test_a_price_that_cannot_be_one_is_refused(endpoint: Endpoint, price: str) -> None:
    done = endpoint.bench("--price", price)
    assert (done.returncode, "--price 0.15,0.60" in done.stderr) == (2, True)
