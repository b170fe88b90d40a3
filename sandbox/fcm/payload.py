"""Which messages FCM's ``messages:send`` refuses, and its words for it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

PAYLOAD_LIMIT = 4096
_TARGETS = frozenset({"token", "topic", "condition", "fid"})
_FIELDS = _TARGETS | {"name", "data", "notification", "android", "apns", "webpush", "fcm_options"}
_TTL = re.compile(r"\d+(\.\d{1,9})?s")
_LABEL = re.compile(r"[a-zA-Z0-9\-_.~%]{1,50}")
_RESERVED = re.compile(r"from|message_type|google.*|gcm.*")


class RefusedError(ValueError):
    """The message is not valid.

    :param field: the field that is to blame.
    :param words: FCM's description.
    """

    def __init__(self, field: str, words: str) -> None:
        """Keep both."""
        self.field = field
        super().__init__(words)


def check(body: Any) -> tuple[str, dict[str, Any]]:
    """Return the target and the message of a request.

    :param body: the parsed request.
    :raises RefusedError: FCM would answer INVALID_ARGUMENT.
    """
    if not isinstance(body, dict) or not isinstance(body.get("message"), dict):
        raise RefusedError("message", "Request contains an invalid argument.")
    message = body["message"]
    if unknown := set(message) - _FIELDS:
        name = min(unknown)
        raise RefusedError(
            "message",
            f"Invalid JSON payload received. Unknown name \"{name}\" at 'message': "
            "Cannot find field.",
        )
    targets = [name for name in _TARGETS if message.get(name)]
    if len(targets) != 1 or not isinstance(message[targets[0]], str):
        raise RefusedError("message", "Exactly one of token, topic, condition or fid is required.")
    _check_data(message)
    _check_options(message)
    if _size(message) > PAYLOAD_LIMIT:
        raise RefusedError("message", "Message payload size exceeds 4096 bytes.")
    return message[targets[0]], message


def _check_data(message: dict[str, Any]) -> None:
    for key, value in (message.get("data") or {}).items():
        if not isinstance(value, str):
            raise RefusedError("message.data", "Invalid value at 'message.data' (TYPE_STRING)")
        if _RESERVED.fullmatch(key):
            raise RefusedError("message.data", f"Invalid data payload key: {key}")


def _check_options(message: dict[str, Any]) -> None:
    ttl = message.get("android", {}).get("ttl", "0s")
    if not _TTL.fullmatch(ttl) or float(ttl[:-1]) > 2419200:
        raise RefusedError("message.android.ttl", "Invalid ttl")
    label = message.get("fcm_options", {}).get("analytics_label")
    if label is not None and not _LABEL.fullmatch(label):
        raise RefusedError("message.fcm_options.analytics_label", "Invalid analytics label")
    link = message.get("webpush", {}).get("fcm_options", {}).get("link")
    if link is not None and urlsplit(link).scheme != "https":
        raise RefusedError("message.webpush.fcm_options.link", "Link must use HTTPS")


def _size(message: dict[str, Any]) -> int:
    texts = [*message.get("notification", {}).values(), *message.get("data", {})]
    texts += message.get("data", {}).values()
    return sum(len(str(text).encode()) for text in texts)
