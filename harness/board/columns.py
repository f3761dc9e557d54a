"""What the board can show of a system. `docs/board.md` explains each, and a test holds the two together."""

from __future__ import annotations

import msgspec

HIGHER, LOWER, NEITHER = "higher", "lower", "neither"
QUALITY, SPEED, POWER, COST, TERMS = "quality", "speed", "power", "cost", "terms"
SCOPES = {"gpu": "the GPU", "soc": "the chip", "system": "the box at its DC input", "wall": "everything behind the wall socket"}


class Column(msgspec.Struct, frozen=True):
    header: str
    unit: str
    group: str
    better: str
    text: str
    """What it is, in one sentence."""


COLUMNS: dict[str, Column] = {
    "elo": Column("Elo", "", QUALITY, HIGHER, "Rating by votes on arena.ai, of the category and day that the entry names."),
    "elo_gap": Column("gap", "Elo", QUALITY, LOWER, "How much lower than the best closed model of the same table: the quality tax."),
    "win_rate": Column("wins", "share", QUALITY, HIGHER, "Expected share of votes against that model, ties aside, from the gap."),
    "decode_tok_s": Column("decode", "tok/s", SPEED, HIGHER, "Tokens per second of one stream after its first event."),
    "output_tok_s": Column("all streams", "tok/s", SPEED, HIGHER, "Tokens per second of all streams at the most streams measured."),
    "concurrency": Column("streams", "", SPEED, NEITHER, "Requests in flight of the columns beside it."),
    "ttft_p50_ms": Column("TTFT p50", "ms", SPEED, LOWER, "Time to the first token at that many streams: half are below."),
    "ttft_p90_ms": Column("TTFT p90", "ms", SPEED, LOWER, "The same: 90 % are below."),
    "ttft_p99_ms": Column("TTFT p99", "ms", SPEED, LOWER, "The same: 99 % are below."),
    "agentic_p99_ms": Column("agent p99", "ms", SPEED, LOWER, "Whole calls under the agentic load: 99 % are below."),
    **{f"{scope}_w": Column(f"{scope}", "W", POWER, LOWER, f"Power of {what} at that many streams.") for scope, what in SCOPES.items()},
    **{f"{scope}_j_tok": Column(f"{scope}", "J/tok", POWER, LOWER, f"Energy of {what} per token.") for scope, what in SCOPES.items()},
    "usd_mtok_in": Column("list in", "$/M", COST, LOWER, "List price per million input tokens."),
    "usd_mtok_out": Column("list out", "$/M", COST, LOWER, "List price per million output tokens."),
    "usd_mtok_electricity": Column("electricity", "$/M", COST, LOWER, "Electricity while it works per million output tokens."),
    "usd_mtok_idle": Column("+ idle", "$/M", COST, LOWER, "The same with the idle hours of a machine that is always on."),
    "usd_mtok_hardware": Column("+ hardware", "$/M", COST, LOWER, "The same with the machine's price spread over its years."),
    "break_even_closed_days": Column("pays back", "d", COST, LOWER, "Until the machine is paid for, against the best closed model."),
    "break_even_hosted_days": Column("if hosted", "d", COST, LOWER, "The same against the cheapest listed offer of the same weights."),
    "sovereignty": Column("sovereignty", "%", TERMS, HIGHER, "Self-assessed by the EU's framework: from unknown = 0 to unknown = all."),
    "coverage": Column("answered", "%", TERMS, HIGHER, "Share of the framework's weight that public evidence answers."),
    "seal": Column("SEAL", "", TERMS, HIGHER, "Self-assessed level, the lowest over the objectives; no authority awarded it."),
    "seal_law": Column("SEAL law", "", TERMS, HIGHER, "The same of SOV-2 alone, the objective of law and jurisdiction."),
    "seal_data": Column("SEAL data", "", TERMS, HIGHER, "The same of SOV-3 alone, the objective of data and AI."),
    "leaves_desk": Column("leaves desk", "", TERMS, NEITHER, "Whether prompts leave the machine: measured by the connections of a run."),
    "parent_seat": Column("seat", "", TERMS, NEITHER, "Country of the company that decides."),
    "contract_law": Column("law", "", TERMS, NEITHER, "Under whose law the contract stands."),
    "residency": Column("residency", "", TERMS, NEITHER, "Where prompts are processed and kept."),
    "residency_eu": Column("in the EU", "", TERMS, NEITHER, "Whether processing and storage can be confined to the EU: yes, option, no."),
    "retention_days": Column("kept", "days", TERMS, LOWER, "How long prompts and answers are kept by default."),
    "zero_retention": Column("zero retention", "", TERMS, NEITHER, "How one gets it: default, self-serve, approval, no."),
    "trains_on_data": Column("trains", "", TERMS, NEITHER, "Whether what customers send trains models: no, opt-in, opt-out, yes."),
    "dpa": Column("DPA", "", TERMS, NEITHER, "The data processing agreement."),
    "certifications": Column("certified", "", TERMS, NEITHER, "What the provider says it is certified for."),
    "weights_self_hostable": Column("weights", "", TERMS, NEITHER, "Whether the weights can be run by oneself."),
    "weights_licence": Column("licence", "", TERMS, NEITHER, "Of the weights."),
    "cloud_act": Column("CLOUD Act", "", TERMS, NEITHER, "Exposure to US orders, derived from the seat: direct, indirect, none."),
}  # fmt: skip

NARROW = (
    "elo",
    "elo_gap",
    "decode_tok_s",
    "output_tok_s",
    "ttft_p99_ms",
    "agentic_p99_ms",
    "usd_mtok_out",
    "usd_mtok_electricity",
    "usd_mtok_hardware",
    "break_even_closed_days",
    "sovereignty",
    "leaves_desk",
    "trains_on_data",
)
"""What a terminal shows unless columns are named."""
