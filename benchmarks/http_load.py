"""A lean HTTP client that keeps so many requests under way, in a process of its own.

It is written on bare sockets because it shares two cores with the server that it measures; a
library's client takes more time for a request than the server does.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class LoadResult:
    """What came of a run.

    :param seconds: from the first request to the last answer.
    :param statuses: answers by HTTP status.
    :param latencies: seconds of each request, sorted.
    """

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Return the latency that so large a share of the requests stayed below."""
        if not self.latencies:
            return float("nan")
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))]


def post_for(
    *,
    port: int,
    path: str,
    headers: dict[str, str],
    body: Callable[[], bytes],
    seconds: float,
    connections: int,
) -> LoadResult:
    """Post for so long, one request after the other on each connection.

    :param body: gives the next request's body.
    """
    result = LoadResult()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: ".encode()

    async def client(until: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < until:
            content = body()
            began = time.perf_counter()
            writer.write(head + str(len(content)).encode() + b"\r\n\r\n" + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            lower = answer.lower()
            length = int(lower.partition(b"content-length: ")[2].partition(b"\r")[0])
            await reader.readexactly(length)
            result.latencies.append(time.perf_counter() - began)
            result.statuses[int(answer[9:12])] += 1
        writer.close()

    async def run() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(client(until) for _ in range(connections)))

    import uvloop

    started = time.perf_counter()
    uvloop.run(run())
    result.seconds = time.perf_counter() - started
    result.latencies.sort()
    return result
