"""Recipes with a container: the exact `docker run …`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.errors import RecipeError
from harness.recipe.cells import GridOverrides
from harness.recipe.load import load
from harness.recipe.resolve import resolve
from harness.schema.plan import Launch, Plan
from tests.recipe.plans import MACHINE, ROOT, VLLM, argv, plan

DATA = Path(__file__).parent / "data"


def test_docker() -> None:
    made = plan(
        VLLM + "container: vllm-node\nenv: {A: x y, HF_TOKEN: $HF_TOKEN}\n"
        "executor_config: {user: root, shm_size: 64gb, privileged: true}\n"
    )
    assert made.launch is not None
    assert made.launch.argv == (
        *(
            "docker",
            "run",
            "--rm",
            "--name",
            "spark-harness-x-8000",
            "--gpus",
            "all",
            "--shm-size",
            "64gb",
            "--network",
            "host",
        ),
        *("--ulimit", "memlock=-1", "--oom-score-adj", "500", "--user", "root", "--label", "spark-harness.recipe=x"),
        *("--label", f"spark-harness.sha256={made.recipe_sha256}"),
        *("-v", "/home/me/.cache/huggingface:/root/.cache/huggingface", "-v", "/home/me/.cache/vllm:/root/.cache/vllm"),
        *("-v", "/home/me/.cache/flashinfer:/root/.cache/flashinfer", "-v", "/home/me/.triton:/root/.triton"),
        *("-e", "A=x y", "-e", "HF_TOKEN", "vllm-node"),
        *("vllm", "serve", "org/m", "--host", "127.0.0.1", "--port", "8000", "--max-model-len", "4096"),
    )
    assert made.launch.env == {"HF_TOKEN": "$HF_TOKEN"}, "a reference stays one, and Docker's client gets it at launch"
    assert (made.launch.executor, made.launch.image, made.launch.container_name) == (
        "docker",
        "vllm-node",
        "spark-harness-x-8000",
    )
    assert [mount.target for mount in made.launch.mounts] == [
        "/root/.cache/huggingface",
        "/root/.cache/vllm",
        "/root/.cache/flashinfer",
        "/root/.triton",
    ]
    assert made.requires == ("gpu", "docker", "port:8000")
    assert made.notes[-1] == "executor_config.privileged is not applied."
    assert "--privileged" not in made.launch.argv


def test_docker_without_a_gpu_and_with_a_model_folder() -> None:
    made = plan("model: /models/x\nruntime: llama-cpp\ncontainer: ghcr.io/a/b:1\ncommand: llama-server -m {model}\n")
    assert "--gpus" not in argv(made)
    assert "-v /models/x:/models/x:ro" in argv(made)
    assert argv(made).endswith("ghcr.io/a/b:1 llama-server -m /models/x --host 127.0.0.1")


def test_a_model_path_that_would_mount_something_else_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:1: Docker cannot mount a path with ':' in it"):
        plan("model: /etc:/x\nruntime: llama-cpp\ncontainer: a/b:1\ncommand: llama-server\n")


def test_an_image_whose_entrypoint_is_the_server_gets_none() -> None:
    made = plan(VLLM + "container: vllm/vllm-openai:v0.26.0\n")
    assert made.launch is not None
    at = made.launch.argv.index("--entrypoint")
    assert made.launch.argv[at + 1] == ""
    assert "--entrypoint" not in argv(plan(VLLM + "container: nvcr.io/nvidia/vllm:26.05-py3\n"))


@pytest.mark.parametrize("image", ["--privileged", "-v=/:/host", "a b", "$(x)"])
def test_an_image_that_is_an_option_is_refused(image: str) -> None:
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:12: .* is not an image's name"):
        plan(VLLM + f"container: '{image}'\n")


def test_the_plan_of_the_articles_system() -> None:
    """Golden: `data/mistral-plan.json`. When the recipe or the plan is meant to change, store what this test computes."""
    recipe = load(ROOT / "recipes" / "mistral-small-4-nvfp4-eagle.yaml")
    recipe = msgspec.structs.replace(recipe, path="recipes/mistral-small-4-nvfp4-eagle.yaml")
    made = resolve(recipe, MACHINE, overrides={}, profile=None, grid=GridOverrides(), seed=0, url=None)
    golden = msgspec.json.decode((DATA / "mistral-plan.json").read_bytes(), type=Plan)
    assert msgspec.structs.replace(made, recipe_sha256="", launch=without_hash(made)) == golden
    line = argv(made)
    assert line.startswith("docker run --rm ")
    assert "lmsysorg/sglang:nightly-dev-cu13-20260323-999bad5a python3 -m sglang.launch_server" in line
    assert "--mem-fraction-static 0.75 --speculative-algorithm EAGLE" in line


def without_hash(made: Plan) -> Launch:
    assert made.launch is not None
    return msgspec.structs.replace(made.launch, argv=tuple(word.replace(made.recipe_sha256, "") for word in made.launch.argv))


def test_a_user_who_may_not_read_the_caches_is_told() -> None:
    note = "The caches are mounted under /root, which user 1000 may not read: it may download and compile anew."
    assert note in plan(VLLM + "container: x/y:1\nexecutor_config: {user: 1000}\n").notes
    assert not any("caches" in note for note in plan(VLLM + "container: x/y:1\nexecutor_config: {user: 0}\n").notes)


def test_a_container_that_is_not_used_is_named() -> None:
    made = plan("model: m\ncontainer: x/y:1\nharness: {engine: embedded}\ncommand: llama-server -m {model}\n")
    assert "The container is not used: embedded runs on our own Python." in made.notes
    assert "docker" not in argv(made)
