"""What a collector bears: many clients at once, hostile bundles, and SIGKILL at random moments; with its memory. Ends with 1 if
anything was lost or let through.

    python scripts/bench_collect.py [--clients 50] [--bundles 1000] [--kills 40] [--seed 1]

Bundles are the tests' golden one under other ids, each signed; the server is `harness collect serve` on loopback.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import threading
from pathlib import Path
from time import perf_counter  # noqa: TID251

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.collect import hostile
from tests.collect.collector import Collector, Maker, new_key, serving, submission
from tests.collect.crash import Clients

MANY = ("--per-minute", "1000000")


class Memory:
    """The most that the server, and any of its children, had in memory."""

    def __init__(self, pid: int) -> None:
        self.server, self.child = 0, 0
        self._process, self._end = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.05):
            try:
                self.server = max(self.server, self._process.memory_info().rss)
                for child in self._process.children(recursive=True):
                    try:
                        self.child = max(self.child, child.memory_info().rss)
                    except psutil.NoSuchProcess:
                        pass
            except psutil.NoSuchProcess:
                return

    def __str__(self) -> str:
        return f"server {self.server >> 20} MiB, largest child {self.child >> 20} MiB"


def storm(served: Collector, token: str, maker: Maker, key: Path, clients: int, count: int) -> bool:
    names = [submission() for _ in range(count)]
    sums: dict[str, str] = {}
    took: dict[str, float] = {}
    status: dict[str, int] = {}

    def client(own: list[str], first: int) -> None:
        for number, name in enumerate(own):
            data = maker.bundle(f"{first + number * clients:06x}", key)
            sums[name] = hashlib.sha256(data).hexdigest()
            began = perf_counter()
            status[name] = served.put(name, token, data).status
            took[name] = perf_counter() - began

    threads = [threading.Thread(target=client, args=(names[first::clients], first)) for first in range(clients)]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = perf_counter() - began
    known = served.accepted()
    lost = [name for name in names if known.get(name, {}).get("sha256") != sums[name]]
    times = sorted(took.values())
    codes = {code: list(status.values()).count(code) for code in sorted(set(status.values()))}
    print(
        f"{clients} clients at once, {count} bundles: {spent:.0f} s, {count / spent:.1f} a second; answers {codes}; "
        f"an answer after {times[len(times) // 2]:.1f} s (median), {times[-1]:.1f} s (longest); lost: {len(lost)}"
    )
    wait_for_page(served, names[-1])
    print(f"the page of the last one was there {perf_counter() - began - spent:.0f} s later")
    return not lost and set(codes) == {201}


def wait_for_page(served: Collector, name: str) -> None:
    pause = threading.Event()
    while served.ask("GET", f"/results/{name}.html").status != 200:
        pause.wait(0.5)


def attacks(served: Collector, token: str, maker: Maker, key: Path, outside: Path) -> bool:
    before, files = served.accepted(), sorted(outside.rglob("*"))
    sound = True
    for what, data, said in [*hostile.bundles(maker, key), *hostile.large(maker, key)]:
        began = perf_counter()
        answer = served.put(submission(), token, data)
        reasons = answer.said.get("reasons", [])
        good = answer.status in (403, 422) and said in " ".join(reasons)
        sound &= good
        print(f"  {answer.status} {perf_counter() - began:4.1f} s  {what} ({len(data):,} bytes): {'; '.join(reasons)[:110]}")
    for size in (10 << 30, 10**15 - 1):
        answer = served.ask(
            "PUT", f"/v1/bundles/{submission()}", token, content_length=str(size), content_type="application/x-tar"
        )
        sound &= answer.status == 413
        print(f"  {answer.status}         a body of {size:,} bytes announced: {answer.said['reasons'][0]}")
    sound &= served.accepted() == before and sorted(outside.rglob("*")) == files
    print(f"hostile bundles: {'all refused, nothing written elsewhere' if sound else 'SOMETHING WENT THROUGH'}")
    return sound


def killed(folder: Path, maker: Maker, key: Path, kills: int, seed: int) -> bool:
    collector = Collector(folder / "killed", *MANY)
    clients = Clients(collector, collector.add("ann", key), maker, key, seed)
    for _ in range(kills):
        collector.start()
        if clients.there:
            clients.check()
        clients.run(6, clients.random.uniform(0.05, 6.0))
    collector.start()
    try:
        accepted, unanswered = clients.check()
        for name, data in list(clients.open.items()):
            if collector.put(name, clients.token, data).status not in (200, 201):
                print(f"{name} could not be sent again")
                return False
            clients.there[name] = clients.open.pop(name)
        clients.check()
    except AssertionError as error:
        print(f"SIGKILL: {error}")
        return False
    finally:
        collector.end()
    print(
        f"SIGKILL {kills} times: {len(clients.there)} confirmed, {len(clients.gone)} taken back, {unanswered} unanswered and sent again; "
        f"{accepted} were there at the last start; lost: 0, half: 0"
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--bundles", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = new_key(folder, "key")
        maker = Maker(folder / "run")
        with serving(folder / "served", *MANY) as served:
            token = served.add("ann", key)
            assert served.process is not None
            with Memory(served.process.pid) as memory:
                sound = storm(served, token, maker, key, asked.clients, asked.bundles)
            print(f"memory then: {memory}")
            with Memory(served.process.pid) as memory:
                sound &= attacks(served, token, maker, key, folder / "served" / "bundles")
            print(f"memory then: {memory}")
        sound &= killed(folder, maker, key, asked.kills, asked.seed)
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
