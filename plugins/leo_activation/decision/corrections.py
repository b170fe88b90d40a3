"""What a sentence takes back: "cho khách Hải Phòng… à nhầm, Hải Dương mới đúng".

The second thing is put in the place of the first, and what was said around it, "Hải Phòng vẫn giờ
cũ", is dropped, so that the rest of the reading sees the sentence that was meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from leo_activation.decision.lexicon import cue
from leo_activation.decision.places import names_places, places_of
from leo_activation.decision.reading import Reading
from leo_activation.decision.sentence import CHANNEL, Sentence, plain_label
from leo_activation.decision.toolset import ToolSpec

_TAKES_BACK = cue("takes_back")
_INSTEAD = cue("instead")
# What says of the second thing that it is the one: "Hải Dương mới đúng chứ …".
_CLOSES = cue("closes_correction")
# A clause that only tells that the rest stays as it was, or denies the first thing once more.
_STAYS = cue("stays_the_same")
# What gives the reason of a correction, or denies the first thing once more.
_TAILS = r"chu|vi|boi|tai|do|khong phai|not|because|since|as"
_BEFORE = (
    r"tren|hon|qua|duoi|it nhat|tu|chua (?:toi|den|day)|khong qua|toi da|toi thieu|dung|chi|over|"
    r"under|more than|less than|fewer than|at least|at most|exactly|within|above|below|up to|"
    r"khoang|tam|nhieu hon|it hon|older than|younger than"
)
_AFTER = r"tro (?:len|xuong|di)|or (?:more|less|fewer|older|younger|above|below)|do len|do lai"
_SIGNS = r"[.,;:!?–—(-]|…"
# A request of its own does not belong to a correction.
_REQUESTS = rf"thi|:|=|{CHANNEL}"
# So many words stand between a correction and what is meant.
_FAR = 14
_TWICE = 2


@dataclass(frozen=True)
class _Thing:
    """Something that a sentence names, which may be exchanged for another of its kind."""

    kind: str
    name: str
    first: int
    last: int


def corrected(spec: ToolSpec, text: str) -> str:
    """Return a sentence as it stands after all that it takes back.

    :param spec: the tenant's functions.
    :param text: the instruction.
    """
    for _ in range(_TWICE):
        if not Reading(text).says(_TAKES_BACK):
            break
        # Three dots in one letter are no word.
        sentence = Sentence(spec, text.replace("…", " ... "))
        changed = next(
            (new for low, high in sentence.reading.find(_TAKES_BACK)
             if (new := _exchanged(sentence, low, high)) is not None),
            None,
        )  # fmt: skip
        if changed is None:
            break
        text = changed
    return text


def _exchanged(sentence: Sentence, low: int, high: int) -> str | None:
    """Return the sentence with the thing that is meant, if some words take one back.

    :param low: first word of those that do; ``high`` is the last one.
    """
    reading = sentence.reading
    begins = low
    while begins > 0 and re.fullmatch(_SIGNS, reading.words[begins - 1].text):
        begins -= 1
    if begins == low or begins == 0:
        return None
    pair = _pair(sentence, begins, high)
    if pair is None:
        return None
    old, new = pair
    old_place, new_place = _with_comparisons(sentence, old, new)
    words, typed = reading.words, reading.sentence
    end = _correction_ends(reading, new_place[1] + _shared(reading, old_place[1], new_place[1]))
    said = typed[words[new_place[0]].start : words[new_place[1]].end]
    head = typed[: words[old_place[0]].start] + said
    middle = typed[words[old_place[1]].end : words[begins - 1].end]
    tail = "".join(
        typed[words[one].start : words[two].end] + " " for one, two in _kept(sentence, old, end)
    )
    return f"{head}{middle} {tail}".strip()


def _things(sentence: Sentence) -> list[_Thing]:
    """Return the values, places, amounts and channels of a sentence, in order."""
    found = [_Thing(attribute.name, item.best, item.first, item.last)
             for attribute, item in sentence.value_mentions]  # fmt: skip
    found += [_Thing(f"#{item.kind}", str(item.value), first, last)
              for item, first, last in sentence.quantities]  # fmt: skip
    found += [_Thing("@", *item) for item in sentence.channel_mentions]
    kinds = {kind for item in sentence.catalogue.attributes
             for kind in names_places(item, plain_label(item))}  # fmt: skip
    found += [_Thing("place", item.name, item.first, item.last)
              for item in places_of(sentence.reading, tuple(sorted(kinds)))]  # fmt: skip
    return sorted(found, key=lambda item: (item.first, item.last))


def _pair(sentence: Sentence, begins: int, high: int) -> tuple[_Thing, _Thing] | None:
    """Return the thing taken back and the one that is meant.

    :param begins: first word of the correction, :param high: last word that takes back.
    """
    reading, things = sentence.reading, _things(sentence)
    before = [item for item in things if item.last < begins]
    for new in things:
        if not high < new.first <= high + _FAR:
            continue
        old = next((item for item in reversed(before) if item.kind == new.kind), None)
        if old is None or old.name == new.name:
            continue
        gap = reading.text_of(high + 1, new.first - 1)
        if re.search(rf"(?<!\w)(?:{_REQUESTS})(?!\w)", gap):
            return None
        if new.kind == "@" and not re.fullmatch(rf"(?:(?:{_INSTEAD})(?: |$))*", gap):
            return None
        if reading.says(r"khong phai|not|chu khong|khac", new.first - 2, new.first - 1):
            continue
        return old, new
    return None


def _with_comparisons(
    sentence: Sentence, old: _Thing, new: _Thing
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the words of both things, with their comparisons where the second has its own."""
    places = [(old.first, old.last), (new.first, new.last)]
    if not new.kind.startswith("#"):
        return places[0], places[1]
    reading = sentence.reading
    wide = []
    for low, high in places:
        before = [one for one, two in reading.find(_BEFORE, max(0, low - 2), low - 1)
                  if two == low - 1] if low else []  # fmt: skip
        after = [two for one, two in reading.find(_AFTER, high + 1, high + 2) if one == high + 1]
        wide.append((min([low, *before]), max([high, *after])))
    return (wide[0], wide[1]) if wide[1] != places[1] else (places[0], places[1])


def _shared(reading: Reading, one: int, other: int) -> int:
    """Return how many words stand after both of two: "hơn 2 buổi, à nhầm, hơn 4 buổi"."""
    size, words = 0, reading.words
    while (
        other + size + 1 < len(words)
        and words[one + size + 1].text.isalpha()
        and (words[one + size + 1].text == words[other + size + 1].text)
    ):
        size += 1
    return size


def _correction_ends(reading: Reading, last: int) -> int:
    """Return the last word of a correction: "… mới đúng chứ Hải Phòng vẫn giờ cũ".

    :param last: last word of what is meant.
    """
    end = last
    for low, high in reading.find(_CLOSES, last + 1, last + _FAR):
        end = high if low == end + 1 else end
    signs = [low for low, _ in reading.find(_SIGNS, end + 1)]
    stop = min([*signs, len(reading.words)]) - 1
    if end < stop and not reading.says(_REQUESTS, end + 1, stop):
        only = reading.words[end + 1].typed == "mới" or (
            reading.says("moi", end + 1, end + 1)
            and stop <= end + _TWICE
            and not reading.words[end + 1].typed.startswith("mờ")
        )
        if only or reading.says(_TAILS, end + 1, end + 1) or reading.says("moi", last + 1, end):
            return stop
    return end


def _kept(sentence: Sentence, old: _Thing, end: int) -> list[tuple[int, int]]:
    """Return the clauses after a correction that say more than that the first thing is wrong."""
    reading = sentence.reading
    last = len(reading.words) - 1
    if end >= last:
        return []
    breaks = [low for low, _ in reading.find(_SIGNS, end + 1)]
    starts = sorted({end + 1, *breaks})
    kept = []
    for start, after in zip(starts, [*starts[1:], last + 1], strict=True):
        if not _is_about(sentence, old, start, after - 1):
            kept.append((start, after - 1))
    return kept


def _is_about(sentence: Sentence, old: _Thing, low: int, high: int) -> bool:
    """Tell whether a clause speaks of the thing taken back, or says that the rest stays."""
    reading = sentence.reading
    if reading.says(_STAYS, low, min(high, low + 3)):
        return True
    if reading.says("thi|=", low, high):
        return False
    if any(low <= item.first <= high and item.kind == old.kind and item.name != old.name
           for item in _things(sentence)):  # fmt: skip
        return False
    names = {
        word.text
        for word in reading.words[old.first : old.last + 1]
        if (old.kind[0] != "#" and len(word.text) > _TWICE) or word.text.isdecimal()
    }
    said = {word.text for word in reading.words[low : high + 1]}
    if old.kind == "@" or old.kind[0] == "#":
        denies = reading.says(r"khong|not|het|loi|chua|chu|no|van", low, high)
        return bool(names & said) and denies
    return bool(names & said) and not reading.says(CHANNEL, low, high)
