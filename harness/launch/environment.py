"""What a server inherits of the harness's own environment: what it needs to run, and nothing that changes what is measured.

Settings of the engines (`VLLM_*`, `SGLANG_*`, `LLAMA_ARG_*`, `OMP_NUM_THREADS` …) belong into the recipe, where the result
shows them; SGLang, for one, has variables that fake its acceptance. Secrets other than the hub's token are handed down only
where the recipe asks for one by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from harness import secret
from harness.hosts import there

PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}
NAMES = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("HUGGING_FACE_HUB_TOKEN", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("NO_PROXY", "no_proxy"),
    *PROXIES,
}
_HERE = re.compile(r"(\w+://)?([^/@]*@)?(localhost|127\.|\[::1\])")
MARK = there.MARK
PREFIXES = ("LC_", "XDG_", "HF_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "DOCKER_")


def for_child(ours: Mapping[str, str], recipe: Mapping[str, str], program: str, run: str) -> dict[str, str]:
    """The whole environment of a server: the allowed part of `ours`, what the recipe sets, and the mark of this run.

    A reference to a variable that we do not have leaves the variable unset. The folder of `program` comes first on the PATH, as
    in an activated virtual environment: engines compile with tools that lie there.
    """
    inherited = {name: value for name, value in ours.items() if name in NAMES or name.startswith(PREFIXES)}
    given = {name: _value(value, ours) for name, value in recipe.items()}
    # SPT_NOENV: setproctitle, with which vLLM and SGLang rename their workers, else overwrites the environment we know them by.
    # PYTHONUNBUFFERED: the last words of a process that is killed would stay in its buffer.
    env = {"PYTHONUNBUFFERED": "1", **inherited, **{name: value for name, value in given.items() if value is not None}}
    if "/" in program:
        env["PATH"] = f"{PurePosixPath(program).parent}:{env.get('PATH', '')}".rstrip(":")
    return {**env, MARK: run, "SPT_NOENV": "1"}


def local_proxy(env: Mapping[str, str]) -> str | None:
    """The variable by which programs send what they ask of other machines to a program on this one, which passes it on."""
    return next((name for name in sorted(PROXIES & env.keys()) if _HERE.match(env[name])), None)


def _value(text: str, ours: Mapping[str, str]) -> str | None:
    reference = secret.REFERENCE.fullmatch(text)
    return ours.get(reference[1] or reference[2]) if reference else text
