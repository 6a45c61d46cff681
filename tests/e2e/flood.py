"""`python -m tests.e2e.flood PORT forged|genuine SECRET`: sends 10,000 webhooks, 1,000 a second, over 16 connections.
Prints how long it took, and how many answers of each status came."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from collections import Counter

REQUESTS, RATE, CONNECTIONS = 10_000, 1_000, 16


def request(n: int, kind: str, secret: str) -> bytes:
    body = json.dumps({"ref": "refs/heads/main", "after": f"{n:040x}"}).encode()
    key = secret if kind == "genuine" else "guess"
    digest = hmac.new(key.encode(), body, hashlib.sha256).hexdigest()
    head = f"POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nX-GitHub-Event: push\r\nContent-Length: {len(body)}\r\n"
    return f"{head}X-Hub-Signature-256: sha256={digest}\r\n\r\n".encode() + body


async def sent(port: int, requests: list[tuple[int, bytes]], begun: float, answers: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for n, data in requests:
        await asyncio.sleep(begun + n / RATE - time.monotonic())
        writer.write(data)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        answers[head.split(" ", 2)[1]] += 1
        length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
        await reader.readexactly(int(length.partition(":")[2]))
    writer.close()


async def flood(port: int, kind: str, secret: str) -> None:
    every = [(n, request(n, kind, secret)) for n in range(REQUESTS)]
    answers: Counter[str] = Counter()
    begun = time.monotonic()
    parts = [sent(port, every[first::CONNECTIONS], begun, answers) for first in range(CONNECTIONS)]
    ended = await asyncio.gather(*parts, return_exceptions=True)
    seconds = round(time.monotonic() - begun, 1)
    errors = [repr(item) for item in ended if item is not None]
    print(json.dumps({"seconds": seconds, "answers": answers, "errors": len(errors), "first": errors[:1]}))


if __name__ == "__main__":
    asyncio.run(flood(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
