"""business.openapi.zalo.me and oauth.zaloapp.com on one port, plus the control API.

The control API has, besides what all stand-ins share (:mod:`sandbox.control`):

==============================  ==================================================================
``GET /oauth``                  ``{"refreshes": N, "refused": N, "grants": [...]}``
``PUT /oauth``                  other grants (see :class:`sandbox.zalo.grants.Grant`), counts at 0
``POST /oauth/expire``          all access tokens die now (``{"oa_id": …}``: of one account)
``GET/PUT /templates``          the registered templates, a list of ``/template/info/v2`` documents
``GET/PUT /account``            quota, quality, administrators' phones, phones never delivered to
``GET/PUT/POST /webhooks``      see :mod:`sandbox.zalo.webhooks`
==============================  ==================================================================

Fault stages: ``send``, ``oauth``, ``status``, ``info``, ``quota``; the recipient is the phone, the
app's id, the message's id, the template's id, and nothing. A ``reply`` with a negative ``code``
is an error of Zalo (HTTP 200); one of 100 and more is an HTTP status with ``text`` as its body.
``extra: {"headers": {...}}`` adds headers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sandbox.control import Control
from sandbox.faults import Faults, Rule
from sandbox.http_server import Request, Response
from sandbox.journal import Journal
from sandbox.zalo.codes import MESSAGES
from sandbox.zalo.grants import Grant, Grants
from sandbox.zalo.templates import default_templates, refusal_of_data, refusal_of_state
from sandbox.zalo.webhooks import Telling, Webhooks, delivery_event, now_ms

_PHONE = re.compile(r"\+?84[35789][0-9]{8}")
_LONGEST_TRACKING_ID = 48


@dataclass(slots=True)
class Account:
    """The official account.

    :param daily_quota: messages a day.
    :param used: how many of them are gone.
    :param quality: HIGH, MEDIUM, LOW or UNDEFINED.
    :param admins: phones that development mode reaches.
    :param undelivered: patterns of phones whose messages stay undelivered.
    """

    daily_quota: int = 10_000_000
    used: int = 0
    quality: str = "HIGH"
    admins: list[str] = field(default_factory=list)
    undelivered: list[str] = field(default_factory=list)

    def quota(self) -> dict[str, Any]:
        """Return the numbers of ``/message/quota``."""
        return {
            "dailyQuota": self.daily_quota,
            "remainingQuota": self.daily_quota - self.used,
            "dailyQuotaPromotion": None,
            "remainingQuotaPromotion": None,
            "monthlyPromotionQuota": 125,
            "remainingMonthlyPromotionQuota": 125,
            "estimatedNextMonthPromotionQuota": 2000,
        }

    def is_delivered(self, phone: str) -> bool:
        """Tell whether messages to a phone arrive."""
        return not any(fnmatchcase(phone, pattern) for pattern in self.undelivered)


def success(data: Any, **more: Any) -> Response:
    """Build a good answer."""
    return Response({"error": 0, "message": "Success", "data": data, **more})


def failure(code: int, text: str = "", headers: dict[str, str] | None = None) -> Response:
    """Build an error of Zalo: HTTP 200."""
    body = {"error": code, "message": text or MESSAGES.get(code, "Error")}
    return Response(body, headers=headers or {})


def obey(rule: Rule) -> Response:
    """Answer as a ``reply`` rule says."""
    headers = rule.extra.get("headers", {})
    if rule.code < 0:
        return failure(rule.code, rule.text, headers)
    return Response(rule.text, status=rule.code, headers=headers)


class ZaloServer:
    """One Zalo, for any number of official accounts.

    :param data_dir: where accepted messages are kept.
    :param telling: how webhooks are posted.
    """

    def __init__(self, data_dir: Path, telling: Telling | None = None) -> None:
        """Read what an earlier process recorded."""
        self.faults = Faults()
        self.journal = Journal(
            data_dir / "zalo.jsonl", lambda record: (record["phone"], record["tracking_id"])
        )
        self.grants = Grants()
        self.templates = default_templates()
        self.account = Account()
        self.webhooks = Webhooks(telling or Telling())
        self._control = Control(self.journal, self.faults)
        self._api: dict[tuple[str, str], Callable[[Request, Grant], Awaitable[Response | None]]] = {
            ("POST", "/message/template"): self._send,
            ("GET", "/message/quota"): self._quota,
            ("GET", "/message/status"): self._status,
            ("GET", "/template/info/v2"): self._template_info,
            ("GET", "/template/all"): self._all_templates,
            ("GET", "/quality"): self._quality,
        }

    async def handle(self, request: Request) -> Response | None:
        """Answer one request; None hangs up."""
        if request.path == "/v4/oa/access_token":
            return await self._exchange(request)
        handler = self._api.get((request.method, request.path))
        if handler is None:
            return await self._handle_control(request)
        owner = self.grants.owner_of(request.headers.get("access_token", ""))
        if owner is None:
            return failure(-124)
        return await handler(request, owner)

    async def _exchange(self, request: Request) -> Response | None:
        form = dict(parse_qsl(request.body.decode()))
        rule = await self.faults.apply("oauth", form.get("app_id", ""))
        if rule is not None and rule.action == "cut_before":
            return None
        if rule is not None and rule.action == "reply":
            if rule.code >= 0:
                return obey(rule)
            name = rule.text or "Refused"
            return Response(self.grants.refuse(rule.code, name, "scripted"))
        answer = self.grants.exchange(form, request.headers.get("secret_key", ""))
        return None if rule is not None else Response(answer)

    async def _send(self, request: Request, owner: Grant) -> Response | None:
        try:
            message = request.json()
        except ValueError:
            message = None
        if not isinstance(message, dict):
            return failure(-122)
        phone = str(message.get("phone", ""))
        rule = await self.faults.apply("send", phone)
        if rule is not None and rule.action == "cut_before":
            return None
        if rule is not None and rule.action == "reply":
            return obey(rule)
        code = self._refusal(message, phone)
        if code is not None:
            return failure(code)
        self.account.used += 1
        number = await self.journal.append(
            {
                "phone": phone,
                "tracking_id": str(message.get("tracking_id", "")),
                "template_id": message["template_id"],
                "template_data": message.get("template_data"),
                "mode": message.get("mode"),
                "sending_mode": message.get("sending_mode"),
                "oa_id": owner.oa_id,
                "received_at": time.time(),
            }
        )
        self._tell_delivery(number, phone, str(message.get("tracking_id", "")), owner)
        if rule is not None and rule.action == "cut_after":
            return None
        quota = self.account.quota()
        return success(
            {
                "msg_id": f"{number:020x}",
                "sent_time": now_ms(),
                "sending_mode": message.get("sending_mode", "1"),
                "quota": {
                    name: str(quota[name]) for name in ("dailyQuota", "remainingQuota")
                },
            }
        )  # fmt: skip

    def _refusal(self, message: dict[str, Any], phone: str) -> int | None:
        """Return the code for a message that Zalo does not take."""
        if not _PHONE.fullmatch(phone):
            return -108
        known = self.templates.get(str(message.get("template_id", "")))
        code = refusal_of_state(known)
        if code is None and known is not None:
            code = refusal_of_data(known, message.get("template_data"))
        if code is not None:
            return code
        tracking_id = message.get("tracking_id")
        if not isinstance(tracking_id, str) or len(tracking_id) > _LONGEST_TRACKING_ID:
            return -132
        if message.get("sending_mode", "1") not in ("1", "3"):
            return -161
        if message.get("mode") == "development" and phone not in self.account.admins:
            return -127
        return -144 if self.account.used >= self.account.daily_quota else None

    def _tell_delivery(self, number: int, phone: str, tracking_id: str, owner: Grant) -> None:
        if self.account.is_delivered(phone):
            self.webhooks.happen(
                delivery_event(
                    message_id=f"{number:020x}",
                    phone=phone,
                    tracking_id=tracking_id,
                    app_id=owner.app_id,
                    oa_id=owner.oa_id,
                )
            )

    async def _asked(self, stage: str, about: str = "") -> tuple[bool, Response | None]:
        """Return whether a rule answers a question, and its answer; None hangs up."""
        rule = await self.faults.apply(stage, about)
        if rule is None:
            return False, None
        return True, obey(rule) if rule.action == "reply" else None

    async def _quota(self, request: Request, owner: Grant) -> Response | None:
        is_ruled, answer = await self._asked("quota")
        return answer if is_ruled else success(self.account.quota())

    async def _status(self, request: Request, owner: Grant) -> Response | None:
        message_id = request.query.get("message_id", "")
        is_ruled, answer = await self._asked("status", message_id)
        if is_ruled:
            return answer
        number = int(message_id, 16) if re.fullmatch(r"[0-9a-f]{20}", message_id) else 0
        if not 1 <= number <= len(self.journal):
            return success({"delivery_time": "", "message": "Message not existed", "status": -1})
        record = self.journal.read(number)
        if not self.account.is_delivered(record["phone"]):
            return success({"delivery_time": "", "message": "Not delivered yet", "status": 0})
        delivered = str(int(record["received_at"] * 1000))
        return success({"delivery_time": delivered, "message": "Delivered", "status": 1})

    async def _template_info(self, request: Request, owner: Grant) -> Response | None:
        template_id = request.query.get("template_id", "")
        is_ruled, answer = await self._asked("info", template_id)
        if is_ruled:
            return answer
        known = self.templates.get(template_id)
        return failure(-109) if known is None else success(known)

    async def _all_templates(self, request: Request, owner: Grant) -> Response | None:
        states = {"1": "ENABLE", "2": "PENDING_REVIEW", "3": "REJECT", "4": "DISABLE"}
        wanted = states.get(request.query.get("status", ""))
        found = [t for t in self.templates.values() if wanted in (None, t["status"])]
        offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 100))
        names = ("templateId", "templateName", "status", "templateQuality")
        page = [
            {**{name: t[name] for name in names}, "createdTime": 1_767_225_600_000}
            for t in found[offset : offset + limit]
        ]
        return success(page, metadata={"total": len(found)})

    async def _quality(self, request: Request, owner: Grant) -> Response | None:
        quality = self.account.quality
        return success({"oaCurrentQuality": quality, "oa7dayQuality": quality})

    async def _handle_control(self, request: Request) -> Response:
        if request.path == "/messages" and request.method == "DELETE":
            self.account.used = 0
        if request.path == "/oauth/expire" and request.method == "POST":
            self.grants.expire((request.json() or {}).get("oa_id"))
            return Response(self.grants.document())
        changes: dict[str, tuple[Callable[[Any], None], Callable[[], Any]]] = {
            "/oauth": (self.grants.reset, self.grants.document),
            "/templates": (self._register, lambda: list(self.templates.values())),
            "/account": (self._change_account, lambda: asdict(self.account)),
            "/webhooks": (self._change_webhooks, self.webhooks.document),
        }
        if request.path not in changes:
            return await self._control.handle(request)
        change, show = changes[request.path]
        if request.method == "PUT":
            change(request.json())
        elif request.method == "POST" and request.path == "/webhooks":
            events = request.json()
            for event in events if isinstance(events, list) else [events]:
                self.webhooks.happen(event)
        return Response(show())

    def _register(self, documents: list[dict[str, Any]]) -> None:
        self.templates = {str(item["templateId"]): item for item in documents}

    def _change_account(self, document: dict[str, Any]) -> None:
        self.account = Account(**document)

    def _change_webhooks(self, document: dict[str, Any]) -> None:
        self.webhooks.telling = Telling(**document)
