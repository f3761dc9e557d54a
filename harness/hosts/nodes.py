"""What a node is: its facts, its network interfaces, and which of these ties it to the others."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, ip_interface, ip_network

import msgspec

from harness.errors import MachineError
from harness.hosts.base import Host
from harness.schema.node import Link, Node
from harness.typed import decoded

RUN_LIMIT_S = 10.0
NO_CABLE = re.compile(r"lo$|docker\d|br-[0-9a-f]{12}$|virbr|veth|cni|flannel|lxdbr|tailscale|wg\d")
"""Interfaces of the machine to itself: every machine has 172.17.0.1 on docker0, and it leads nowhere."""


class Address(msgspec.Struct, frozen=True):
    family: str = ""
    local: str = ""
    prefixlen: int = 0
    scope: str = ""


class Interface(msgspec.Struct, frozen=True):
    """Of `ip -json addr`."""

    ifname: str
    flags: tuple[str, ...] = ()
    addr_info: tuple[Address, ...] = ()


def look(host: Host, name: str, environment: Mapping[str, str], reached_at: str | None) -> Node:
    """`environment`: what programs get there. `reached_at` None: it is this machine. Raises `MachineError`."""
    home = environment.get("HOME", "/root")
    caches = hugging_face(environment, home)
    return Node(
        host=name,
        here=reached_at is None,
        hostname=_text(host, "/proc/sys/kernel/hostname"),
        kernel=_text(host, "/proc/sys/kernel/osrelease"),
        memory_bytes=_memory(_text(host, "/proc/meminfo")),
        gpus=tuple(_gpu(_text(host, path)) for path in host.glob("/proc/driver/nvidia/gpus/*/information")),
        home=home,
        hf_home=caches[0],
        hf_hub=caches[1],
        reached_at=reached_at or "127.0.0.1",
        links=links(host, name),
    )


def hugging_face(environment: Mapping[str, str], home: str) -> tuple[str, str]:
    """Where Hugging Face's libraries keep what is theirs, and the models in it: by the variables that huggingface_hub reads."""
    own = environment.get("HF_HOME") or f"{environment.get('XDG_CACHE_HOME') or f'{home}/.cache'}/huggingface"
    hub = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE") or f"{own}/hub"
    return own.rstrip("/"), hub.rstrip("/")


def links(host: Host, name: str) -> tuple[Link, ...]:
    asked = host.run(["ip", "-json", "addr"], timeout_s=RUN_LIMIT_S)
    try:
        found = decoded(asked.out, tuple[Interface, ...])
    except msgspec.MsgspecError:
        raise MachineError(
            f"the network interfaces of {name} cannot be listed: {asked.err.strip() or 'ip gave no JSON'}",
            "install iproute2 there",
        ) from None
    rdma = {path.split("/")[-1]: path.split("/")[4] for path in host.glob("/sys/class/infiniband/*/device/net/*")}
    usable = (one for one in found if "LOWER_UP" in one.flags and not NO_CABLE.match(one.ifname))
    made = (
        Link(
            name=one.ifname,
            addresses=tuple(f"{a.local}/{a.prefixlen}" for a in one.addr_info if a.family == "inet" and a.scope == "global"),
            speed_mbit=_speed(_text(host, f"/sys/class/net/{one.ifname}/speed")),
            rdma=rdma.get(one.ifname),
        )
        for one in usable
    )
    return tuple(link for link in made if link.addresses or link.rdma)


def tie(nodes: Sequence[Node], named: Mapping[str, str]) -> tuple[Node, ...]:
    """Each with the link by which it reaches the others: the one the user named, else the fastest network that all of them are on, one
    with RDMA before any other. Pure. Raises `MachineError`."""
    for host in named:
        if host not in {node.host for node in nodes}:
            raise MachineError(f"an interface is named for {host}, which is none of the hosts", "correct the cluster file")
    if len(nodes) < 2:
        return tuple(nodes)
    shared = _shared(nodes)
    if not shared and not all(node.host in named for node in nodes):
        hosts = ", ".join(node.host for node in nodes)
        raise MachineError(
            f"{hosts} are on no common network",
            "give one interface of each an address in one subnet, or name them in a cluster file",
        )
    return tuple(_tied(node, shared, named.get(node.host)) for node in nodes)


def _shared(nodes: Sequence[Node]) -> list[IPv4Network]:
    """Networks that all nodes are on, the best first."""
    everywhere = set.intersection(*({net for link in node.links for net in _networks(link)} for node in nodes))

    def rank(net: IPv4Network) -> tuple[bool, int, str]:
        on = [next(link for link in node.links if net in _networks(link)) for node in nodes]
        return not all(link.rdma for link in on), -min(link.speed_mbit or 0 for link in on), str(net)

    return sorted(everywhere, key=rank)


def _tied(node: Node, shared: Sequence[IPv4Network], named: str | None) -> Node:
    if named is not None:
        link = next((link for link in node.links if link.name == named and link.addresses), None)
        if link is None:
            known = ", ".join(link.name for link in node.links if link.addresses)
            raise MachineError(
                f"{node.host} has no interface {named} that is up with an IPv4 address", f"it has: {known or 'none'}"
            )
        address = link.addresses[0]
    else:
        link = next(link for link in node.links if shared[0] in _networks(link))
        address = next(each for each in link.addresses if ip_interface(each).network == shared[0])
    rails = (each.rdma for each in node.links if each.rdma and set(_networks(each)) & set(shared))
    return msgspec.structs.replace(
        node,
        link=link.name,
        address=str(ip_interface(address).ip),
        rails=tuple(rails) if link.rdma else (),
        named=named is not None,
    )


def _networks(link: Link) -> list[IPv4Network]:
    return [IPv4Network(ip_network(address, strict=False)) for address in link.addresses]


def _speed(text: str) -> int | None:
    return int(text) if text.isdecimal() and 0 < int(text) < 1 << 31 else None


def _memory(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _gpu(information: str) -> str:
    found = re.search(r"^Model:\s*(.+)$", information, re.MULTILINE)
    return found[1].strip() if found else "NVIDIA GPU"


def _text(host: Host, path: str) -> str:
    return (host.read(path) or b"").decode("utf-8", "replace").strip("\0\n ")
