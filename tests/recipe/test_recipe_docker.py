"""Recipes with a container: the exact `docker run …`."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from harness.errors import RecipeError, UsageError
from harness.recipe.cells import GridOverrides
from harness.recipe.load import load
from harness.recipe.resolve import resolve
from harness.report import plan_text
from harness.schema.plan import Image, Launch, Mount, Plan
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
            "--pull",
            "never",
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
    assert made.notes[-1] == (
        "executor_config.privileged is not applied: it opens this machine to the container (--allow privileged)."
    )
    assert "--privileged" not in made.launch.argv


def test_models_that_lie_elsewhere_are_where_the_container_looks() -> None:
    elsewhere = msgspec.structs.replace(MACHINE, hf_hub="/data/models")
    line = argv(plan(VLLM + "container: a/b:1\n", machine=elsewhere))
    cache = "-v /home/me/.cache/huggingface:/root/.cache/huggingface"
    assert f"{cache} -v /data/models:/root/.cache/huggingface/hub -v" in line
    usual = msgspec.structs.replace(MACHINE, hf_hub="/home/me/.cache/huggingface/hub")
    assert argv(plan(VLLM + "container: a/b:1\n", machine=usual)) == argv(plan(VLLM + "container: a/b:1\n"))


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
    assert line.startswith("docker run --pull never ")
    assert "lmsysorg/sglang:nightly-dev-cu13-20260323-999bad5a python3 -m sglang.launch_server" in line
    assert "--mem-fraction-static 0.75 --speculative-algorithm EAGLE" in line


def without_hash(made: Plan) -> Launch:
    assert made.launch is not None
    return msgspec.structs.replace(made.launch, argv=tuple(word.replace(made.recipe_sha256, "") for word in made.launch.argv))


CONFIG = """\
container: x/y:1
executor_config:
  privileged: true
  cap_add: [IPC_LOCK, SYS_NICE]
  devices: [/dev/infiniband, /dev/fuse]
  security_opt: seccomp=unconfined
  volumes: [/data, "/here:/there:ro"]
  ulimit: [nofile=65535:65535]
  memory_limit: 100g
  ipc: private
  gpus: device=0
  restart_policy: always
"""
OPEN = {
    "privileged": "--privileged",
    "cap_add": "--cap-add IPC_LOCK --cap-add SYS_NICE",
    "devices": "--device /dev/infiniband --device /dev/fuse",
    "security_opt": "--security-opt seccomp=unconfined",
    "volumes": "-v /data:/data -v /here:/there:ro",
}


def test_what_opens_the_machine_needs_the_users_leave() -> None:
    closed = plan(VLLM + CONFIG)
    line = argv(closed)
    assert "--gpus device=0 --ipc private --network host" in line
    assert (
        "--ulimit memlock=-1 --oom-score-adj 500 --memory 100g --ulimit nofile=65535:65535 --device /dev/infiniband --label"
        in line
    )
    assert not any(given in line for key, given in OPEN.items())
    assert not any(word in line for word in ("/dev/fuse", "/data", "/here", "always"))
    assert "executor_config.restart_policy is not applied." in closed.notes
    for key, given in OPEN.items():
        assert any(note.startswith(f"executor_config.{key} is not applied: it opens") for note in closed.notes)
        opened = plan(VLLM + CONFIG, allow=(key,))
        assert given in argv(opened)
        assert not any(other in argv(opened) for name, other in OPEN.items() if name != key)
        assert not any(note.startswith(f"executor_config.{key} ") for note in opened.notes)
    opened = plan(VLLM + CONFIG, allow=("volumes",))
    assert opened.launch is not None
    assert opened.launch.mounts[-2:] == (Mount("/data", "/data"), Mount("/here", "/there", read_only=True))


def test_network_cards_need_no_leave() -> None:
    made = plan(VLLM + "container: x/y:1\nexecutor_config: {devices: /dev/infiniband/uverbs0}\n")
    assert "--device /dev/infiniband/uverbs0" in argv(made)
    assert made.notes == plan(VLLM + "container: x/y:1\n").notes
    for path in ("/dev/infiniband/../sda", "/dev/infinibandit", "/dev/sda:/dev/infiniband"):
        assert "--device" not in argv(plan(VLLM + f"container: x/y:1\nexecutor_config: {{devices: '{path}'}}\n"))


@pytest.mark.parametrize(
    "volume",
    [
        *("/var/run/docker.sock:/var/run/docker.sock", "/run/docker.sock", "/", "/run:/x", "/var:/x:ro", "//run/docker.sock"),
        *("/run/user/1000", "/run/containerd:/c", "/proc/1/root/run/docker.sock"),
    ],
)
def test_dockers_socket_is_never_handed_over(volume: str) -> None:
    text = VLLM + f"container: x/y:1\nexecutor_config: {{volumes: ['{volume}']}}\n"
    assert plan(text).launch.mounts == plan(VLLM + "container: x/y:1\n").launch.mounts  # type: ignore[union-attr]
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:13: .* hands Docker's socket to the container"):
        plan(text, allow=("volumes",))


@pytest.mark.parametrize("model", ["/run/docker.sock", "/var/run", "/", "/x/../run/docker.sock", "//run"])
def test_dockers_socket_is_no_model(model: str) -> None:
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:1: .* hands Docker's socket to the container"):
        plan(f"model: {model}\nruntime: llama-cpp\ncontainer: a/b:1\ncommand: llama-server -m {{model}}\n")


@pytest.mark.parametrize("volume", ["data:/x", "./x", "/a/../var/run", "/x:/y:exec"])
def test_a_volume_is_a_folder_of_this_machine(volume: str) -> None:
    with pytest.raises(RecipeError, match="is not a folder of this machine"):
        plan(VLLM + f"container: x/y:1\nexecutor_config: {{volumes: ['{volume}']}}\n", allow=("volumes",))


@pytest.mark.parametrize(
    ("text", "allow", "said"),
    [
        (VLLM + CONFIG, "priviledged", "--allow priviledged: no such leave\nHint: did you mean 'privileged'?"),
        (VLLM + "container: x/y:1\n", "privileged", "--allow privileged: the recipe does not ask for it"),
        (VLLM + "container: x/y:1\nexecutor_config: {privileged: false}\n", "privileged", "does not ask for it"),
        (VLLM, "privileged", "--allow privileged: no container is started"),
    ],
)
def test_leave_that_changes_nothing_is_an_error(text: str, allow: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        plan(text, allow=(allow,))
    assert said in str(caught.value)


@pytest.mark.parametrize("said", ["privileged: 'yes'", "ulimit: {memlock: -1}", "ipc: 'container:x'", "shm_size: [1g]"])
def test_docker_settings_that_mean_nothing(said: str) -> None:
    with pytest.raises(RecipeError, match=r"recipes/x.yaml:13: executor_config\."):
        plan(VLLM + f"container: x/y:1\nexecutor_config: {{{said}}}\n")


def test_an_image_that_was_looked_up_is_run_by_its_id() -> None:
    """The entrypoint has the image's name here, and so has a word of the command: only the image is replaced."""
    text = VLLM + "container: vllm\nexecutor_config: {entrypoint: vllm}\n"
    found = Image(
        name="vllm", id="sha256:abc", digests=("x/vllm@sha256:def",), created="2026-11-25T10:00:00Z", labels={"version": "1"}
    )
    made = plan(text, images={"vllm": found})
    assert "--entrypoint vllm" in argv(made)
    assert " sha256:abc vllm serve org/m " in argv(made)
    assert made.launch is not None
    assert (made.launch.image, made.launch.image_found) == ("vllm", found)
    shown = plan_text.render(made, width=100, color=False)
    assert "Image\n  vllm\n  sha256:abc\n  x/vllm@sha256:def\n  made 2026-11-25\n  version 1\n" in shown
    assert "\n    sha256:abc \\\n    vllm serve" in shown


def test_a_user_who_may_not_read_the_caches_is_told() -> None:
    note = "The caches are mounted under /root, which user 1000 may not read: it may download and compile anew."
    assert note in plan(VLLM + "container: x/y:1\nexecutor_config: {user: 1000}\n").notes
    assert not any("caches" in note for note in plan(VLLM + "container: x/y:1\nexecutor_config: {user: 0}\n").notes)


def test_a_container_that_is_not_used_is_named() -> None:
    made = plan("model: m\ncontainer: x/y:1\nharness: {engine: embedded}\ncommand: llama-server -m {model}\n")
    assert "The container is not used: embedded runs on our own Python." in made.notes
    assert "docker" not in argv(made)
