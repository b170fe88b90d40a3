"""Any server with OpenAI's ``/v1/completions``: vLLM, llama.cpp and others.

The prompt goes out as plain text, so the server's own chat template and tool parser are not used:
several of them drop or change arguments. What comes back is text from outside, and passes the
same parser and validator as the local model's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx

from leo_activation.decision.backends.base import BackendUnavailableError, Question
from leo_activation.decision.engine import Decision, judge
from leo_activation.decision.parser import END_TURN, START_CALL, START_RESPONSE
from leo_activation.decision.prompt import PROMPT_VERSION
from leo_activation.decision.toolset import schema_hash

# What ends a turn, as text for every server and as ids for those that know them.
STOP = (START_RESPONSE, END_TURN)
STOP_IDS = (50, 106, 1)
# The longest plan of eight calls is shorter.
MAX_TOKENS = 512
MAX_ANSWER_BYTES = 1024 * 1024
MAX_ATTEMPTS = 2
# A completion changes nothing on the server, so these may be asked again.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 5.0


@dataclass(frozen=True)
class CompletionsServer:
    """Where the server is and how to talk to it.

    :param url: with or without ``/completions`` at its end.
    :param model: as the server calls it.
    :param key: sent as a bearer token; never shown.
    :param timeout_seconds: for one attempt.
    :param parallel: requests at once.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_seconds: float = 10.0
    parallel: int = 8

    @property
    def endpoint(self) -> str:
        """Return the address that prompts are posted to."""
        base = self.url.rstrip("/")
        return base if base.endswith("/completions") else f"{base}/completions"


class CompletionsBackend:
    """A completions server as a backend.

    :param server: its address.
    :param clock: monotonic seconds.
    :param sleep: how to wait between attempts.
    """

    def __init__(
        self,
        server: CompletionsServer,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep the settings; nothing is connected yet."""
        self.server, self.clock, self.sleep = server, clock, sleep
        self.batch_size = server.parallel
        headers = {"Authorization": f"Bearer {server.key}"} if server.key else {}
        self._client = httpx.Client(timeout=server.timeout_seconds, headers=headers)
        self._pool = ThreadPoolExecutor(server.parallel, thread_name_prefix="completions")

    @property
    def model(self) -> str:
        """Return the server's name for the model."""
        return self.server.model

    def versions(self) -> Mapping[str, Any]:
        """Return everything that an answer depends on besides the question."""
        return {
            "backend": "completions",
            "model": self.server.model,
            "url": self.server.endpoint,
            "adapter": None,
            "schema_hash": schema_hash(),
            "prompt_version": PROMPT_VERSION,
        }

    def decide(self, questions: Sequence[Question]) -> list[Decision]:
        """Answer questions, several at once.

        :raises BackendUnavailableError: when the server answers none of the attempts.
        """
        return list(self._pool.map(self._decide, questions))

    def close(self) -> None:
        """Close the connections."""
        self._pool.shutdown()
        self._client.close()

    def _decide(self, question: Question) -> Decision:
        started = self.clock()
        text, problem = _turn(self._ask(question.prompt))
        verdict, reason, plan = judge(question.spec, text)
        if problem:
            verdict, reason, plan = "rejected", problem, None
        return Decision(
            verdict, reason, plan, text, self.model, question.prompt_hash,
            question.spec.toolset_hash, round((self.clock() - started) * 1000), passes=1,
        )  # fmt: skip

    def _ask(self, prompt: str) -> Mapping[str, Any]:
        """Return the server's first choice.

        :raises BackendUnavailableError: naming what went wrong in each attempt.
        """
        errors: list[str] = []
        for attempt in range(1, MAX_ATTEMPTS + 1):
            pause = _PAUSE_SECONDS
            try:
                status, headers, body = self._post(prompt)
                if status == 200:
                    return _first_choice(body)
                errors.append(f"HTTP {status} {body[:200].decode(errors='replace')!r}")
                if status not in _PASSING:
                    break
                pause = _retry_after(headers)
            except (httpx.HTTPError, ValueError) as error:
                errors.append(f"{type(error).__name__}: {error}"[:300])
            if attempt < MAX_ATTEMPTS:
                self.sleep(pause)
        raise BackendUnavailableError(
            f"the completions server at {self.server.endpoint} gave no usable answer in "
            f"{len(errors)} attempts ({'; '.join(errors)}): check LEO_COMPLETIONS_URL, "
            "LEO_COMPLETIONS_MODEL, LEO_COMPLETIONS_KEY and the server"
        )

    def _post(self, prompt: str) -> tuple[int, httpx.Headers, bytes]:
        body = {
            "model": self.server.model,
            "prompt": prompt,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "seed": 0,
            "stream": False,
            "stop": list(STOP),
            # These four are vLLM's. Without the second, <escape> and the markers are cut out of
            # the text; without the third, the server adds a second <bos>.
            "stop_token_ids": list(STOP_IDS),
            "skip_special_tokens": False,
            "add_special_tokens": False,
            "include_stop_str_in_output": True,
        }
        deadline = self.clock() + self.server.timeout_seconds
        with self._client.stream("POST", self.server.endpoint, json=body) as response:
            read = bytearray()
            for part in response.iter_bytes():
                read += part
                if len(read) > MAX_ANSWER_BYTES:
                    raise ValueError(f"the answer is longer than {MAX_ANSWER_BYTES:,} bytes")
                if self.clock() > deadline:
                    raise ValueError(
                        f"the answer took longer than {self.server.timeout_seconds:g} s"
                    )
            return response.status_code, response.headers, bytes(read)


def _first_choice(body: bytes) -> Mapping[str, Any]:
    """Return the first choice of an answer.

    :raises ValueError: when it is no answer of this interface.
    """
    document = json.loads(body)
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError(f"the answer has no choices: {body[:200].decode(errors='replace')!r}")
    choice: dict[str, Any] = choices[0]
    if not isinstance(choice.get("text"), str):
        raise ValueError(f"the first choice has no text: {str(choice)[:200]!r}")
    return choice


def _turn(choice: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the model's turn with its end, and why it cannot be one.

    A server that found the end may leave it out of the text, so it is put back.
    """
    text, finish = choice["text"].strip(), choice.get("finish_reason")
    if finish == "length":
        return text, f"the answer was cut off after {MAX_TOKENS} tokens"
    if finish != "stop":
        return text, f"the server stopped for the reason {finish!r}, not at the end of the turn"
    if text.endswith(STOP):
        return text, None
    return text + (START_RESPONSE if text.startswith(START_CALL) else END_TURN), None


def _retry_after(headers: httpx.Headers) -> float:
    """Return for how many seconds a server asks to be left alone, within reason."""
    wanted = headers.get("retry-after", "")
    seconds = float(wanted) if wanted.isdigit() else _PAUSE_SECONDS
    return min(max(seconds, _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
