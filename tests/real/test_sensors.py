"""Whole runs beside sensors that play a course: energy, the verdict on the machine, and what is said where nothing can be read.

The server is the paced one, as a recipe of its own, so that its processes are known; the GPU is a library compiled for the test.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
import pytest

from harness import clock
from harness.errors import VerifyError
from harness.hosts.local import free_port
from harness.schema.health import Health
from harness.schema.result import Figure
from harness.store import folder
from harness.store.folder import Stored
from harness.units import NS_PER_S
from harness.verify import verify
from tests import fake_cuda
from tests.fake_cuda import GB10_FLOPS
from tests.fake_nvml import (
    DECODE,
    IDLE,
    LOCKED_CLOCKS,
    POWER_BRAKE,
    STUCK_LOW_POWER,
    THERMAL_SLOWDOWN,
    FakeGpu,
    FakeNvml,
    gb10_all_refused,
    healthy_gb10,
)
from tests.paced_server import paced
from tests.plug_server import HANG, PlugServer
from tests.sysfs_tree import REGISTER_MJ, Spbm, decoding, gb10, pressure

RECIPE = """\
recipe_version: "2"
name: paced
model: paced
runtime: openai
command: paced --ttft-ms 10 --tpot-ms 5
harness:
  engine: paced
  profile: short
  profiles:
    short: {pp: [64], tg: [32], concurrency: [1], requests: 8, runs: 2, max_runs: 2, target: null, idle_seconds: 1.2}
"""
GPU_IS_LOST = 15
"""Of nvmlReturn_t."""
TOGETHER = 6
"""Runs that go on side by side: they mostly wait."""


class Done(msgspec.Struct, frozen=True):
    code: int
    out: str
    err: str
    stored: Stored

    @property
    def health(self) -> Health:
        assert self.stored.result.health is not None
        return self.stored.result.health

    @property
    def figures(self) -> dict[str, Figure]:
        return self.stored.result.cells[0].figures


def bench(
    where: Path, env: Mapping[str, str], *words: str, watch: Callable[[], None] = lambda: None, until: str = "never"
) -> Done:
    """`watch` is called all the while. The run is interrupted as soon as the file `until` is in its journal."""
    (where / "paced.yaml").write_text(RECIPE)
    place = ["--set", f"port={free_port()}"]
    child = subprocess.Popen(
        [sys.executable, "-m", "harness", "bench", "paced.yaml", *([] if "--url" in words else place), *words],
        cwd=where,
        env=os.environ | dict(env),
        stdout=(where / "out").open("w"),
        stderr=(where / "err").open("w"),
    )
    interrupted = False
    while child.poll() is None:
        watch()
        if not interrupted and list(where.glob(f"results/*/*/trials/{until}")):
            interrupted = True
            child.send_signal(signal.SIGINT)
        clock.sleep(0.02)
    (path,) = where.glob("results/[!.]*/*")
    return Done(child.returncode, (where / "out").read_text(), (where / "err").read_text(), folder.read(path))


def plain(where: Path, *gpus: FakeGpu) -> Done:
    return bench(where, FakeNvml(where, *gpus).env if gpus else {})


def boxed(
    where: Path, words: Sequence[str] = (), change: Callable[[Spbm, Path], None] = lambda chip, root: None, gpu_w: float = 30.0
) -> Done:
    """A GB10 with its rails, whose energy registers wrap in the course of the run; `change` is called all the while."""
    root = where / "root"
    chip = gb10(root, counter_mj=REGISTER_MJ - 60_000)
    env = FakeNvml(where, healthy_gb10()).env | {"HARNESS_SYSTEM_ROOT": str(root)}
    with chip.played(lambda second: decoding(gpu_w)):
        return bench(where, env, *words, watch=lambda: change(chip, root))


def stall(chip: Spbm, root: Path) -> None:
    """Everything waits for memory a tenth of the time."""
    pressure(root, "memory", full_s=clock.now() / NS_PER_S / 10)


def at_the_wall(where: Path, kind: str, address: str = "", mood: str = "", words: Sequence[str] = ()) -> Done:
    with PlugServer(kind, lambda second: 60.0) as plug:
        if mood:
            plug.mood = mood
        found = address.format(port=plug.port) or plug.address
        return bench(where, {"PLUG_TOKEN": plug.token}, "--plug", found, "--plug-token-env", "PLUG_TOKEN", *words)


def slower(where: Path) -> Done:
    """Three runs of a server, and one of the same when it has become slow, which no sensor shows."""
    port = free_port()

    def run(tpot_ms: float) -> Done:
        with paced(ttft_ms=10, tpot_ms=tpot_ms, port=port) as server:
            done = bench(where, {}, "--url", server.url)
        (path,) = where.glob("results/[!.]*/*")
        path.rename(where / f"done-{clock.now()}")
        return done

    for tpot_ms in (5, 5, 5, 8):
        done = run(tpot_ms)
    for _ in range(3):  # others on this machine may keep its memory busy, which is another reason
        if all(reason.code != "slow_memory" for reason in done.health.reasons):
            break
        done = run(8)
    return done


def computing(where: Path) -> Done:
    """Three runs beside a GPU that computes as it should, and one when it does not, which neither its clock nor its watts show."""
    library, nvml = fake_cuda.built(where), FakeNvml(where, healthy_gb10())

    def run(flops: float) -> Done:
        env = fake_cuda.environment(nvml.env, library, where / "cuda.txt", flops=flops)
        done = bench(where, env, "--requests", "4", "--runs", "1")
        (path,) = where.glob("results/[!.]*/*")
        path.rename(where / f"done-{clock.now()}")
        return done

    for _ in range(6):  # a machine that others use may find a run of its own slow, which is then no history
        if run(GB10_FLOPS).health.compared_with == 2:
            break
    return run(7.5e12)


def later(where: Path, first: FakeGpu, after: str, then: Mapping[str, float] | None, *words: str, until: str = "never") -> Done:
    """The GPU changes, or with None is lost, when this file of the journal is there."""
    nvml = FakeNvml(where, first)
    changed: list[float] = []

    def watch() -> None:
        if not changed and list(where.glob(f"results/*/*/trials/{after}")):
            changed.append(nvml.second)
            nvml.play(first.refuse(nvml.second, GPU_IS_LOST) if then is None else first.at(nvml.second, then))

    return bench(where, nvml.env, *(words or ("--runs", "3")), watch=watch, until=until)


FAULTS: dict[str, tuple[FakeGpu, str]] = {
    "stuck": (healthy_gb10().at(0, STUCK_LOW_POWER), "stuck_low_power"),
    "heat": (healthy_gb10().at(0, THERMAL_SLOWDOWN), "thermal_slowdown"),
    "locked": (healthy_gb10().at(0, LOCKED_CLOCKS), "locked_clocks"),
    "brake": (healthy_gb10().at(0, POWER_BRAKE | {"clock": 1900}), "weak_power_supply"),
    "foreign": (healthy_gb10().at(0, {"process:1": 2.0**30}), "foreign_process"),
}


def _fault(where: Path, gpu: FakeGpu) -> Done:
    return plain(where, gpu)


RUNS: dict[str, Callable[[Path], Done]] = {
    "idle": lambda where: plain(where, healthy_gb10().at(-100, IDLE)),
    **{name: partial(_fault, gpu=gpu) for name, (gpu, _) in FAULTS.items()},
    "mid-run": lambda where: later(where, healthy_gb10(), "00000.jsonl", STUCK_LOW_POWER),
    "load": lambda where: later(where, healthy_gb10().at(-100, IDLE), "before.samples", DECODE),
    "interrupted": lambda where: later(where, healthy_gb10().at(-100, IDLE), "before.samples", DECODE, until="after.samples"),
    "silent": lambda where: plain(where, gb10_all_refused()),
    "none": lambda where: plain(where),
    "rails": boxed,
    "prochot": partial(boxed, change=lambda chip, root: chip.status(prochot=1)),
    "stall": partial(boxed, change=stall),
    "slow": slower,
    "slow GPU": computing,
    "plug": partial(at_the_wall, kind="shelly2", words=("--requests", "80", "--runs", "1")),  # ten readings take ten seconds
    "plug that hangs": partial(at_the_wall, kind="shelly2", mood=HANG),
    "plug with kWh only": partial(
        at_the_wall, kind="homeassistant", address="homeassistant://127.0.0.1:{port}/sensor.plug_energy"
    ),
    "lost": lambda where: later(where, healthy_gb10(), "00000.jsonl", None),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Done]]]:
    FakeNvml(tmp_path_factory.mktemp("compiled"), healthy_gb10())  # once, before many ask for it at the same time
    with ThreadPoolExecutor(TOGETHER) as pool:
        yield {name: pool.submit(run, tmp_path_factory.mktemp(name)) for name, run in RUNS.items()}


Runs = dict[str, "Future[Done]"]


def test_a_gpu_that_idles(done: Runs) -> None:
    """4 W before, meanwhile and after: watts, joules per token and none above idle; and the figures agree with the raw data."""
    found = done["idle"].result()
    assert found.code == 0, found.out + found.err
    assert "gpu by nvml (counter, idle 4.0 W)" in found.out
    assert "Health   healthy" in found.out
    rate, joules = found.figures["output_tok_s"].value, found.figures["gpu_j_tok"].value
    assert found.figures["gpu_w"].value == pytest.approx(4.0, rel=0.02)
    assert rate is not None
    assert joules == pytest.approx(4.0 / rate, rel=0.03)
    assert found.figures["gpu_net_j_tok"].value == pytest.approx(0.0, abs=0.002)
    assert (found.figures["wall_w"].value, found.figures["wall_w"].reason) == (None, "not measured")
    assert "all agree" in verify(found.stored.path)


def test_load_and_idle_are_told_apart(done: Runs) -> None:
    """The GPU idles until the trials begin, and works on when they are done."""
    figures = done["load"].result().figures
    assert figures["gpu_w"].value == pytest.approx(30.0, rel=0.05)
    assert figures["gpu_idle_w"].value == pytest.approx(17.0, rel=0.05), "4 W before, 30 W after"


def test_interrupted_when_the_idle_machine_had_just_been_read(done: Runs) -> None:
    """The figures go by that reading, since it is in the result."""
    found = done["interrupted"].result()
    assert (found.code, found.stored.result.state, len(found.stored.result.idle)) == (130, "interrupted", 2)
    assert found.figures["gpu_idle_w"].value == pytest.approx(17.0, rel=0.05)
    assert "all agree" in verify(found.stored.path)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_gpu_has_its_verdict(done: Runs, name: str) -> None:
    found, code = done[name].result(), FAULTS[name][1]
    assert found.code == 0, "a sick machine has figures all the same\n" + found.err
    assert (found.health.verdict, [reason.code for reason in found.health.reasons]) == ("degraded", [code])
    assert found.health.reasons[0].trials == (0, 1)
    assert f"({code})" in " ".join(found.out.split())
    assert "all agree" in verify(found.stored.path)


def test_the_rails_of_a_gb10(done: Runs) -> None:
    """Chip and GPU by energy registers that wrap meanwhile, the box by its watts; and each under its own name."""
    found = done["rails"].result()
    assert found.code == 0, found.err
    watts = {scope: found.figures[f"{scope}_w"].value for scope in ("gpu", "soc", "system", "wall")}
    assert watts.pop("wall") is None
    assert watts == pytest.approx({"gpu": 30.0, "soc": 44.0, "system": 55.0}, rel=0.03)
    power = found.stored.result.cells[0].power
    assert {scope: (each.source, each.method) for scope, each in power.items()} == {
        "gpu": ("nvml", "counter"),
        "soc": ("hwmon", "counter"),
        "system": ("hwmon", "integral"),
    }
    assert found.health.verdict == "healthy", found.health.reasons
    assert "all agree" in verify(found.stored.path)


@pytest.mark.parametrize(("name", "code"), [("prochot", "weak_power_supply"), ("stall", "memory_pressure")])
def test_a_fault_of_the_box_has_its_verdict(done: Runs, name: str, code: str) -> None:
    found = done[name].result()
    assert [reason.code for reason in found.health.reasons] == [code]
    assert "all agree" in verify(found.stored.path)


def test_a_slow_state_that_no_sensor_shows(done: Runs) -> None:
    """By the canary: 8 ms a token where it took 5 in the runs before."""
    health = done["slow"].result().health
    assert (health.verdict, [reason.code for reason in health.reasons], health.compared_with) == ("degraded", ["slow_state"], 3)


def test_a_gpu_that_computes_slowly(done: Runs) -> None:
    """It is asked before the first cell and after the last, not between cells, where it would hold up the server."""
    health = done["slow GPU"].result().health
    found = [canary.gpu_flop_s or 0 for canary in health.canaries]
    assert len(found) == 2
    assert all(0.7 * 7.5e12 < flops < 1.1 * 7.5e12 for flops in found), "others on this machine only take away"
    assert (health.verdict, [reason.code for reason in health.reasons], health.compared_with) == ("degraded", ["slow_gpu"], 3)


def test_watts_at_the_wall(done: Runs) -> None:
    found = done["plug"].result()
    assert found.code == 0, found.err
    assert found.figures["wall_w"].value == pytest.approx(60, rel=0.02)
    assert "wall by plug" in found.out
    assert "all agree" in verify(found.stored.path)


@pytest.mark.parametrize("name", ["plug that hangs", "plug with kWh only"])
def test_a_plug_that_says_too_little_holds_nothing_up(done: Runs, name: str) -> None:
    """A counter in steps of a whole kWh's thousandth says nothing of seconds."""
    found = done[name].result()
    assert found.code == 0, found.err
    wall = found.figures["wall_w"]
    assert (wall.value, bool(wall.reason)) == (None, True)
    assert found.health.verdict == "healthy"
    assert "all agree" in verify(found.stored.path)


def test_a_fault_in_the_middle_names_its_trials(done: Runs) -> None:
    found = done["mid-run"].result()
    (reason,) = found.health.reasons
    assert (reason.code, 0 in reason.trials, 2 in reason.trials) == ("stuck_low_power", False, True)
    assert "all agree" in verify(found.stored.path)


def test_a_verdict_that_was_changed_is_found(done: Runs, tmp_path: Path) -> None:
    sick, well = done["mid-run"].result(), done["rails"].result()
    (reason,), path = sick.health.reasons, tmp_path / "changed"
    replace = msgspec.structs.replace
    cell = well.stored.result.cells[0]
    other = replace(cell.power["gpu"], method="integral")
    for found, changed, said in (
        (sick, {"health": replace(sick.health, verdict="healthy")}, "its verdict does not follow from its reasons"),
        (sick, {"health": replace(sick.health, verdict="healthy", reasons=())}, "trial 2 shows stuck_low_power"),
        (sick, {"health": replace(sick.health, reasons=(replace(reason, trials=(0, 2)),))}, "is said of trial 0"),
        (
            sick,
            {"health": replace(sick.health, reasons=(replace(reason, text="a bit slow"),))},
            "the evidence of stuck_low_power",
        ),
        (well, {"cells": (replace(cell, power=cell.power | {"gpu": other}),)}, "joules of the scope gpu"),
    ):
        shutil.copytree(found.stored.path, path)
        (path / "result.json").write_bytes(msgspec.json.encode(replace(found.stored.result, **changed)))
        with pytest.raises(VerifyError, match=said):
            verify(path)
        shutil.rmtree(path)


def test_a_gpu_that_says_nothing_is_unknown(done: Runs) -> None:
    found = done["silent"].result()
    assert found.code == 0, found.err
    assert (found.health.verdict, len(found.health.unseen)) == ("unknown", 4)
    sensors = found.stored.result.sensors
    assert sensors is not None
    assert {absent.code for absent in sensors.absent if absent.source == "nvml"} == {"not_supported"}
    assert "Not Supported" not in found.out + found.err, "no storm of warnings"


def test_no_library_at_all(done: Runs) -> None:
    found = done["none"].result()
    assert found.code == 0, found.err
    assert "Power    not measured" in found.out
    assert found.stored.result.idle == ()
    assert {
        name for name, figure in found.figures.items() if name.endswith(("_w", "_j_tok")) and figure.value is not None
    } == set()
    assert all(figure.reason for figure in found.figures.values() if figure.value is None)


def test_readings_that_stop_make_the_energy_unknown(done: Runs) -> None:
    found = done["lost"].result()
    assert found.code == 0, found.err
    assert found.figures["gpu_w"].n == 1
    assert "watts and joules are of 1 of 3 trials: nvml" in " ".join(found.out.split())
    sensors = found.stored.result.sensors
    assert sensors is not None
    assert "lost" in {absent.code for absent in sensors.absent}
    assert (found.health.verdict, len(found.health.unseen)) == ("unknown", 4)
    assert "all agree" in verify(found.stored.path)
