"""One server over several machines: from an engine's command line and the nodes to each rank's command and network settings. Pure.

On this machine a node has one GPU, so tensor × pipeline parallelism is the number of nodes. Flags, ports and order are those of sparkrun
0.4.2 (runtimes/vllm_distributed.py, sglang.py, orchestration/executors/_base.py) and of NVIDIA's guides (dgx-spark-playbooks, 2026-07-21;
the guide for Nemotron Ultra on four, 2026-08-21): vLLM's workers are started before its head.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness.engines import flags
from harness.schema.node import Node

MASTER_PORT = 25000
RAY_PORT = 46379
SPREADS = ("vllm", "sglang")
TENSOR = ("--tensor-parallel-size", "-tp", "--tp-size", "--tp")
PIPELINE = ("--pipeline-parallel-size", "-pp", "--pp-size", "--pp")
OURS = ("--nnodes", "--node-rank", "--master-addr", "--master-port", "--headless", "--dist-init-addr")
"""Flags that we give."""
BACKEND = "--distributed-executor-backend"


def world(words: Sequence[str]) -> int:
    """How many nodes a command line splits the model over."""
    return (flags.whole(flags.value(words, *TENSOR)) or 1) * (flags.whole(flags.value(words, *PIPELINE)) or 1)


def on_ray(words: Sequence[str]) -> bool:
    return flags.value(words, BACKEND) == "ray"


def taken(words: Sequence[str]) -> str | None:
    """The first of our own flags that a command line has already."""
    given = {word.partition("=")[0] for word in words}
    return next((flag for flag in OURS if flag in given), None)


def ports(engine: str, words: Sequence[str]) -> tuple[int, ...]:
    """That the ranks meet at, on the head."""
    return (RAY_PORT,) if engine == "vllm" and on_ray(words) else (MASTER_PORT,)


def commands(engine: str, argv: Sequence[str], nodes: Sequence[Node]) -> tuple[tuple[str, ...], ...]:
    """Of each rank, the head first. One node gets the command as it is."""
    head, count = nodes[0].address, len(nodes)
    if count == 1:
        return (tuple(argv),)
    if engine == "sglang":
        meet = ("--dist-init-addr", f"{head}:{MASTER_PORT}", "--nnodes", str(count))
        return tuple((*argv, *meet, "--node-rank", str(rank)) for rank in range(count))
    if on_ray(argv):
        return tuple(_ray(argv, node, rank, f"{head}") for rank, node in enumerate(nodes))
    meet = ("--master-addr", f"{head}", "--master-port", str(MASTER_PORT))
    return tuple(
        (*argv, "--nnodes", str(count), "--node-rank", str(rank), *meet, *(("--headless",) if rank else ()))
        for rank in range(count)
    )


def _ray(argv: Sequence[str], node: Node, rank: int, head: str) -> tuple[str, ...]:
    """The head's Ray and the server are one command, since in a container they must be one; vLLM waits for the nodes it needs. A worker
    waits for the head's Ray, which gives up on its own after some seconds."""
    ours = f"--node-ip-address {node.address} --disable-usage-stats"
    ray = f"{shlex.quote(argv[0].rpartition('/')[0] + '/ray')}" if "/" in argv[0] else "ray"
    if rank == 0:
        up = f"{ray} start --head --port {RAY_PORT} {ours} --include-dashboard=false"
        return ("bash", "-c", f"{up} && exec {shlex.join(argv)}")
    wait = f"until (exec 3<>/dev/tcp/{head}/{RAY_PORT}) 2>/dev/null; do sleep 1; done"
    return ("bash", "-c", f"{wait}; exec {ray} start --block --address={head}:{RAY_PORT} {ours}")


def environment(engine: str, words: Sequence[str], node: Node) -> dict[str, str]:
    """What binds a rank to its link, as NVIDIA's guides set it; a wrong one falls back to a slow link without a word. sparkrun 0.4.2 names
    RDMA devices in UCX_NET_DEVICES instead of interfaces, and the management interface first in the others."""
    if node.link is None:
        return {}
    names = ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "UCX_NET_DEVICES")
    found = dict.fromkeys(names, node.link) | {"NCCL_CUMEM_ENABLE": "0"}
    if node.rails:
        found |= {"NCCL_IB_HCA": ",".join(node.rails), "NCCL_IB_DISABLE": "0", "NCCL_IGNORE_CPU_AFFINITY": "1"}
    if engine == "vllm":
        found["VLLM_HOST_IP"] = f"{node.address}"
    if engine == "sglang":
        found["SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK"] = "0"
    if engine == "vllm" and on_ray(words):
        found |= {"RAY_memory_monitor_refresh_ms": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    return found
