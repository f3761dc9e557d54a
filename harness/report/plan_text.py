"""What `harness plan` prints: everything that a run would do, before anything is done."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from harness.report import text
from harness.schema.node import Node
from harness.schema.plan import Launch, Plan
from harness.schema.workload import Cell


def render(plan: Plan, *, width: int, color: bool) -> str:
    """The exact command first: pasted into a shell it gives the same arguments."""
    return "\n\n".join(_parts(plan, width, color))


def _parts(plan: Plan, width: int, color: bool) -> Iterator[str]:
    launch, work = plan.launch, plan.workload
    yield f"{plan.recipe_name} ({plan.recipe_path})\n{plan.model} by {plan.engine}, asked at {plan.url} as {plan.served_model}"
    if launch is None:
        yield "The server already runs: nothing is started."
    else:
        if plan.nodes:
            yield "Machines\n" + "\n".join(f"  {_node(node)}" for node in plan.nodes)
        for number, worker in enumerate(plan.workers, 1):
            yield from _launch(worker, f"Rank {number} on {plan.nodes[number].host}, ")
        yield from _launch(launch, f"Rank 0 on {plan.nodes[0].host}, " if plan.nodes else "")
        if plan.requires:
            yield f"Needs\n  {', '.join(plan.requires)}"
    if plan.fit is not None:
        lines = [f"{plan.fit.verdict}: {plan.fit.text}", *([f"→ {plan.fit.setting}"] if plan.fit.setting else [])]
        yield "Memory\n" + "\n".join(text.wrapped(line, width=width, indent="  ") for line in lines)
    repeats = f"{work.profile.runs}" if work.profile.target is None else f"{work.profile.runs} to {work.profile.max_runs}"
    rows = [[str(c.depth) if c.depth else "", *_lengths(c), c.load, f"{c.warmup} + {c.requests}", repeats] for c in work.cells]
    columns: list[text.Column] = [(name, "right") for name in ("depth", "pp", "tg", "load", "warm-up + requests", "runs")]
    yield f"Cells, profile {work.profile_name}, seed {work.seed}\n" + text.table(columns, rows, width=width, color=color)
    if work.skipped:
        yield "Not measured\n" + "\n".join(
            text.wrapped(f"{s.cell.id}: {s.reason}", width=width, indent="  ") for s in work.skipped
        )
    if plan.notes:
        yield "Notes\n" + "\n".join(text.wrapped(note, width=width, indent="  ") for note in plan.notes)
    yield "Time\n" + text.wrapped(
        f"about {text.duration(plan.estimate.seconds)} ({plan.estimate.basis})", width=width, indent="  "
    )


def _launch(launch: Launch, whose: str) -> Iterator[str]:
    def title(words: str) -> str:
        return f"{whose}{words.lower()}" if whose else words

    found = launch.image_found
    yield f"{title('Command')}\n{command(launch.argv, found.id if found else launch.image)}"
    if launch.env:
        yield f"{title('Environment')}\n" + "\n".join(f"  {name}={_value(value)}" for name, value in launch.env.items())
    if launch.image:
        facts = text.image(found) if found else ("not seen on this machine",)
        yield "\n".join((title("Image"), *(f"  {fact}" for fact in (launch.image, *facts))))
    if launch.mounts:
        mounts = (f"  {m.source} at {m.target}{', read-only' if m.read_only else ''}" for m in launch.mounts)
        yield f"{title('Mounts')}\n" + "\n".join(mounts)


def _node(node: Node) -> str:
    """`spark-1 (this machine): 192.168.100.1 on enp1s0f1np1, 100 Gb/s, RDMA rocep1s0f1+roceP2p1s0f1`."""
    name = f"{node.host} (this machine)" if node.here else node.host
    if node.link is None:
        return name
    link = next(link for link in node.links if link.name == node.link)
    speed = "speed unknown" if link.speed_mbit is None else f"{link.speed_mbit / 1000:g} Gb/s"
    rdma = f", RDMA {'+'.join(node.rails)}" if node.rails else ""
    return f"{name}: {node.address} on {node.link}, {speed}{rdma}"


def _lengths(cell: Cell) -> tuple[str, str]:
    """Of a mixture, the kinds with their share."""
    if not cell.mix:
        return (f"{cell.pp} × {cell.turns} turns" if cell.turns > 1 else str(cell.pp)), str(cell.tg)
    whole = sum(shape.weight for shape in cell.mix)
    return "\n".join(f"{shape.weight / whole:.0%} {shape.pp}" for shape in cell.mix), "\n".join(str(s.tg) for s in cell.mix)


def _value(value: str) -> str:
    """As a shell reads it; a reference to the caller's variable stays one."""
    return f'"{value}"' if re.fullmatch(r"\$(\w+|\{\w+\})", value) else shlex.quote(value)


def command(argv: Sequence[str], image: str | None = None) -> str:
    """One flag with its values a line, as a POSIX shell reads it; a container's image and its command begin lines of their own."""
    lines: list[list[str]] = []
    before = ""
    for word in argv:
        module = word == "-m" and before.rpartition("/")[2].startswith("python")
        if not lines or image in (word, before) or (word.startswith("-") and not module):
            lines.append([])
        lines[-1].append(shlex.quote(word))
        before = word
    return " \\\n".join(f"  {'  ' if number else ''}{' '.join(words)}" for number, words in enumerate(lines))
