"""A shared result says nothing of whose it is, and still verifies."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest

from harness import __version__, verify, whose
from harness.errors import HarnessError
from harness.recipe.cells import GridOverrides
from harness.recipe.docker import Terms
from harness.recipe.load import loads
from harness.recipe.resolve import resolve
from harness.schema.doctor import FAIL, PASS, SKIP
from harness.schema.health import Reason
from harness.schema.machine import Machine
from harness.schema.plan import Launch
from harness.schema.result import Finding
from harness.schema.run import FileHash
from harness.share import bundle, fields, grammar, recipe, redact, scan, wordwise
from harness.share.grammar import LEFT_OUT
from harness.share.names import Given, Names, Question
from harness.store import folder
from harness.store.folder import Stored
from tests.recipe.plans import MACHINE
from tests.share import forger, generated
from tests.share.make_golden import GOLDEN
from tests.share.planted import ALL, OWN, SECRETS, parts

ROOT = Path(__file__).parents[2]
replace = msgspec.structs.replace
MODEL, SERVED, RECIPE = "SmolLM2-135M-Instruct-Q4_1", "smollm2-135m-instruct", "smollm2-135m-cpu"
PUBLIC = Names(public={"model": frozenset({MODEL, SERVED}), "recipe": frozenset({RECIPE})}, own=frozenset(OWN))


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return folder.read(forger.unpacked(tmp_path_factory.mktemp("golden")))


def checks(made: bytes, tmp_path: Path) -> list[tuple[str, str, str]]:
    (tmp_path / "shared.tar").write_bytes(made)
    return [(check.name, check.status, check.text) for check in verify.checks(tmp_path / "shared.tar")]


def everything(done: Stored) -> str:
    """All that would be written of it."""
    rest = msgspec.json.encode([done.plan, done.result, done.records, done.samples]).decode()
    return f"{done.path} {done.recipe_text} {rest}"


def test_it_verifies_and_says_what_it_no_longer_can(golden: Stored, tmp_path: Path) -> None:
    shared = redact.shareable(golden, PUBLIC)
    found = checks(shared.bundle, tmp_path)
    assert not [each for each in found if each[1] == FAIL]
    assert [name for name, status, _ in found if status == PASS] == [
        *("files", "schema", "figures", "clocks", "tokens", "roofline", "acceptance")
    ]
    said = [text for name, status, text in found if (name, status) == ("redacted", SKIP)]
    assert len(said) == 2
    assert all(text.startswith("left out before sharing: ") for text in said)
    assert scan.scan({"shared.tar": shared.bundle, "recipe.yaml": shared.recipe.encode()}, (*OWN, "box", "/home/user")) == []
    with bundle.opened(tmp_path / "shared.tar") as opened:
        assert "logs" not in {name.partition("/")[0] for name in opened.manifest.files}
        assert everything(replace(folder.read(opened.folder), path=shared.stored.path)) == everything(shared.stored)


def test_figures_are_the_same(golden: Stored) -> None:
    done = redact.shareable(golden, PUBLIC).stored
    for cell, other in zip(golden.result.cells, done.result.cells, strict=True):
        assert cell.figures == other.figures
        assert (cell.cell, cell.verdict, cell.excluded) == (other.cell, other.verdict, other.excluded)
    assert done.result.anchor.mono_ns == 0
    assert done.result.anchor.wall == "2026-11-25T17:25:08+00:00"
    assert all(event.text in ("", "…") for own in done.records.values() for record in own for event in record.events)


def faster(data: Any) -> None:
    for part in ("value", "low", "high"):
        data["cells"][0]["figures"]["decode_tok_s"][part] *= 1.25


def another_reason(data: Any) -> None:
    data["cells"][0]["figures"]["ttft_p99_ms"]["reason"] = "needs 1 more request"


def no_such_finding(data: Any) -> None:
    data["findings"].append({"code": "knee", "severity": "note", "text": LEFT_OUT})


@pytest.mark.parametrize("change", [faster, another_reason, no_such_finding])
def test_a_forged_one_is_still_found(golden: Stored, tmp_path: Path, change: Callable[[Any], None]) -> None:
    done = redact.redacted(replace(golden, result=replace(golden.result, harness_version=__version__)), PUBLIC)[0]
    tmp_path.joinpath("run").mkdir()
    folder.put(tmp_path / "run", done)
    sane = [check for check in verify.checks(tmp_path / "run") if check.status == FAIL]
    forger.change_json(tmp_path / "run" / "result.json", change)
    assert len([check for check in verify.checks(tmp_path / "run") if check.status == FAIL]) > len(sane)


def test_names_that_may_be_private_are_asked_for(golden: Stored, tmp_path: Path) -> None:
    assert redact.questions(golden, PUBLIC) == []
    assert redact.questions(golden, Names()) == [
        Question("model", MODEL),
        Question("model", SERVED),
        Question("recipe", RECIPE),
    ]
    said = Names(said={"model": {MODEL: MODEL, SERVED: "our-model"}, "recipe": {RECIPE: "ours"}})
    shared = redact.shareable(golden, said)
    assert redact.questions(golden, said) == []
    assert (shared.stored.result.model, shared.stored.plan.served_model) == (MODEL, "our-model")
    assert shared.stored.result.recipe_name == shared.stored.plan.recipe_name == "ours"
    assert not [each for each in checks(shared.bundle, tmp_path) if each[1] == FAIL]


def test_an_unanswered_question_is_no_leak(golden: Stored, tmp_path: Path) -> None:
    shared = redact.shareable(golden, Names())
    text = everything(shared.stored).casefold()
    assert "smollm" not in text
    found = checks(shared.bundle, tmp_path)
    assert not [each for each in found if each[1] == FAIL]
    assert ("redacted", SKIP, "left out before sharing: the model's name, which is private") in found


def test_hosts_are_drawn_anew_for_each_submission(golden: Stored) -> None:
    one, two = (redact.redacted(golden, PUBLIC)[0].result.machine.hostname for _ in range(2))
    assert one.startswith("host-")
    assert one != two
    assert redact.redacted(golden, PUBLIC, lambda: "00000a")[0].result.machine.hostname == "host-00000a"


def test_a_host_is_called_the_same_everywhere() -> None:
    given = Given(Names(), draw=lambda: "abc123")
    given.host("zorgblat7")
    assert wordwise.sentence(given, "zorgblat7: gpu0 reached 90 °C") == "host-abc123: gpu0 reached 90 °C"
    assert wordwise.sentence(given, "zorgblat8: gpu0 reached 90 °C") == LEFT_OUT
    argv = wordwise.command(given, ["vllm", "serve", "--master-addr", "zorgblat7", "--node-rank", "1"])
    assert argv == ("vllm", "serve", "--master-addr", "host-abc123", "--node-rank", "1")


@pytest.mark.parametrize("kind", ALL)
def test_nothing_that_is_planted_in_every_text_of_a_result_gets_out(kind: str) -> None:
    planted = ALL[kind]
    for text in (planted, f"--model={planted}", f"the kernel said {planted}", f"https://{planted}/x", f"{{'a': '{planted}'}}"):
        made = generated.stored(text, msgspec.yaml.encode({"model": "m", "command": text, "env": {"VLLM_X": text}}).decode())
        for names in (Names(), Names(own=frozenset(OWN))):
            said = everything(redact.redacted(made, names)[0]).casefold()
            assert not [part for part in parts(planted) if part.casefold() in said], text


@pytest.mark.parametrize("kind", ALL)
def test_the_scanner_finds_it_if_redaction_is_left_out(kind: str) -> None:
    made = generated.stored(f" {ALL[kind]} ", "model: m\n")
    assert scan.scan({"result.json": everything(made).encode()}, OWN)


RECIPE_TEXT = """\
# by {secret}, on {host}
recipe_version: "2"
name: {host}-{mail}
description: of {mail}, see {url}
model: acme/{host}-7B-A3B
model_revision: {secret}
runtime: vllm
container: registry.{fqdn}:5000/acme/vllm:{host}
maintainer: {mail}
mods: [{path}]
metadata: {{model_params: 7B, model_dtype: bf16, num_layers: 2, num_kv_heads: 2, head_dim: 64, kv_dtype: fp8, by: {mail}, maker: kernel,
  owner: "{secret}"}}
defaults:
  port: 8000
  gpu_memory_utilization: 0.8
  kv_cache_dtype: fp8
  {host}_path: {path}
  api_key: winter
  chat_template: {path}
  speculative_config: '{{"method": "eagle3", "model": "acme/{host}-draft", "num_speculative_tokens": 3, "token": "{secret}"}}'
env:
  VLLM_USE_V1: "1"
  NCCL_SOCKET_IFNAME: {host}
  HF_TOKEN: $HF_TOKEN
  VLLM_API_KEY: {secret}
  {upper}_TOKEN: {secret}
  VLLM_HOST_IP: {ip}
command: |
  vllm serve {{model}} --port {{port}} --download-dir {path} --chat-template {{{host}_path}} \\
    --api-key {secret} --speculative-config '{{speculative_config}}' # {mail}
  echo {host}; curl {url}
harness:
  notes: [{mail}]
  published: [{{metric: decode_tok_s, value: 1, unit: tok/s, source: {url}, date: "2026-01-01"}}]
"""


def test_a_recipe_is_rendered_anew_from_what_is_allowed() -> None:
    words = {
        "secret": SECRETS["GitHub"],
        "host": OWN[0],
        "fqdn": OWN[2],
        "mail": ALL["e-mail"],
        "url": ALL["URL with credentials"],
        "path": ALL["a home"],
        "ip": ALL["IPv4"],
        "upper": OWN[1].upper(),
    }
    text = RECIPE_TEXT.format(**words)
    given = Given(Names(), draw=lambda: "abc123")
    given.host(OWN[0])
    done = recipe.redacted(given, text)
    assert not [word for word in words.values() if word.casefold() in done.casefold()]
    assert "winter" not in done
    assert "acme" not in done
    assert scan.scan({"recipe.yaml": done.encode()}, OWN) == []
    said = msgspec.yaml.decode(done)
    assert said["env"] == {
        "VLLM_USE_V1": "1",
        "NCCL_SOCKET_IFNAME": "host-abc123",
        "HF_TOKEN": "$HF_TOKEN",
        "VLLM_HOST_IP": "<address>",
    }
    assert set(said["metadata"]) == {
        *("model_params", "model_dtype", "num_layers", "num_kv_heads", "head_dim", "kv_dtype", "active_params")
    }
    assert said["metadata"]["active_params"] == "3B"
    assert said["defaults"]["gpu_memory_utilization"] == 0.8
    assert said["command"].splitlines()[0] == (
        "vllm serve {model} --port {port} --download-dir <path> --chat-template {setting_abc123} \\"
    )
    assert [(question.kind, question.name) for question in given.questions][:2] == [
        ("recipe", f"{words['host']}-{words['mail']}"),
        ("model", f"acme/{words['host']}-7B-A3B"),
    ]


@pytest.mark.parametrize("text", ["", "- 1\n", "a: [", "\x00", "a: &a [*a]\n", "x" * 300_000])
def test_a_recipe_that_is_none(text: str) -> None:
    assert recipe.redacted(Given(Names()), text) == "# left out before sharing: it is no recipe\n"


def shipped() -> list[Path]:
    return sorted((ROOT / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_a_shipped_recipe_stays_as_it_is(path: Path) -> None:
    text = path.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert recipe.redacted(Given(Names(recipes=frozenset({digest}))), text) == text


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_what_shipped_recipes_say_is_public(path: Path) -> None:
    """Under another name, so that nothing of it is taken as it is: no flag and no value is lost but paths and what it names."""
    text = path.read_text() + "\n"
    before, after = (msgspec.yaml.decode(each) for each in (text, recipe.redacted(Given(Names()), text)))
    names = Given(Names())
    lost = [word for word in after["command"].split() if "<" in word]
    assert not lost
    assert set(before.get("defaults", {})) == set(after.get("defaults", {}))
    changed = {
        key: value
        for key, value in after.get("defaults", {}).items()
        if value != before["defaults"][key]
        and key not in ("served_model_name", "speculative_config")
        and "model-" not in str(value)
    }
    assert not changed
    assert not names.questions


def test_other_texts_are_left_out_and_their_codes_stay(golden: Stored) -> None:
    assert golden.result.health is not None
    result = replace(
        golden.result,
        findings=(Finding(code="http_500", severity="warning", text="3 of 9 failed: zorgblat7 said no"),),
        model_files=(FileHash("acme-9.gguf", 5, "0" * 64), FileHash("model.safetensors", 5, None)),
        health=replace(golden.result.health, reasons=(Reason(code="foreign_process", text="others used gpu0 too: doom (7)"),)),
    )
    done = redact.redacted(replace(golden, result=result), PUBLIC)[0].result
    assert done.findings == (Finding(code="http_500", severity="warning", text=LEFT_OUT),)
    assert [file.path for file in done.model_files] == ["<file>.gguf", "model.safetensors"]
    assert done.health is not None
    assert done.health.reasons == (Reason(code="foreign_process", text=LEFT_OUT),)
    assert done.redacted is not None
    assert done.redacted.version == fields.VERSION


@pytest.mark.parametrize(
    ("argv", "kept"),
    [
        ("--api-key 1234 --port 8000", "--api-key <text> --port 8000"),
        ("--api-key=abc --x-acme-flag 1", "--api-key=<text> <text> 1"),
        ("--tensor-parallel-size 2 -tp 2 --dtype=bfloat16", "--tensor-parallel-size 2 -tp 2 --dtype=bfloat16"),
        ("--download-dir /models/llama --chat-template ./x.jinja", "--download-dir <path> --chat-template <path>"),
        ("--url https://vllm.cache/x --host 10.0.0.5 --rpc tcp://10.0.0.5:99", "--url <url> --host <address> --rpc <url>"),
        ("/opt/vllm/bin/vllm serve --token $HF_TOKEN", "<path>/vllm serve --token $HF_TOKEN"),
        ("--max-model-len 1234567890123", "--max-model-len <text>"),
        ("--served-model-name anna", "--served-model-name <text>"),
    ],
)
def test_command_lines(argv: str, kept: str) -> None:
    assert " ".join(wordwise.command(Given(Names()), argv.split())) == kept


def test_scripts_and_environments() -> None:
    given = Given(Names())
    script = 'cd /srv/anna && export TOKEN=abc; vllm serve --config \'{"method": "dflash", "password": "model"}\' | anna x.log'
    (_, _, done) = wordwise.command(given, ["bash", "-c", script])
    assert done == (
        'cd <path> && export TOKEN=<text>; vllm serve --config \'{"method": "dflash", "password": "<text>"}\' | <text> x.log'
    )
    env = {
        "VLLM_LOGGING_LEVEL": "DEBUG",
        "ACME_MODE": "1",
        "HF_HUB_CACHE": "/anna",
        "NCCL_DEBUG": "${NCCL_DEBUG}",
        "HF_TOKEN": "x",
    }
    assert wordwise.environment(given, env) == {
        "VLLM_LOGGING_LEVEL": "DEBUG",
        "HF_HUB_CACHE": "<path>",
        "NCCL_DEBUG": "${NCCL_DEBUG}",
    }


def test_own_names_are_no_words_even_if_they_are() -> None:
    launch = Launch(executor="process", argv=("vllm", "kernel"), env={})
    assert fields.struct(Given(Names()), launch).argv == ("vllm", "kernel")
    assert fields.struct(Given(Names(own=frozenset({"Kernel"}))), launch).argv == ("vllm", "<text>")
    assert wordwise.sentence(Given(Names(own=frozenset({"kernel"}))), "the kernel does not say") == LEFT_OUT


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("0.11.0rc2.dev5+g1a2b3c4d5.cu130", "0.11.0rc2.dev5+g1a2b3c4d5.cu130"),
        ("xllamacpp 2026.10.11549", "xllamacpp 2026.10.11549"),
        ("5.36_0ACUM018 06/12/2025", "5.36"),
        ("6.8-acme-3", "6.8"),
        ("10.77.31.45", ""),
        ("made on 10.77.31.45", ""),
        ("zorgblat7", ""),
    ],
)
def test_versions(said: str, kept: str) -> None:
    assert grammar.version(said) == kept


def test_what_a_version_may_not_be() -> None:
    machine = replace(generated.filled(Machine, "x"), firmware="kernel", kernel="6.11.0-1016-nvidia")
    assert fields.struct(Given(Names()), machine).firmware == "kernel"
    done = fields.struct(Given(Names(own=frozenset({"kernel"}))), machine)
    assert (done.firmware, done.kernel) == ("", "6.11.0-1016-nvidia")


def test_readings_stay_with_their_trials(golden: Stored, tmp_path: Path) -> None:
    tmp_path.joinpath("run").mkdir()
    folder.put(tmp_path / "run", golden)
    trials = golden.result.trials
    bounds = [0, *(trial.t_start_ns for trial in trials), trials[-1].t_end_ns + 1, 1 << 62]
    said = duckdb.execute(f"SELECT trial, t_ns FROM '{tmp_path / 'run' / 'samples.parquet'}'").fetchall()
    assert sorted(t_ns for _, t_ns in said) == sorted(sample.t_ns for sample in golden.samples)
    for trial, t_ns in said:
        assert (trial is None) == (t_ns < bounds[1] or t_ns >= bounds[-2])
        assert trial is None or bounds[trial + 1] <= t_ns < bounds[trial + 2]


def test_the_golden_bundle_is_not_changed_by_looking(golden: Stored) -> None:
    before = GOLDEN.read_bytes()
    redact.shareable(golden, PUBLIC)
    assert GOLDEN.read_bytes() == before


@pytest.mark.parametrize("path", shipped(), ids=lambda path: path.stem)
def test_the_plan_of_a_shipped_recipe_raises_no_alarm(path: Path, golden: Stored) -> None:
    """As it is and as another's; its own flags and settings stay."""
    text = path.read_text()
    before = loads(text, str(path))
    machine = replace(MACHINE, hostname="zorgblat7", home="/home/qwexander")
    try:
        made = resolve(
            before, machine, overrides={}, profile=None, grid=GridOverrides(), seed=0, url=None, terms=Terms(allow=frozenset())
        )
    except HarnessError:
        pytest.skip("it needs several machines")
    for names in (whose.names(golden, [path], {}), Names()):
        stored = replace(golden, plan=made, recipe_text=text)
        done = redact.redacted(stored, names)[0]
        assert scan.scan({"result.json": everything(done).encode(), "recipe.yaml": done.recipe_text.encode()}, OWN) == []
        assert done.plan.launch is not None
        assert made.launch is not None
        flags = [[word for word in launch.argv if word.startswith("--")] for launch in (made.launch, done.plan.launch)]
        assert flags[0] == flags[1]
        assert set(done.plan.launch.env) == set(made.launch.env)
