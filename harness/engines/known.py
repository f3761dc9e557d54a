"""Errors that mean the same whichever engine logs them, as (pattern, meaning, advice); first match wins.

Texts are those of vLLM 0.32.0, SGLang 0.5.23, llama.cpp (xllamacpp 2026.10), PyTorch, huggingface_hub, argparse and Docker.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Known:
    """`meaning` and `advice` may name the pattern's groups: `{flag}`."""

    text: str
    meaning: str
    advice: str
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(self.text))


FREE_MEMORY = "ask for less (context, batch, memory fraction) or free memory first; on a GB10 CPU and GPU share one memory"
NO_GPU = "run it on a machine with an NVIDIA GPU and its driver, or use a CPU recipe (see harness recipes list)"
MODEL = "check the model's name, download it first, or unset HF_HUB_OFFLINE if this machine may reach the hub"

COMMON = (
    Known(
        r"error: unrecognized arguments?: (?P<flag>.+)",
        "the engine does not know {flag}",
        "correct the flag in the recipe, or use an engine version that has it",
    ),
    Known(
        r"error: ambiguous option: (?P<flag>\S+) could match (?P<several>.+)",
        "{flag} could mean {several}",
        "write the flag out in the recipe",
    ),
    Known(
        r"error: argument (?P<flag>[^:]+): (?P<why>.+)", "the engine refuses the value of {flag}", "correct it in the recipe"
    ),
    Known(
        r"error: the following arguments are required: (?P<flag>.+)",
        "the command lacks {flag}",
        "add it to the recipe's command",
    ),
    Known(
        r"(?i:address already in use)|couldn't bind HTTP server socket|port is already allocated",
        "another program has the port",
        "stop it, or choose another port: --set port=…",
    ),
    Known(
        r"User-specified max_model_len \((?P<asked>\d+)\) is greater than the derived max_model_len \(\w+=(?P<most>\d+)",
        "the recipe asks for a context of {asked} tokens, the model holds {most}",
        "lower it: --set max_model_len={most}",
    ),
    Known(
        r"could not select device driver|nvidia-container-cli|unknown or invalid runtime name: nvidia",
        "Docker cannot hand a GPU to the container",
        "install the NVIDIA container toolkit, or use a CPU recipe",
    ),
    Known(
        r"libcuda\.so|[Ff]ound no NVIDIA driver|No CUDA GPUs are available|CUDA driver version is insufficient"
        r"|no CUDA-capable device"
        r"|NVIDIA driver on your system is too old|not compiled with CUDA enabled|NVML Shared Library Not Found"
        r"|No accelerator|libnvidia-ml\.so",
        "no usable NVIDIA GPU or driver was found",
        NO_GPU,
    ),
    Known(
        r"invalid device function|no kernel image is available|sm_\d+a? is not (?:compatible|supported)|ptxas fatal",
        "the engine's kernels were not built for this GPU",
        "choose another attention backend (GB10: triton) or an image built for this GPU",
    ),
    Known(
        r"CUDA out of memory|OutOfMemoryError|cudaErrorMemoryAllocation|CUDA error: out of memory|NV_ERR_NO_MEMORY"
        r"|can't allocate memory"
        r"|[Cc]annot allocate memory|\bMemoryError\b|failed to allocate|std::bad_alloc|[Nn]ot enough memory|^Killed$",
        "memory ran out",
        FREE_MEMORY,
    ),
    Known(
        r"out of resource: shared memory|OutOfResources",
        "a kernel needs more of the GPU's on-chip memory than there is",
        "choose another attention or MoE backend, or smaller blocks: this kernel was tuned for another GPU",
    ),
    Known(
        r"Bus error|/dev/shm|shared memory (?:object|segment|limit)|(?:out of|insufficient) shared memory",
        "shared memory ran out",
        "give the container more: --shm-size or --ipc=host",
    ),
    Known(
        r"(?i:no space left on device|disk quota exceeded)",
        "the disk is full",
        "free space where the model cache and the logs lie",
    ),
    Known(
        r"GatedRepoError|Access to model .* is restricted|401 Client Error|Cannot access gated repo",
        "the model needs a licence click or a token",
        "accept its licence on the hub and set HF_TOKEN",
    ),
    Known(
        r"LocalEntryNotFoundError|OfflineModeIsEnabled|cannot find the requested files in the local cache"
        r"|outgoing traffic has been disabled"
        r"|couldn't connect to 'https://huggingface\.co'|couldn't connect to the Hub",
        "the model is not on this machine, and the hub was not asked or not reached",
        MODEL,
    ),
    Known(
        r"Network is unreachable|Temporary failure in name resolution|Name or service not known|dns error",
        "it wanted something from the network, and there was no way there",
        "fetch that beforehand (docs/offline.md), or start it with a network: without --airtight",
    ),
    Known(
        r"HFValidationError|RepositoryNotFoundError|Repo id must be|is not a valid model identifier"
        r"|does not appear to have a file named"
        r"|Can't load (?:the )?(?:configuration|tokenizer)|No such file or directory: '[^']*config\.json'"
        r"|[Ii]nvalid repository ID or local directory",
        "there is no such model: neither a folder here nor a name the hub knows",
        MODEL,
    ),
    Known(
        r"[Mm]odel architectures? .* (?:are|is) not supported|does not recognize this architecture"
        r"|Unknown quantization method|Unrecognized model in",
        "this engine version cannot run this kind of model",
        "use a newer engine or image",
    ),
    Known(
        r"trust_remote_code",
        "the model brings its own code, which was not allowed to run",
        "read it, then add --trust-remote-code to the recipe",
    ),
    Known(
        r"No module named '?(?P<module>[\w.]+)'?",
        "the Python package {module} is missing",
        "install it where the engine is installed (make engines)",
    ),
    Known(
        r"cannot import name '(?P<name>\w+)' from '(?P<module>[\w.]+)'",
        "{module} has another version than the engine expects",
        "install the engine anew (make engines)",
    ),
    Known(
        r"Cannot connect to the Docker daemon|docker daemon is not running",
        "Docker does not run",
        "start it: sudo systemctl start docker",
    ),
    Known(
        r"permission denied while trying to connect to the [Dd]ocker",
        "this user may not use Docker",
        "add the user to the group docker and log in again",
    ),
    Known(
        r"manifest unknown|manifest for .* not found|pull access denied|repository does not exist|No such image"
        r"|Unable to find image .* locally$",
        "the container image is not there",
        "check its name in the recipe, or pull it first: docker pull …",
    ),
    Known(
        r"[Cc]onflict\. The container name \"?/?(?P<name>[^\" ]+)",
        "a container named {name} exists already",
        "remove it: docker rm -f {name}",
    ),
    Known(
        r"^invalid argument \"(?P<value>[^\"]*)\" for \"(?P<flag>.*?)\" flag",
        "Docker does not take {value} for {flag}",
        "correct the recipe's executor_config",
    ),
    Known(
        r"exec format error",
        "the program was built for another processor",
        "use an image or install for this machine's architecture (see harness plan)",
    ),
    Known(
        r"(?P<what>[\w./-]+): (?:command )?not found",
        "there is no program {what}",
        "install the engine (make engines), or correct the recipe's command",
    ),
    Known(
        r"PermissionError|[Pp]ermission denied", "a file or folder may not be read, written or run", "check its owner and mode"
    ),
)
