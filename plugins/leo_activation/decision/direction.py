"""Whether days are counted since something or until something, by the words around them.

"Hơn 30 ngày chưa ghé" is about the last visit, "còn 30 ngày là hết hạn" about what comes. A
catalogue that has both kinds of numbers is read by that before anything else.
"""

from __future__ import annotations

import re
from typing import Literal

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue
from leo_activation.decision.reading import Reading
from leo_activation.decision.sentence import CHANNEL, plain_label

Direction = Literal["since", "until", ""]

_UNTIL_NAMES = re.compile(rf"\b(?:{cue('until_names')})\b")
_SINCE_NAMES = re.compile(rf"\b(?:{cue('since_names')})\b")
_UNTIL = cue("until")
_SINCE = cue("since")
# "Their appointment is two days away" and "three days from the due date" are about what comes.
_STANDS_AHEAD = re.compile(
    r"\b(?:is|s|falls|comes up|lies) (?:\w+ ){0,3}# away\b(?! from (?:us|our))"
    r"|# (?:away )?from (?:the|their|his|her|its|a|an) (?!last|previous|app|store|shop|site)"
)
_FAR = 7
# Brackets only repeat what was said: "ba tháng (90 ngày) chưa mua".
_BREAKS = rf"[,;.:]|thi|gui|nhan|send|should|gets?|\d+|{CHANNEL}"
# "Chưa tới 15 ngày" is less than that and denies nothing.
_COMPARISONS = (
    r"(?:chua|khong|ko|not) (?:toi|den|day|du|dat|qua|duoi|tren|hon|it hon|nhieu hon|vuot|more|"
    r"less|over|under|yet)(?: qua)?|no (?:more|less|fewer|longer|later) than|at (?:least|most)|tu|"
    r"hon|tren|duoi|toi da|toi thieu|it nhat|nhieu nhat"
)


def direction_of(attribute: Attribute) -> Direction:
    """Return which way the days of an attribute are counted."""
    label = plain_label(attribute)
    since, until = _SINCE_NAMES.search(label), _UNTIL_NAMES.search(label)
    if since and until:
        return "since" if since.start() < until.start() else "until"
    return "since" if since else "until" if until else ""


def direction_said(reading: Reading, first: int, last: int) -> Direction:
    """Return which way the days of a sentence are counted.

    :param first: first word of the days; ``last`` is the last one.
    """
    breaks = reading.find(_BREAKS, max(0, first - _FAR), first - 1) if first else []
    low = max([high + 1 for _, high in breaks], default=max(0, first - _FAR))
    after = re.sub(r"^ ?\(? ?[^()]{0,20}\)", " ", reading.text_of(last + 1, last + _FAR + 4))
    after = re.split(rf"(?<![a-z0-9])(?:{_BREAKS})(?![a-z0-9])", f" {after}", maxsplit=1)[0]
    after = " ".join(after.split()[:_FAR])
    before = re.sub(rf"\b(?:{_COMPARISONS})\b", " ", reading.text_of(low, first - 1))
    # "No sessions left and 90 days or more": what is left is something else.
    before = re.split(r"\b(?:left|remaining) (?:and|but)\b", before)[-1]
    text = " ".join(f"{before} # {after}".split())
    if re.search(_STANDS_AHEAD, text):
        return "until"
    until = re.search(rf"(?<![a-z0-9])(?:{_UNTIL})(?![a-z0-9])", text)
    since = re.search(rf"(?<![a-z0-9])(?:{_SINCE})(?![a-z0-9])", text)
    if until and since:
        at = text.index("#")
        return "until" if abs(until.start() - at) <= abs(since.start() - at) else "since"
    return "until" if until else "since" if since else ""
