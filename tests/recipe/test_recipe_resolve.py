"""Recipe + machine + overrides → plan: exact command lines, what they need, and what is refused."""

from __future__ import annotations

import random
import sys

import msgspec
import pytest

from harness.errors import RecipeError, UsageError
from harness.recipe.cells import GridOverrides
from harness.schema.plan import Plan
from tests.recipe.plans import ROOT, VLLM, argv, plan


def test_a_process() -> None:
    made = plan(VLLM)
    assert made.launch is not None
    assert made.launch.executor == "process"
    assert argv(made) == "/engines/vllm/bin/vllm serve org/m --host 127.0.0.1 --port 8000 --max-model-len 4096"
    assert (made.engine, made.served_model, made.host, made.port, made.url) == (
        "vllm",
        "org/m",
        "127.0.0.1",
        8000,
        "http://127.0.0.1:8000",
    )
    assert made.requires == ("gpu", "engine:vllm", "port:8000")
    assert made.context_limit == 4096
    assert made.notes == ("It binds 127.0.0.1 instead of 0.0.0.0: only this machine can ask it; --set host=0.0.0.0 opens it.",)
    assert made.workload.profile_name == "quick"


def test_overrides_are_read_as_yaml_and_reach_the_command() -> None:
    made = plan(
        VLLM + "env: {A: '1'}\n",
        {"max_model_len": "8192", "model": "org/other", "port": "8123", "env.A": "2", "env.B": "x y", "ready_timeout_s": "1.5"},
    )
    assert argv(made) == "/engines/vllm/bin/vllm serve org/other --host 127.0.0.1 --port 8123 --max-model-len 8192"
    assert made.launch is not None
    assert made.launch.env == {"A": "2", "B": "x y"}
    assert made.launch.ready_timeout_s == 1.5
    assert (made.model, made.port, made.context_limit) == ("org/other", 8123, 8192)
    assert made.overrides["max_model_len"] == "8192"
    assert made.requires[-1] == "port:8123"


@pytest.mark.parametrize(
    ("given", "read"), [("0.70", "0.7"), ("true", "True"), ("0x10", "16"), ("'1'", "1"), ("1 K", "1 K"), ("a: b", "a: b")]
)
def test_overrides_are_what_the_recipe_would_read(given: str, read: str) -> None:
    assert argv(plan(VLLM, {"max_model_len": given})).endswith(f"--max-model-len {read}")


def test_json_overrides_stay_as_typed() -> None:
    text = VLLM.replace("unused: 1", "speculative_config: '{}'").rstrip() + " --speculative-config '{speculative_config}'\n"
    made = plan(text, {"speculative_config": '{"method": "mtp"}'})
    assert made.launch is not None
    assert made.launch.argv[-1] == '{"method": "mtp"}'


def test_the_user_may_open_the_server() -> None:
    made = plan(VLLM, {"host": "0.0.0.0"})
    assert "--host 0.0.0.0" in argv(made)
    assert (made.host, made.url, made.notes) == ("0.0.0.0", "http://127.0.0.1:8000", ())


def test_a_literal_host_is_bound_to_loopback_too() -> None:
    made = plan("model: org/m\nruntime: vllm\ncommand: vllm serve org/m --host=0.0.0.0 --port 9000\n")
    assert argv(made).endswith("vllm serve org/m --host=127.0.0.1 --port 9000")
    assert made.port == 9000
    bare = plan("model: org/m\nruntime: vllm\ncommand: vllm serve org/m\n")
    assert argv(bare).endswith("vllm serve org/m --host 127.0.0.1")
    assert "instead of 0.0.0.0" in bare.notes[0]
    assert plan("model: org/m\nruntime: sglang\ncommand: sglang serve --model-path org/m\n").port == 30000
    other = plan(VLLM.replace("0.0.0.0", "192.168.1.5"))
    assert other.url == "http://127.0.0.1:8000"
    assert "instead of 192.168.1.5" in other.notes[0]
    local = plan(VLLM.replace("0.0.0.0", "localhost"))
    assert (local.url, local.notes) == ("http://localhost:8000", ())


def test_a_literal_port_can_be_changed() -> None:
    text = "model: org/m\nruntime: vllm\ncommand: vllm serve org/m --host 127.0.0.1 --port 9000\n"
    assert argv(plan(text, {"port": "9001"})).endswith("--port 9001")
    assert (
        plan("model: org/m\nruntime: vllm\ndefaults: {port: 9002}\ncommand: vllm serve org/m --host 127.0.0.1\n").port == 9002
    )


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (
            {"max_modl_len": "1"},
            RecipeError,
            "recipes/x.yaml:3: defaults has no key 'max_modl_len'\nHint: did you mean 'max_model_len'?",
        ),
        (
            {"unused": "2"},
            RecipeError,
            "recipes/x.yaml:7: the command does not use {unused}, so --set unused would change nothing\n"
            "Hint: put {unused} into the command of a copy of this recipe",
        ),
        ({"port": "80000"}, UsageError, "--set port=80000: not a port\nHint: write a number from 1 to 65535"),
        ({"port": "http"}, UsageError, "--set port=http: not a port\nHint: write a number from 1 to 65535"),
        ({"model": ""}, UsageError, "--set model=: a recipe cannot be without it\nHint: write it like --set model=NAME"),
        (
            {"ready_timeout_s": "soon"},
            UsageError,
            "--set ready_timeout_s=soon: not a number of seconds\nHint: write it like --set ready_timeout_s=60",
        ),
        (
            {"env.HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz"},
            UsageError,
            "--set env.HF_TOKEN: a secret, which the plan and the result would store\n"
            "Hint: pass it on unread: --set env.HF_TOKEN='$HF_TOKEN', with HF_TOKEN exported",
        ),
    ],
)
def test_bad_overrides(overrides: dict[str, str], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        plan(VLLM, overrides)
    assert str(caught.value) == said


def test_a_placeholder_without_a_default_can_be_set() -> None:
    text = VLLM.replace("  max_model_len: 4096\n", "")
    assert "--max-model-len 64" in argv(plan(text, {"max_model_len": "64"}))
    with pytest.raises(RecipeError, match="max_model_len} has no value"):
        plan(text)


def test_embedded_runs_on_our_own_python() -> None:
    text = (ROOT / "recipes" / "smollm2-135m-cpu.yaml").read_text()
    made = plan(text)
    assert argv(made) == (
        "/venv/bin/python -m harness.engines.embedded -m /wheel/SmolLM2.gguf --alias smollm2-135m-instruct "
        "--host 127.0.0.1 --port 8080 --ctx-size 8192 --parallel 4 --threads 1 --metrics"
    )
    assert made.requires == ("engine:embedded", "port:8080")
    assert (made.served_model, made.context_limit) == ("smollm2-135m-instruct", 2048)
    assert [cell.id for cell in made.workload.cells] == ["d0-pp128-tg128-c1", "d0-pp128-tg128-c4"]
    assert made.estimate.seconds < 120


def test_a_local_model_is_served_under_its_id() -> None:
    made = plan(
        "model: SmolLM2-135M-Instruct-bf16\nruntime: vllm\n"
        "env: {VLLM_CPU_KVCACHE_SPACE: 1}\ncommand: vllm serve {model} --host ::1\n"
    )
    local = "/engines/models/smollm2-135m-instruct-bf16"
    assert argv(made) == f"/engines/vllm/bin/vllm serve {local} --host ::1 --served-model-name SmolLM2-135M-Instruct-bf16"
    assert made.served_model == "SmolLM2-135M-Instruct-bf16"
    assert made.requires == ("engine:vllm", "port:8000")
    assert made.url == "http://[::1]:8000"
    assert made.notes == (f"SmolLM2-135M-Instruct-bf16 is {local} here.",)


def test_a_model_that_is_nowhere_is_named() -> None:
    made = plan("model: nowhere\nruntime: llama-cpp\ncommand: llama-server -m {model}\n")
    assert argv(made) == "llama-server -m nowhere"
    assert made.notes == ("nowhere is not among this machine's models, so the engine will look for it itself.",)


def test_a_served_name_that_the_command_leaves_out_is_added_as_sparkrun_adds_it() -> None:
    made = plan(VLLM.replace("unused: 1", "served_model_name: short"))
    assert argv(made).endswith("--served-model-name short")
    assert made.served_model == "short"


def test_scripts_run_in_a_shell_and_are_left_alone() -> None:
    made = plan(
        "model: m\nruntime: llama-cpp\ndefaults: {port: 9000}\ncommand: export A=1 && ./serve --host 0.0.0.0 --port {port}\n"
    )
    assert made.launch is not None
    assert made.launch.argv == ("bash", "-c", "export A=1 && ./serve --host 0.0.0.0 --port 9000")
    assert made.requires == ("port:9000",)
    assert "bash -c" in made.notes[0]
    assert made.notes[1] == "The command binds 0.0.0.0: other machines can reach the server."
    with pytest.raises(
        RecipeError, match=r"x.yaml:3: the command is not vllm's own and does not use {port}, so port 9 would change nothing"
    ):
        plan("model: m\nruntime: vllm\ncommand: sleep 60\n", {"port": "9"})


def test_flags_are_read_through_a_shell_and_its_comments() -> None:
    made = plan(
        "model: m\nruntime: vllm\ncommand: |\n  # don't touch\n  export A=1\n"
        "  vllm serve m --port 9 --max-model-len 77 --served-model-name s\n"
    )
    assert (made.port, made.context_limit, made.served_model) == (9, 77, "s")


def test_an_open_quote_is_an_error_before_anything_starts() -> None:
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:3: a quote in the command is never closed"):
        plan("model: m\nruntime: vllm\ncommand: vllm serve 'm\n")


def test_the_container_can_be_left_out() -> None:
    assert argv(plan(VLLM + "container: vllm-node\n", {"container": ""})).startswith("/engines/vllm/bin/vllm ")


def test_a_running_server() -> None:
    made = plan(VLLM + "container: vllm-node\n", url="http://10.0.0.1:9/v1/")
    assert made.launch is None
    assert made.requires == ()
    assert made.context_limit is None
    assert (made.host, made.port, made.url, made.engine) == ("10.0.0.1", 9, "http://10.0.0.1:9", "vllm")
    unknown = plan("model: gpt\nruntime: openai\n", url="https://api.example.com/v1")
    assert (unknown.engine, unknown.port, unknown.served_model, unknown.notes) == ("openai", 443, "gpt", ())
    for bad in ("10.0.0.1:9", "ftp://x", "http://", "http://x:port"):
        with pytest.raises(UsageError, match="not the address of a server"):
            plan(VLLM, url=bad)


@pytest.mark.parametrize(
    ("text", "profile", "said"),
    [
        (
            "model: m\nruntime: atlas\ncommand: x\n",
            None,
            "recipes/x.yaml:2: the harness cannot start the runtime 'atlas'\n"
            "Hint: start it yourself, and measure it with --url http://127.0.0.1:PORT",
        ),
        (
            "model: m\nruntime: sglng\ncommand: x\n",
            None,
            "recipes/x.yaml:2: the harness cannot start the runtime 'sglng'\nHint: did you mean 'sglang'?",
        ),
        ("model: m\nruntime: openai\n", None, "recipes/x.yaml:2: the harness cannot start the runtime 'openai'"),
        (
            "model: m\ncommand: x\nharness:\n  engine: vlm\n",
            None,
            "recipes/x.yaml:4: harness.engine 'vlm' does not exist\nHint: did you mean 'vllm'?",
        ),
        ("model: m\ncommand: x\nharness:\n  profile: mine\n", None, "recipes/x.yaml:4: no profile is called 'mine'"),
        (VLLM, "standrad", "no profile is called 'standrad'\nHint: did you mean 'standard'?"),
        (
            VLLM + "min_nodes: 2\n",
            None,
            "recipes/x.yaml:12: the recipe needs 2 machines, and this plan is for one\nHint: name them: --hosts a,b",
        ),
        (VLLM.replace("8000", "eighty"), None, "recipes/x.yaml:5: port eighty is not a port"),
    ],
)
def test_what_cannot_be_planned(text: str, profile: str | None, said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        plan(text, profile=profile)
    assert str(caught.value).startswith(said)


def test_a_recipes_own_profile_comes_first() -> None:
    text = VLLM + "harness:\n  profile: mine\n  profiles:\n    mine: {pp: [64], tg: [8]}\n    standard: {pp: [65], tg: [9]}\n"
    assert [cell.id for cell in plan(text).workload.cells] == ["d0-pp64-tg8-c1"]
    assert [cell.id for cell in plan(text, profile="standard").workload.cells] == ["d0-pp65-tg9-c1"]
    assert plan(text, profile="tg128").workload.cells[0].id == "d0-pp2048-tg128-c1"
    assert plan(text, grid=GridOverrides(tg=(16,))).workload.cells[0].id == "d0-pp64-tg16-c1"


def test_what_the_authors_server_has_and_ours_has_not_is_named() -> None:
    made = plan(VLLM + "mods: [mods/x]\nbuild_args: [--tf5]\nbenchmark: {}\n")
    assert made.notes[-1] == "Not applied: mods, build_args; the author's server may differ from this one."


def test_the_same_order_gives_the_same_plan() -> None:
    random.seed(1)
    first = plan(VLLM + "container: vllm-node\n", {"max_model_len": "100"}, profile="spark-arena-v2")
    random.seed(2)
    second = plan(VLLM + "container: vllm-node\n", {"max_model_len": "100"}, profile="spark-arena-v2")
    assert msgspec.json.encode(first) == msgspec.json.encode(second)
    assert msgspec.json.decode(msgspec.json.encode(first), type=Plan) == first


def test_a_plan_touches_nothing() -> None:
    """Python's own audit events see every opened file, socket and process."""
    text = VLLM + "container: vllm-node\n"
    plan(text)  # modules and our own profiles are read once
    seen: list[str] = []
    watching = [True]
    sys.addaudithook(
        lambda event, _: (
            seen.append(event) if watching and event.startswith(("open", "os.", "socket.", "subprocess.")) else None
        )
    )
    plan(text, {"port": "9"}, profile="publish")
    plan(text, url="http://example.com")
    watching.clear()
    assert seen == []
