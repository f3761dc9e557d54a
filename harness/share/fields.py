"""What becomes of each field of a result that is shared: the allow-list. A field that is not here, or whose value is not as its rule says,
is left out. Pure.

`docs/redaction.md` shows this table; `VERSION` changes with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from harness.schema.bill import Bill, Rates, Spent
from harness.schema.calibration import Calibration
from harness.schema.calibration import Point as CalibrationPoint
from harness.schema.egress import Connection, Egress
from harness.schema.health import Canary, Health, Reason
from harness.schema.machine import Gpu, Machine
from harness.schema.memory import Fit, Room
from harness.schema.node import Link, Node
from harness.schema.plan import Image, Launch, Mount, Plan, TimeEstimate
from harness.schema.request import Event, Record, ServerTimings, Usage
from harness.schema.result import Answer, CellResult, Figure, Finding, PowerReading, Redaction, Result, Sanity
from harness.schema.run import Anchor, ClientReport, EngineFacts, FileHash, Trial
from harness.schema.sensors import Absent, Idle, Sample, SensorReport, SourceReport
from harness.schema.weights import CacheLayers, Weights
from harness.schema.workload import Cell, Profile, Sampling, Shape, Skipped, Slo, TraceRow, Workload
from harness.share import grammar, rules, wordwise
from harness.share.names import IMAGE, MODEL, RECIPE, Given
from harness.share.rules import (
    ASK,
    CELL,
    CODE,
    COUNTED,
    DIGEST,
    GENERALISED,
    HARDWARE,
    HOST,
    INSTANT,
    KEPT,
    KERNEL,
    NUMBER,
    OUT,
    PATH,
    PERSONAL,
    RENAMED,
    SECOND,
    TEXT,
    VERSION_OF,
    WORDS,
    Rule,
    ask,
    each_of,
)

VERSION = 1


def _inside(given: Given, value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return struct(given, value)
    if isinstance(value, list | tuple):
        return tuple(_inside(given, each) for each in value)
    if isinstance(value, Mapping):
        return {name: _inside(given, each) for name, each in value.items() if rules.code(given, name)}
    return None


def _slo(given: Given, value: Any) -> Any:
    return rules.profile(given, value) if isinstance(value, str) else _inside(given, value)


INSIDE = Rule(KEPT, _inside, "field by field, as below")

TABLE: dict[type[msgspec.Struct], dict[str, Rule]] = {
    Result: {
        **each_of(NUMBER, "schema_version nodes"),
        "id": Rule(KEPT, rules.ident, "random anyway"),
        **each_of(COUNTED, "state"),
        **each_of(CODE, "quantization"),
        "harness_version": VERSION_OF,
        "recipe_name": ask(RECIPE),
        "recipe_sha256": Rule(GENERALISED, rules.digest, "that of the redacted recipe; a shipped one is as it was"),
        "model": ask(MODEL),
        "server": Rule(ASK, rules.server, "public servers stay; else as its owner says, or `https://host-…`"),
        **each_of(
            INSIDE,
            "model_files anchor machine engine image calibration sanity sensors idle health egress weights trials cells skipped findings "
            "spent redacted",
        ),
        "finished": SECOND,
        **each_of(TEXT, "weights_reason notes"),
    },
    Redaction: {"version": NUMBER, "left_out": TEXT},
    FileHash: {
        "path": Rule(GENERALISED, rules.file, "names that all models' files have; else what kind of file it is"),
        "bytes": NUMBER,
        "sha256": Rule(KEPT, rules.optional_digest, "SHA-256"),
    },
    Anchor: {"wall": SECOND, "mono_ns": INSTANT},
    Machine: {
        "hostname": HOST,
        **each_of(HARDWARE, "os cpu_model product"),
        **each_of(KERNEL, "kernel"),
        "arch": CODE,
        **each_of(NUMBER, "cpu_count memory_bytes efficiency_cpus"),
        **each_of(VERSION_OF, "firmware gpu_driver cuda_driver docker"),
        "gpus": INSIDE,
        **each_of(PATH, "engines models python home hf_home hf_hub"),
    },
    Gpu: {
        **each_of(NUMBER, "index memory_bytes"),
        "name": HARDWARE,
        "uuid": PERSONAL,
        "compute_capability": VERSION_OF,
    },
    EngineFacts: {
        "name": COUNTED,
        "version": VERSION_OF,
        "settings": Rule(KEPT, wordwise.settings, "those with an engine's name for it, word by word"),
        **each_of(NUMBER, "start_s context_limit prompt_overhead_tokens"),
    },
    Image: {
        "name": ask(IMAGE),
        "id": DIGEST,
        "digests": Rule(ASK, rules.digests, "SHA-256, with the image's name as above"),
        "created": Rule(GENERALISED, rules.by(grammar.day), "the day"),
        "architecture": CODE,
        "labels": Rule(KEPT, rules.labels, "versions, under public names"),
    },
    Calibration: {
        **each_of(NUMBER, "schema_version cpu_count driver_cpus"),
        "when": SECOND,
        "harness_version": VERSION_OF,
        "cpu_model": HARDWARE,
        "kernel": KERNEL,
        "points": INSIDE,
    },
    CalibrationPoint: {
        "load": CODE,
        **each_of(
            NUMBER,
            "requests lost tok_s ttft_ms ttft_error_p50_ms ttft_error_p99_ms decode_error send_lag_p99_ms cpu_us_per_token",
        ),
    },
    Sanity: {**each_of(INSIDE, "answers findings"), **each_of(NUMBER, "moved waived")},
    Answer: {"question": TEXT, "text": Rule(OUT, None, "what the model said"), **each_of(NUMBER, "tokens right")},
    SensorReport: {**each_of(NUMBER, "wall_s cpu_s"), **each_of(INSIDE, "sources absent")},
    SourceReport: {
        "name": Rule(RENAMED, rules.source, "the source; the host behind `@` renamed"),
        **each_of(NUMBER, "period_s reads gaps longest_gap_s cpu_s"),
    },
    Absent: {
        "source": Rule(RENAMED, rules.source, "the source; the host behind `@` renamed"),
        **each_of(COUNTED, "scope code"),
        "text": TEXT,
    },
    Idle: {"when": COUNTED, **each_of(INSTANT, "t_start_ns t_end_ns")},
    Health: {"verdict": COUNTED, **each_of(INSIDE, "reasons canaries"), "unseen": TEXT, "compared_with": NUMBER},
    Reason: {"code": COUNTED, "text": TEXT, "trials": NUMBER},
    Canary: {"t_ns": INSTANT, **each_of(NUMBER, "request_ms memory_bytes_s gpu_flop_s")},
    Egress: {
        **each_of(TEXT, "method unseen"),
        **each_of(NUMBER, "period_s looks longest_s cpu_s processes spaces tight more opened sent_bytes"),
        **each_of(INSTANT, "t_start_ns t_end_ns"),
        **each_of(INSIDE, "connections doubtful"),
    },
    Connection: {
        **each_of(COUNTED, "where protocol"),
        "address": HOST,
        **each_of(NUMBER, "port outbound count"),
        "process": CODE,
        **each_of(INSTANT, "first_ns last_ns"),
    },
    Weights: {
        "source": COUNTED,
        **each_of(NUMBER, "memory_bytes step_bytes experts experts_used"),
        "unread": Rule(KEPT, rules.unread, "bytes, under sentences of public words"),
        "cache": INSIDE,
        **each_of(TEXT, "cache_reason notes"),
    },
    CacheLayers: each_of(NUMBER, "layers token_bytes window heads"),
    Trial: {
        **each_of(NUMBER, "index block counters_before counters_after"),
        "cell": CELL,
        **each_of(INSTANT, "t_start_ns t_end_ns"),
        "client": INSIDE,
    },
    ClientReport: {
        **each_of(
            NUMBER,
            "wall_s cpu_s send_lag_p50_ns send_lag_p99_ns send_lag_max_ns loop_lag_p99_ns clock_step_ns peak_in_flight clock_error_ns "
            "rtt_ns",
        ),
        "stamps": COUNTED,
        "host": HOST,
    },
    CellResult: {
        "cell": INSIDE,
        **each_of(COUNTED, "verdict stopped_by"),
        **each_of(INSIDE, "findings figures power"),
        **each_of(NUMBER, "trials sent valid"),
        "excluded": Rule(KEPT, rules.reasons, "numbers, by a word of the harness's own"),
    },
    Finding: {**each_of(COUNTED, "code severity"), "text": TEXT},
    Figure: {**each_of(NUMBER, "value low high n"), **each_of(CODE, "unit basis"), "reason": TEXT},
    PowerReading: {
        **each_of(COUNTED, "source method"),
        **each_of(NUMBER, "window_s update_s boundary_error"),
        "passed_over": TEXT,
    },
    Spent: {**each_of(NUMBER, "usd cap_usd"), **each_of(INSIDE, "bill rates")},
    Bill: each_of(NUMBER, "requests input_tokens output_tokens"),
    Rates: {**each_of(NUMBER, "usd_mtok_in usd_mtok_out up_to_tokens"), "source": TEXT},
    Plan: {
        **each_of(NUMBER, "schema_version port context_limit driver_cpus"),
        "recipe_name": ask(RECIPE),
        **each_of(PATH, "recipe_path driver_python"),
        "recipe_sha256": Rule(GENERALISED, rules.digest, "that of the redacted recipe; a shipped one is as it was"),
        "engine": COUNTED,
        **each_of(ask(MODEL), "model served_model"),
        "model_revision": Rule(KEPT, rules.optional_digest, "a commit"),
        **each_of(HOST, "host driver_host"),
        "url": Rule(RENAMED, rules.url, "its host as `host-…`; nothing but scheme, host and port"),
        **each_of(INSIDE, "launch workers nodes workload estimate fit"),
        "requires": CODE,
        "overrides": Rule(KEPT, wordwise.settings, "those with a public name, word by word"),
        "notes": TEXT,
    },
    Launch: {
        "host": HOST,
        "executor": COUNTED,
        "argv": Rule(
            KEPT,
            wordwise.command,
            "flags, and values that are public words or numbers; else what they were: `<path>`, `<url>` …",
        ),
        "env": Rule(
            KEPT, wordwise.environment, "variables of engines and their libraries, word by word; `$NAME` stays `$NAME`"
        ),
        "cwd": PATH,
        "image": ask(IMAGE),
        "image_found": INSIDE,
        "mounts": PATH,
        "container_name": PERSONAL,
        **each_of(NUMBER, "ready_timeout_s stop_grace_s"),
    },
    Mount: each_of(PATH, "source target read_only"),
    TimeEstimate: {"seconds": NUMBER, "basis": TEXT},
    Node: {
        **each_of(HOST, "host hostname reached_at address"),
        **each_of(NUMBER, "here memory_bytes named"),
        "kernel": KERNEL,
        "gpus": HARDWARE,
        **each_of(PATH, "home hf_home hf_hub"),
        "links": INSIDE,
        "link": Rule(RENAMED, rules.renamed("link"), "`link-…`: names of interfaces may hold an address"),
        "rails": Rule(RENAMED, rules.renamed("rail"), "`rail-…`"),
    },
    Link: {
        "name": Rule(RENAMED, rules.renamed("link"), "`link-…`"),
        "addresses": PERSONAL,
        "speed_mbit": NUMBER,
        "rdma": Rule(RENAMED, rules.renamed("rail"), "`rail-…`"),
    },
    Fit: {
        "verdict": TEXT,
        "text": TEXT,
        "setting": WORDS,
        **each_of(NUMBER, "certain weights_bytes draft_bytes cache_bytes reserved_bytes missing_bytes holds_tokens"),
        "room": INSIDE,
    },
    Room: each_of(NUMBER, "total_bytes most_bytes gpu"),
    Workload: {
        "profile_name": Rule(KEPT, rules.profile, "of public words, else renamed"),
        **each_of(INSIDE, "profile cells skipped sampling trace"),
        "seed": NUMBER,
    },
    Profile: {
        "description": TEXT,
        **each_of(
            NUMBER,
            "depth pp tg concurrency prefix_caching percentile requests requests_per_slot runs max_runs target min_seconds max_seconds "
            "idle_seconds cool_to_c cool_limit_s soak_seconds points schedule rate burstiness seconds turns sessions exact until_slo",
        ),
        **each_of(COUNTED, "prompt_class arrivals"),
        "mix": INSIDE,
        "variants": Rule(KEPT, rules.variants, "fields with public names, word by word"),
        "slo": Rule(KEPT, _slo, "its limits, or its name"),
    },
    Shape: each_of(NUMBER, "pp tg weight"),
    Slo: each_of(NUMBER, "ttft_ms tpot_ms e2e_ms share"),
    Sampling: each_of(NUMBER, "temperature top_p seed"),
    TraceRow: each_of(NUMBER, "offset_s prompt_tokens output_tokens"),
    Cell: {
        "id": CELL,
        **each_of(
            NUMBER,
            "depth pp tg concurrency prefix_caching requests warmup rate burstiness turns sessions exact",
        ),
        **each_of(COUNTED, "prompt_class arrivals"),
        **each_of(INSIDE, "mix slo"),
        "variant": Rule(KEPT, rules.variant, "of public words, else renamed"),
        "fields": Rule(KEPT, wordwise.value, "those with public names, word by word"),
    },
    Skipped: {"cell": INSIDE, "reason": TEXT},
    Record: {
        **each_of(NUMBER, "index slot asked_tokens asked_prompt_tokens turn status first_tokens retokenized bytes_in reads"),
        **each_of(COUNTED, "phase error finish_reason token_source stamps"),
        **each_of(INSTANT, "t_sched_ns t_send_ns t_hdr_ns t_end_ns"),
        "error_detail": Rule(OUT, None, "what the server said"),
        **each_of(INSIDE, "usage timings events"),
    },
    Usage: each_of(NUMBER, "prompt_tokens completion_tokens cached_tokens reasoning_tokens"),
    ServerTimings: each_of(NUMBER, "prefill_tokens prefill_ms decode_tokens decode_ms draft_tokens accepted_tokens"),
    Event: {
        "t_ns": INSTANT,
        "kind": COUNTED,
        "text": Rule(GENERALISED, rules.spoken, "`…` where the model said anything"),
        "tokens": NUMBER,
    },
    Sample: {
        "t_ns": INSTANT,
        "source": Rule(RENAMED, rules.source, "the source; the host behind `@` renamed"),
        "scope": COUNTED,
        "name": Rule(RENAMED, rules.sensor, "public words stay, else the part is `sensor-…`"),
        "value": NUMBER,
        "unit": CODE,
    },
}
"""By type. What may come up in several places is called the same everywhere."""


def struct(given: Given, value: msgspec.Struct) -> Any:
    kind = type(value)
    return kind(**{name: _one(given, getattr(value, name), rule, empty) for name, rule, empty in _fields(kind)})


def _one(given: Given, value: Any, rule: Rule | None, empty: Any) -> Any:
    made = rule.do(given, value) if rule and rule.do else None
    return empty if made is None else made


@cache
def _fields(kind: type[msgspec.Struct]) -> list[tuple[str, Rule | None, Any]]:
    """Of each field its name, its rule, and what stands there where nothing is kept."""
    known = TABLE.get(kind, {})
    return [(field.name, known.get(field.name), _nothing(field.type)) for field in msgspec.structs.fields(kind)]


def _nothing(kind: Any) -> Any:
    hint = msgspec.inspect.type_info(kind)
    kinds = hint.types if isinstance(hint, msgspec.inspect.UnionType) else (hint,)
    if any(isinstance(each, msgspec.inspect.NoneType) for each in kinds):
        return None
    return next((empty for type_, empty in _EMPTY.items() if isinstance(kinds[0], type_)), None)


_EMPTY: dict[type[msgspec.inspect.Type], Any] = {
    msgspec.inspect.StrType: "",
    msgspec.inspect.BoolType: False,
    msgspec.inspect.IntType: 0,
    msgspec.inspect.FloatType: 0.0,
    msgspec.inspect.VarTupleType: (),
    msgspec.inspect.DictType: {},
}


def shown() -> str:
    """The table as Markdown, fields with the same rule in one line."""
    lines = ["| Of | Fields | | What leaves |", "|---|---|---|---|"]
    for kind, known in TABLE.items():
        alike: dict[Rule, list[str]] = {}
        for field, rule in known.items():
            alike.setdefault(rule, []).append(f"`{field}`")
        name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
        lines += [f"| `{name}` | {' '.join(names)} | {rule.how} | {rule.what} |" for rule, names in alike.items()]
    return "\n".join(lines)
