"""How fast a model could decode one stream if reading memory were all there is to do, and how near a run came to it. Pure.

A pass over the model reads its weights and what the cache holds of the context. Without speculation a pass gives one token; with it,
one verify step, so both the ceiling and `bw_util` count steps. A draft model's reads, activations and writes are left out, and of
routed experts one token's are taken, so the ceiling is never too low for that; what makes it an estimate stands in
`Weights.source`, `cache_reason` and `notes`.

Above 1, `bw_util` says that something does not hold: the figures of `metadata`, weights quantised while they were loaded, or a
bandwidth that is not the one of the processor that read them (a GB10's CPU reads slower than its GPU).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from harness.measure.given import Given
from harness.measure.stats import Estimate
from harness.schema.result import Finding
from harness.schema.weights import Weights
from harness.schema.workload import Cell

SEVERAL = "several streams share a pass over the weights"


def step_bytes(weights: Weights, context_tokens: float) -> float:
    """Bytes that a forward pass for one stream reads with so many tokens behind it; without the cache where that is not known."""
    kept = (group.token_bytes * min(context_tokens, group.window or context_tokens) for group in weights.cache or ())
    return weights.step_bytes + sum(kept)


def ceiling_steps_s(weights: Weights, bandwidth_bytes_s: float, context_tokens: float) -> float:
    """Forward passes per second that the bandwidth allows: tokens of one stream without speculation, verify steps with it."""
    return bandwidth_bytes_s / step_bytes(weights, context_tokens)


def bw_util(steps_s: Estimate, weights: Weights, bandwidth_bytes_s: float, context_tokens: float) -> Estimate:
    """Share of the bandwidth that one stream's steps used; `steps_s` is its decode rate where there is no speculation."""
    ceiling = ceiling_steps_s(weights, bandwidth_bytes_s, context_tokens)
    value, low, high = (None if x is None else x / ceiling for x in (steps_s.value, steps_s.low, steps_s.high))
    return msgspec.structs.replace(steps_s, value=value, low=low, high=high)


def estimates(cell: Cell, figures: Mapping[str, Estimate], given: Given) -> dict[str, Estimate]:
    """`figures` are the cell's others. Of one stream only: with several, a pass serves them all."""
    found: dict[str, Estimate] = {}
    for suffix, bandwidth, missing in (
        ("", given.memory_spec_bytes_s, "what this machine's memory is specified to give is not known"),
        ("_measured", given.memory_read_bytes_s, "the memory was not measured from the processor that runs the model"),
    ):
        reason = SEVERAL if cell.concurrency != 1 else given.weights_reason if given.weights is None else missing
        if bandwidth is None or given.weights is None or cell.concurrency != 1:
            ceiling = used = Estimate(reason=reason)
        else:
            ceiling, used = _of_one(figures, given.weights, bandwidth)
        found |= {f"ceiling{suffix}_tok_s": ceiling, f"bw_util{suffix}": used}
    return found


def findings(used: Estimate) -> list[Finding]:
    """`used`: the share of the specified bandwidth."""
    if used.value is None or used.value <= 1:
        return []
    text = f"decode read {used.value:.2f} times what the memory is specified to give: the model's size or the machine is not what it says"
    return [Finding(code="bandwidth_exceeded", severity="warning", text=text)]


def _of_one(figures: Mapping[str, Estimate], weights: Weights, bandwidth: float) -> tuple[Estimate, Estimate]:
    prompt, answer = figures["prompt_tokens"].value, figures["completion_tokens"].value
    if prompt is None or answer is None:
        return (Estimate(reason="how long the contexts were is not known"),) * 2
    context = prompt + answer / 2
    length = figures["acceptance_length"].value
    steps = figures["decode_tok_s"] if length is None else figures["steps_s"]
    ceiling = ceiling_steps_s(weights, bandwidth, context) * (length or 1.0)
    return Estimate(value=ceiling, n=1, reason="computed: no interval"), bw_util(steps, weights, bandwidth, context)
