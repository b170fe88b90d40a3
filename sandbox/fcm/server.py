"""``messages:send`` of FCM HTTP v1, wire-exact in its answers and errors.

Beside the control API of every stand-in: ``GET /tokens`` counts the token requests, ``DELETE
/tokens`` revokes all access tokens, ``PUT /tokens`` sets how long new ones live.

Faults (:mod:`sandbox.faults`) at the stages ``token`` and ``send``, matched on the target:

- ``reply`` with ``extra``: ``errorCode`` (FcmError), ``status`` (google.rpc), ``fields`` (names of
  violated fields), ``headers``, ``body`` (sent as it is: HTML, broken JSON);
- ``cut_before``, ``cut_after`` with ``extra``: ``scope`` (``connection``, or ``stream`` for an
  RST_STREAM with ``error_code``);
- ``goaway`` with ``extra``: ``process`` (true: this message and all before are still answered;
  false: this and all later ones are not processed).
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

from sandbox.control import Control
from sandbox.faults import Faults, Rule
from sandbox.fcm.http2 import Answer, Farewell, Hangup, StreamRequest
from sandbox.fcm.payload import RefusedError, check
from sandbox.fcm.tokens import TokenEndpoint
from sandbox.http_server import Response
from sandbox.journal import Journal

_SEND = re.compile(r"/v1/projects/([^/]+)/messages:send")
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
# google.rpc.Code of an HTTP status, where a rule does not say another.
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}


def failure(
    code: int,
    words: str,
    error_code: str | None = None,
    *,
    status: str | None = None,
    fields: tuple[str, ...] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """Build an error as Google's APIs write it.

    :param code: HTTP status.
    :param words: description.
    :param error_code: FcmError's code; None when the error is not FCM's own.
    :param status: google.rpc status; by default the one of the HTTP status.
    :param fields: names of violated fields.
    :param headers: more headers.
    """
    details: list[dict[str, Any]] = []
    if error_code is not None:
        details.append({"@type": _FCM_ERROR, "errorCode": error_code})
    if fields:
        violations = [{"field": name, "description": words} for name in fields]
        details.append({"@type": _BAD_REQUEST, "fieldViolations": violations})
    error: dict[str, Any] = {
        "code": code,
        "message": words,
        "status": status or _STATUS.get(code, "UNKNOWN"),
    }
    if details:
        error["details"] = details
    return Response({"error": error}, status=code, headers=headers or {})


class FcmServer:
    """One Firebase project.

    :param data_dir: where accepted messages are kept.
    :param tokens: the token endpoint.
    :param project_id: the only project that exists; None accepts all.
    """

    def __init__(
        self, data_dir: Path, tokens: TokenEndpoint, project_id: str | None = None
    ) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "fcm.jsonl", lambda record: (record["target"], record["label"])
        )
        self._tokens = tokens
        self._project_id = project_id
        self._control = Control(self.journal, self.faults)

    async def handle(self, request: StreamRequest) -> Answer:
        """Answer one request.

        :param request: to FCM, the token endpoint or the control API.
        """
        if called := _SEND.fullmatch(request.path):
            return await self._send(called[1], request)
        if request.path == "/token":
            rule = await self.faults.apply("token")
            if rule is not None and rule.action != "cut_after":
                return _obey(rule)
            granted = self._tokens.grant(request)
            return granted if rule is None else _obey(rule)
        if request.path == "/tokens":
            return self._tokens.handle(request)
        return await self._control.handle(request)

    async def _send(self, project_id: str, request: StreamRequest) -> Answer:
        if not self._tokens.knows(request.headers.get("authorization", "")):
            return failure(
                401,
                "Request had invalid authentication credentials. Expected OAuth 2 access token, "
                "login cookie or other valid authentication credential.",
            )
        if self._project_id not in (None, project_id):
            return failure(404, "Requested entity was not found.")
        try:
            body = request.json()
            target, message = check(body)
        except RefusedError as error:
            return failure(400, str(error), "INVALID_ARGUMENT", fields=(error.field,))
        except ValueError as error:
            return failure(400, f"Invalid JSON payload received. {error}")
        rule = await self.faults.apply("send", target)
        if rule is not None and not _is_processed(rule):
            return _obey(rule)
        if not request.take():
            return Hangup("stream")
        label = str(message.get("data", {}).get("rid", ""))
        if body.get("validate_only"):
            return Response({"name": f"projects/{project_id}/messages/fake_message_id"})
        number = await self.journal.append(
            {"target": target, "label": label, "message": message, "received_at": time.time()}
        )
        answer = Response({"name": f"projects/{project_id}/messages/0:{number}%{label[:16]}"})
        if rule is None:
            return answer
        return Farewell(answer) if rule.action == "goaway" else _obey(rule)


def _is_processed(rule: Rule) -> bool:
    return rule.action == "cut_after" or (rule.action == "goaway" and rule.extra.get("process"))


def _obey(rule: Rule) -> Answer:
    extra = rule.extra
    if rule.action == "goaway":
        return Farewell()
    if rule.action != "reply":
        return Hangup(extra.get("scope", "connection"), extra.get("error_code", 2))
    if "body" in extra:
        return Response(extra["body"], rule.code, extra.get("headers", {}))
    return failure(
        rule.code,
        rule.text or "The service is currently unavailable.",
        extra.get("errorCode"),
        status=extra.get("status"),
        fields=tuple(extra.get("fields", ())),
        headers=extra.get("headers"),
    )
