"""A GPU to compute on that is not there: a `libcuda.so.1`, compiled from `cuda.c` against NVIDIA's own header.

    library = built(tmp_path_factory.getbasetemp())             # compiles once for a folder, or skips the test
    env = environment(os.environ | nvml.env, library, log=tmp_path / "cuda.txt", swap=(nvml.script, under_load.script))
    subprocess.run([…], env=env)                                # the child's `harness.sense.gpu_load` finds it

It knows the kernel of `harness/sense/gpu_load.py` and no other. A process that calls it wrongly, or ends without giving its context back,
is aborted and says why on stderr. `log` gets a line for each of these, as they happen:

    create DEVICE
    launch BLOCKS THREADS ROUNDS NS
    destroy
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest

OUT_OF_MEMORY, NO_DEVICE, INVALID_PTX, LAUNCH_FAILED, UNKNOWN_ERROR = 2, 100, 218, 719, 999
HANGS = -1
GB10_UUID = "GPU-11111111-2222-3333-4444-555555555555"
GB10_FLOPS = 29.5e12
"""48 multiprocessors of 128 lanes, at 2.4 GHz."""


def environment(
    base: Mapping[str, str],
    library: Path,
    log: Path,
    *uuids: str,
    flops: float = GB10_FLOPS,
    fail: Mapping[str, int | tuple[int, int]] | None = None,
    swap: tuple[Path, Path] | None = None,
) -> dict[str, str]:
    """`base` with what a child process needs besides; it may have an LD_LIBRARY_PATH.

    `uuids`: the GPUs, in CUDA's order; none named: one, which `tests.fake_nvml` calls a healthy GB10. `fail`: a function's error, or its
    error and the call from which on it gives it; the error `HANGS` never comes back. `swap`: two files that change places at the first
    launch and again when the context is given back: scripts of a fake NVML, say, so that load changes what it shows.
    """
    errors = {name: each if isinstance(each, tuple) else (each, 1) for name, each in (fail or {}).items()}
    return dict(base) | {
        "LD_LIBRARY_PATH": ":".join(filter(None, [str(library), base.get("LD_LIBRARY_PATH")])),
        "FAKE_CUDA_LOG": str(log),
        "FAKE_CUDA_UUIDS": " ".join(uuids or [GB10_UUID]),
        "FAKE_CUDA_MULTIPROCESSORS": "48",
        "FAKE_CUDA_FLOPS": repr(flops),
        "FAKE_CUDA_FAIL": " ".join(f"{name}:{error}:{first}" for name, (error, first) in errors.items()),
        "FAKE_CUDA_SWAP": "\n".join(map(str, swap or [])),
    }


def built(folder: Path) -> Path:
    """The folder, with `libcuda.so.1` in it. Skips the test where there is no compiler, or not NVIDIA's header."""
    library = folder / "libcuda.so.1"
    if library.exists():
        return folder
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("no gcc to compile the fake libcuda.so.1 with")
    header = packaged("cuda.h", "nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12")
    if header is None:
        pytest.skip("NVIDIA's cuda.h is missing: pip install nvidia-cuda-runtime")
    flags = ["-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-isystem", str(header.parent)]
    source = str(Path(__file__).parent / "cuda.c")
    done = subprocess.run([compiler, *flags, source, "-o", str(library)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def packaged(name: str, *packages: str) -> Path | None:
    """A file by its name in the first of these that is installed and has it: NVIDIA packages its toolkit for pip, too."""
    for package in packages:
        try:
            files = metadata.files(package) or []
        except metadata.PackageNotFoundError:
            continue
        for file in files:
            if file.name == name:
                return Path(str(file.locate()))
    return None
