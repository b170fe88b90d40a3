"""``sendMessage`` of the Bot API, wire-exact in its answers and errors, plus the control API.

A ``reply`` fault takes its description from ``text``, and from ``extra`` its ``headers``, its raw
``body``, or the ``parameters`` of the answer (``retry_after``, ``migrate_to_chat_id``). At stage
``send`` it answers instead of accepting, at stage ``answer`` after the message was recorded.

============================  ====================================================
``PUT /chats/ID``             ``{"status": "kicked"}``: block or unblock the bot; told by webhook
``GET/PUT/POST /webhooks``    see :mod:`sandbox.telegram.webhooks`
============================  ====================================================
"""

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
from sandbox.telegram.entities import EntityError, parse_html, parse_markdown
from sandbox.telegram.webhooks import Telling, Webhooks, member_update

TEXT_LIMIT = 4096
_PARSERS = {"html": parse_html, "markdownv2": parse_markdown}
_GONE = {
    "kicked": "Forbidden: bot was blocked by the user",
    "deactivated": "Forbidden: user is deactivated",
    "left": "Forbidden: bot was kicked from the group chat",
}
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
    :param telling: how updates are posted.
    """

    def __init__(
        self, data_dir: Path, token: str | None = None, telling: Telling | None = None
    ) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "telegram.jsonl", lambda record: (record["chat_id"], record["label"])
        )
        self.webhooks = Webhooks(telling or Telling())
        self._gone: dict[str, str] = {}
        self._token = token
        self._control = Control(self.journal, self.faults)

    async def handle(self, request: Request) -> Response | None:
        """Answer one request; None hangs up.

        :param request: Bot API or control request.
        """
        called = _METHOD.match(request.path)
        if called is None:
            return await self._answer_control(request)
        token, method = called.groups()
        if self._token is not None and token != self._token:
            return failure(401, "Unauthorized")
        arguments = self._arguments(request)
        if method == "sendMessage":
            return await self._send_message(arguments)
        return self._answer_other(method, arguments)

    def _answer_other(self, method: str, arguments: dict[str, Any]) -> Response:
        result: Any = True
        if method == "getMe":
            result = {"id": 1, "is_bot": True, "username": "leo_bot"}
        elif method == "setWebhook":
            self.webhooks.telling.url = arguments.get("url") or None
            self.webhooks.telling.secret = arguments.get("secret_token")
        elif method == "deleteWebhook":
            self.webhooks.telling.url = None
        elif method == "getUpdates":
            if self.webhooks.telling.url is not None:
                words = "can't use getUpdates method while webhook is active"
                return failure(409, f"Conflict: {words}; use deleteWebhook to delete the webhook")
            result = []
        else:
            return failure(404, "Not Found")
        return Response({"ok": True, "result": result})

    async def _answer_control(self, request: Request) -> Response:
        if request.path.startswith("/chats/") and request.method == "PUT":
            chat_id, status = request.path.removeprefix("/chats/"), request.json()["status"]
            self._gone.pop(chat_id, None)
            if status in _GONE:
                self._gone[chat_id] = _GONE[status]
            self.webhooks.happen(member_update(int(chat_id), status))
            return Response({"chat_id": chat_id, "status": status})
        if request.path != "/webhooks":
            return await self._control.handle(request)
        if request.method == "PUT":
            self.webhooks.telling = Telling(**request.json())
        elif request.method == "POST":
            told = request.json()
            for update in told if isinstance(told, list) else [told]:
                self.webhooks.happen(update)
        return Response(self.webhooks.document())

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
        rule = rule or await self.faults.apply("answer", chat_id)
        if rule is not None:
            return self._obey(rule) if rule.action == "reply" else None
        chat = {"id": int(chat_id) if chat_id.lstrip("-").isdigit() else chat_id, "type": "private"}
        result = {"message_id": number, "date": int(now), "chat": chat}
        return Response({"ok": True, "result": result})

    @staticmethod
    def _obey(rule: Rule) -> Response:
        parameters = {k: v for k, v in rule.extra.items() if k not in ("headers", "body")}
        answer = failure(rule.code, rule.text or "Internal Server Error", parameters or None)
        if "body" in rule.extra:
            answer.body = rule.extra["body"]
        answer.headers |= rule.extra.get("headers", {})
        return answer

    def _refusal(self, chat_id: str, arguments: dict[str, Any]) -> Response | None:
        text = str(arguments.get("text", ""))
        # Telegram reads the text before it looks at the chat.
        mode = str(arguments.get("parse_mode") or "").lower()
        if mode:
            if mode not in _PARSERS:
                return failure(400, "Bad Request: unsupported parse_mode")
            try:
                text = _PARSERS[mode](text)
            except EntityError as error:
                return failure(400, f"Bad Request: can't parse entities: {error}")
        if not re.fullmatch(r"-?\d{1,20}|@\w+", chat_id):
            return failure(400, "Bad Request: chat not found")
        if chat_id in self._gone:
            return failure(403, self._gone[chat_id])
        if not text.strip():
            return failure(400, "Bad Request: message text is empty")
        if utf16_length(text) > TEXT_LIMIT:
            return failure(400, "Bad Request: message is too long")
        return None
