"""A request's body into a file: no larger, no slower and no longer than was said."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

CHUNK = 1 << 20
SLOWEST_BYTES_S = 100_000
"""As the sender's own (`harness.share.targets.http`)."""
LINGER_S, LINGER_BYTES = 2.0, 64 << 20
"""What is still read, and thrown away, of a body that was refused: its sender would otherwise see a broken connection, and no answer."""


class Broken(Exception):
    """Nothing of it counts; the text says why."""


async def received(request: Request, size: int, to: Path, patience_s: float) -> str:
    """The SHA-256 of what is now on the disk as `to`. Raises `Broken`, `OSError`."""
    most_s = patience_s + size / SLOWEST_BYTES_S
    try:
        async with asyncio.timeout(most_s):
            with to.open("xb") as file:
                return await _copied(request.stream(), size, file)
    except TimeoutError:
        raise Broken(f"it did not come within {most_s:.0f} s") from None
    except ClientDisconnect:
        raise Broken("it was cut off") from None


async def _copied(chunks: AsyncIterator[bytes], size: int, file: BinaryIO) -> str:
    digest, waiting, left = hashlib.sha256(), bytearray(), size

    def take(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    async for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise Broken("it is longer than its content-length")
        waiting += chunk
        if len(waiting) >= CHUNK:
            await run_in_threadpool(take, bytes(waiting))
            waiting.clear()
    await run_in_threadpool(take, bytes(waiting))
    await run_in_threadpool(_synced, file)
    return digest.hexdigest()


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


async def thrown_away(request: Request) -> None:
    """For a while, after the answer."""
    left = LINGER_BYTES
    try:
        async with asyncio.timeout(LINGER_S):
            async for chunk in request.stream():
                left -= len(chunk)
                if left < 0:
                    return
    except (TimeoutError, ClientDisconnect, RuntimeError):  # the last: it was read before
        pass
