"""Clients of a server in numbers: what each asks for, when its sound began, and what it got."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

TIMEOUT_S = 600.0
WAV_HEAD = 44


@dataclass(frozen=True, kw_only=True)
class Request:
    """One thing to say.

    Attributes:
        path: Of the address.
        body: As JSON.
        kind: What is equal to it: requests of one kind have one answer.
        leaves_at: Bytes of sound after which its client leaves; None: it stays.
    """

    path: str
    body: Mapping[str, Any]
    kind: str
    leaves_at: int | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of it.

    Attributes:
        status: Of HTTP; 0: the connection broke.
        first_s: Until the first byte of sound, without the head of a WAV.
        whole_s: Until the last byte.
        content: All bytes.
        headers: Of HTTP.
        left: Whether the client left before the end.
    """

    status: int
    first_s: float
    whole_s: float
    content: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    left: bool = False


async def speak(client: httpx.AsyncClient, request: Request) -> Answer:
    """Sends a request and takes its sound."""
    start, first, content = time.perf_counter(), 0.0, bytearray()
    try:
        async with client.stream("POST", request.path, json=request.body) as answer:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            head = WAV_HEAD if "wav" in headers.get("content-type", "") else 0
            async for block in answer.aiter_raw():
                content += block
                if not first and len(content) > head:
                    first = time.perf_counter() - start
                if request.leaves_at is not None and len(content) >= request.leaves_at:
                    break
            left = request.leaves_at is not None and answer.status_code == 200
            status = answer.status_code
    except httpx.HTTPError:
        return Answer(
            status=0, first_s=0.0, whole_s=time.perf_counter() - start, content=bytes(content), headers={}
        )
    whole = time.perf_counter() - start
    return Answer(
        status=status, first_s=first, whole_s=whole, content=bytes(content), headers=headers, left=left
    )


async def speak_all(
    base: str, requests: Sequence[Request], *, clients: int, keys: Sequence[str] = ()
) -> list[Answer]:
    """Has so many clients at once send requests, each its next one when its last is over; answers in their order.

    Args:
        base: Of the server.
        requests: All of them.
        clients: How many there are at once.
        keys: Of the server; the clients take them in turn.
    """
    answers: list[Answer | None] = [None] * len(requests)
    waiting = iter(enumerate(requests))

    async def client_of(number: int) -> None:
        headers = {"Authorization": f"Bearer {keys[number % len(keys)]}"} if keys else {}
        async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT_S, headers=headers) as client:
            for place, request in waiting:
                answers[place] = await speak(client, request)

    await asyncio.gather(*(client_of(number) for number in range(clients)))
    return [answer for answer in answers if answer is not None]


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so many are not above; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0
