"""The server: its socket, its connections' patience, and the pages that are made again whenever something changed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import uvicorn
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from uvicorn.protocols.http.h11_impl import H11Protocol

from harness import clock
from harness.collect import child
from harness.collect.depot import Depot
from harness.collect.rows import Rows
from harness.collect.settings import Settings
from harness.collect.web import Web
from harness.errors import HarnessError, MachineError
from harness.schema.collect import Build, Built, Shown

END_S = 15

Say = Callable[[str], None]


class Patient(H11Protocol):
    """Ends connections on which, within a look and the next, a request's head is not complete, or an answer is not read. Bodies have a
    deadline of their own (`harness.collect.body`), idle connections uvicorn's."""

    def __init__(self, look_s: float, **given: Any) -> None:
        super().__init__(**given)
        self._look_s = look_s

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(self._look_s, self._look, None)

    def _look(self, before: object) -> None:
        if self.transport.is_closing():
            return
        now = self.cycle
        if now is before and (now is None or now.response_started):
            self.transport.abort()
        else:
            self.loop.call_later(self._look_s, self._look, now)


class Pages:
    """Builds the site in the background; what is shown changes in one moment."""

    def __init__(self, depot: Depot, rows: Rows, settings: Settings, children: child.Children, say: Say) -> None:
        self._depot, self._rows, self._settings, self._children, self._say = depot, rows, settings, children, say
        self._dirty = asyncio.Event()
        self._dirty.set()

    def changed(self) -> None:
        self._dirty.set()

    async def keep_up(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._settings.pages_after_s)
            self._dirty.clear()
            began = clock.now()
            try:
                await run_in_threadpool(self._build)
            except (HarnessError, child.Ended, OSError, SQLAlchemyError) as error:
                self._say(f"the pages could not be made: {str(error).splitlines()[0]}")
            await asyncio.sleep(clock.since(began))

    def _build(self) -> None:
        shown = self._rows.shown()
        out = self._depot.new_site()
        out.mkdir()
        task = Build(
            bounds=self._settings.building,
            shown=tuple(
                Shown(submission=one.submission, user=one.user, bundle=str(self._depot.file(one.sha256).absolute()))
                for one in shown
            ),
            results=str(self._depot.results.absolute()),
            out=str(out.absolute()),
            recipes=tuple(str(path.absolute()) for path in self._settings.recipes),
            facts=str(self._settings.facts.absolute()),
        )
        with self._depot.room() as room:
            built = self._children.ask(task, room, Built)
        for line in (built.error, *built.damaged):
            if line:
                self._say(f"pages: {line}")
        if not built.error:
            self._depot.show(out)
            self._say(f"{built.pages} pages of {len(shown)} results")


def bound(host: str, port: int) -> socket.socket:
    """Raises `MachineError`."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
    except OSError as error:
        raise MachineError(f"{host}:{port}: {error.strerror}", "choose another address or port: --bind ADDRESS:PORT") from None


def serve(depot: Depot, rows: Rows, settings: Settings, listening: socket.socket, say: Say) -> None:
    """Until it is told to end (SIGINT, SIGTERM): uploads that have begun are waited for, a little."""
    children = child.Children()
    pages = Pages(depot, rows, settings, children, say)
    web = Web(depot, rows, settings, children, pages.changed, say)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        keeping = asyncio.create_task(pages.keep_up())
        yield
        children.end()
        keeping.cancel()

    config = uvicorn.Config(
        Starlette(routes=web.routes, lifespan=lifespan),
        http=partial(Patient, settings.look_s),  # type: ignore[arg-type]  # it is only called
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
        limit_concurrency=settings.connections,
        timeout_graceful_shutdown=END_S,
    )
    uvicorn.Server(config).run(sockets=[listening])
