"""What the load client must get right: every misbehaviour of the paced server, and what is to be found of each. Plain data.

`test_conformance` runs the table; `docs/conformance.md` is written from it.
"""

from __future__ import annotations

import msgspec

RATES = ("rate", "N-1 rate", "TPOT")
COUNTLESS = ("k1", "rate", "TPOT")
"""Unknown where nothing tells how many tokens the first event carried."""
PROMPT = ("prompt", "cached")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """The server behaves so; `unknown` quantities are null with a reason, all others are the truth."""

    behave: str = ""
    k: int = 1
    """Tokens per event."""
    chat: bool = True
    """Else `/v1/completions`."""
    ids: bool = True
    """`return_token_ids` is asked for."""
    endless: bool = True
    """`ignore_eos` is asked for."""
    exact: bool = True
    """The answer has to have the asked length; else the model ends it."""
    tokenizer: bool = False
    """The answers' texts are counted by the server's `/tokenize`, as a session does."""
    source: str = "token_ids"
    unknown: tuple[str, ...] = ()
    excluded: str | None = None
    """The reason code; None: the request counts."""
    ttft_ms: int = 30
    tpot_ms: int = 10
    """So far apart that a read which is late on a busy machine does not get two events at once."""
    tokens: int = 16
    timeout_s: float = 30.0
    rounds: int = 1
    """Requests on one connection after each other, where the server keeps it."""


NOTHING = ("TTFT", "TTFT content", "TTFR", "e2e", "N", "k1", *RATES, "gaps", *PROMPT, "text")

CASES: dict[str, tuple[Case, ...]] = {
    "What an event carries": (
        Case(),
        Case(chat=False),
        Case(k=2),
        Case(k=3),
        Case(k=5, chat=False),
        Case(k=3, ids=False, source="continuous_usage"),
        Case(behave="first:4"),
        Case(behave="first:5", k=2, ids=False, source="continuous_usage"),
        Case(k=16, unknown=RATES),
        Case(behave="empty"),
        Case(behave="late_finish"),
        Case(behave="late_finish,nulls", ids=False, source="continuous_usage"),
        Case(behave="mute_first:3"),
        Case(behave="mute_first:3", ids=False, source="continuous_usage"),
        Case(behave="mute_last:2"),
        Case(behave="mute_last:2", ids=False, source="continuous_usage"),
    ),
    "Before the first token": (
        Case(behave="early_role:10"),
        Case(behave="early_role:10", ids=False, source="continuous_usage"),
        Case(behave="early_empty:10"),
        Case(behave="early_empty:10,nulls", chat=False, ids=False, source="continuous_usage"),
        Case(behave="keep_alive:250,early_role:700", ttft_ms=2000),
        Case(behave="late_head"),
        Case(behave="joined_role"),
        Case(behave="roles"),
        Case(behave="nulls,early_role:10"),
    ),
    "Reasoning and tool calls": (
        Case(behave="reasoning:9"),
        Case(behave="reasoning:9,early_role:10,nulls"),
        Case(behave="reasoning:9,reasoning_field"),
        Case(behave="reasoning:8", k=3),
        Case(behave="reasoning:16", unknown=("TTFT content",)),
        Case(behave="tools:0", unknown=("TTFT content",)),
        Case(behave="tools:5"),
        Case(behave="reasoning:4,tools:8", k=2, ids=False, source="continuous_usage"),
    ),
    "Counts": (
        Case(behave="null_ids", source="continuous_usage"),
        Case(behave="empty_ids", source="continuous_usage"),
        Case(behave="no_ids", source="continuous_usage"),
        Case(behave="no_ids,no_steps", source="usage", unknown=COUNTLESS),
        Case(behave="no_ids,null_usage", source="usage", unknown=COUNTLESS),
        Case(behave="no_ids,no_steps,finish_usage,late_finish", source="usage", unknown=COUNTLESS),
        Case(behave="no_ids,no_steps,finish_usage", chat=False, source="usage", unknown=COUNTLESS),
        Case(behave="no_ids,no_steps", k=3, tokenizer=True, source="usage+tokenizer"),
        Case(behave="no_ids,no_usage", k=3, tokenizer=True, source="tokenizer", unknown=PROMPT),
        Case(behave="no_usage", unknown=PROMPT),
        Case(behave="no_usage,no_ids", source="none", unknown=("N", "k1", *RATES, *PROMPT), excluded="no_usage"),
        Case(behave="no_final", unknown=("cached",)),
        Case(behave="finish_usage"),
        Case(behave="late_usage:60"),
        Case(behave="late_usage:60", ids=False, source="continuous_usage"),
        Case(behave="no_details", unknown=("cached",)),
        Case(behave="cached:3"),
        Case(behave="prompt_off:200", excluded="prompt_length"),
    ),
    "Framing and cuts": (
        Case(behave="crlf"),
        Case(behave="crlf,comments"),
        Case(behave="cr,fields"),
        Case(behave="tight"),
        Case(behave="fields"),
        Case(behave="comments"),
        Case(behave="merge:4"),
        Case(behave="merge:4", k=2, ids=False, source="continuous_usage"),
        Case(behave="merge:4,no_ids,no_steps", tokenizer=True, source="usage+tokenizer"),
        Case(behave="split"),
        Case(behave="split,crlf,comments"),
        Case(behave="torn:1"),
        Case(behave="torn:2,crlf,comments,late_head", rounds=2),
        Case(behave="torn:3,unchunked"),
        Case(behave="drip:24"),
        Case(behave="drip:1", ttft_ms=80, tpot_ms=80, tokens=6),
        Case(behave="drip:1,crlf,content_length", ttft_ms=80, tpot_ms=80, tokens=6),
        Case(behave="close", rounds=2),
        Case(behave="unchunked", rounds=2),
        Case(behave="content_length", rounds=2),
        Case(behave="no_done", rounds=2),
        Case(behave="no_done,unchunked", rounds=2),
        Case(behave="no_done,close,no_final,late_head", unknown=("cached",)),
    ),
    "How it ends": (
        Case(behave="eos:5"),
        Case(behave="eos:5", endless=False, excluded="wrong_length"),
        Case(behave="eos:5", endless=False, exact=False),
        Case(behave="stop_early:5", excluded="wrong_length"),
        Case(behave="wrong_length:1", excluded="wrong_length"),
        Case(behave="wrong_length:-1", ids=False, source="continuous_usage", excluded="wrong_length"),
        Case(behave="finish_stop", excluded="finish_reason"),
        Case(behave="tools:0,finish_tools", unknown=("TTFT content",), excluded="finish_reason"),
        Case(behave="mute_first:16", unknown=("TTFT content", "text")),
        Case(
            behave="mute_first:16,no_ids",
            source="usage",
            unknown=("TTFT", "TTFT content", "k1", *RATES, "gaps", "text"),
            excluded="no_tokens",
        ),
        Case(behave="stall:60"),
        Case(behave="stall:60000", timeout_s=0.5, unknown=("e2e", "cached"), excluded="timeout"),
        Case(behave="error:8", rounds=2, unknown=("cached",), excluded="server_error"),
        Case(behave="error:8,no_usage", unknown=PROMPT, excluded="server_error"),
        Case(behave="error_object:8", unknown=("cached",), excluded="server_error"),
        Case(behave="garbage:8", rounds=2, unknown=("cached",), excluded="bad_sse"),
        Case(behave="cut:8", rounds=2, unknown=("cached",), excluded="truncated"),
        Case(behave="hangup:8", rounds=2, unknown=("e2e", "cached"), excluded="truncated"),
        Case(behave="hangup:8,unchunked", rounds=2, unknown=("e2e", "cached"), excluded="truncated"),
        Case(behave="reset:8", rounds=2, unknown=("e2e", "cached"), excluded="reset"),
        Case(behave="http:429", rounds=2, source="none", unknown=NOTHING, excluded="http_429"),
        Case(behave="http:500", rounds=2, source="none", unknown=NOTHING, excluded="http_500"),
        Case(behave="http:503", rounds=2, source="none", unknown=NOTHING, excluded="http_503"),
    ),
}
