from __future__ import annotations

import socket
from pathlib import Path

import pytest

from harness.doctor import needs
from harness.hosts.base import Ran
from harness.schema.doctor import Check
from harness.schema.machine import Gpu, Machine
from tests.doctor.patients import GIB, IN_DOCKER, PACED, by_name, machine, patient
from tests.weights.model_files import dense, folder

DF = {"df": Ran(0, f"       Avail\n{500 * GIB}\n", "")}


def look(tmp_path: Path, recipe: str | None = IN_DOCKER, of: Machine | None = None, **more: object) -> dict[str, Check]:
    of = of or machine(hf_home=str(tmp_path / "hf"))
    return by_name(needs.look(patient(tmp_path, recipe, of=of, **({"commands": DF} | more))))  # type: ignore[arg-type]


def test_without_a_recipe_the_machine_alone_is_looked_at(tmp_path: Path) -> None:
    found = look(tmp_path, None)
    assert {name: check.status for name, check in found.items()} == {"recipe": "skip", "disk": "pass", "memory": "pass"}


def test_findings_of_lint_are_findings_here(tmp_path: Path) -> None:
    assert look(tmp_path)["recipe"].status == "pass"
    wrong = look(tmp_path, IN_DOCKER.replace("--port 18123", "--port 18123 --context-length 9"))["recipe"]
    assert (wrong.status, "--max-model-len" in wrong.text, wrong.advice) == ("warn", True, "correct line 9 of recipe.yaml")
    secret = look(tmp_path, IN_DOCKER + "env: {HF_TOKEN: hf_abcdefghijklmnopqrstuvwxyzabcdefgh}\n")["recipe"]
    assert secret.status == "fail"


def test_a_recipe_for_several_machines_is_looked_at_as_far_as_it_goes(tmp_path: Path) -> None:
    found = look(tmp_path, IN_DOCKER.replace("max_nodes: 1", "min_nodes: 2"))
    assert (found["recipe"].status, "2 machines" in found["recipe"].text) == ("fail", True)
    assert {"model", "disk", "memory"} < found.keys()
    assert "port" not in found


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    on_its_own = IN_DOCKER.replace("container: org/image:2026-01-01\n", "")
    assert look(tmp_path, on_its_own)["engine"].status == "fail"
    there = look(tmp_path, on_its_own, machine(engines={"vllm": "/opt/vllm/bin"}))["engine"]
    assert (there.status, "/opt/vllm/bin" in there.text) == ("pass", True)
    assert "engine" not in look(tmp_path)


def in_the_hub(tmp_path: Path, commit: str = "abc", ref: str | None = "main") -> Path:
    hub = tmp_path / "hf/hub/models--org--model"
    (hub / "snapshots").mkdir(parents=True)
    if ref:
        (hub / "refs").mkdir()
        (hub / f"refs/{ref}").write_text(commit)
    return folder(hub / "snapshots" / commit, dense())


def test_a_model_in_the_hubs_cache(tmp_path: Path) -> None:
    missing = look(tmp_path)["model"]
    assert (missing.status, "hf download org/model;" in missing.advice) == ("warn", True)
    place = in_the_hub(tmp_path)
    assert (look(tmp_path)["model"].status, str(place) in look(tmp_path)["model"].text) == ("pass", True)
    (place / "model.safetensors").write_bytes((place / "model.safetensors").read_bytes()[:-1])
    assert look(tmp_path)["model"].status == "warn"


@pytest.mark.parametrize(("revision", "ref", "status"), [("abc", None, "pass"), ("v1", "v1", "pass"), ("def", "main", "warn")])
def test_the_revision_counts(tmp_path: Path, revision: str, ref: str | None, status: str) -> None:
    in_the_hub(tmp_path, ref=ref)
    found = look(tmp_path, IN_DOCKER + f"model_revision: {revision}\n")["model"]
    assert found.status == status
    assert ("other revisions are here: abc" in found.text, f"--revision {revision}" in found.advice) == (status == "warn",) * 2


def test_models_by_path_and_by_name(tmp_path: Path) -> None:
    by_path = IN_DOCKER.replace("model: org/model", f"model: {tmp_path}/weights")
    assert look(tmp_path, by_path)["model"].status == "fail"
    assert "disk for the model" not in look(tmp_path, by_path), "nobody downloads it"
    folder(tmp_path / "weights", dense())
    assert look(tmp_path, by_path)["model"].status == "pass"
    by_name_alone = IN_DOCKER.replace("model: org/model", "model: weights")
    assert look(tmp_path, by_name_alone)["model"].status == "fail"
    assert "disk for the model" not in look(tmp_path, by_name_alone)
    assert look(tmp_path, by_name_alone, machine(models={"weights": f"{tmp_path}/weights"}))["model"].status == "pass"
    assert "model" not in look(tmp_path, PACED)


@pytest.mark.parametrize(
    ("free", "results", "model"),
    [(500 * GIB, "pass", "pass"), (30 * GIB, "pass", "fail"), (GIB, "warn", "fail"), (GIB // 99, "fail", "fail")],
)
def test_disk(tmp_path: Path, free: int, results: str, model: str) -> None:
    """The model is of 30B parameters in two bytes: 56 GiB."""
    found = look(tmp_path, commands={"df": Ran(0, f" Avail\n{free}\n", "")})
    assert (found["disk"].status, found["disk for the model"].status) == (results, model)
    in_the_hub(tmp_path)
    assert "disk for the model" not in look(tmp_path)


def test_the_size_on_disk_may_be_in_the_metadata(tmp_path: Path) -> None:
    said = IN_DOCKER.replace("metadata: {", "metadata: {disk_gb: 1073.741824, ")
    assert "1000 GiB of org/model" in look(tmp_path, said)["disk for the model"].text


def test_a_disk_that_does_not_tell(tmp_path: Path) -> None:
    assert look(tmp_path, commands={})["disk"].status == "skip"


@pytest.mark.parametrize(
    ("available", "status", "word"),
    [(100, "pass", "need 55.9"), (60, "fail", "end other programs"), (7, "fail", "at once"), (None, "skip", "")],
)
def test_memory_keeps_its_floor(tmp_path: Path, available: int | None, status: str, word: str) -> None:
    found = look(tmp_path, available_bytes=None if available is None else available * GIB)["memory"]
    assert found.status == status
    assert word in found.text + found.advice


def test_a_model_that_never_fits(tmp_path: Path) -> None:
    found = look(tmp_path, IN_DOCKER.replace("30B", "70B"))["memory"]
    assert (found.status, found.advice) == ("fail", "take a smaller model, or one with fewer bits")


def test_a_gpu_with_memory_of_its_own(tmp_path: Path) -> None:
    for size, status in ((80 * GIB, "pass"), (24 * GIB, "fail")):
        found = look(tmp_path, of=machine([Gpu(index=0, name="other", memory_bytes=size)]), available_bytes=9 * GIB)["memory"]
        assert found.status == status


def test_memory_of_a_gpu_that_is_not_there_is_not_judged(tmp_path: Path) -> None:
    found = look(tmp_path, of=machine(()))["memory"]
    assert (found.status, "need 55.9 GiB of a GPU" in found.text) == ("skip", True)


def test_the_fit_of_the_whole_server(tmp_path: Path) -> None:
    shape = "{num_layers: 10, num_kv_heads: 2, head_dim: 64, kv_dtype: bf16, "
    said = IN_DOCKER.replace("metadata: {", f"metadata: {shape}").replace("--port", "--gpu-memory-utilization 0.8 --port")
    known = said.replace("--port", "--max-model-len 4096 --port")
    fitting = look(tmp_path, known)["memory fit"]
    assert (fitting.status, fitting.text.startswith("fits: weights 55.9 GiB + cache 0.0 GiB")) == ("pass", True)
    short = look(tmp_path, known.replace("0.8", "0.4"))["memory fit"]
    assert (short.status, short.advice) == ("warn", "use --gpu-memory-utilization 0.47 or more")
    assert look(tmp_path, said)["memory fit"].status == "skip"
    assert "memory fit" not in look(tmp_path, PACED)
    assert "memory fit" not in look(tmp_path, IN_DOCKER.replace("model_params: 30B, ", ""))


def test_an_engine_that_wants_its_share_at_once(tmp_path: Path) -> None:
    said = IN_DOCKER.replace("--port", "--gpu-memory-utilization 0.85 --port")
    found = look(tmp_path, said, available_bytes=100 * GIB)["memory"]
    assert (found.status, "wants 102.8 at once" in found.text) == ("fail", True)
    assert look(tmp_path, said, available_bytes=110 * GIB)["memory"].status == "pass"


def test_of_several_machines_each_takes_its_part(tmp_path: Path) -> None:
    """120 GB of weights, which one machine would not hold."""
    said = IN_DOCKER.replace("30B", "60B").replace("max_nodes: 1", "min_nodes: 2").replace("--port", "-tp 2 --port")
    found = look(tmp_path, said)
    assert (found["memory"].status, "need 55.9" in found["memory"].text) == ("pass", True)
    assert look(tmp_path, said.replace("-tp 2 ", ""))["memory"].status == "fail"


def test_port(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        said = PACED.replace("18123", str(port))
        taken = look(tmp_path, said)["port"]
        assert (taken.status, str(port) in taken.text) == ("warn", True)
        fixed = look(tmp_path, IN_DOCKER.replace("18123", f"{port} | tee log"))["port"]
        assert (fixed.status, "another cannot be chosen" in fixed.text) == ("fail", True)
    assert look(tmp_path, said)["port"].status == "pass"
