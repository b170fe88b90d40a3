"""Addresses as the API shows them: enough to recognise one, too little to write to it.

Phone numbers, e-mail addresses, chat ids and device tokens are masked wherever they stand in an
answer: in their own fields, and inside other texts, such as a provider's answer that repeats the
address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

# Fields of profiles, facts and the ledger that hold an address or several.
ADDRESS_FIELDS = frozenset(
    {
        "address", "email", "mobile", "zalo_user_id", "telegram_chat_id", "fcm_tokens",
        "web_push_ids",
    }
)  # fmt: skip
# Shorter values occur inside other words by chance.
_SHORTEST = 4


def mask_address(address: str) -> str:
    """Return an address masked: ``an***@example.com``, ``8490*****67``, ``dT9x***``."""
    name, at, domain = address.rpartition("@")
    if at:
        return f"{name[: min(2, len(name) // 2)]}***@{domain}"
    if re.fullmatch(r"\+?[0-9]{9,15}", address, re.ASCII):
        return f"{address[:4]}{'*' * (len(address) - 6)}{address[-2:]}"
    return f"{address[: min(4, len(address) // 3)]}***"


def mask_document(document: Any) -> Any:
    """Return a JSON document with every address in it masked.

    What stands in one of :data:`ADDRESS_FIELDS` is an address; the same text anywhere else in the
    document is one too.
    """
    known = {text for text in _addresses(document) if len(text) >= _SHORTEST}
    if not known:
        return _masked(document, None)
    # The longest first: an address may contain another.
    anywhere = "|".join(re.escape(text) for text in sorted(known, key=len, reverse=True))
    return _masked(document, re.compile(anywhere, re.IGNORECASE))


def _addresses(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from _texts(value) if name in ADDRESS_FIELDS else _addresses(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from _addresses(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _masked(value: Any, known: re.Pattern[str] | None, *, is_address: bool = False) -> Any:
    if isinstance(value, str):
        if is_address:
            return mask_address(value)
        return value if known is None else known.sub(lambda it: mask_address(it[0]), value)
    if isinstance(value, Mapping):
        return {
            name: _masked(item, known, is_address=is_address or name in ADDRESS_FIELDS)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_masked(item, known, is_address=is_address) for item in value]
    return value
