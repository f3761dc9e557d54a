"""What an engine will need of the memory, held against what there is. Pure."""

from __future__ import annotations

import math

import msgspec

from harness.schema.machine import Machine
from harness.schema.memory import FITS, MISFIT, UNKNOWN, Claim, Fit, Room
from harness.schema.weights import METADATA, Weights

GIB = 2**30
MOST_SHARED = 0.90
"""Of a memory that CPU and GPU share, the most that works on a GB10 (conselara.dev, 2026: 0.85 to 0.87, never above 0.90)."""
SMALLER = "a smaller model, or one with fewer bits"
ROUND = 1024
"""Tokens: a context that is advised is a multiple of it, where it is longer."""


def room(machine: Machine, *, gpu: bool, floor_bytes: int) -> Room | None:
    """What a server is held against; None: the server needs a GPU, and there is none. `floor_bytes` are kept free where GPU and CPU share
    the memory."""
    total = machine.memory_bytes
    if not gpu:
        return Room(total_bytes=total, most_bytes=total, gpu=False)
    if not machine.gpus:
        return None
    own = [each.memory_bytes for each in machine.gpus if each.memory_bytes]
    if own:
        return Room(total_bytes=min(own), most_bytes=min(own), gpu=True)
    return Room(total_bytes=total, most_bytes=max(0, min(int(total * MOST_SHARED), total - floor_bytes)), gpu=True)


def fit(
    where: Room | None,
    model: Weights,
    draft: Weights | None,
    claim: Claim,
    *,
    context: int | None = None,
    asked_tokens: int = 0,
    machines: int = 1,
) -> Fit:
    """`context`: what the model holds, for a command that does not say how long requests may be. `asked_tokens`: of all requests that
    will be in flight at once. `machines`: over how many the model is split, one of its parts on each; `where` is one of them."""
    needs = _Needs(model, draft, claim, context, machines, shared_out=machines > 1 or where is None or where.gpu)
    if where is None:
        return needs.found(UNKNOWN, f"{needs}, and there is no GPU here that it could be held against", None)
    return _judged(needs, claim, where, asked_tokens)


class _Needs:
    """Bytes of one GPU. Printed, it is their sum."""

    def __init__(
        self, model: Weights, draft: Weights | None, claim: Claim, context: int | None, machines: int, *, shared_out: bool
    ) -> None:
        """`shared_out`: with several GPUs or machines each takes less; else all of them are in the same memory."""
        tensor, pipeline = (claim.tensor, claim.pipeline) if shared_out else (1, 1)
        self.gpus = tensor * pipeline
        self.each = "machines" if machines > 1 else "GPUs"
        self.weights = math.ceil(model.memory_bytes / self.gpus)
        self.draft = None if draft is None else math.ceil(draft.memory_bytes / self.gpus)
        self.load = self.weights + (self.draft or 0)
        self.by_token = self.apart = 0.0
        for group in (*(model.cache or ()), *((draft.cache or ()) if draft else ())):
            each = group.token_bytes / min(tensor, group.heads) / pipeline
            self.by_token += 0.0 if group.window else each
            self.apart += each * (group.window or 0) * claim.slots
        self.tokens = claim.cache_tokens or claim.context or context
        known = model.cache is not None and self.tokens is not None
        self.cache = math.ceil(self.by_token * (self.tokens or 0) + self.apart) if known else None
        self.unknown = model.cache_reason or "how long requests may be is not said"
        self.counted = model.source != METADATA

    def __str__(self) -> str:
        parts = [f"weights {gib(self.weights)}"]
        parts += [f"draft {gib(self.draft)}"] if self.draft is not None else []
        parts += [f"cache {gib(self.cache)} for {self.tokens:,} tokens"] if self.cache is not None else []
        whole = f" = {gib(self.load + (self.cache or 0))}" if len(parts) > 1 else ""
        return " + ".join(parts) + whole + (f" on each of {self.gpus} {self.each}" if self.gpus > 1 else "")

    def tokens_in(self, cache_bytes: float) -> int | None:
        """For which so much cache is enough; None: not known."""
        return max(0, int((cache_bytes - self.apart) / self.by_token)) if self.by_token else None

    def found(self, verdict: str, text: str, where: Room | None, **more: object) -> Fit:
        made = Fit(
            verdict=verdict,
            text=text,
            weights_bytes=self.weights,
            draft_bytes=self.draft,
            cache_bytes=self.cache,
            room=where,
        )
        return msgspec.structs.replace(made, **more)


def _judged(needs: _Needs, claim: Claim, where: Room, asked_tokens: int) -> Fit:
    """In the order of what must be mended first."""
    total, most = where.total_bytes, where.most_bytes
    share = most if claim.fraction is None else int(claim.fraction * total)
    pool = share - needs.load if claim.cache_bytes is None else claim.cache_bytes
    holds = needs.tokens_in(pool)
    holds = min(holds, claim.cache_tokens or holds) if holds is not None else None
    reserved = share if claim.reserves and claim.fraction is not None else None
    whole = gib(total) if most == total else f"{gib(most)} that a server may take of {gib(total)}"
    limit = _limit(needs, claim, total) or whole

    def found(verdict: str, text: str, **more: object) -> Fit:
        return needs.found(verdict, text, where, holds_tokens=holds, reserved_bytes=reserved, **more)

    def misfit(missing: int, text: str, setting: str, *, certain: bool = False) -> Fit:
        said = f"{text}: {gib(missing)} too much"
        return found(MISFIT, said, setting=setting, missing_bytes=missing, certain=certain)

    if needs.load > most:
        certain = needs.counted and claim.resident and not claim.quantises and needs.weights > total
        return misfit(needs.load - most, f"{needs} of {whole}", _fewer(needs, claim, where), certain=certain)
    if share > most:
        lower = f"{claim.fraction_flag} {math.floor(most / total * 100 + 1e-6) / 100:.2f} or less"
        return misfit(share - most, f"it takes {limit} of {whole}", lower)
    if claim.cache_bytes is not None and needs.load + pool > most:
        lower = f"{claim.cache_flag}: {gib(most - needs.load)} or less"
        return misfit(needs.load + pool - most, f"it takes {limit} of {whole}", lower)
    if (needs.cache or 0) > pool:
        return misfit((needs.cache or 0) - pool, f"{needs} of {limit}", _more(needs, claim, where, pool))
    if needs.cache is None:
        return found(UNKNOWN, f"{needs} of {limit}; the cache is not known: {needs.unknown}")
    room_for = "" if holds is None or claim.cache_tokens else f"; the cache will hold {holds:,} tokens at the most"
    if holds is not None and asked_tokens > holds:
        room_for += f", and the cells ask for {asked_tokens:,} at once: requests will wait"
    return found(FITS, f"{needs} of {limit}{room_for}")


def _limit(needs: _Needs, claim: Claim, total: int) -> str | None:
    """What the command line itself sets; None: nothing."""
    if claim.cache_bytes is not None:
        return f"{gib(needs.load + claim.cache_bytes)} (with {claim.cache_flag} {gib(claim.cache_bytes)})"
    if claim.fraction is not None:
        return f"{gib(int(claim.fraction * total))} ({claim.fraction_flag} {claim.fraction:g} of {gib(total)})"
    return None


def _more(needs: _Needs, claim: Claim, where: Room, pool: int) -> str:
    """What gives the cache as much as it needs: a larger share, else a shorter context."""
    cache = needs.cache or 0
    share = math.ceil((needs.load + cache) / where.total_bytes * 100) / 100
    if claim.cache_bytes is not None and needs.load + cache <= where.most_bytes:
        return f"{claim.cache_flag}: {gib(cache)} or more"
    if claim.fraction is not None and int(share * where.total_bytes) <= where.most_bytes:
        return f"{claim.fraction_flag} {share:.2f} or more"
    longest = needs.tokens_in(pool) or 0
    longest = longest // ROUND * ROUND if longest >= ROUND else longest
    return f"{claim.tokens_flag} {longest} or less" if longest else _fewer(needs, claim, where)


def _fewer(needs: _Needs, claim: Claim, where: Room) -> str:
    """Fewer weights in this memory."""
    if not where.gpu or not where.most_bytes or not claim.tensor_flag:
        return SMALLER
    least = math.ceil(math.log2(max(1.0, needs.load * needs.gpus / where.most_bytes)))
    return f"{claim.tensor_flag} {max(2**least, needs.gpus * 2)} over as many {needs.each}, or {SMALLER}"


def gib(size: float) -> str:
    return f"{size / GIB:.1f} GiB"
