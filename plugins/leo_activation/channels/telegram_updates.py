"""What Telegram posts to the bot's webhook: who blocked it, who came back, who said stop."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from leo_activation.channels.base import (
    Credential,
    Receipt,
    ReceiptKind,
    SignatureError,
    shorten,
)
from leo_activation.errors import ConfigurationError, LeoError

# Bot API, setWebhook: "secret_token" comes back in this header.
SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 - a header's name
# Bot API, ChatMember: in these states the bot cannot write to the chat, in those it can.
_GONE = frozenset({"kicked", "left"})
_PRESENT = frozenset({"member", "administrator", "creator"})
# "/start PAYLOAD", in groups "/start@name_of_the_bot".
_COMMAND = re.compile(r"/(start|stop)(?:@\w+)?(?:\s+(\S.*))?", re.ASCII | re.DOTALL)
# uncertain: the alphabet and length of a deep link's payload; other text is not kept.
_PAYLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _now() -> datetime:
    return datetime.now(UTC)


def read_updates(
    credential: Credential,
    headers: Mapping[str, str],
    raw_body: bytes,
    clock: Callable[[], datetime] = _now,
) -> Sequence[Receipt]:
    """Verify and read one update. What people write to the bot is never kept.

    :param credential: holds the secret ``webhook_secret``.
    :param headers: with lower-case names.
    :param raw_body: as it was received.
    :param clock: the time of updates that Telegram gives none.
    :raises SignatureError: Telegram did not send it.
    :raises ConfigurationError: the credential has no webhook secret.
    :raises LeoError: it is no update.
    """
    secret = credential.secret.get("webhook_secret")
    if not secret:
        raise ConfigurationError(
            f"the Telegram credential of tenant {credential.tenant_id!r} has no secret "
            "'webhook_secret'; store the secret_token that setWebhook was called with"
        )
    given = headers.get(SECRET_HEADER, "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode()):
        raise SignatureError("the Telegram update has the wrong secret token or none")
    try:
        update = json.loads(raw_body)
    except (ValueError, RecursionError):
        update = None
    number = update.get("update_id") if isinstance(update, dict) else None
    if not isinstance(number, int):
        raise LeoError("what was posted for Telegram is no update: it has no update_id")
    # The number before the colon names the bot and is public; each bot counts its own updates.
    bot = credential.secret.get("bot_token", "").partition(":")[0]
    kind = next((str(key) for key in update if key != "update_id"), "nothing")
    event = update.get(kind)
    event = event if isinstance(event, dict) else {}
    return [_receipt(f"{bot}:{number}", shorten(kind), event, clock)]


def _receipt(
    receipt_id: str, kind: str, event: Mapping[str, Any], clock: Callable[[], datetime]
) -> Receipt:
    chat = event.get("chat")
    chat = chat if isinstance(chat, dict) else {}
    meaning, facts = _meaning(kind, event, is_private=chat.get("type") == "private")
    is_refusal = meaning is ReceiptKind.UNSUBSCRIBED
    return Receipt(
        receipt_id=receipt_id,
        kind=meaning,
        occurred_at=_time(event.get("date")) or clock(),
        address=str(chat["id"]) if isinstance(chat.get("id"), int) else None,
        reason=str(facts.get("reason", "")),
        suppress=is_refusal,
        response={"update": kind, **facts},
    )


def _meaning(
    kind: str, event: Mapping[str, Any], *, is_private: bool
) -> tuple[ReceiptKind, dict[str, Any]]:
    """Return what an update means for the chat, and what of it is kept."""
    if kind == "my_chat_member":
        return _membership(event.get("new_chat_member"))
    if kind == "message":
        if isinstance(event.get("migrate_to_chat_id"), int):
            return ReceiptKind.NOTED, {"migrate_to_chat_id": event["migrate_to_chat_id"]}
        command = _COMMAND.fullmatch(str(event.get("text", "")).strip())
        if command is not None and command[1] == "stop":
            return ReceiptKind.UNSUBSCRIBED, {"reason": "stop_command"}
        # In a group anybody could bring back what somebody refused.
        if command is not None and is_private:
            payload = _PAYLOAD.fullmatch(command[2] or "")
            start = {"start": payload[0]} if payload else {}
            return ReceiptKind.RESUBSCRIBED, {"reason": "start_command", **start}
    return ReceiptKind.NOTED, {}


def _membership(member: object) -> tuple[ReceiptKind, dict[str, Any]]:
    status = member.get("status") if isinstance(member, dict) else None
    if status in _GONE:
        return ReceiptKind.UNSUBSCRIBED, {"reason": "blocked", "status": status}
    if status in _PRESENT:
        return ReceiptKind.RESUBSCRIBED, {"reason": "unblocked", "status": status}
    return ReceiptKind.NOTED, {"status": shorten(str(status))}


def _time(value: object) -> datetime | None:
    """Return Telegram's time (seconds since 1970), None when it gives no possible one."""
    if not isinstance(value, int):
        return None
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
