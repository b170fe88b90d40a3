"""Choose mode: what the model is shown of a customer, and how the gateway is asked.

The model chooses for each customer from the few facts that matter for the sentence. Numbers become
ranges and lists become the names that the tenant's catalogue has, so customers who look alike to
the sentence look the same to the model, and each look is decided once. Text of a customer reaches
the model without brackets or line breaks: it can be read, and do nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Protocol, Self
from uuid import UUID

import httpx

from leo_activation.channels.base import AddressError
from leo_activation.channels.registry import spec_of
from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.choose_prompt import REACHABLE
from leo_activation.decision.client import REFUSED, asked_to_wait
from leo_activation.decision.interpreter import day_of
from leo_activation.decision.mentions import Mentions, plain_words
from leo_activation.decision.parser import Call, plan_from_document
from leo_activation.decision.quantities import find_quantities
from leo_activation.decision.summary import UNKNOWN as UNKNOWN
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.validation import PlanRejectedError, check_plan
from leo_activation.delivery.ledger import find_recipient
from leo_activation.errors import ConfigurationError, DecisionError
from leo_activation.paths import PROMPTS_FOLDER

RULES_FILE = "choose.v1.json"
# As many looks as are decided within the timeout on one slow core.
CHUNK = 32
# For the whole answer; a single silence may last half as long.
TIMEOUT_SECONDS = 60.0
_LONGEST_TEXT = 60
_MINUTES_A_DAY = 1_440


@cache
def choose_rules() -> dict[str, Any]:
    """Return which facts always matter, and where numbers are cut into ranges."""
    document: dict[str, Any] = json.loads((PROMPTS_FOLDER / RULES_FILE).read_text("utf-8"))
    return document


def relevant_attributes(catalogue: Catalogue, instruction: str) -> list[Attribute]:
    """Return the attributes that a choice by this sentence depends on, in the catalogue's order.

    Those that always matter, and those that the sentence names, by their label, by one of their
    values or by an amount of their unit. A sentence that names none is open: it leaves the choice
    to what the customer is, which their segments tell.
    """
    rules, mentions = choose_rules(), Mentions(instruction)
    named = _named(catalogue, instruction, mentions)
    is_open = not named and not mentions.speaks_of_liking
    wanted = {*named, *rules["always"], *(rules["when_open"] if is_open else [])}
    return [attribute for attribute in catalogue.attributes if attribute.name in wanted]


def _named(catalogue: Catalogue, instruction: str, mentions: Mentions) -> set[str]:
    labels = {item.name: item.label or item.name for item in catalogue.attributes}
    # A candidate without words stays only where nothing speaks for another: all stay then.
    meant = set(mentions.narrow({**labels, "": ""}))
    found = set() if "" in meant else meant
    found |= {item.name for item in catalogue.attributes if _named_values(item, mentions)}
    if any(quantity.kind == "money" for quantity in find_quantities(instruction)):
        money = [item.name for item in catalogue.attributes if item.unit == "vnd"]
        found |= set() if found & set(money) else set(money[:1])
    return found


def _named_values(attribute: Attribute, mentions: Mentions) -> list[str]:
    """Return the values of an attribute that a sentence names."""
    return [
        value.name
        for value in attribute.values
        if any(_says(mentions, text) for text in (value.label, value.name) if text)
    ]


def _says(mentions: Mentions, text: str) -> bool:
    words = plain_words(text.replace("_", " "))
    return bool(words) and f" {words} " in f" {mentions.text} "


class FactReader:
    """Reads what the model is shown of a customer, for one sentence.

    :param catalogue: the tenant's.
    :param instruction: the marketer's sentence.
    :param providers: provider by channel, as the tenant has chosen.
    :param is_advertising: advertising needs a yes, anything else only must not meet a no.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        instruction: str,
        *,
        providers: Mapping[str, str],
        is_advertising: bool = True,
    ) -> None:
        """Find the attributes that matter and where their numbers are cut."""
        self.catalogue, self.providers, self.is_advertising = catalogue, providers, is_advertising
        self.attributes = relevant_attributes(catalogue, instruction)
        mentions = Mentions(instruction)
        self._named = {item.name: _named_values(item, mentions) for item in self.attributes}
        self._edges = {item.name: _edges(item, instruction) for item in self.attributes}

    def read(self, profile_id: UUID, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts that matter, always in the same order.

        :param facts: the customer's frozen facts.
        """
        return self.look(self._reachable(profile_id, facts), facts)

    def look(self, reachable: Sequence[str], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts that matter of a customer whose channels are known.

        :param reachable: channels that may be used.
        """
        shown: dict[str, Any] = {REACHABLE: list(reachable)}
        for attribute in self.attributes:
            shown[attribute.name] = self._shown(attribute, facts.get(attribute.name))
        return shown

    def _reachable(self, profile_id: UUID, facts: Mapping[str, Any]) -> list[str]:
        given = facts.get("consent")
        consent = given if isinstance(given, Mapping) else {}
        return [
            channel
            for channel in self.catalogue.channels
            if self._may(consent.get(channel)) and self._has_address(channel, profile_id, facts)
        ]

    def _may(self, decision: Any) -> bool:
        return bool(decision == "granted" if self.is_advertising else decision != "refused")

    def _has_address(self, channel: str, profile_id: UUID, facts: Mapping[str, Any]) -> bool:
        try:
            find_recipient(spec_of(channel, self.providers.get(channel)), profile_id, facts)
        except (AddressError, ConfigurationError):
            return False
        return True

    def _shown(self, attribute: Attribute, fact: Any) -> Any:
        if fact is None or fact == "":
            return UNKNOWN
        if isinstance(fact, bool):
            return fact
        if isinstance(fact, int | float):
            return fact if attribute.unit == "month" else bucket(fact, self._edges[attribute.name])
        if isinstance(fact, list):
            return self._names(attribute, fact)
        day = day_of(fact) if attribute.type == "date" else None
        return f"{day:%Y-%m}" if day else harmless(str(fact))

    def _names(self, attribute: Attribute, fact: Sequence[Any]) -> list[str]:
        """Return the names of a list that matter: those of the sentence, else of the catalogue."""
        known = self._named[attribute.name] or [value.name for value in attribute.values]
        found = {str(item) for item in fact if isinstance(item, str | int | float)}
        kept = sorted(found & set(known)) if known else sorted(map(harmless, found))
        return kept[: choose_rules()["max_names"]]


def _edges(attribute: Attribute, instruction: str) -> list[int | float]:
    """Return where an attribute's numbers are cut; the sentence's own amounts stay exact."""
    table = choose_rules()["edges"]
    edges = set(table.get(attribute.unit, table["any"]))
    for quantity in find_quantities(instruction):
        value = quantity.value
        if quantity.kind == "duration":
            value = quantity.value / _MINUTES_A_DAY
        fits = {"money": ("vnd", "any"), "duration": ("days",)}.get(
            quantity.kind, ("count", "years", "days", "any")
        )
        if attribute.unit in fits and value == int(value):
            edges |= {int(value), int(value) + 1}
    return sorted(edges)


def bucket(value: float, edges: Sequence[int | float]) -> str:
    """Return the range that a number falls into: its beginning is in it, its end is not."""
    place = bisect_right(edges, value)
    if place == 0:
        return f"<{edges[0]}"
    low = edges[place - 1]
    if place == len(edges):
        return f">={low}"
    high = edges[place]
    return str(low) if high - low == 1 else f"{low}-{high}"


_UNSAFE = re.compile(r"[<>{}\[\]\x00-\x1f\x7f\u2028\u2029]+")


def harmless(text: str) -> str:
    """Return text of a customer as a model may read it: no brackets, one line, cut."""
    return " ".join(_UNSAFE.sub(" ", text).split())[:_LONGEST_TEXT].rstrip() or UNKNOWN


def look_of(shown: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what is shown: customers with the same one get the same decision."""
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class GatewayFailedError(DecisionError):
    """The gateway gave no usable answer to one request.

    :param wait_seconds: how long it asks to be left alone.
    """

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        """Keep what it asks for."""
        self.wait_seconds = wait_seconds
        super().__init__(message)


class ChoiceRefusedError(DecisionError):
    """The gateway understood the request and refused it: asking again would not help."""


@dataclass(frozen=True)
class Choice:
    """What the model chose for one look.

    :param verdict: ``accepted``, ``no_call`` or ``rejected``.
    :param calls: that may run; empty unless accepted.
    :param record: what else the trace keeps: raw output, prompt hash, latency, versions.
    """

    verdict: str
    reason: str | None
    calls: list[Call]
    record: Mapping[str, Any]


@dataclass(frozen=True)
class ChoiceAnswer:
    """The answer to one request.

    :param choices: by look.
    :param problems: looks without a usable answer, and why.
    """

    choices: Mapping[str, Choice]
    problems: Mapping[str, str] = field(default_factory=dict)


class ChoiceGateway(Protocol):
    """What deciding per customer needs of a gateway."""

    def choose(
        self, instruction: str, catalogue: Catalogue, looks: Mapping[str, Mapping[str, Any]]
    ) -> ChoiceAnswer:
        """Ask once about several looks.

        :raises GatewayFailedError: there is no usable answer; another request may bring one.
        :raises ChoiceRefusedError: the request itself is at fault.
        """
        ...


class HttpChoices:
    """A gateway over HTTP: one request a call, since attempts are counted with the tasks.

    :param url: its base address.
    :param timeout: seconds for the whole answer.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = TIMEOUT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the settings; nothing is connected yet."""
        self.url = url.rstrip("/")
        self.timeout, self.clock = timeout, clock

    @cached_property
    def _client(self) -> httpx.Client:
        return httpx.Client(timeout=self.timeout / 2)

    def __enter__(self) -> Self:
        """Return the gateway; its connections end with the block."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the connections, if any was made."""
        if "_client" in self.__dict__:
            self._client.close()

    def choose(
        self, instruction: str, catalogue: Catalogue, looks: Mapping[str, Mapping[str, Any]]
    ) -> ChoiceAnswer:
        """Ask the gateway; see :class:`ChoiceGateway`."""
        body = {
            "mode": "choose",
            "instruction": instruction,
            "catalogue": catalogue.to_document(),
            "profiles": [{"id": look, "facts": facts} for look, facts in looks.items()],
        }
        wait = 0.0
        try:
            status, text, wait = self._post(body)
            if status in REFUSED:
                raise ChoiceRefusedError(f"the gateway refused the request: {text[:300]}")
            if status != 200:
                raise ValueError(f"HTTP {status} {text[:100]!r}")
            return read_answer(ToolSpec(catalogue), looks, json.loads(text))
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise GatewayFailedError(f"{type(error).__name__}: {error}"[:300], wait) from error

    def _post(self, body: Mapping[str, Any]) -> tuple[int, str, float]:
        """Return status and text of the answer, and how long it asks to wait.

        An answer that drips in for too long is given up.
        """
        deadline = self.clock() + self.timeout
        received = bytearray()
        with self._client.stream("POST", f"{self.url}/v1/decisions", json=body) as response:
            for piece in response.iter_bytes():
                received += piece
                if self.clock() > deadline:
                    raise httpx.ReadTimeout(f"the answer took longer than {self.timeout:g} s")
        text = received.decode("utf-8", errors="replace")
        return response.status_code, text, asked_to_wait(response)


def read_answer(spec: ToolSpec, looks: Mapping[str, Any], document: Any) -> ChoiceAnswer:
    """Return what an answer says, believing nothing that is not what it should be.

    A decision that breaks a rule is a rejected output. One that is missing, doubled or of another
    shape is no answer for its look, and leaves the others alone.

    :param looks: those that were asked about.
    :raises ValueError: when the answer as a whole is of another shape, or for other tools.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("decisions"), list):
        raise ValueError(f"the answer holds no decisions: {str(document)[:100]!r}")
    if document.get("toolset_hash", spec.toolset_hash) != spec.toolset_hash:
        raise ValueError("the answer is for another tool set")
    if not isinstance(document.get("model"), str):
        raise ValueError(f"the answer's model is {document.get('model')!r}")
    shared = {"model": document["model"], "versions": document.get("versions")}
    choices: dict[str, Choice] = {}
    problems: dict[str, str] = {}
    for item in document["decisions"]:
        look = item.get("id") if isinstance(item, Mapping) else None
        if not isinstance(look, str) or look not in looks:
            continue
        if look in choices or look in problems:
            choices.pop(look, None)
            problems[look] = "the answer holds two decisions for it"
            continue
        try:
            choices[look] = _read_choice(spec, item, shared)
        except ValueError as error:
            problems[look] = str(error)
    missing = {look: "the answer holds no decision for it" for look in looks}
    return ChoiceAnswer(
        choices, {look: why for look, why in {**missing, **problems}.items() if look not in choices}
    )


_FIELDS: Mapping[str, tuple[type, ...]] = {
    "raw_output": (str,), "prompt_hash": (str,), "latency_ms": (int, float), "memo": (bool,)
}  # fmt: skip


def _read_choice(spec: ToolSpec, item: Mapping[str, Any], shared: Mapping[str, Any]) -> Choice:
    for name, kinds in _FIELDS.items():
        if type(item.get(name)) not in kinds:
            raise ValueError(f"the decision's {name} is {item.get(name)!r}"[:200])
    record = {**shared, **{name: item[name] for name in _FIELDS}}
    verdict, reason, calls = (item.get(key) for key in ("verdict", "reason", "calls"))
    if verdict == "rejected":
        return Choice("rejected", str(reason), [], record)
    if verdict not in ("accepted", "no_call") or not isinstance(calls, list):
        raise ValueError(f"the decision's verdict is {verdict!r} with calls {calls!r}"[:200])
    if bool(calls) != (verdict == "accepted"):
        raise ValueError(f"the decision's verdict is {verdict!r} with {len(calls)} calls")
    try:
        plan = plan_from_document(calls)
        check_plan(spec, plan)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the decision's calls cannot be read: {error!r}"[:200]) from error
    except PlanRejectedError as error:
        return Choice("rejected", str(error), [], record)
    return Choice(verdict, None if reason is None else str(reason), plan, record)
