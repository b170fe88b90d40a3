"""What a sentence tells before it asks for anything: "Sếp vừa nhắc sáng nay: gửi email …".

Marketers chat. What stands before the request, names nobody who is to get a message and is cut
off from it by a sign or by "so", restricts nothing, however many words and numbers it has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from leo_activation.decision.lexicon import cue
from leo_activation.decision.parts import Condition, Message
from leo_activation.decision.sentence import Sentence

_HEADS = cue("heads")
_LEADS = (
    rf"{_HEADS}|{cue('states')}|sinh|sn|born|birthdays?|co sinh nhat|neu|if|when|khi|cho|"
    r"to|for|toi|den|only|rieng|voi|tru|unless|"
    r"chi(?= (?:khach|nhung|ai|cac|nguoi|nhom|gui))|"
    r"except|every|all|any|each|nhung|cac|nhom|tat ca"
)
_LAPSED = r"chua|khong|ko|vang|haven t|hasn t|not|no|without|never|inactive|idle|away|silent"
_EVERYBODY = (
    r"(?:ai cung|moi nguoi|people|everyone|everybody|we|i|my|our)"
    r"(?! (?:born|with|without|who|whose|from|that|in|aged|living)\b)"
)
_ASKS_TO_SEND = cue("asks_to_send")
_ENDS = (
    r"[.;:!?]|, (?:so|nen|thoi|but|anyway|nhung|nho|vi vay|vay nen|do do|therefore|hence|thus)|"
    r"nen|con viec(?: chinh)?|thoi thi"
)
# Who writes, and whom they work with, is no audience: "we …", "my cousin …", "Anh Hùng …".
_OF_WRITERS = re.compile(
    r"(?i:we|i|my|our|it['’]s|sếp|sep|bên mình|ben minh|team mình|team minh|đợt này|dot nay)\b"
    r"|(?i:anh|chị|ông|bà|thầy|cô|bác|mr|mrs|ms|chi|ong|ba|thay|co|bac)\.? [A-ZĐ][^\W\d_]+"
)
# The words that say who is meant stand among the first so many of a clause.
_NEAR = 3
# What stands around days that are left.
_ONLY_SO = r"dung|chi|lai|co|khoang|tam|tron|vua"
_LEFT = r"nua|left|to go|remaining|before|until|away|la (?:den|toi|het)"
_SHORTEST = 3
# What is told of is asked for all the same where it is pointed at: "…, nên ai mua hãng này …".
_POINTS_BACK = (
    r"(?!thang|tuan|nam|dot|lan|hom|ngay|sang|toi|mua|quy)\w+ (?:nay|do|ay|kia)|these|those"
)
_SOON = 8
# What opens a sentence about how things go, before the one that asks.
_OF_TIMES = cue("of_times")


def background_end(
    sentence: Sentence, conditions: Sequence[Condition], messages: Sequence[Message]
) -> int:
    """Return the last word of what is only told; -1 where a sentence begins with its request.

    :param conditions: found in the sentence.
    :param messages: found in the sentence.
    """
    words = len(sentence.reading.words)
    last = start = -1
    for low, high in sentence.reading.find(_ENDS):
        reason = sentence.reading.says(r"nen|so", low, high) and not sentence.reading.says(
            _POINTS_BACK, high + 1, high + _SOON
        )
        asked = _reasoned(conditions, start + 1) if reason else conditions
        if _is_arrow(sentence, low) or not _is_told(sentence, asked, start + 1, low - 1):
            break
        if high + 1 >= words or not any(item.last > high for item in messages):
            break
        last = start = high
    return last


def _reasoned(conditions: Sequence[Condition], low: int) -> list[Condition]:
    """Return conditions without the values that a reason only tells of: "toàn văn học nên …".

    :param low: first word of the reason; what it begins with is who is meant.
    """
    return [
        item
        for item in conditions
        if item.first <= low + _NEAR - 1
        or item.key[1] in ("true", "false")
        or not {"eq", "contains"} & set(item.operators)
    ]


def _is_arrow(sentence: Sentence, at: int) -> bool:
    """Tell whether a sign is an arrow: what stands before one is always who is meant."""
    return sentence.reading.sentence[sentence.reading.words[at].start] in "→⇒➜➡=-"


def _is_told(sentence: Sentence, conditions: Sequence[Condition], low: int, high: int) -> bool:
    """Tell whether a clause neither says who is meant nor asks for a message."""
    reading = sentence.reading
    if high - low + 1 < _SHORTEST:
        return False
    if any(low <= first <= high for _, first, _ in sentence.channel_mentions):
        return False
    if reading.says(_ASKS_TO_SEND, low, low) and reading.says(_HEADS, low + 1, high):
        return False
    if any(item.first == low and item.key[1] not in ("true", "false") for item in conditions):
        # "My Dinh families: …" begins with a place.
        return False
    if _OF_WRITERS.match(reading.sentence[reading.words[low].start :]):
        return True
    if _is_of_time(sentence, conditions, low, high):
        return True
    lapsed = reading.says(_LAPSED, low, high)
    if any(low <= item.first <= high and _restricts(item, lapsed=lapsed) for item in conditions):
        return False
    if _is_ahead(sentence, conditions, low, high):
        return False
    near = min(high, low + _NEAR - 1)
    if reading.says(_EVERYBODY, low, near):
        return True
    opens = any(first == low for first, _ in reading.find(_LEADS, low, near))
    return not opens and not reading.says(_HEADS, low, near)


def _is_of_time(sentence: Sentence, conditions: Sequence[Condition], low: int, high: int) -> bool:
    """Tell whether a sentence of its own says how things go: "Vụ này lúa rớt giá. Ai nợ …"."""
    reading = sentence.reading
    opens = any(first == low for first, _ in reading.find(_OF_TIMES, low, low + _NEAR))
    closed = reading.says(r"[.!]", high + 1, high + 1)
    return (
        opens
        and closed
        and not reading.says(rf"thi|{_LEADS}|{_HEADS}", low + 1, min(high, low + _NEAR + 1))
        and any(item.first > high for item in conditions)
    )


def _is_ahead(sentence: Sentence, conditions: Sequence[Condition], low: int, high: int) -> bool:
    """Tell whether a clause says how many days are left: "lịch hẹn còn đúng một ngày: …"."""
    return any(
        one.kind == "duration" and low <= first and last <= high
        and any(item.first == first for item in conditions)
        and (sentence.reading.says(rf"con(?: {_ONLY_SO})*", max(low, first - 2), first - 1)
             or sentence.reading.says(_LEFT, last + 1, min(high, last + 3)))
        for one, first, last in sentence.quantities
    )  # fmt: skip


def _restricts(item: Condition, *, lapsed: bool) -> bool:
    """Tell whether a condition is more than a number that happens to stand there.

    :param lapsed: whether something was not done for a time: "14 ngày chưa đăng nhập".
    """
    said = len(item.operators) == 1 or (lapsed and "eq" not in item.operators)
    return said or item.key[1] == "0" or not item.key[1].replace(".", "").isdecimal()
