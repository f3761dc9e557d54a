"""The same job through the openai SDK, for https endpoints: TLS, proxies and redirects are its work. Stamps are the user's.

The driver's own loop stays the better instrument; what this one adds (asyncio, TLS) is in its CPU seconds and loop lag.
"""

from __future__ import annotations

import asyncio
import signal
from array import array
from collections.abc import Callable, Iterator

import msgspec
import openai

from harness import clock
from harness.load import chunks
from harness.load.driver import quantile
from harness.schema.job import Ask, Job, Progress, Stage
from harness.schema.request import Record
from harness.schema.run import ClientReport

TICK_S = 0.5


class Driver:
    def __init__(self, job: Job, api_key: str | None, on_progress: Callable[[Progress], None]) -> None:
        prefix = job.path.removesuffix("/chat/completions")
        self.job = job
        self.records: list[Record] = []
        self._on_progress = on_progress
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._client = openai.AsyncOpenAI(
            api_key=api_key or "none",
            base_url=f"{job.scheme}://{job.host}:{job.port}{prefix}",
            max_retries=0,  # a retry would hide a failure inside a latency
            timeout=job.timeout_s,
            default_headers=dict(job.headers),
        )
        self._total = sum(len(stage.asks) for stage in job.stages)
        self._sent = self._reads = self._bytes = self._in_flight = self._peak = 0
        self._send_lags, self._loop_lags = array("q"), array("q")

    async def run(self) -> ClientReport:
        cpu, began = clock.cpu(), clock.now()
        ticker = asyncio.create_task(self._tick())
        try:
            for stage in self.job.stages:
                asks = iter(stage.asks)
                self._tasks = [asyncio.create_task(self._slot(number, asks)) for number in range(_slots(stage))]
                await asyncio.gather(*self._tasks)
        finally:
            ticker.cancel()
            await self._client.close()
        self._progress()
        return ClientReport(
            wall_s=clock.since(began),
            cpu_s=(clock.cpu() - cpu) / 1e9,
            send_lag_p50_ns=quantile(self._send_lags, 0.5),
            send_lag_p99_ns=quantile(self._send_lags, 0.99),
            send_lag_max_ns=max(self._send_lags, default=0),
            loop_lag_p99_ns=quantile(self._loop_lags, 0.99),
            clock_step_ns=0,
            stamps="user",
            peak_in_flight=self._peak,
        )

    def stop(self) -> None:
        """What is in flight becomes `interrupted`, nothing more is sent."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()

    async def _slot(self, number: int, asks: Iterator[Ask]) -> None:
        free = clock.now()
        for ask in asks:
            if self._stopping:
                return
            self._sent, self._in_flight = self._sent + 1, self._in_flight + 1
            self._peak = max(self._peak, self._in_flight)
            raw = await self._request(self._sent - 1, number, ask, free)
            free = clock.now()
            self._in_flight -= 1
            self.records.append(chunks.record(raw))

    async def _request(self, index: int, slot: int, ask: Ask, free: int) -> chunks.Raw:
        body: list[bytes] = []
        ends, stamps = array("Q"), array("q")
        status, t_head, error, detail = None, None, None, ""
        wanted = msgspec.json.decode(ask.body)
        t_send = clock.now()
        self._send_lags.append(t_send - free)
        try:
            call = self._client.chat.completions.with_streaming_response.create(
                model=wanted.pop("model"), messages=wanted.pop("messages"), extra_body=wanted
            )
            async with call as response:
                status, t_head = response.status_code, clock.now()
                async for piece in response.iter_bytes():
                    body.append(piece)
                    ends.append(len(piece) + (ends[-1] if ends else 0))
                    stamps.append(clock.now())
                    self._reads, self._bytes = self._reads + 1, self._bytes + len(piece)
        except openai.APIStatusError as failed:
            status, error, detail = failed.status_code, f"http_{failed.status_code}", failed.response.text[:500]
        except openai.APITimeoutError as failed:
            error, detail = "timeout", str(failed)
        except openai.APIConnectionError as failed:
            error, detail = "reset" if body else "connect", f"{failed} {failed.__cause__ or ''}".strip()
        except asyncio.CancelledError:
            error, detail = "interrupted", "the run was stopped"
        return chunks.Raw(
            index=index,
            phase=ask.phase,
            slot=slot,
            t_send_ns=t_send,
            t_head_ns=t_head,
            t_end_ns=stamps[-1] if stamps and error is None else clock.now(),
            status=status,
            error=error,
            error_detail=detail,
            body=b"".join(body),
            ends=ends,
            stamps_ns=stamps,
            stamps="user",
            reads=len(stamps),
        )

    async def _tick(self) -> None:
        while True:
            before = clock.now()
            await asyncio.sleep(TICK_S)
            self._loop_lags.append(clock.now() - before - int(TICK_S * 1e9))
            self._progress()

    def _progress(self) -> None:
        self._on_progress(
            Progress(
                done=len(self.records),
                sent=self._sent,
                total=self._total,
                bytes_in=self._bytes,
                reads=self._reads,
                in_flight=self._in_flight,
            )
        )


def _slots(stage: Stage) -> int:
    return min(stage.concurrency, len(stage.asks))


async def _run(driver: Driver) -> ClientReport:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, driver.stop)
    return await driver.run()


def main(job: Job, out: str, api_key: str | None, say: Callable[[bytes], None]) -> None:
    """As `driver.main`."""
    encode = msgspec.json.encode
    driver = Driver(job, api_key, lambda progress: say(encode(progress)))
    report = asyncio.run(_run(driver))
    with open(out, "wb") as file:
        for record in driver.records:
            file.write(encode(record) + b"\n")
    say(encode({"report": report}))
