"""A slow gateway in a process of its own: who leaves, who is too many, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from leo_activation.paths import PROJECT_ROOT
from tests.integration.decision.conftest import free_port
from tests.support.catalogues import SHOP

SECONDS = 0.3


@pytest.fixture
def slow() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Return the address of a gateway that takes a third of a second for each decision."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.slow_gateway", str(port), str(SECONDS)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT) as process:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url))
        yield url, process
        process.kill()


def until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, a minute at most."""
    for _ in range(1_200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("the condition did not hold within a minute")


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/ready").is_success
    except httpx.HTTPError:
        return False


def waiting(url: str) -> int:
    inside: int = httpx.get(f"{url}/ready").json()["waiting"]
    return inside


def body(profiles: int = 0, instruction: str = "Gửi email") -> dict[str, Any]:
    if not profiles:
        return {"instruction": instruction, "catalogue": SHOP}
    facts = [{"id": str(number), "facts": {"age": number}} for number in range(profiles)]
    return {"instruction": instruction, "catalogue": SHOP, "mode": "choose", "profiles": facts}


def ask(url: str, content: dict[str, Any], timeout: float = 60) -> httpx.Response:
    return httpx.post(f"{url}/v1/decisions", json=content, timeout=timeout)


Slow = tuple[str, subprocess.Popen[bytes]]


def test_a_client_that_goes_away_frees_its_place(slow: Slow) -> None:
    url, _ = slow
    with pytest.raises(httpx.ReadTimeout):
        ask(url, body(profiles=200), timeout=1)
    until(lambda: waiting(url) == 0)
    metrics = httpx.get(f"{url}/metrics").text
    assert 'leo_gateway_rejects_total{reason="gone"} 1.0' in metrics
    # The work ended with the batch under way: two hundred would take a minute.
    assert ask(url, body()).status_code == 200
    computed = [line for line in httpx.get(f"{url}/metrics").text.splitlines()
                if line.startswith("leo_gateway_distinct_decisions_total")]  # fmt: skip
    assert float(computed[0].split()[1]) < 100


def test_a_short_request_is_answered_while_a_long_one_runs(slow: Slow) -> None:
    url, _ = slow
    long: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: long.append(ask(url, body(profiles=40))))
    thread.start()
    until(lambda: waiting(url) == 1)
    assert ask(url, body()).status_code == 200
    assert not long
    thread.join()
    assert len(long[0].json()["decisions"]) == 40


def test_one_request_too_many_is_told_to_come_back(slow: Slow) -> None:
    url, _ = slow
    threads = [threading.Thread(target=ask, args=(url, body(20, f"Gửi {number}")))
               for number in range(2)]  # fmt: skip
    for thread in threads:
        thread.start()
    until(lambda: waiting(url) == 2)
    refused = ask(url, body())
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    for thread in threads:
        thread.join()
    assert ask(url, body()).status_code == 200


def test_a_terminated_gateway_answers_what_is_inside_and_takes_nothing_new(slow: Slow) -> None:
    url, process = slow
    inside: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=number: inside.append(ask(url, body(8, f"Gửi {n}"))))  # type: ignore[misc]
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    until(lambda: waiting(url) == 2)
    process.send_signal(signal.SIGTERM)
    until(lambda: not answers(url))
    with pytest.raises(httpx.ConnectError):
        ask(url, body())
    for thread in threads:
        thread.join()
    assert [len(response.json()["decisions"]) for response in inside] == [8, 8]
    assert process.wait(60) in (0, -signal.SIGTERM)
