"""How ArangoDB orders and compares values.

Types order as null < bool < number < string < array < object. Strings compare by language
collation, not by bytes: ``"a" < "B"`` and ``"_" < "0"``. A client that compares keys itself, byte
by byte, while the server sorts them its own way skips rows: the stand-in must not forgive that.
"""

from __future__ import annotations

import struct
import unicodedata

_PUNCTUATION = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_ORDER = "\t\n\x0b\x0c\r " + _PUNCTUATION + "0123456789"
_PRIMARY = {ord(char): 0x10 + rank for rank, char in enumerate(_ORDER)}
_PRIMARY.update({ord(char): 0x60 + ord(char) - 97 for char in "abcdefghijklmnopqrstuvwxyz"})


def order_key(value: object) -> bytes:
    """Bytes whose plain order is ArangoDB's order of the values."""
    if value is None:
        return b"\x00"
    if value is False:
        return b"\x01"
    if value is True:
        return b"\x02"
    if isinstance(value, int | float):
        return b"\x03" + _number_key(float(value))
    if isinstance(value, str):
        return b"\x04" + _string_key(value)
    if isinstance(value, list):
        return b"\x05" + b"".join(order_key(item) for item in value) + b"\x00"
    if isinstance(value, dict):
        pairs = (order_key(key) + order_key(value[key]) for key in sorted(value))
        return b"\x06" + b"".join(pairs) + b"\x00"
    raise TypeError(f"{type(value).__name__} is no JSON type")


def equal(left: object, right: object) -> bool:
    """ArangoDB's ``==``: 1 equals 1.0, but never true."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list | dict) and isinstance(right, list | dict):
        return order_key(left) == order_key(right)
    return left == right


def truthy(value: object) -> bool:
    """Return what AQL takes for true: as JavaScript, but every array and object is true."""
    if isinstance(value, list | dict):
        return True
    return bool(value)


def _number_key(number: float) -> bytes:
    # Flip the sign bit of positives and all bits of negatives: IEEE order becomes byte order.
    bits = struct.unpack(">Q", struct.pack(">d", number + 0.0))[0]
    bits = bits ^ 0xFFFFFFFFFFFFFFFF if bits >> 63 else bits | 1 << 63
    return struct.pack(">Q", bits)


def _string_key(text: str) -> bytes:
    if text.isascii():
        primary = text.lower().translate(_PRIMARY)
        return _terminated(primary) + _terminated(text.swapcase())
    base = "".join(
        char for char in unicodedata.normalize("NFD", text) if not unicodedata.combining(char)
    )
    primary = base.lower().replace("đ", "d").translate(_PRIMARY)
    return _terminated(primary) + _terminated(text.swapcase())


def _terminated(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").replace(b"\0", b"\0\xff") + b"\0\0"
