"""From nodes to each rank's command and network: sparkrun 0.4.2's shapes, NVIDIA's variables."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.errors import HarnessError, MachineError
from harness.hosts import nodes as look
from harness.hosts.local import LocalHost
from harness.recipe.cells import GridOverrides
from harness.recipe.load import load, loads
from harness.recipe.resolve import resolve
from harness.schema.machine import Gpu
from harness.schema.node import Link, Node
from harness.schema.plan import Launch, Plan
from tests.recipe.plans import MACHINE
from tests.recipe.test_recipe_shipped import SHIPPED, public_recipes

VLLM = """\
model: org/m
runtime: vllm-distributed
min_nodes: 2
defaults: {tensor_parallel: 2, port: 8000}
env: {NCCL_SOCKET_IFNAME: mine0}
command: vllm serve {model} -tp {tensor_parallel} --port {port} --host 127.0.0.1
"""
RAY = VLLM.replace("-tp", "--distributed-executor-backend ray -tp")
SGLANG = """\
model: org/m
runtime: sglang
defaults: {tensor_parallel: 2, port: 30000}
command: python3 -m sglang.launch_server --model-path {model} --tp-size {tensor_parallel} --port {port} --host 127.0.0.1
"""
DOCKER = VLLM.replace("min_nodes: 2", "min_nodes: 2\ncontainer: ghcr.io/o/i:1")


SEVERAL = [path for path in (*SHIPPED, *public_recipes()) if load(path).min_nodes > 1]


def spark(number: int, *links: Link, here: bool = False) -> Node:
    return Node(
        host=f"spark-{number}",
        here=here,
        hostname=f"spark-{number}",
        kernel="6.17",
        memory_bytes=128 << 30,
        gpus=("NVIDIA GB10",),
        home="/home/me",
        hf_home="/home/me/.cache/huggingface",
        reached_at=f"10.0.0.{number}",
        links=links or cabled(number),
    )


def cabled(number: int, *, port: int = 1) -> tuple[Link, ...]:
    """A DGX Spark with one cable: two devices, each on a subnet of its own (dgx-spark-playbooks, connect-two-sparks), and the 10 Gb/s
    port."""
    names = (f"enp1s0f{port}np{port}", f"rocep1s0f{port}"), (f"enP2p1s0f{port}np{port}", f"roceP2p1s0f{port}")
    return (
        Link(name="enP7s7", addresses=(f"10.0.0.{number}/24",), speed_mbit=10_000),
        Link(name=names[0][0], addresses=(f"192.168.100.{number}/24",), speed_mbit=200_000, rdma=names[0][1]),
        Link(name=names[1][0], addresses=(f"192.168.101.{number}/24",), speed_mbit=200_000, rdma=names[1][1]),
    )


def plan(text: str, *nodes: Node, named: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None) -> Plan:
    tied = look.tie(nodes, named or {})
    recipe = loads(text, "recipes/x.yaml")
    return resolve(recipe, MACHINE, overrides=overrides or {}, profile=None, grid=GridOverrides(), seed=0, url=None, nodes=tied)


def launches(made: Plan) -> list[Launch]:
    assert made.launch is not None
    return [made.launch, *made.workers]


def test_vllm_as_sparkrun_renders_it() -> None:
    """VllmDistributedRuntime.generate_node_command, with its default port."""
    made = plan(VLLM, spark(1), spark(2))
    base = "/engines/vllm/bin/vllm serve org/m -tp 2 --port 8000 --host 127.0.0.1"
    meet = "--master-addr 192.168.100.1 --master-port 25000"
    assert [shlex.join(launch.argv) for launch in launches(made)] == [
        f"{base} --nnodes 2 --node-rank 0 {meet}",
        f"{base} --nnodes 2 --node-rank 1 {meet} --headless",
    ]
    assert [launch.host for launch in launches(made)] == ["spark-1", "spark-2"]


def test_sglang_as_sparkrun_renders_it() -> None:
    """SglangRuntime.generate_node_command."""
    made = plan(SGLANG, spark(1), spark(2))
    base = "/engines/sglang/bin/python3 -m sglang.launch_server --model-path org/m --tp-size 2 --port 30000 --host 127.0.0.1"
    assert [shlex.join(launch.argv) for launch in launches(made)] == [
        f"{base} --dist-init-addr 192.168.100.1:25000 --nnodes 2 --node-rank {rank}" for rank in (0, 1)
    ]


@pytest.mark.parametrize("text", [RAY, VLLM.replace("vllm-distributed", "vllm-ray")])
def test_vllm_on_ray(text: str) -> None:
    head, worker = launches(plan(text, spark(1), spark(2)))
    assert head.argv[:2] == worker.argv[:2] == ("bash", "-c")
    begin, serve = head.argv[2].split(" && exec ")
    assert begin == (
        "/engines/vllm/bin/ray start --head --port 46379 --node-ip-address 192.168.100.1 --disable-usage-stats --include-dashboard=false"
    )
    assert "--distributed-executor-backend ray" in serve
    assert "--nnodes" not in serve
    assert worker.argv[2].endswith(
        "exec /engines/vllm/bin/ray start --block --address=192.168.100.1:46379 --node-ip-address 192.168.100.2 --disable-usage-stats"
    )
    assert head.env["RAY_memory_monitor_refresh_ms"] == "0"


def test_each_rank_is_bound_to_its_own_fast_link() -> None:
    """Cables in different ports have different names on each machine; both halves of a port are used; the recipe's own words win."""
    made = plan(VLLM, spark(1), spark(2, *cabled(2, port=0)))
    one, two = (launch.env for launch in launches(made))
    assert one["GLOO_SOCKET_IFNAME"] == one["TP_SOCKET_IFNAME"] == one["UCX_NET_DEVICES"] == "enp1s0f1np1"
    assert two["GLOO_SOCKET_IFNAME"] == "enp1s0f0np0"
    assert one["NCCL_IB_HCA"] == "rocep1s0f1,roceP2p1s0f1"
    assert two["NCCL_IB_HCA"] == "rocep1s0f0,roceP2p1s0f0"
    assert (one["VLLM_HOST_IP"], two["VLLM_HOST_IP"]) == ("192.168.100.1", "192.168.100.2")
    assert one["NCCL_SOCKET_IFNAME"] == two["NCCL_SOCKET_IFNAME"] == "mine0"


def test_one_machine_alone_is_bound_to_nothing() -> None:
    """Neither here, nor far."""
    for node in (spark(1), spark(1, here=True)):
        (launch,) = launches(plan(VLLM.replace("min_nodes: 2", "min_nodes: 1"), node, overrides={"tensor_parallel": "1"}))
        assert launch.env == {"NCCL_SOCKET_IFNAME": "mine0"}
        assert "--nnodes" not in launch.argv
        assert launch.host == (None if node.here else "spark-1")


def test_the_user_may_name_the_link() -> None:
    made = plan(VLLM, spark(1), spark(2), named={"spark-1": "enP7s7", "spark-2": "enP7s7"})
    head, worker = launches(made)
    assert worker.argv[worker.argv.index("--master-addr") + 1] == "10.0.0.1"
    assert head.env["GLOO_SOCKET_IFNAME"] == "enP7s7"
    assert "NCCL_IB_HCA" not in head.env
    with pytest.raises(MachineError, match="spark-2 has no interface eth9"):
        plan(VLLM, spark(1), spark(2), named={"spark-2": "eth9"})
    with pytest.raises(MachineError, match="spark-7, which is none of the hosts"):
        plan(VLLM, spark(1), spark(2), named={"spark-7": "eth9"})


def test_a_container_a_rank() -> None:
    machine_of_two = plan(DOCKER, spark(1), spark(2))
    head, worker = launches(machine_of_two)
    assert head.container_name == "spark-harness-x-8000"
    assert worker.container_name == "spark-harness-x-8000-rank1"
    for launch in (head, worker):
        assert launch.argv[:2] == ("docker", "run")
        assert "--device /dev/infiniband" in " ".join(launch.argv)
        assert "--network host" in " ".join(launch.argv)
        assert "-e VLLM_HOST_IP=192.168.100." in " ".join(launch.argv)
        assert "--privileged" not in launch.argv
    assert head.argv[head.argv.index("ghcr.io/o/i:1") + 1 :][:2] == ("vllm", "serve")


def test_machines_without_a_network_between_them() -> None:
    alone = spark(2, Link(name="eth0", addresses=("172.16.0.2/24",)))
    with pytest.raises(MachineError, match="spark-1, spark-2 are on no common network"):
        plan(VLLM, spark(1), alone)


@pytest.mark.parametrize(
    ("text", "count", "overrides", "said"),
    [
        (VLLM, 3, {}, "splits the model over 2 (tensor × pipeline parallelism), and 3 machines are named"),
        (VLLM, 1, {}, "the recipe is for 2 or more machines, and 1 are named"),
        (VLLM.replace("min_nodes: 2", "max_nodes: 2"), 4, {"tensor_parallel": "4"}, "the recipe is for 1 to 2 machines, and 4"),
        (VLLM.replace("--port", "--nnodes 2 --port"), 2, {}, "the command has --nnodes itself"),
        (VLLM.replace("command: vllm", "command: cd / && vllm"), 2, {}, "the command is a script"),
        (
            "model: m.gguf\nruntime: llama-cpp\ncommand: llama-server -m {model}\n",
            2,
            {},
            "llamacpp does not run on several machines",
        ),
    ],
)
def test_what_cannot_be_spread(text: str, count: int, overrides: dict[str, str], said: str) -> None:
    with pytest.raises(HarnessError) as caught:
        plan(text, *(spark(number + 1) for number in range(count)), overrides=overrides)
    assert said in caught.value.message


def test_pipeline_parallelism_counts() -> None:
    text = VLLM.replace("-tp {tensor_parallel}", "-tp {tensor_parallel} --pipeline-parallel-size 2")
    assert len(launches(plan(text, *(spark(number) for number in range(1, 5))))) == 4


def test_a_far_head_is_asked_on_its_own_loopback() -> None:
    made = plan(VLLM, spark(1), spark(2))
    assert (made.url, made.driver_host) == ("http://127.0.0.1:8000", "spark-1")
    open_one = plan(VLLM, spark(1), spark(2), overrides={"host": "0.0.0.0"})
    assert (open_one.url, open_one.driver_host) == ("http://10.0.0.1:8000", None)
    ours = plan(VLLM, spark(1, here=True), spark(2))
    assert (ours.url, ours.driver_host) == ("http://127.0.0.1:8000", None)


IP = """[{"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],
 "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
{"ifname":"docker0","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"172.17.0.1","prefixlen":16,"scope":"global"}]},
{"ifname":"enP7s7","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24,"scope":"global"},
 {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},
{"ifname":"enp1s0f0np0","flags":["UP"],"addr_info":[{"family":"inet","local":"192.168.9.1","prefixlen":24,"scope":"global"}]},
{"ifname":"enp1s0f1np1","flags":["UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"192.168.100.1","prefixlen":24,"scope":"global"}]},
{"ifname":"enP2p1s0f1np1","flags":["UP","LOWER_UP"],"addr_info":[]}]"""


def test_links_are_read_from_ip_and_sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cable, without an address and without RDMA, or leading nowhere: not a link."""
    program = tmp_path / "bin" / "ip"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{IP}\nE\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name, speed, device in (
        ("enP7s7", "10000", None),
        ("enp1s0f1np1", "200000", "rocep1s0f1"),
        ("enP2p1s0f1np1", "-1", "roceP2p1s0f1"),
    ):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
        (tmp_path / "sys/class/net" / name / "speed").write_text(f"{speed}\n")
        if device:
            (tmp_path / "sys/class/infiniband" / device / "device/net" / name).mkdir(parents=True)
    assert look.links(LocalHost(tmp_path), "spark-1") == (
        Link(name="enP7s7", addresses=("10.0.0.1/24",), speed_mbit=10_000),
        Link(name="enp1s0f1np1", addresses=("192.168.100.1/24",), speed_mbit=200_000, rdma="rocep1s0f1"),
        Link(name="enP2p1s0f1np1", addresses=(), speed_mbit=None, rdma="roceP2p1s0f1"),
    )


@pytest.mark.parametrize("path", SEVERAL, ids=lambda path: path.stem)
def test_recipes_for_several_machines_are_planned_on_as_many(path: Path) -> None:
    """Those that come with the harness, and the public ones."""
    recipe = load(path)
    tied = look.tie([spark(number) for number in range(1, recipe.min_nodes + 1)], {})
    made = resolve(recipe, MACHINE, overrides={}, profile=None, grid=GridOverrides(), seed=0, url=None, nodes=tied)
    assert len(made.workers) == recipe.min_nodes - 1
    assert {"--headless", "--node-rank", "bash"} & set(made.workers[-1].argv)


def test_nothing_is_required_of_this_machine_when_others_run_it() -> None:
    assert MACHINE.gpus == ()
    assert Gpu(index=0, name="NVIDIA GB10").name in spark(1).gpus
    assert "gpu" in plan(VLLM, spark(1), spark(2)).requires
