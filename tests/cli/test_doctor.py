"""The two commands as a user meets them: on this machine, and on two that are simulated. `HARNESS_UPDATE_GOLDEN=1` writes their outputs
into docs/doctor.md."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from harness import clock
from harness.report import doctor_text
from harness.schema.doctor import FAIL, PASS, WARN, Check, Glance
from tests import fake_cuda
from tests.fake_nvml import FakeNvml, healthy_gb10
from tests.simulated import healthy_gb10 as healthy_machine
from tests.simulated import sick_gb10 as sick_machine

PROJECT = Path(__file__).parents[2]
DOCUMENT = PROJECT / "docs/doctor.md"
BLOCK = re.compile(r"```text title=(\w+)\n(.*?)```\n", re.DOTALL)
WIDTH = 110
HANGS = ("docker", "df", "timedatectl", "lscpu")


def harness(*words: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=PROJECT, env=os.environ | env, stdout=pipe, stderr=pipe, text=True)


class Seen(msgspec.Struct):
    code: int
    out: str
    err: str

    def checks(self, names: Mapping[str, str] | None = None) -> list[Check]:
        """`names`: what to call a path that is another one each time."""
        out = self.out
        for path, name in (names or {}).items():
            out = re.sub(rf"(?<!\w){re.escape(path)}(?!\w)", name, out)
        return msgspec.json.decode(out, type=list[Check])


def ended(child: subprocess.Popen[str]) -> Seen:
    out, err = child.communicate(timeout=60)
    return Seen(child.returncode, out, err)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def seen(folder: Path) -> dict[str, Seen]:
    """All at once: most of the time they wait."""
    slow = folder / "slow"
    slow.mkdir()
    for name in HANGS:
        (slow / name).write_text("#!/bin/sh\nexec sleep 600\n")
        (slow / name).chmod(0o755)
    words = ("doctor", "--json")
    recipe = "mistral-small-4-nvfp4-eagle"
    children = {
        "plain": harness(*words, "smollm2-135m-cpu", HARNESS_RESULTS=str(folder / "results")),
        "text": harness("doctor", "smollm2-135m-cpu", COLUMNS="100"),
        "slow": harness(*words, PATH=f"{slow}:{os.environ['PATH']}"),
        "healthy": harness(*words, recipe, **healthy_machine(folder / "healthy", waits=True)),
        "hung": harness(*words, **hung_machine(folder)),
        "watch": harness("watch", "--seconds", "2.2", **FakeNvml(folder, healthy_gb10()).env),
        "sick": harness(*words, recipe, **sick_machine(folder / "sick", waits=True)),
    }
    return {name: ended(child) for name, child in children.items()}


def hung_machine(folder: Path) -> dict[str, str]:
    """Its GPU takes work and never ends it."""
    library = fake_cuda.built(folder)
    fail = {"cuLaunchKernel": fake_cuda.HANGS}
    return fake_cuda.environment(healthy_machine(folder / "hung", waits=True), library, folder / "hung.txt", fail=fail)


def statuses(checks: list[Check]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for check in checks:
        found.setdefault(check.name, set()).add(check.status)
    return found


def test_what_does_not_pass_has_advice_and_failures_decide_the_exit_code(seen: dict[str, Seen]) -> None:
    for name in ("plain", "slow", "healthy", "sick"):
        checks = seen[name].checks()
        assert all(check.text for check in checks)
        assert all(
            bool(check.advice) >= (check.status in (WARN, FAIL)) and not (check.advice and check.status == PASS)
            for check in checks
        )
        failed = any(check.status == FAIL for check in checks)
        assert (seen[name].code, seen[name].err) == (4 if failed else 0, "")


def test_a_healthy_gb10_has_no_failure(seen: dict[str, Seen]) -> None:
    found = statuses(seen["healthy"].checks())
    passed = {
        "gpu",
        "driver",
        "kernel",
        "firmware",
        "docker",
        "nvidia runtime",
        "image",
        "model",
        "disk",
        "memory",
        "clocks",
        "time",
    }
    assert {name: found[name] for name in passed} == {name: {PASS} for name in passed}
    assert seen["healthy"].code == 0


def test_a_sick_gb10_is_found_out(seen: dict[str, Seen]) -> None:
    checks = seen["sick"].checks()
    found = statuses(checks)
    failed = {name for name, each in found.items() if FAIL in each}
    assert failed == {"kernel", "docker", "disk for the model", "memory", "clocks"}
    assert {"driver", "firmware", "model", "power", "time"} <= {name for name, each in found.items() if "warn" in each}
    assert any("stuck_low_power" in check.text and "power supply from the wall" in check.advice for check in checks)


def test_commands_that_hang_do_not_hold_it_up(seen: dict[str, Seen]) -> None:
    """Four programs would sleep for ten minutes each."""
    found = {check.name: check for check in seen["slow"].checks()}
    assert "did not end within" in found["docker"].text
    assert found["disk"].status == found["time"].status == "skip"


def test_a_gpu_that_ends_no_work_is_told(seen: dict[str, Seen]) -> None:
    (found,) = (check for check in seen["hung"].checks() if check.name == "clocks")
    assert (found.status, "has not answered" in found.text, "dmesg" in found.advice) == (WARN, True, True)


def test_a_person_reads_text(seen: dict[str, Seen]) -> None:
    lines = seen["text"].out.splitlines()
    assert re.match(r"(pass|warn|skip|fail)  gpu ", lines[0])
    assert re.fullmatch(r"(\d+ (fail|warn|pass|skip)(, )?)+", lines[-1])
    assert seen["text"].code == seen["plain"].code
    assert "\x1b" not in seen["text"].out


def test_the_document_shows_what_is_printed(seen: dict[str, Seen], folder: Path) -> None:
    """That of a plain machine is of whichever machine it was: only its names are looked at."""
    written = DOCUMENT.read_text(encoding="utf-8")
    shown = {}
    for name in ("plain", "healthy", "sick"):
        homes = {str(folder / name): "/home/spark", str(folder): "/home/spark", sys.prefix: "/opt/harness"}
        homes |= {os.uname().nodename: "box"}
        checks = seen[name].checks(homes)
        shown[name] = doctor_text.render(checks, width=WIDTH, color=False) + "\n"
    if not os.environ.get("HARNESS_UPDATE_GOLDEN"):
        shown["plain"] = dict(BLOCK.findall(written))["plain"]
    renewed = BLOCK.sub(lambda match: f"```text title={match[1]}\n{shown[match[1]]}```\n", written)
    if os.environ.get("HARNESS_UPDATE_GOLDEN"):
        DOCUMENT.write_text(renewed, encoding="utf-8")
    assert renewed == written or os.environ.get("HARNESS_UPDATE_GOLDEN")
    explained = set(re.findall(r"^\| `([^`]+)` \|", written, re.MULTILINE))
    said = {check.name for name in ("plain", "slow", "healthy", "sick") for check in seen[name].checks()}
    assert said <= explained


def test_colors_are_for_terminals_and_words_are_never_cut() -> None:
    path = "/a/path/" + "x" * 120
    checks = [Check("gpu", PASS, "there"), Check("model", FAIL, f"it is not in {path}", f"look into {path}")]
    shown = doctor_text.render(checks, width=60, color=True)
    assert shown.startswith("\x1b[32mpass\x1b[0m  gpu ")
    assert shown.count(path) == 2
    assert shown.endswith("1 fail, 1 pass")


def test_watch_prints_a_line_of_json_each_second(seen: dict[str, Seen]) -> None:
    done = seen["watch"]
    assert (done.code, done.err) == (0, "")
    glances = [msgspec.json.decode(line, type=Glance) for line in done.out.splitlines()]
    assert len(glances) == 3
    first = glances[-1].readings[0]
    assert (first.name, first.value, first.unit, first.scope, first.source) == ("gpu0.power", 30.0, "W", "gpu", "nvml")
    assert all(0 <= shown.age_s < 30 for shown in glances[-1].readings)
    assert {shown.source for shown in glances[-1].readings} >= {"nvml", "memory", "cpu"}


def test_watch_ends_when_its_reader_does() -> None:
    child = harness("watch")
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    assert child.wait(timeout=30) == 0
    assert child.stderr.read() == ""
    child.stderr.close()


def test_watch_on_a_terminal_until_ctrl_c(tmp_path: Path) -> None:
    """What is absent stands below."""
    nvml = FakeNvml(tmp_path, healthy_gb10().refuse(-100, 3, "Temperature"))
    ours, theirs = pty.openpty()
    env = os.environ | nvml.env | {"COLUMNS": "120", "LINES": "60", "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "watch"], cwd=PROJECT, env=env, stdout=theirs, stderr=theirs
    ) as child:
        os.close(theirs)
        shown, began, interrupted = "", clock.now(), False
        while clock.since(began) < 30:
            try:
                shown += os.read(ours, 1 << 16).decode("utf-8", "replace")
            except OSError:  # the other end is closed
                break
            if not interrupted and "gpu0.temperature" in shown and "memory.available" in shown:
                interrupted = True
                child.send_signal(signal.SIGINT)
    os.close(ours)
    assert child.returncode == 130
    assert "Traceback" not in shown
    assert shown.index("gpu0.power") < shown.index("memory.available") < shown.index("not_supported")
    assert "30 W" in shown


def test_watch_draws_over_its_last_picture_on_a_short_terminal(tmp_path: Path) -> None:
    """A line that has scrolled away cannot be drawn over: it would be there again and again. The end shows all."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")} | {"TERM": "xterm"}
    words = [sys.executable, "-m", "harness", "watch", "--seconds", "1.2"]
    shown = ""
    with subprocess.Popen(words, cwd=PROJECT, env=env | healthy_machine(tmp_path), stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        while True:
            try:
                shown += os.read(ours, 1 << 16).decode("utf-8", "replace")
            except OSError:  # the other end is closed
                break
    os.close(ours)
    assert child.returncode == 0
    pictures = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).split("source   scope")[1:]
    assert len(pictures) > 2
    assert all(picture.count("\n") < 24 for picture in pictures[:-1])
    assert all("gpu0.power" in picture for picture in pictures)
    assert "no intel-rapl zone" in pictures[-1]
    assert "memory.available" in pictures[-1]
    assert "GiB" in pictures[-1]


HANGING_DRIVER = """
#include <unistd.h>
int nvmlInit_v2(void) { for (;;) pause(); }
int nvmlInitWithFlags(unsigned flags) { return nvmlInit_v2() + (int)flags; }
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc to compile a driver with")
def test_a_driver_that_hangs_is_an_error_of_the_machine(tmp_path: Path) -> None:
    """As `nvidia-smi` does then."""
    compiler = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "libnvidia-ml.so.1")]
    subprocess.run(compiler, input=HANGING_DRIVER, text=True, check=True)
    children = [harness(command, LD_LIBRARY_PATH=str(tmp_path)) for command in ("doctor", "watch")]
    for done in map(ended, children):
        assert (done.code, done.out) == (4, "")
        assert done.err.startswith("harness: NVIDIA's driver has not answered for 10 s")
        assert "Hint: `sudo dmesg" in done.err


def test_a_wrong_meter_is_a_usage_error() -> None:
    for command in ("doctor", "watch"):
        done = ended(harness(command, "--plug", "nonsense://x"))
        assert (done.code, "Hint: " in done.err) == (2, True)
