"""`python -m harness.engines.paced`: the paced server as a program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from harness.engines.paced.behaviours import BEHAVIOURS, SAYS, Pace
from harness.engines.paced.server import Server


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("paced", description="A server of exactly known speed.", allow_abbrev=False)
    add = made.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0)
    add("--ttft-ms", type=float, default=50.0)
    add("--tpot-ms", type=float, default=10.0, help="between tokens")
    add("--tokens-per-event", type=int, default=1, metavar="K")
    add("--log", metavar="FILE", help="one JSON line per request: the truth")
    add("--api-key", metavar="KEY", help="refuse completions without it")
    add("--jitter", type=float, default=0.0, metavar="SHARE", help="by which an answer's pace may be off, such as 0.1")
    add("--stranger", action="store_true", help="only the pages of OpenAI's interface, and no word of who made it")
    add("--refuses", default="", metavar="FIELDS", help="comma-separated request fields that it answers with status 400")
    talks = "; ".join(f"{name}: {meaning}" for name, meaning in SAYS.items())
    add("--says", choices=SAYS, default="words", help=f"what an answer is that is not streamed: {talks}")
    listed = "; ".join(f"{name}: {meaning}" for name, meaning in BEHAVIOURS.items())
    add("--behave", default="", metavar="LIST", help=f"comma-separated: {listed}")
    return made


def main(argv: Sequence[str]) -> None:
    options = parser().parse_args(argv)
    behave = {name: int(value or 1) for name, _, value in (word.partition(":") for word in options.behave.split(",") if word)}
    if unknown := set(behave) - set(BEHAVIOURS):
        sys.exit(f"paced: error: unknown behaviour {', '.join(sorted(unknown))}")
    pace = Pace(
        ttft_ns=round(options.ttft_ms * 1e6),
        tpot_ns=round(options.tpot_ms * 1e6),
        tokens_per_event=options.tokens_per_event,
        behave=behave,
        says=options.says,
        stranger=options.stranger,
        refuses=tuple(filter(None, options.refuses.split(","))),
        jitter=options.jitter,
    )
    log = open(options.log, "a", encoding="utf-8") if options.log else None  # noqa: SIM115  for as long as the program runs
    server = Server(options.host, options.port, pace, log, options.api_key)
    print(msgspec.json.encode({"url": f"http://{options.host}:{server.port}"}).decode(), flush=True)
    server.run()


if __name__ == "__main__":
    main(sys.argv[1:])
