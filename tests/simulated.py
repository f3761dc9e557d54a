"""Machines that are not there, faked at their outermost edge: NVIDIA's libraries, the kernel's files, and a few commands.

    env = healthy_gb10(tmp_path)
    subprocess.run([sys.executable, "-m", "harness", …], env=os.environ | env)

`healthy_gb10` has the image and the model of the recipe `mistral-small-4-nvfp4-eagle`. `sick_gb10` is what owners reported, all at once:
stuck at low power, software known to be bad, Docker closed to the user, memory taken, clock not synchronised.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from tests import fake_cuda, fake_nvml, sysfs_tree
from tests.fake_nvml import IDLE, STUCK_LOW_POWER, FakeGpu, FakeNvml

MODEL = "mistralai/Mistral-Small-4-119B-2603-NVFP4"
REVISION = "d57a94c74a961e1f9b489b8b3e792923ca29149b"
IMAGE = "lmsysorg/sglang:nightly-dev-cu13-20260323-999bad5a"
MODEL_BYTES = 70_800_000_000
"""Takes no room: the file is a hole behind its header."""
REFUSED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
CORES = ("0xd87",) * 5 + ("0xd85",) * 5
"""Half of them, by part number: Cortex-A725 and X925."""


def healthy_gb10(folder: Path, *, waits: bool = False) -> dict[str, str]:
    """Variables for a child process. Its GPU decodes all the time; with `waits` it idles until CUDA gives it work."""
    env = _gb10(folder, fake_nvml.healthy_gb10(), waits=waits, driver="580.173.02")
    _write_system(
        folder / "root",
        driver="580.173.02",
        kernel="6.17.0-1032-nvidia",
        bios="5.36_0ACUM027",
    )
    sysfs_tree.gb10(folder / "root")
    info = {
        "ServerVersion": "29.2.1",
        "Runtimes": {"io.containerd.runc.v2": {}, "nvidia": {"path": "nvidia-container-runtime"}},
    }
    commands = {
        "docker": "\n".join(
            [
                'case "$1 $2" in',
                '"version "*) echo 29.2.1 ;;',
                f'"info "*) echo {shlex.quote(json.dumps(info))} ;;',
                '"image inspect")',
                "  for image; do :; done",
                f'  if [ "$image" = {IMAGE} ]; then echo sha256:{"5ca1ab1e" * 8}; exit; fi',
                '  echo; echo "Error response from daemon: No such image: $image" >&2; exit 1 ;;',
                "*) exit 125 ;;",
                "esac",
            ]
        ),
        "timedatectl": "echo NTPSynchronized=yes",
        "df": 'printf "        Avail\\n3000000000000\\n"',
    }
    _write_commands(folder / "bin", commands)
    _write_model(folder / "huggingface")
    return env


def sick_gb10(folder: Path, *, waits: bool = False) -> dict[str, str]:
    """As `healthy_gb10`. With `waits` its clock looks well until there is work, as owners saw it."""
    stuck = fake_nvml.healthy_gb10().at(-100, STUCK_LOW_POWER)
    env = _gb10(folder, stuck, waits=waits, driver="590.48.01", idle_clock=2216)
    _write_system(
        folder / "root",
        driver="590.48.01",
        kernel="7.0.0-1019-nvidia",
        bios="5.36_0ACUM018",
    )
    sysfs_tree.gb10(folder / "root")
    sysfs_tree.meminfo(folder / "root", 62_000_000)
    shutil.rmtree(folder / "root/sys/class/hwmon")  # the driver of the rails is not loaded
    info = {"ServerVersion": "", "Runtimes": None}
    commands = {
        "docker": f'[ "$1" = info ] && echo {shlex.quote(json.dumps(info))}\necho {shlex.quote(REFUSED)} >&2\nexit 1',
        "timedatectl": "echo NTPSynchronized=no",
        "df": 'printf "        Avail\\n40000000000\\n"',
    }
    _write_commands(folder / "bin", commands)
    return env


def _gb10(folder: Path, gpu: FakeGpu, *, waits: bool, driver: str, idle_clock: float = 208) -> dict[str, str]:
    loaded = FakeNvml(_made(folder / "loaded"), gpu, driver=driver)
    nvml = loaded
    if waits:
        nvml = FakeNvml(_made(folder / "idle"), gpu.at(-100, IDLE | {"clock": idle_clock}), driver=driver)
    env = nvml.env | {
        "HARNESS_SYSTEM_ROOT": str(folder / "root"),
        "HARNESS_RESULTS": str(folder / "results"),
        "HF_HOME": str(folder / "huggingface"),
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    if not waits:
        return env
    log = folder / "cuda.txt"
    return fake_cuda.environment(env, fake_cuda.built(Path(_libraries().name)), log, swap=(nvml.script, loaded.script))


@cache
def _libraries() -> tempfile.TemporaryDirectory[str]:
    """Removed when Python ends."""
    return tempfile.TemporaryDirectory(prefix="fake-cuda-")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write_system(root: Path, *, driver: str, kernel: str, bios: str) -> None:
    """What the kernel says besides its sensors."""
    cpus = "".join(
        f"processor\t: {number}\nCPU implementer\t: 0x41\nCPU part\t: {part}\n\n" for number, part in enumerate(CORES * 2)
    )
    files = {
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.5 LTS"\n',
        "proc/cpuinfo": cpus,
        "proc/sys/kernel/osrelease": f"{kernel}\n",
        "proc/driver/nvidia/version": f"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  {driver}  Release Build\n",
        "sys/class/dmi/id/sys_vendor": "NVIDIA\n",
        "sys/class/dmi/id/product_name": "NVIDIA_DGX_Spark\n",
        "sys/class/dmi/id/bios_version": f"{bios}\n",
        "sys/bus/pci/devices/000f:01:00.0/vendor": "0x10de\n",
        "sys/bus/pci/devices/000f:01:00.0/device": "0x2e12\n",
        "sys/bus/pci/devices/000f:01:00.0/class": "0x030200\n",
        "sys/bus/platform/devices/NVDA8800:00/modalias": "acpi:NVDA8800:\n",
        "sys/class/net/enP7s7/operstate": "up\n",
        "sys/class/net/enP7s7/speed": "10000\n",
        "sys/class/net/enp1s0f1np1/operstate": "down\n",
        "sys/class/net/enp1s0f1np1/speed": "-1\n",
    }
    for path, text in files.items():
        sysfs_tree.put(root / path, text)


def _write_commands(folder: Path, scripts: Mapping[str, str]) -> None:
    cores = 'printf "  Model name:  Cortex-X925\\n  Model name:  Cortex-A725\\n"'
    for name, script in ({"lscpu": cores} | dict(scripts)).items():
        (_made(folder) / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def _write_model(home: Path) -> None:
    """In the hub's own layout."""
    hub = home / "hub" / f"models--{MODEL.replace('/', '--')}"
    snapshot = _made(hub / "snapshots" / REVISION)
    head = json.dumps(
        {"model.layers.0.mlp.up_proj.weight": {"dtype": "U8", "shape": [MODEL_BYTES], "data_offsets": [0, MODEL_BYTES]}}
    )
    with (snapshot / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head.encode())
        file.truncate(file.tell() + MODEL_BYTES)
    (snapshot / "config.json").write_text(
        '{"num_hidden_layers": 36, "kv_lora_rank": 256, "qk_rope_head_dim": 64, "dtype": "bfloat16"}'
    )
