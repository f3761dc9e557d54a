"""The same job through the `openai` SDK, for https endpoints. Its receive stamps are the program's, and it costs far more CPU per token.

The SDK carries the request and the SDK's answer arrives as raw bytes, so that both drivers read streams with the same code. `t_send` is
when httpcore begins to write the request, on a connection that stands: the handshake is in no TTFT.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, BinaryIO, cast

import httpx2
import msgspec
import openai

from harness import clock
from harness.load.asks import UNANSWERED, Asks, Turn
from harness.load.driver import LEAD_NS, TICK_S
from harness.load.exchange import Exchange, reply
from harness.load.ledger import Ledger
from harness.load.tally import Tally
from harness.load.wire import BadHttp
from harness.schema.job import Job, Progress, Stage
from harness.schema.run import ClientReport
from harness.units import NS_PER_S

CHAT = "/chat/completions"
PULSE_S = 0.01
PLAIN = {"accept-encoding": "identity"}
"""What is compressed comes in other pieces than were sent."""
_FIELDS = {CHAT: ("model", "messages"), "/completions": ("model", "prompt")}

_current: ContextVar[Exchange] = ContextVar("current")


class SdkDriver:
    """As `driver.Driver`, over the SDK."""

    def __init__(self, job: Job, out: BinaryIO, api_key: str | None, on_progress: Callable[[Progress], None]) -> None:
        self.job, self._api_key, self._on_progress = job, api_key, on_progress
        self._ledger = Ledger(out, lambda stamp: stamp, kernel=False)
        self._suffix = CHAT if job.path.endswith(CHAT) else "/completions"
        self._tally = Tally(job)
        self._under_way: set[Exchange] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self._stopping = False

    async def run(self) -> None:
        """All stages, one after the other; then the records."""
        self._tally.start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        beside = [asyncio.create_task(self._pulse()), asyncio.create_task(self._tick())]
        async with self._client() as client:
            for stage in self.job.stages:
                await self._stage(client, stage)
        for task in beside:
            task.cancel()
        self._tally.stop()
        self._ledger.read_all()
        self._on_progress(self._tally.progress())

    def stop(self) -> None:
        """What is in flight becomes `interrupted`, nothing more is sent."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()

    def report(self) -> ClientReport:
        return self._tally.report(clock_step_ns=0, stamps="user")  # no stamp of the wall clock is used

    def _client(self) -> openai.AsyncOpenAI:
        most = max((stage.concurrency or len(stage.asks) for stage in self.job.stages), default=1)
        http = openai.DefaultAsyncHttpxClient(
            http2=False,
            limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=None),
            event_hooks={"request": [self._on_request]},
        )
        host = f"[{self.job.host}]" if ":" in self.job.host else self.job.host
        return openai.AsyncOpenAI(
            base_url=f"{self.job.scheme}://{host}:{self.job.port}{self.job.path.removesuffix(self._suffix)}",
            api_key=self._api_key or "none",
            max_retries=0,
            timeout=self.job.timeout_s,
            http_client=http,
            default_headers={**PLAIN, **self.job.headers},
        )

    async def _stage(self, client: openai.AsyncOpenAI, stage: Stage) -> None:
        self._asks = Asks(stage, clock.now() + LEAD_NS)
        if stage.concurrency is None:
            await self._open_loop(client)
        else:
            number = min(stage.concurrency, len(stage.warmup) + len(stage.asks))
            self._tasks = [asyncio.create_task(self._slot(client, slot)) for slot in range(number)]
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _slot(self, client: openai.AsyncOpenAI, number: int) -> None:
        free: int | None = None  # before the first request a connection has to be opened, which is no lag of ours
        while not self._stopping and (turn := self._asks.take(clock.now())) is not None:
            free = await self._request(client, turn, number, free)

    async def _open_loop(self, client: openai.AsyncOpenAI) -> None:
        """Each request is a task of its own, begun when it is due. The SDK opens connections as it needs them."""
        self._tasks = []
        while not self._stopping and self._asks:
            turn = self._asks.take(clock.now())
            if turn is None:
                due_ns = self._asks.next_ns
                wait = PULSE_S if due_ns is None else min(PULSE_S, max(0, due_ns - clock.now()) / NS_PER_S)
                await asyncio.sleep(wait)
                continue
            self._tasks.append(asyncio.create_task(self._request(client, turn, len(self._under_way), turn.ready_ns)))

    async def _request(self, client: openai.AsyncOpenAI, turn: Turn, slot: int, ready_ns: int | None) -> int:
        """One request from its beginning to its record; gives when it ended. `ready_ns`: since when it could have left."""
        exchange = Exchange(self._tally.begin(), turn, slot)
        exchange.kernel = False
        if turn.body is None:
            exchange.error, exchange.error_detail = UNANSWERED
        else:
            self._under_way.add(exchange)
            await self._one(client, exchange, turn.body)
            self._under_way.remove(exchange)
        self._tally.end(exchange)
        if ready_ns is not None and exchange.t_send:
            self._tally.send_lags.append(exchange.t_send - ready_ns)
        ended = clock.now()
        exchange.t_end = exchange.t_end if exchange.error is None and exchange.t_end else ended
        exchange.t_send = exchange.t_send or ended
        if turn.ask.phase == "warmup":
            self._tally.skip(self._asks.warmed(ended - exchange.t_send))
        if self._asks.follows(turn.place):
            self._asks.answered(turn.place, reply(exchange), ended)
        self._ledger.add(exchange)
        return ended

    async def _one(self, client: openai.AsyncOpenAI, exchange: Exchange, body: bytes) -> None:
        """Never raises: what goes wrong is the exchange's error."""
        _current.set(exchange)
        try:
            async with asyncio.timeout(self.job.timeout_s):
                await self._stream(client, exchange, msgspec.json.decode(body))
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException):
            exchange.error, exchange.error_detail = "timeout", f"no end within {self.job.timeout_s:g} s"
        except asyncio.CancelledError:
            exchange.error, exchange.error_detail = "interrupted", "the run was stopped"
        except openai.APIStatusError as error:
            exchange.answer.status = error.status_code
            self._got(exchange, error.response.content)
        except openai.APIConnectionError as error:
            exchange.error, exchange.error_detail = _reason(error.__cause__ or error, exchange)
        except httpx2.HTTPError as error:
            exchange.error, exchange.error_detail = _reason(error, exchange)
        except BadHttp as error:
            exchange.error, exchange.error_detail = "bad_http", str(error)

    async def _stream(self, client: openai.AsyncOpenAI, exchange: Exchange, body: dict[str, Any]) -> None:
        named = {field: body.pop(field) for field in _FIELDS[self._suffix] if field in body}
        body.pop("stream", None)
        create = client.chat.completions if self._suffix == CHAT else client.completions
        headers = {} if self._api_key is not None else {"Authorization": openai.Omit()}
        # the body goes as it stands, whatever the SDK's types say of its fields
        streaming = cast(Any, create).with_streaming_response.create(
            **named, stream=True, extra_body=body, extra_headers=headers
        )
        async with streaming as response:
            exchange.answer.status = response.status_code
            async for piece in response.iter_bytes():
                self._got(exchange, piece)

    def _got(self, exchange: Exchange, piece: bytes) -> None:
        exchange.t_end = clock.now()
        exchange.reads += 1
        exchange.answer.add(piece, exchange.t_end)

    async def _on_request(self, request: httpx2.Request) -> None:
        request.extensions["trace"] = self._tracer(_current.get())

    def _tracer(self, exchange: Exchange) -> Callable[[str, dict[str, Any]], Awaitable[None]]:
        connecting = 0

        async def trace(name: str, info: dict[str, Any]) -> None:
            nonlocal connecting
            if name == "connection.connect_tcp.started":
                connecting = clock.now()
            elif name == "connection.connect_tcp.complete":
                self._tally.connected(clock.now() - connecting)
            elif name == "http11.send_request_headers.started":
                exchange.t_send = clock.now()
            elif name == "http11.receive_response_headers.complete":
                exchange.answer.t_head = clock.now()

        return trace

    async def _pulse(self) -> None:
        """Sleeps that end late tell how late everything else is served."""
        while True:
            due = clock.now() + round(PULSE_S * NS_PER_S)
            await asyncio.sleep(PULSE_S)
            self._tally.loop_lags.add(clock.now() - due)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._on_progress(self._tally.progress(self._under_way))


def _reason(error: BaseException, exchange: Exchange) -> tuple[str, str]:
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, httpx2.ConnectError):
        return "connect", detail
    if isinstance(error, httpx2.RemoteProtocolError) and not ("closed" in detail or "disconnected" in detail):
        return "bad_http", detail
    return ("truncated" if isinstance(error, httpx2.RemoteProtocolError) and exchange.reads else "reset"), detail


def main(job: Job, out: BinaryIO, api_key: str | None, say: Callable[[bytes], None]) -> None:
    """As `driver.main`."""
    if job.cpus is not None:
        os.sched_setaffinity(0, job.cpus)
    encode = msgspec.json.Encoder().encode
    sdk = SdkDriver(job, out, api_key, lambda progress: say(encode(progress)))
    asyncio.run(sdk.run())
    say(encode({"report": sdk.report()}))
