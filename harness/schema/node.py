"""The machines that a server is spread over, and by what they are tied together."""

from __future__ import annotations

import msgspec


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A network interface that is up and has an address."""

    name: str
    addresses: tuple[str, ...]
    """IPv4 with the length of its prefix: `192.168.100.1/24`."""
    speed_mbit: int | None = None
    """As the kernel says it; None: it does not."""
    rdma: str | None = None
    """Its RDMA device (`rocep1s0f1`)."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    """As ssh knows it, or as the user named this machine."""
    here: bool
    """It is this machine: nothing goes by ssh."""
    hostname: str
    kernel: str
    memory_bytes: int
    gpus: tuple[str, ...]
    home: str
    hf_home: str
    hf_hub: str = ""
    """Of `Machine`."""
    reached_at: str
    """The address that ssh connects to; 127.0.0.1 for this machine."""
    links: tuple[Link, ...]
    link: str | None = None
    """The name of the one by which the nodes reach each other; None for a node alone."""
    address: str | None = None
    """On it."""
    rails: tuple[str, ...] = ()
    """RDMA devices on networks that all nodes share. A port of a GB10 is two of them, each with half of its speed."""
    named: bool = False
    """The user chose the link."""
