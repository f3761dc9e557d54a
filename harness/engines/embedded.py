"""llama.cpp's own server on the CPU, out of the Python wheel `xllamacpp`. The program is `python -m harness.engines.embedded`.

It is started as a child like any other server and speaks as llama-server does, so everything but the start is `llamacpp`'s.
Its flags are llama-server's own names; metrics are always on. Exit codes: 2 for a wrong command line, 1 when the server cannot
start.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from harness.engines import llamacpp
from harness.engines.base import Diagnosis, ServerFacts
from harness.engines.diagnosis import diagnose_with
from harness.engines.known import Known
from harness.schema.memory import Claim

if TYPE_CHECKING:
    import xllamacpp

NAME = "embedded"
HEALTH = llamacpp.HEALTH
METRICS = llamacpp.METRICS
PORT = 8080
request_fields = llamacpp.request_fields
tokenize_request = llamacpp.tokenize_request
tokenize_count = llamacpp.tokenize_count
counters = llamacpp.counters

KNOWN = (
    Known(
        r"the Python package xllamacpp is not installed",
        "the wheel that holds llama.cpp is missing",
        "install it: pip install 'spark-harness[cpu]'",
    ),
    *llamacpp.KNOWN,
)


def facts(get: Callable[[str], object | None]) -> ServerFacts:
    """The wheel's build does not know its own version; the wheel does, and it is our child's as much as ours."""
    from importlib import metadata  # slow to load, and `harness plan` does not need it

    try:
        version = f"xllamacpp {metadata.version('xllamacpp')}"
    except metadata.PackageNotFoundError:
        return llamacpp.facts(get)
    return msgspec.structs.replace(llamacpp.facts(get), version=version)


def context_limit(argv: Sequence[str]) -> int | None:
    return llamacpp.context_limit(argv)


def memory(argv: Sequence[str], env: Mapping[str, str]) -> Claim:
    return llamacpp.memory(argv, env)


def needs_gpu(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    return False


def diagnose(log: Sequence[str]) -> Diagnosis | None:
    return diagnose_with(KNOWN, log)


def main(argv: Sequence[str]) -> int:
    options = parser().parse_args(argv)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # end at once on either signal, without a traceback
    try:
        import xllamacpp
    except ModuleNotFoundError:
        return fail("the Python package xllamacpp is not installed; install it: pip install 'spark-harness[cpu]'")
    try:
        server = xllamacpp.Server(parameters(options))
    except RuntimeError as error:  # the reason is in llama.cpp's own lines before this one
        return fail(f"llama.cpp's server did not start: {error}")
    sys.stderr.write(f"embedded: serving {options.alias or options.model} on {server.listening_address}\n")
    while True:
        signal.pause()


def fail(message: str) -> int:
    sys.stderr.write(f"embedded: error: {message}\n")
    return 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("embedded", description="llama.cpp's server from the xllamacpp wheel.", allow_abbrev=False)
    add = made.add_argument
    add("-m", "--model", required=True, metavar="FILE", help="GGUF file")
    add("-a", "--alias", help="name to serve the model under (default: its path)")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=PORT)
    add("-c", "--ctx-size", type=int, default=0, metavar="N", help="tokens, shared out among the slots; 0: the model's own")
    add("-np", "--parallel", type=int, default=1, metavar="N", help="slots")
    add("-t", "--threads", type=int, default=-1, metavar="N")
    add("-tb", "--threads-batch", type=int, default=None, metavar="N", help="default: same as --threads")
    add("-b", "--batch-size", type=int, default=2048, metavar="N")
    add("-ub", "--ubatch-size", type=int, default=512, metavar="N")
    add("--metrics", action="store_true", help="accepted for llama-server's sake: they are always on")
    add("--spec-type", choices=("none", "ngram-simple", "ngram-mod"), default="none", help="speculation without a draft model")
    add("--spec-ngram-simple-size-n", type=int, default=12, metavar="N", help="length of the n-gram that is looked up")
    add("--spec-ngram-simple-size-m", type=int, default=48, metavar="N", help="tokens drafted after it")
    add("--spec-ngram-mod-n-match", type=int, default=24, metavar="N")
    add("--spec-ngram-mod-n-min", type=int, default=48, metavar="N")
    add("--spec-ngram-mod-n-max", type=int, default=64, metavar="N")
    return made


def parameters(options: argparse.Namespace) -> xllamacpp.CommonParams:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.hostnames = [options.host]
    params.port = options.port
    params.n_ctx = options.ctx_size
    params.n_parallel = options.parallel
    params.n_batch = options.batch_size
    params.n_ubatch = options.ubatch_size
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads if options.threads_batch is None else options.threads_batch
    params.endpoint_metrics = True
    params.fit_params = False  # else llama.cpp may choose other sizes than those that were asked for
    if options.alias:
        params.model_alias = {options.alias}
    if options.spec_type != "none":
        name = options.spec_type.upper().replace("-", "_")
        params.speculative.types = [getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{name}")]
        params.speculative.ngram_simple.size_n = options.spec_ngram_simple_size_n
        params.speculative.ngram_simple.size_m = options.spec_ngram_simple_size_m
        params.speculative.ngram_mod.n_match = options.spec_ngram_mod_n_match
        params.speculative.ngram_mod.n_min = options.spec_ngram_mod_n_min
        params.speculative.ngram_mod.n_max = options.spec_ngram_mod_n_max
    return params


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
