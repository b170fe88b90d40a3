"""``/v3/mail/send``, wire-exact in its checks, answers and errors, plus the control API.

Fault stages: ``send`` applies once to a request (its recipients, joined by blanks, are what a rule
matches), ``to`` to each recipient: a ``reply`` there refuses the request with an error about that
personalization; ``extra: {"field": null}`` hides which one. At ``send`` a ``reply`` takes from
``extra`` its ``headers``, its ``errors`` (a list) or its raw ``body``.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any

from sandbox.control import Control
from sandbox.faults import Faults, Rule
from sandbox.http_server import Request, Response
from sandbox.journal import Journal
from sandbox.sendgrid.validation import Problem, problems
from sandbox.sendgrid.webhooks import Telling, Webhooks, load_key

MESSAGE_BYTES = 30_000_000
_WORDS = {
    400: "Bad Request",
    401: "The provided authorization grant is invalid, expired, or revoked",
    403: "access forbidden",
    413: "content too large",
    429: "too many requests",
}


def refusal(status: int, *found: Problem, headers: dict[str, str] | None = None) -> Response:
    """Build SendGrid's error.

    :param status: HTTP status.
    :param found: (message, field) of each error.
    :param headers: of the answer.
    """
    errors = [{"message": words, "field": field, "help": None} for words, field in found]
    return Response({"errors": errors}, status=status, headers=headers or {})


class SendGridServer:
    """One account at SendGrid.

    :param data_dir: where accepted messages and the webhook's key are kept.
    :param api_key: the only one that works; None lets everyone in.
    :param webhook_url: where events are posted; None keeps silent.
    """

    def __init__(
        self, data_dir: Path, api_key: str | None = None, webhook_url: str | None = None
    ) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "sendgrid.jsonl", lambda record: (record["to"], record["rid"])
        )
        self.webhooks = Webhooks(load_key(data_dir / "webhook.pem"), Telling(webhook_url))
        self._api_key = api_key
        self._requests = 0
        self._control = Control(self.journal, self.faults)

    async def handle(self, request: Request) -> Response | None:
        """Answer one request; None hangs up.

        :param request: API or control request.
        """
        if request.path == "/v3/mail/send":
            self._requests += 1
            return await self._send(request)
        if request.path.startswith("/v3/"):
            return refusal(404, ("not found", None))
        if request.path == "/requests":
            return Response({"count": self._requests})
        if request.path == "/webhooks":
            return self._tell(request)
        return await self._control.handle(request)

    def _tell(self, request: Request) -> Response:
        if request.method == "PUT":
            self.webhooks.change(request.json())
        elif request.method == "POST":
            wanted = request.json()
            self.webhooks.happen(self.journal.read(wanted["number"]), wanted["events"])
        return Response(self.webhooks.state())

    async def _send(self, request: Request) -> Response | None:
        if request.method != "POST":
            return refusal(405, ("method not allowed", None))
        if not self._may_enter(request.headers.get("authorization", "")):
            return refusal(401, (_WORDS[401], None))
        if len(request.body) > MESSAGE_BYTES:
            return refusal(413, (_WORDS[413], None))
        try:
            payload = request.json()
        except ValueError:
            return refusal(400, (_WORDS[400], None))
        people = _people(payload)
        rule = await self.faults.apply("send", " ".join(people))
        if rule is not None and rule.action == "cut_before":
            return None
        if rule is not None and rule.action == "reply":
            return self._obey(rule)
        found = [*problems(payload), *await self._refused(people)]
        if found:
            return refusal(400, *found)
        return await self._accept(payload, hang_up=rule is not None)

    def _may_enter(self, authorisation: str) -> bool:
        kind, _, key = authorisation.partition(" ")
        return kind == "Bearer" and bool(key) and self._api_key in (None, key)

    @staticmethod
    def _obey(rule: Rule) -> Response:
        headers = {str(k): str(v) for k, v in rule.extra.get("headers", {}).items()}
        if "body" in rule.extra:
            return Response(str(rule.extra["body"]), status=rule.code, headers=headers)
        if "errors" in rule.extra:
            return Response({"errors": rule.extra["errors"]}, status=rule.code, headers=headers)
        words = rule.text or _WORDS.get(rule.code, "internal server error")
        return refusal(rule.code, (words, rule.extra.get("field")), headers=headers)

    async def _refused(self, people: list[str]) -> list[Problem]:
        """Return the errors that rules want for single recipients."""
        found: list[Problem] = []
        for place, address in enumerate(people):
            rule = await self.faults.apply("to", address)
            if rule is not None:
                words = rule.text or "Does not contain a valid address."
                field = rule.extra.get("field", f"personalizations.{place}.to")
                found.append((words, field))
        return found

    async def _accept(self, payload: dict[str, Any], *, hang_up: bool) -> Response | None:
        message_id = secrets.token_urlsafe(16)
        headers = {"X-Message-Id": message_id}
        settings = payload.get("mail_settings", {}).get("sandbox_mode", {})
        if settings.get("enable"):
            return Response("", status=200, headers=headers)
        records = [
            record(payload, person, str(to["email"]), message_id)
            for person in payload["personalizations"]
            for to in person["to"]
        ]
        await asyncio.gather(*(self.journal.append(one) for one in records))
        for one in records:
            self.webhooks.accepted(one)
        return None if hang_up else Response("", status=202, headers=headers)


def _people(payload: Any) -> list[str]:
    """Return the first recipient of each personalization, as far as there are any."""
    try:
        return [str(p["to"][0]["email"]) for p in payload["personalizations"]]
    except (LookupError, TypeError):
        return []


def record(
    payload: dict[str, Any], person: dict[str, Any], address: str, message_id: str
) -> dict[str, Any]:
    """Write down what one recipient gets.

    :param payload: the request.
    :param person: the recipient's personalization.
    :param address: the recipient.
    :param message_id: the request's ``X-Message-Id``.
    """
    custom_args = {**payload.get("custom_args", {}), **person.get("custom_args", {})}
    content = {part["type"]: part["value"] for part in payload.get("content", [])}
    for kind, body in content.items():
        for tag, value in person.get("substitutions", {}).items():
            body = body.replace(tag, value)
        content[kind] = body
    return {
        "to": address,
        "rid": str(custom_args.get("rid", "")),
        "message_id": message_id,
        "from": payload["from"],
        "subject": person.get("subject", payload.get("subject")),
        "content": content,
        "template_id": payload.get("template_id"),
        "data": person.get("dynamic_template_data"),
        "headers": person.get("headers", {}),
        "custom_args": custom_args,
        "categories": payload.get("categories", []),
        "bytes": len(json.dumps(person)),
        "received_at": time.time(),
    }
