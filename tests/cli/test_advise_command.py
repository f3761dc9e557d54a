"""`harness advise` on the whole command, with the facts that it comes with; what its words mean, and which are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.cli.advise import advise, demand, loss
from harness.errors import UsageError
from harness.measure.entries import number
from harness.recipe import catalog
from harness.schema.cost import Advice, Demand
from tests.cli.test_cost_command import harness
from tests.test_advising import stored
from tests.test_costs import CELL

DAY = ("--today", "2026-11-25")


def asked(requests: float, input_: float, output: float, cached: float = 0.0) -> Demand:
    return Demand(
        requests_per_day=requests, input_tokens_per_request=input_, output_tokens_per_request=output, cached_input_share=cached
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("requests=500,input=2000,output=500", asked(500, 2000, 500)),
        (" output = 500, requests = 1e3,cached=0.5", asked(1000, 0, 500, 0.5)),
        ("article", asked(1000, 0, 500)),
        ("article,input=2000,requests=10", asked(10, 2000, 500)),
        ("agentic", asked(200 * 60 * 8, 3040, 64)),
    ],
)
def test_workloads(text: str, found: Demand) -> None:
    assert demand(text) == found


def test_the_agentic_workload_is_the_profiles() -> None:
    """By its turns' mean: a conversation grows by prompt and answer."""
    profile = catalog.profiles()["agentic"]
    turns = range(profile.turns)
    before = profile.depth[0] + sum(turn * (profile.pp[0] + profile.tg[0]) for turn in turns) / profile.turns
    found = demand("agentic")
    assert (found.input_tokens_per_request, found.output_tokens_per_request) == (before + profile.pp[0], profile.tg[0])
    assert found.requests_per_day == pytest.approx(profile.rate[0] * 3600 * 8, rel=1e-3)


def test_quality_in_elo_or_as_a_share_of_votes() -> None:
    """10 points of 400 are odds of 10^0.025: 48.56 %; 46 % are 27.85."""
    assert (loss("30"), loss("0"), loss("50%")) == (30, 0, 0)
    assert loss("46%") == pytest.approx(27.85, abs=0.01)
    assert loss("48.56%") == pytest.approx(10, abs=0.02)


WORDS: dict[str, Any] = {"workload": "article"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"workload": "articel"}, "did you mean 'article'?"),
        ({"workload": "request=5,output=5"}, "did you mean 'requests'?"),
        ({"workload": "agentic,7"}, "no such word"),
        ({"workload": "requests=5"}, "output must be said, and above 0"),
        ({"workload": "requests=0,output=5"}, "requests must be said, and above 0"),
        ({"workload": "requests=many,output=5"}, "requests=many: no amount"),
        ({"workload": "requests=-5,output=5"}, "requests=-5: no amount"),
        ({"workload": "article,cached=2"}, "cached is more than all"),
        ({"max_quality_loss": "0.46"}, "or 46% for how often"),
        ({"max_quality_loss": "60%"}, "50% is as good"),
        ({"max_quality_loss": "-3"}, "neither points of Elo nor"),
        ({"max_quality_loss": "little"}, "neither points of Elo nor"),
        ({"must": ["residence=EU"]}, "did you mean 'residency'?"),
        ({"country": "Germany"}, "--country Germany: no country"),
        ({"years": 0.0}, "--years: 0 is no lifetime"),
        ({"seat": "Germany"}, "--seat Germany: no country"),
        ({"watts": -1.0}, "--watts: -1 is no amount"),
        ({"fx": ["EUR"]}, "--fx EUR: no exchange rate"),
    ],
)
def test_bad_input(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        advise(**(WORDS | words))
    assert said in str(error.value)
    assert str(error.value).count("\n") == 1


def test_with_the_shipped_facts(tmp_path: Path) -> None:
    """A Spark that nothing leaves against all listed prices: in Germany, in euros at the European Central Bank's rate."""
    stored(tmp_path / "results", CELL, recipe="gpt-oss", model="openai/gpt-oss-120b")
    words = ("advise", "--workload", "requests=1000,input=2048,output=128", "--country", "de", "--currency", "eur", *DAY)
    asked = (*words, "--must", "residency=EU,trains=no", "--must", "leaves-desk=no", "--json")
    done = harness(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    found = msgspec.json.decode(done.stdout, type=Advice)
    assert (found.verdict, found.ways[0].names) == ("self-host", ("gpt-oss on GB10",))
    energy = (120 * 0.355556 + 30 * 23.644444) / 1000 * 0.3835
    assert number(found.ways[0].per_day) == pytest.approx(4699 / 1095 / 1.1172 + energy, abs=1e-3)
    assert number(found.ways[0].loss_elo) == 93
    assert str(found.inputs["EUR"].date) == "2026-10-30"
    whole = msgspec.json.decode(harness(tmp_path, *asked, "--all").stdout, type=Advice)
    assert len(whole.ways) > 50 > 10 > len(found.ways)
    assert len(whole.ways) == len(found.ways) + sum(each.count for each in found.rest)
    text = harness(tmp_path, *words, "--max-quality-loss", "46%")
    assert text.stdout.startswith("cloud: ")
    assert "asked: at most 27.85 Elo below the best" in text.stdout
    assert "\x1b" not in text.stdout
    assert "quality: more than 27.85 Elo below the best: " in text.stdout
    assert "gpt-oss on GB10: 93.0" in text.stdout


def test_no_more_copies_than_there_are(tmp_path: Path) -> None:
    stored(tmp_path / "results", CELL)
    words = ("advise", "--workload", "requests=100000,input=2048,output=128", "--must", "leaves-desk=no", *DAY)
    assert harness(tmp_path, *words).stdout.startswith("self-host: 2 copies of spark on GB10; ")
    assert harness(tmp_path, *words, "--copies", "1").stdout.startswith("none: ")


def test_bad_input_is_two_lines(tmp_path: Path) -> None:
    done = harness(tmp_path, "advise", "--workload", "article", "--must", "trains=never")
    assert done.returncode == UsageError.exit_code
    assert done.stderr == "harness: --must trains=never: trains has no 'never'\nHint: write trains=no or trains=opt-out\n"
