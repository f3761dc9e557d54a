"""A server that is ready to be measured: what it is, how its tokens are counted, what its counters say, and the next job for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from urllib.parse import urlsplit

import msgspec

from harness import clock, http
from harness.engines import ENGINES, detect, openai_api
from harness.engines.base import Engine
from harness.errors import EngineError
from harness.launch.server import Server
from harness.load import prompts, stages, tokens
from harness.load.prompts import Message, Prompt, Reply, Source
from harness.load.tokens import Measured, Ruler
from harness.measure import sanity, speculation
from harness.measure.sanity import Question
from harness.recipe import cells
from harness.schema.bill import Bill
from harness.schema.job import Ask, Job, Stage
from harness.schema.plan import Plan
from harness.schema.recipe import UNKNOWN_MODEL
from harness.schema.request import Record
from harness.schema.result import Answer, Sanity
from harness.schema.run import EngineFacts
from harness.schema.workload import Cell, Sampling

CHAT = "/chat/completions"
PROBE_TRIAL = -1
CANARY = "Count from one to one hundred in words, separated by commas."
CANARY_TOKENS = 24
SPOKEN = ("reasoning_content", "reasoning", "content")
"""Fields of a message that may hold text."""
FORCE_LENGTH = ("ignore_eos", "min_tokens")
"""Request fields that keep a model from ending its answer."""
RETOKENIZED = 3
"""Answers of each trial that are counted a second time, by the tokenizer."""
OPTIONAL = {"max_tokens": "max_completion_tokens", "seed": None, "temperature": None, "top_p": None, "stream_options": None}
"""Request fields that some servers do not take, and what they take instead."""
LEARN_TOKENS = 16
LEARN_TIMEOUT_S = 120.0
SETTLE_S = 3.0
"""Engines publish their counters a little after the last token: they are read until they stand still, at most this long."""


class Session:
    """Made by `open_session`; `plan` is the plan as the server made it: engine, served name and cells that fit."""

    def __init__(
        self, plan: Plan, engine: Engine, facts: EngineFacts, ruler: Ruler, running: Server | None, talk: Talk, run_id: str
    ) -> None:
        self.plan, self.engine, self.facts, self.ruler = plan, engine, facts, ruler
        self._running, self._talk, self._run_id = running, talk, run_id

    def job(self, cell: Cell, trial: int, *, first: bool) -> Job:
        """The trial's requests, complete. Its prompts follow from seed, trial and run; prompts of one trial are all different."""
        work = self.plan.workload
        source = Source(prompt_class=cell.prompt_class, seed=work.seed, trial=trial, run=self._run_id)
        what = stages.Trial(cell=cell, source=source, first=first, trace=work.trace)
        return self._job(stages.stages(what, self.ruler, partial(self._ask, cell)))

    def canary(self) -> float | None:
        """Milliseconds per token of a short answer to a request that is the same in every run of this recipe; None: it failed."""
        fields = self.engine.request_fields(tokens=CANARY_TOKENS, salt="", prefix_caching=True)
        messages, sampling = [Message("user", CANARY)], self.plan.workload.sampling
        body = prompts.body(messages, model=self.plan.served_model, tokens=CANARY_TOKENS, sampling=sampling, fields=fields)
        payload = {name: value for name, value in msgspec.json.decode(body).items() if name not in ("stream", "stream_options")}
        start = clock.now()
        try:
            reply = self._talk.chat(payload, "the canary")
        except EngineError:
            return None
        took_ms = clock.since(start) * 1e3
        match reply:
            case {"usage": {"completion_tokens": int(count)}} if count > 0:
                return took_ms / count
            case _:
                return None

    def sanity(self, *, waived: bool) -> Sanity:
        """Asks what shows whether a language model answers at all. Raises `EngineError` when it does not answer."""
        before = self.counters()
        answers = tuple(map(self._answer, sanity.QUESTIONS))
        after = self.settled_counters(before, len(answers))
        moved = {name: after[name] - before[name] for name in before if name in after}
        findings = sanity.judge(answers, moved, speculation.faked(self.plan.launch, self.facts.settings))
        return Sanity(answers=answers, moved=moved, findings=findings, waived=bool(findings) and waived)

    def _answer(self, question: Question) -> Answer:
        sampling = self.plan.workload.sampling
        payload = {
            "model": self.plan.served_model,
            "messages": [Message("user", question.text)],
            "max_tokens": question.tokens,
            "temperature": sampling.temperature,
            "seed": sampling.seed,
        }
        match self._talk.chat(payload, "a question"):
            case {"choices": [{"message": dict(message)}, *_], **rest}:
                said = [part for name in SPOKEN if isinstance(part := message.get(name), str)]
                usage = rest.get("usage")
                tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
                return sanity.answered(question, "\n".join(said), tokens if isinstance(tokens, int) else None)
            case reply:
                raise EngineError(
                    f"{self.plan.url} answers a question in another shape: {str(reply)[:120]}",
                    "measure a server whose chat completions are OpenAI's",
                )

    def _job(self, parts: Iterable[Stage]) -> Job:
        place = urlsplit(self.plan.url)
        return Job(
            scheme=place.scheme,
            host=place.hostname or "",
            port=self.plan.port,
            path=place.path.rstrip("/") + http.api(self.plan.url) + CHAT,
            cpus=self.plan.driver_cpus or None,
            stages=tuple(parts),
        )

    def _ask(self, cell: Cell, phase: str, messages: Sequence[Message | Reply], salt: str, tokens: int) -> Ask:
        fields = self.engine.request_fields(tokens=tokens, salt=salt, prefix_caching=cell.prefix_caching)
        if not cell.exact:
            fields = {name: value for name, value in fields.items() if name not in FORCE_LENGTH}
        sampling = self.plan.workload.sampling
        body = prompts.body(
            messages,
            model=self.plan.served_model,
            tokens=tokens,
            sampling=sampling,
            fields=prompts.merged(fields, cell.fields),
            refused=self._talk.refused,
        )
        return Ask(phase, body, asked_tokens=tokens if cell.exact else None)

    def count(self, records: Sequence[Record], trial: int) -> list[Record]:
        """The records with what only the tokenizer can say: the first event's tokens, and a second count of some answers.

        A server that has died meanwhile counts nothing more; what it sent before is kept as it came.
        """
        try:
            filled = tokens.fill_first(records, self.ruler)
            return tokens.retokenize(filled, self.ruler, sample=RETOKENIZED, seed=trial)
        except EngineError:
            return list(records)

    def used(self) -> Bill:
        """What was asked of the server besides the jobs."""
        return self._talk.used

    def counters(self) -> dict[str, float]:
        return self._talk.counters(self.engine)

    def settled_counters(self, before: dict[str, float], finished: int) -> dict[str, float]:
        """The counters after a trial of which `finished` requests got their answer."""
        start = clock.now()
        last = self.counters()
        while clock.since(start) < SETTLE_S:
            clock.sleep(0.1)
            now = self.counters()
            arrived = now.get("requests_finished", 0.0) - before.get("requests_finished", 0.0)
            if now == last and ("requests_finished" not in now or arrived >= finished):
                break
            last = now
        return last

    def check_alive(self) -> None:
        """Raises `EngineError` when the server that we started has died."""
        if self._running is not None:
            self._running.check()


class Talk:
    """Control-plane requests to one server."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url
        self.refused: dict[str, str | None] = {}
        """Request fields that the server does not take, and what it takes instead; None: nothing."""
        self.used = Bill()
        """Of what was asked here, by usage."""
        self._client = http.Client(url, {} if api_key is None else {"authorization": f"Bearer {api_key}"})

    def page(self, path: str) -> object | None:
        """A decoded JSON page; None where there is none."""
        reply = self._client.fetch(path)
        try:
            return reply.json() if reply.ok else None
        except msgspec.DecodeError:
            return None

    def counters(self, engine: Engine) -> dict[str, float]:
        if engine.METRICS is None:
            return {}
        reply = self._client.fetch(engine.METRICS)
        return engine.counters(reply.text) if reply.ok else {}

    def chat(self, payload: Mapping[str, object], what: str) -> object:
        """The answer to a chat completion that is not streamed, as the server takes it. Raises `EngineError`."""
        reply = self.ask(http.api(self.url) + CHAT, prompts.accepted(payload, self.refused), what)
        match reply:
            case {"usage": {"prompt_tokens": int(sent), "completion_tokens": int(got)}}:
                self.used += Bill(requests=1, input_tokens=sent, output_tokens=got)
        return reply

    def learn(self, model: str, sampling: Sampling) -> None:
        """Which of our fields the server does not take, by its refusals: providers differ, and models of one provider too."""
        asked = prompts.body([Message("user", "Say yes.")], model=model, tokens=LEARN_TOKENS, sampling=sampling, fields={})
        payload = msgspec.json.decode(asked)
        for _ in OPTIONAL:
            reply = self._client.fetch(
                http.api(self.url) + CHAT, payload=prompts.accepted(payload, self.refused), timeout_s=LEARN_TIMEOUT_S
            )
            if reply.ok:
                self.used += Bill(requests=1, output_tokens=LEARN_TOKENS)
            named = [name for name in OPTIONAL if name not in self.refused and re.search(rf"\b{name}\b", reply.text)]
            if reply.status not in (400, 422) or not named:
                return  # whatever else it refuses, the next request says it in the server's words
            self.refused[named[0]] = OPTIONAL[named[0]]

    def ask(self, path: str, payload: object, what: str, timeout_s: float = 600.0) -> object:
        """The JSON answer to `payload`. Raises `EngineError`."""
        reply = self._client.fetch(path, payload=payload, timeout_s=timeout_s)
        if reply.ok:
            try:
                return reply.json()
            except msgspec.DecodeError:
                pass
        if reply.status == 0:
            raise EngineError(f"{self.url} does not answer: {reply.text}", "check that the server runs, and its address")
        said = " ".join(reply.text.split())[:200] or "(nothing)"
        raise EngineError(
            f"{self.url}{path} answers HTTP {reply.status} to {what}: {said}", "look at the server's log for the reason"
        )

    def reachable(self) -> None:
        reply = self._client.fetch(f"{http.api(self.url)}/models")
        if reply.status == 0:
            raise EngineError(f"{self.url} does not answer: {reply.text}", "check that the server runs, and its address")
        if reply.status in (401, 403):
            raise EngineError(
                f"{self.url} answers HTTP {reply.status}", "it wants a key: name its variable with --api-key-env NAME"
            )


def open_session(plan: Plan, running: Server | None, api_key: str | None, run_id: str, model: str | None) -> Session:
    """Asks the server what it is and measures its chat template. `model` chooses one where a server that already runs serves several.

    Raises `EngineError` when it does not answer as an OpenAI-compatible server does.
    """
    talk = Talk(plan.url, api_key)
    engine = ENGINES[plan.engine]
    if running is None:
        talk.reachable()
        engine = detect(talk.page)
        served = model or _served(talk) or plan.served_model
        known = plan.model if plan.model != UNKNOWN_MODEL else served
        plan = msgspec.structs.replace(plan, engine=engine.NAME, served_model=served, model=known)
        if engine.NAME == openai_api.NAME:
            talk.learn(served, plan.workload.sampling)
            plan = msgspec.structs.replace(plan, notes=(*plan.notes, *map(_refusal, talk.refused.items())))
    told = engine.facts(talk.page)
    limit = told.context_limit or plan.context_limit
    work = plan.workload
    fitting = cells.workload(work.profile_name, work.profile, seed=work.seed, context_limit=limit, trace=work.trace)
    plan = msgspec.structs.replace(plan, context_limit=limit, workload=fitting)
    if not plan.workload.cells:
        raise EngineError(
            f"no cell fits the server's context of {limit} tokens",
            "measure shorter prompts (--pp, --depth), or start it with more",
        )
    ruler = _ruler(plan, engine, talk)
    facts = EngineFacts(
        name=engine.NAME,
        version=told.version,
        settings=told.settings,
        start_s=running.start_s if running else {},
        context_limit=limit,
        prompt_overhead_tokens=ruler.overheads.get(1),
    )
    return Session(plan, engine, facts, ruler, running, talk, run_id)


def _refusal(field: tuple[str, str | None]) -> str:
    name, instead = field
    return f"The server does not take {name}: requests {f'say {instead}' if instead else 'go without it'}."


def _served(talk: Talk) -> str | None:
    match talk.page(f"{http.api(talk.url)}/models"):
        case {"data": [{"id": str(name)}, *_]}:
            return name
        case _:
            return None


def _ruler(plan: Plan, engine: Engine, talk: Talk) -> Ruler:
    """By the server's tokenizer where it has one, else an estimate from its usage."""
    cell = plan.workload.cells[0]
    source = Source(prompt_class=cell.prompt_class, seed=plan.workload.seed, trial=PROBE_TRIAL, run="probe")
    shapes = {False, cell.prefix_caching}
    measured = [
        _measure(plan, talk, prompt) for context in sorted(shapes) for prompt in prompts.probes(source, context=context)
    ]
    if engine.tokenize_request("", plan.served_model) is None:
        return tokens.estimate(measured)

    def count(text: str) -> int:
        request = engine.tokenize_request(text, plan.served_model)
        assert request is not None
        path, payload = request
        return engine.tokenize_count(talk.ask(path, payload, "a request to count tokens"))

    return tokens.exact(count, measured)


def _measure(plan: Plan, talk: Talk, prompt: Prompt) -> Measured:
    payload = {"model": plan.served_model, "messages": list(prompt.messages), "max_tokens": 1, "temperature": 0}
    reply = talk.chat(payload, "a request of one token")
    match reply:
        case {"usage": {"prompt_tokens": int(used)}}:
            return Measured(prompt.texts, used)
        case _:
            raise EngineError(
                f"{plan.url} does not say how many tokens a prompt has (no usage.prompt_tokens)",
                "without usage no token count can be trusted: measure a server that reports it",
            )
