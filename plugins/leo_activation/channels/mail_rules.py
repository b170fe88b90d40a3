"""What every way of sending e-mail has in common: addresses, header fields, refusals."""

from __future__ import annotations

import re

from leo_activation.channels.base import InvalidAddressError, Message

# Dot-atom of RFC 5321 in ASCII; most servers refuse the rest, and so do these channels.
_ADDRESS = re.compile(
    r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")


def normalise_address(address: str) -> str:
    """Return an e-mail address in lower case, as the suppression list spells it.

    :param address: as the customer gave it.
    :raises InvalidAddressError: it cannot be delivered to.
    """
    found = address.strip().lower()
    if not found.isascii():
        raise InvalidAddressError("the e-mail address has letters outside ASCII")
    local, _, domain = found.rpartition("@")
    if not _ADDRESS.fullmatch(found) or len(local) > 64 or len(domain) > 253:
        raise InvalidAddressError("not a deliverable e-mail address")
    return found


def require_one_line(name: str, value: str) -> None:
    """Refuse a value that would start a header field of its own.

    :param name: of the field, for the error.
    :param value: what is to stand in it.
    :raises ValueError: it holds a line break or another control character.
    """
    if _CONTROL.search(value):
        raise ValueError(f"{name} contains a line break or control character")


def unsubscribe_fields(message: Message, mailto: str | None) -> dict[str, str]:
    """Return the header fields of the one-click unsubscribe (RFC 8058); none without an address.

    :param message: the message.
    :param mailto: mailbox that takes refusals by mail, None without one.
    :raises ValueError: an address would break the field.
    """
    if message.unsubscribe_url is None:
        return {}
    ways = [f"<{message.unsubscribe_url}>"]
    if mailto is not None:
        ways.append(f"<mailto:{mailto}?subject=unsubscribe>")
    if any(_CONTROL.search(way) or not way.isascii() or "<" in way[1:] for way in ways):
        raise ValueError("List-Unsubscribe contains a character that no URL has")
    return {
        "List-Unsubscribe": ", ".join(ways),
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def enhanced_code(text: str) -> tuple[int, int, int] | None:
    """Find the enhanced status code (RFC 3463) in a server's words.

    :param text: reply text, or the ``Status`` field of a report.
    """
    found = _ENHANCED.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def blames_recipient(code: tuple[int, int, int] | None) -> bool:
    """Tell whether a status says that the recipient's address is no good (5.1.x).

    :param code: enhanced status code. 5.1.7 and 5.1.8 (RFC 3463) speak of the sender's address.
    """
    return code is not None and code[:2] == (5, 1) and code[2] not in (7, 8)
