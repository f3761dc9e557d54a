"""`--hosts` and `--cluster`: the machines that a server runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import UsageError, did_you_mean
from harness.typed import converted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.schema.node import Node

Hosts = Annotated[
    str | None,
    typer.Option(
        "--hosts", metavar="LIST", help="The machines the server runs on, by ssh, its head first: a,b. See docs/machines.md."
    ),
]
ClusterName = Annotated[
    str | None, typer.Option("--cluster", metavar="NAME", help="The same, from ~/.config/spark-harness/clusters.yaml.")
]


def clusters_path() -> Path:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return config / "spark-harness" / "clusters.yaml"


def chosen(hosts: str | None, cluster: str | None) -> tuple[list[str], Mapping[str, str]]:
    """Names, and interfaces by name."""
    if hosts is not None and cluster is not None:
        raise UsageError("--hosts and --cluster both name machines", "leave one out")
    if cluster is not None:
        return _from_file(cluster)
    names = [] if hosts is None else [name.strip() for name in hosts.split(",")]
    if not all(names) or any(name.startswith("-") for name in names):
        raise UsageError(f"--hosts {hosts}: not a list of machines", "write it like --hosts spark-1,spark-2")
    return names, {}


def nodes(hosts: str | None, cluster: str | None) -> tuple[Node, ...]:
    """Asks each machine what it is and how it is connected; starts and changes nothing."""
    names, interfaces = chosen(hosts, cluster)
    if not names:
        return ()
    from harness.hosts.cluster import look

    return look(names, interfaces, os.environ)


def _from_file(name: str) -> tuple[list[str], Mapping[str, str]]:
    import msgspec
    import yaml

    class Cluster(msgspec.Struct, forbid_unknown_fields=True):
        hosts: list[str]
        interfaces: dict[str, str] = {}

    path = clusters_path()
    like = "write it like {pair: {hosts: [spark-1, spark-2], interfaces: {spark-2: enp1s0f0np0}}}"
    try:
        known = converted(yaml.safe_load(path.read_text()) or {}, dict[str, Cluster])
    except OSError as error:
        raise UsageError(f"--cluster {name}: {path}: {error.strerror}", like) from None
    except (yaml.YAMLError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())}", like) from None
    if name not in known:
        near = did_you_mean(name, list(known))
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(known) or 'none'}"
        raise UsageError(f"--cluster {name}: {path} has no such cluster", hint)
    if not known[name].hosts:
        raise UsageError(f"--cluster {name}: it has no hosts", like)
    return known[name].hosts, known[name].interfaces
