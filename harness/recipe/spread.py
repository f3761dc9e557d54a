"""A recipe over several machines: whether it can be, and what differs from rank to rank. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from harness.engines import topology
from harness.errors import RecipeError, UsageError
from harness.recipe.command import Command
from harness.recipe.document import Document
from harness.schema.machine import Machine
from harness.schema.node import Node
from harness.schema.recipe import Recipe

RDMA_DEVICES = "/dev/infiniband"


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """One of a server's commands, and where it runs. Without a node: the only one, here."""

    argv: tuple[str, ...]
    node: Node | None = None
    env: dict[str, str] = {}

    @property
    def host(self) -> str | None:
        return None if self.node is None or self.node.here else self.node.host

    @property
    def devices(self) -> tuple[str, ...]:
        """That a container needs besides the GPU."""
        return (RDMA_DEVICES,) if self.node and self.node.rails else ()

    def on(self, machine: Machine) -> Machine:
        """The machine with this rank's folders."""
        if self.node is None or self.node.here:
            return machine
        return msgspec.structs.replace(machine, home=self.node.home, hf_home=self.node.hf_home, hf_hub=self.node.hf_hub)


def over(recipe: Recipe, engine: str, line: Command, nodes: Sequence[Node]) -> tuple[Rank, ...]:
    """The head first. Raises `RecipeError` or `UsageError` where recipe and hosts do not fit."""
    _fit(recipe, engine, line, nodes)
    words = (*line.argv, topology.BACKEND, "ray") if _wants_ray(recipe, line, nodes) else line.argv
    commands = topology.commands(engine, words, nodes)
    return tuple(
        Rank(argv=argv, node=node, env=topology.environment(engine, words, node))
        for argv, node in zip(commands, nodes, strict=True)
    )


def notes(closed: bool, nodes: Sequence[Node]) -> tuple[str, ...]:
    """What a user must know of the machines. `closed`: the server listens on its own machine's loopback."""
    said = []
    if nodes and not nodes[0].here:
        host = nodes[0].host
        said.append(
            f"Requests are sent on {host}, beside the server; what else is asked goes there by ssh."
            if closed
            else f"Requests are sent from this machine to {host} over the network, which is in every latency."
        )
    if len(nodes) > 1:
        said.append("The ranks trust their network: whoever is on it can reach the ports by which they talk.")
    return tuple(said)


def _wants_ray(recipe: Recipe, line: Command, nodes: Sequence[Node]) -> bool:
    """sparkrun's runtime of that name adds the flag."""
    return recipe.runtime == "vllm-ray" and len(nodes) > 1 and not topology.on_ray(line.words)


def _fit(recipe: Recipe, engine: str, line: Command, nodes: Sequence[Node]) -> None:
    count, hosts = len(nodes), ", ".join(node.host for node in nodes)
    if not recipe.min_nodes <= count <= (recipe.max_nodes or count):
        most = "" if recipe.max_nodes == recipe.min_nodes else f" to {recipe.max_nodes}" if recipe.max_nodes else " or more"
        said = f"the recipe is for {recipe.min_nodes}{most} machines, and {count} are named: {hosts}"
        raise _error(recipe, "max_nodes" if count > recipe.min_nodes else "min_nodes", said, "name as many as it needs")
    if count == 1:
        return
    if engine not in topology.SPREADS:
        raise UsageError(f"--hosts {hosts}: {engine} does not run on several machines", "name one, or another recipe")
    split = topology.world(line.words)
    if split != count:
        key = next((key for key in ("tensor_parallel", "tp") if key in recipe.defaults), None)
        hint = f"--set {key}={count}, or name {split}" if key else f"name {split}, or correct the command"
        said = f"the command splits the model over {split} (tensor × pipeline parallelism), and {count} machines are named: {hosts}"
        raise _error(recipe, "command", said, hint)
    if not line.own_program:
        said = f"the command is a script: what each of {count} machines must run cannot be told from it"
        raise _error(recipe, "command", said, f"let it be {engine}'s own command line")
    if (flag := topology.taken(line.words)) is not None:
        raise _error(recipe, "command", f"the command has {flag} itself, which differs from machine to machine", "take it out")


def _error(recipe: Recipe, key: str, message: str, hint: str) -> RecipeError:
    return Document(recipe.text, recipe.path).error((key,), message, hint)
