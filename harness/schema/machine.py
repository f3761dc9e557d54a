"""The machine a run happened on. Every field that a machine may not tell is optional, and None means: not known."""

from __future__ import annotations

import msgspec


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    index: int
    name: str
    uuid: str | None = None
    compute_capability: str | None = None
    memory_bytes: int | None = None
    """None on GB10, whose memory is the machine's own."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What `harness.probe` found. `engines` and `models` are what a plan may launch without installing anything."""

    hostname: str
    os: str
    kernel: str
    arch: str
    cpu_model: str
    cpu_count: int
    memory_bytes: int
    efficiency_cpus: tuple[int, ...] = ()
    """The slower ones of a CPU with two kinds of cores (GB10: the ten Cortex-A725); empty where all are alike."""
    product: str | None = None
    """The chassis from DMI: OEM twins of the DGX Spark share one GPU name."""
    firmware: str | None = None
    gpus: tuple[Gpu, ...] = ()
    gpu_driver: str | None = None
    cuda_driver: str | None = None
    docker: str | None = None
    """The Docker server's version; None where no server answers."""
    engines: dict[str, str] = {}
    """Folder of executables by engine name: `vllm` → `.engines/vllm/bin`; "" means: on the PATH."""
    models: dict[str, str] = {}
    """Local folder or file by model id."""
    python: str = ""
    home: str = ""
    """The user's home folder, where Hugging Face's cache lies unless HF_HOME says otherwise."""
    hf_home: str = ""
    hf_hub: str = ""
    """Where the models of Hugging Face's cache lie, as HF_HUB_CACHE may say; "": in its folder `hub`."""
