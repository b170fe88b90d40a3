"""``send`` of PushAlert, versions 1 and 2, beside the control API of every stand-in.

What names no target goes to all subscribers there, so here it is recorded as sent to
:data:`EVERYBODY`. The label of a record is the parameter ``leo_rid`` of its link.

A ``reply`` fault takes ``extra``: ``headers``, ``body`` (sent as it is).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

from sandbox.control import Control
from sandbox.faults import Faults, Rule
from sandbox.http_server import Request, Response
from sandbox.journal import Journal

EVERYBODY = "(everybody)"
_PATHS = ("/rest/v1/send", "/rest/v2/web-push/send")
_LIMITS = {"title": 64, "message": 192}


def failure(status: int, words: str) -> Response:
    """Build a refusal.

    :param status: HTTP status.
    :param words: ``msg``.
    """
    return Response({"success": False, "msg": words}, status=status)


def _target(form: dict[str, str]) -> str:
    """Return whom a message is for."""
    if form.get("subscriber"):
        return form["subscriber"]
    return form.get("subscribers") or EVERYBODY


class PushAlertServer:
    """One website's account.

    :param data_dir: where accepted messages are kept.
    :param api_key: the only key that works; None accepts all.
    """

    def __init__(self, data_dir: Path, api_key: str | None = None) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "pushalert.jsonl", lambda record: (record["target"], record["label"])
        )
        self._api_key = api_key
        self._control = Control(self.journal, self.faults)

    async def handle(self, request: Request) -> Response | None:
        """Answer one request; None hangs up.

        :param request: to PushAlert or the control API.
        """
        if request.path not in _PATHS:
            return await self._control.handle(request)
        kind, _, key = request.headers.get("authorization", "").partition("=")
        if kind != "api_key" or not key or self._api_key not in (None, key):
            return failure(401, "Invalid API key")
        form = dict(parse_qsl(request.body.decode()))
        target = _target(form)
        rule = await self.faults.apply("send", target)
        if rule is not None and rule.action == "cut_before":
            return None
        if rule is not None and rule.action == "reply":
            return _obey(rule)
        if refusal := _refusal(form):
            return refusal
        label = parse_qs(urlsplit(form["url"]).query).get("leo_rid", [""])[-1]
        number = await self.journal.append(
            {"target": target, "label": label, "form": form, "received_at": time.time()}
        )
        if rule is not None and rule.action == "cut_after":
            return None
        return Response({"success": True, "id": number})


def _obey(rule: Rule) -> Response:
    if "body" in rule.extra:
        return Response(rule.extra["body"], rule.code, rule.extra.get("headers", {}))
    answer = failure(rule.code, rule.text or "Something went wrong")
    answer.headers.update(rule.extra.get("headers", {}))
    return answer


def _refusal(form: dict[str, str]) -> Response | None:
    for name in ("title", "message", "url"):
        if not form.get(name):
            return failure(400, f"{name} is required")
    for name, limit in _LIMITS.items():
        if len(form[name]) > limit:
            return failure(400, f"{name} is too long")
    for name in ("action1", "action2"):
        if name in form and not {"title", "url"} <= set(json.loads(form[name])):
            return failure(400, f"{name} is invalid")
    return None
