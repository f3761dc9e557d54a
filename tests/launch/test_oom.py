"""Scores and names as the kernel shows them, of real processes; earlyoom's rules as people have them on their machines."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import clock, comm
from harness.hosts.base import Process
from harness.hosts.local import LocalHost
from harness.launch import oom
from harness.launch.processes import Family

HOST = LocalHost()
MARK = "HARNESS_RUN=oom-test"
TREE = "import os, sys, time\nos.fork()\nprint(os.getpid(), flush=True)\ntime.sleep(600)"


def process(pid: int) -> Process:
    return Process(pid, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]), "x")


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    family = Family(HOST, MARK)
    name, _, value = MARK.partition("=")
    family.root = HOST.spawn([sys.executable, "-c", TREE], env={name: value}, cwd=None, log=str(tmp_path / "log"))
    began = clock.now()
    while len((tmp_path / "log").read_text().split()) < 2:
        assert clock.since(began) < 20
        clock.sleep(0.02)
    yield family
    assert family.kill() == []


def test_the_engine_goes_first(family: Family) -> None:
    ours = score(os.getpid())
    living = family.living()
    assert len(living) == 2
    assert all(score(process.pid) < oom.ENGINE_ADJ for process in living)
    assert oom.make_likely_victim(HOST, living) == []
    assert [score(process.pid) for process in living] == [oom.ENGINE_ADJ] * 2
    assert score(os.getpid()) == ours


def test_a_process_that_offers_itself_keeps_its_score(family: Family) -> None:
    """Ray does that with its workers."""
    first, second = family.living()
    Path(f"/proc/{first.pid}/oom_score_adj").write_text("1000")
    assert oom.make_likely_victim(HOST, [first, second]) == []
    assert (score(first.pid), score(second.pid)) == (1000, oom.ENGINE_ADJ)


def test_processes_that_have_ended_are_none_of_others(family: Family) -> None:
    living = family.living()
    family.kill()
    assert oom.make_likely_victim(HOST, living) == []


AS_NOBODY = """
import os, sys
from harness.hosts.base import Process
from harness.hosts.local import LocalHost
from harness.launch import oom
if os.geteuid() == 0:
    os.setuid(65534)
print([p.pid for p in oom.make_likely_victim(LocalHost(), [Process(int(sys.argv[1]), int(sys.argv[2]), "x")])])
"""


def test_a_process_of_somebody_else_is_told(family: Family) -> None:
    """As root's in a container are."""
    assert family.root is not None
    other = family.root if os.geteuid() == 0 else process(1)
    before = score(other.pid)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(other.pid), str(other.started)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"[{other.pid}]"
    assert score(other.pid) == before


def in_a_process_of_its_own(code: str) -> list[str]:
    head = "import os\nfrom pathlib import Path\nfrom harness.launch import oom\nscore = Path('/proc/self/oom_score_adj')\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_harness_goes_last_where_it_may() -> None:
    before, allowed, after = in_a_process_of_its_own("print(score.read_text(), oom.make_poor_victim(), score.read_text())")
    assert after == (str(oom.OURS_ADJ) if allowed == "True" else before)


def test_without_the_privilege_nothing_is_raised() -> None:
    code = (
        "os.geteuid() or os.setuid(65534)\nbefore = score.read_text()\nprint(before, oom.make_poor_victim(), score.read_text())"
    )
    before, allowed, after = in_a_process_of_its_own(code)
    assert allowed == ("True" if int(before) <= oom.OURS_ADJ else "False")
    assert after == before


@pytest.mark.parametrize("name", [comm.HARNESS, comm.DRIVER])
def test_a_process_has_the_name_it_gives_itself(name: str) -> None:
    code = f"from harness.comm import name_process; name_process({name!r}); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert psutil.Process(child.pid).name() == name
        assert Path(f"/proc/{child.pid}/comm").read_text() == f"{name}\n"
        child.communicate(b"\n")


SPARKRUN = (
    *("earlyoom", "-m", "2", "-s", "80"),
    *("--prefer", "(vllm|VLLM|sglang|llama-server|llama-cli|trtllm|tritonserver|ray|python3|python)"),
    *("--avoid", "(systemd|sshd|dockerd|containerd|dbus-daemon|NetworkManager)"),
)
"""As its installer sets it, and GB10s are sold with it."""
ALL = (comm.HARNESS, comm.DRIVER, *oom.PYTHON)


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (SPARKRUN, oom.PYTHON),
        (("/usr/bin/earlyoom", *SPARKRUN[1:]), oom.PYTHON),
        (("python3", *SPARKRUN[1:]), ()),
        (("/usr/bin/earlyoom", "-r", "3600"), ()),
        (("/usr/bin/earlyoom", "-r", "3600", "--prefer", "(^|/)(java|chromium)$"), ()),
        (("earlyoom", "-m", "4", "-r", "3600", "--prefer", "(VLLM|EngineCor|ray::|vllm)"), ()),
        (("earlyoom", "-s", "10", "--prefer=(vllm|VLLM|python3|triton)"), ("python3",)),
        (("earlyoom", "-g", "--prefer", "(vllm|gpu_worker|api_server|torchrun|python.*vllm)"), ()),
        (("earlyoom", "--prefer", "^python$"), ("python",)),
        (("earlyoom", "--prefer", "."), ALL),
        (("earlyoom", "--prefer", ".", "--avoid", "^harness"), oom.PYTHON),
        (("earlyoom", "--prefer", ".", "--ignore", "^(harness-load|python3?)$"), ("harness",)),
        (("earlyoom", "--prefer", "python", "--prefer", "java"), ()),
        (("earlyoom", "--prefer", "python3**"), ALL),
        (("earlyoom", "--prefer"), ()),
        (("",), ()),
    ],
)
def test_whom_earlyoom_prefers(command: tuple[str, ...], names: tuple[str, ...]) -> None:
    assert oom.preferred(command) == names


def test_a_running_earlyoom_is_found() -> None:
    if any(process.info["name"] == "earlyoom" for process in psutil.process_iter(["name"])):
        pytest.skip("this machine runs an earlyoom of its own")
    assert oom.earlyoom_warning(HOST) is None
    command = ["earlyoom", "-c", "import time; time.sleep(600)", *SPARKRUN[1:]]
    child = subprocess.Popen(command, executable=sys.executable)
    try:
        began = clock.now()
        while (warning := oom.earlyoom_warning(HOST)) is None:
            assert clock.since(began) < 20
        text, advice = warning
        assert f"earlyoom (pid {child.pid}) rather kills python3, python than" in text
        assert SPARKRUN[6] in text
        assert "/etc/default/earlyoom" in advice
    finally:
        child.kill()
        child.wait()
