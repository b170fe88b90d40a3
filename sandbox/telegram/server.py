"""``sendMessage`` of the Bot API, wire-exact in its answers and errors, plus the control API."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sandbox.control import Control
from sandbox.faults import Faults, Rule
from sandbox.http_server import Request, Response
from sandbox.journal import Journal
from sandbox.telegram.entities import EntityError, parse_html

TEXT_LIMIT = 4096
_METHOD = re.compile(r"^/bot([^/]+)/([A-Za-z]+)$")


def utf16_length(text: str) -> int:
    """Count UTF-16 units, Telegram's unit of length.

    :param text: any text.
    """
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def failure(code: int, description: str, parameters: dict[str, Any] | None = None) -> Response:
    """Build a Bot API error.

    :param code: HTTP status and ``error_code``.
    :param description: Telegram's wording.
    :param parameters: ``retry_after`` or ``migrate_to_chat_id``.
    """
    body: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    headers = {}
    if parameters:
        body["parameters"] = parameters
        if "retry_after" in parameters:
            headers["Retry-After"] = str(parameters["retry_after"])
    return Response(body, status=code, headers=headers)


class TelegramServer:
    """One bot's view of Telegram.

    :param data_dir: where accepted messages are kept.
    :param token: the only token that works; None accepts all.
    """

    def __init__(self, data_dir: Path, token: str | None = None) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "telegram.jsonl", lambda record: (record["chat_id"], record["label"])
        )
        self._token = token
        self._control = Control(self.journal, self.faults)

    async def handle(self, request: Request) -> Response | None:
        """Answer one request; None hangs up.

        :param request: Bot API or control request.
        """
        called = _METHOD.match(request.path)
        if called is None:
            return await self._control.handle(request)
        token, method = called.groups()
        if self._token is not None and token != self._token:
            return failure(401, "Unauthorized")
        if method == "getMe":
            return Response(
                {"ok": True, "result": {"id": 1, "is_bot": True, "username": "leo_bot"}}
            )
        if method != "sendMessage":
            return failure(404, "Not Found")
        return await self._send_message(self._arguments(request))

    @staticmethod
    def _arguments(request: Request) -> dict[str, Any]:
        if request.headers.get("content-type", "").startswith("application/json"):
            arguments = request.json()
            return arguments if isinstance(arguments, dict) else {}
        return dict(parse_qsl(request.body.decode()))

    async def _send_message(self, arguments: dict[str, Any]) -> Response | None:
        chat_id = str(arguments.get("chat_id", ""))
        rule = await self.faults.apply("send", chat_id)
        if rule is not None and rule.action == "cut_before":
            return None
        if rule is not None and rule.action == "reply":
            return self._obey(rule)
        if refusal := self._refusal(chat_id, arguments):
            return refusal
        now = time.time()
        number = await self.journal.append(
            {
                "chat_id": chat_id,
                "label": str(arguments["text"])[:60],
                "text": arguments["text"],
                "parse_mode": arguments.get("parse_mode"),
                "received_at": now,
            }
        )
        if rule is not None and rule.action == "cut_after":
            return None
        chat = {"id": int(chat_id) if chat_id.lstrip("-").isdigit() else chat_id, "type": "private"}
        result = {"message_id": number, "date": int(now), "chat": chat}
        return Response({"ok": True, "result": result})

    @staticmethod
    def _obey(rule: Rule) -> Response:
        return failure(rule.code, rule.text or "Internal Server Error", rule.extra or None)

    @staticmethod
    def _refusal(chat_id: str, arguments: dict[str, Any]) -> Response | None:
        if not re.fullmatch(r"-?\d{1,20}|@\w+", chat_id):
            return failure(400, "Bad Request: chat not found")
        text = str(arguments.get("text", ""))
        if arguments.get("parse_mode") == "HTML":
            try:
                text = parse_html(text)
            except EntityError as error:
                return failure(400, f"Bad Request: can't parse entities: {error}")
        if not text.strip():
            return failure(400, "Bad Request: message text is empty")
        if utf16_length(text) > TEXT_LIMIT:
            return failure(400, "Bad Request: message is too long")
        return None
