"""Names that a sentence gives to groups and places of which the catalogue has no list.

A value that nobody listed is copied from the sentence: the words after "khách", "nhóm", "ở",
before "customers", in quotes, or with a capital letter. Well-known places are spelt as in full
Vietnamese, however they were typed: "da nang" would equal no stored "Đà Nẵng".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from leo_activation.decision.lexicon import cue
from leo_activation.decision.places import KINDS, Place, places_of
from leo_activation.decision.quantities import fold
from leo_activation.decision.reading import Reading

_LONGEST = 4
_MOST = 14
_PIECE = re.compile(r"\w+(?:[.'-]\w+)*|[^\w\s]")
_QUOTED = re.compile(r"[\"“”'‘’«»]([^\"“”'‘’«»]{1,40})[\"“”'‘’«»]")
# Ranks that are named without anything around them: "non-VIPs", "vip thì".
_TIER = re.compile(r"\b(?:vv?ip|gold|silver|platinum|diamond)(?=s?\b)", re.IGNORECASE)
# Signs between a word such as "nhóm" and the name.
_SIGNS = frozenset(':="“‘«')
_LONGEST_INSTITUTION = 8
_HEADS = tuple(
    tuple(head.split())
    for head in (
        "khach hang|khach|kh|nhom|phan khuc|hang|thanh vien|hoi vien|goi|tai|o|tu|la|"
        "chi nhanh|co so|thanh pho|tinh|quan|khu vuc|nguoi|dan|thuoc|nguoi dung|ngoai|"
        "nganh|dung|loai|tag|thich|segment|group|tier|in|from|of|the|are|outside|"
        "plan|is|who are|trong|tieng|hoac|hay|va|or|and|cu dan|ai|like|bang|"
        "nhan vien|nv|cong ty|cty|truong|que|giong|nuoi|thuong hieu|brand|breed|tru|phai|=|=="
    ).split("|")
)
_TAILS = frozenset(
    "customers customer members member users user segment group people clients tier branch guests "
    "subscribers holders passengers patients students shoppers owners lovers fans".split()
)
STOPS = frozenset(
    "thi se duoc nhan gui nhan cho va hoac hay con neu khong ko chua tru ngoai sau truoc cho "
    "doi roi "
    "moi voi qua bang email zalo sms push telegram mail tele zns la co da dang tren duoi hon "
    "tu den "
    "tin thu thong bao a nhe nha gium giup ho di nua deu nen phai ma nhung rieng chi tat ca moi "
    "the an to get gets should receive receives send with who that if then else otherwise and or "
    "except but by via on for not are is they them it all everyone please".split()
)

_PERSONS = frozenset("ai khach nguoi nhom nha ban kh hoi ho chi anh em".split())


@dataclass(frozen=True)
class _Token:
    text: str
    plain: str
    start: int
    end: int


def open_values(sentence: str) -> list[str]:
    """Return the pieces of a sentence that may be the value of an open attribute.

    :param sentence: as it was typed.
    """
    tokens = [
        _Token(match.group(), fold(match.group()), match.start(), match.end())
        for match in _PIECE.finditer(sentence)
    ]
    places = list(_places(Reading(sentence)))
    spelt = {typed: place.called for typed, place in places}
    names = [name for _, place in places for name in (place.called, place.name)]
    found: dict[str, None] = dict.fromkeys(names)
    for value in (
        *_QUOTED.findall(sentence),
        *_institutions(sentence, tokens, spelt),
        *_capitalised(sentence, tokens),
        *_TIER.findall(sentence),
        *_opening(sentence, tokens),
        *_after_heads(sentence, tokens),
        *_before_tails(sentence, tokens),
    ):
        cleaned = value.strip(" .,:;-")
        if cleaned and len(cleaned) <= 40 and not any(sign in cleaned for sign in "<>{}[]"):
            found.setdefault(spelt.get(fold(cleaned), cleaned))
    return list(found)[:_MOST]


def _places(reading: Reading) -> Iterator[tuple[str, Place]]:
    """Yield well-known places, as they are typed without accents and as they are spelt."""
    for place in places_of(reading, KINDS):
        words = reading.words[place.first : place.last + 1]
        yield fold(reading.sentence[words[0].start : words[-1].end]), place


def _institutions(sentence: str, tokens: Sequence[_Token], known: Collection[str]) -> Iterator[str]:
    """Yield names that begin with what they name: "Đại học Bách khoa Hà Nội"."""
    words = " ".join(token.plain for token in tokens)
    for match in re.finditer(rf"\b(?:{cue('institutions')})\b", words):
        first = words.count(" ", 0, match.start())
        head = first + match.group().count(" ") + 1
        last = head
        while last < len(tokens) and last - first < _LONGEST_INSTITUTION:
            if tokens[last].plain in STOPS or not tokens[last].text[0].isalnum():
                break
            last += 1
        capitals = [at + 1 for at in range(head, last) if tokens[at].text[0].isupper()]
        places = [at for at in range(head + 1, last + 1)
                  if any(" ".join(words.split()[at - width : at]) in known
                         for width in (2, 3))]  # fmt: skip
        ends = capitals[-1:] or places[-1:] or range(min(last, first + _LONGEST), head, -1)
        for end in ends:
            yield sentence[tokens[first].start : tokens[end - 1].end]


def _opening(sentence: str, tokens: Sequence[_Token]) -> Iterator[str]:
    """Yield what opens a clause before "thì" or "mà": "poodle mà hơn 20 ngày chưa tắm"."""
    for at, token in enumerate(tokens):
        opens = at == 0 or tokens[at - 1].text in ",.;:"
        if not opens or token.plain in STOPS or token.plain in _PERSONS:
            continue
        for end in range(at + 1, min(at + 3, len(tokens))):
            if tokens[end].plain in ("thi", "ma"):
                yield sentence[token.start : tokens[end - 1].end]
                break
            if not tokens[end].text[0].isalnum():
                break


def _capitalised(sentence: str, tokens: Sequence[_Token]) -> Iterator[str]:
    """Yield runs of words with a capital letter, except the one that opens the sentence."""
    at = 0
    while at < len(tokens):
        last = at
        while last < len(tokens) and _is_capital(tokens[last], at if last > at else -1):
            last += 1
        opening = at == 0 and last == 1 and not tokens[0].text.isupper()
        if last > at and not opening:
            if tokens[at].plain not in STOPS or last - at > 1:
                yield sentence[tokens[at].start : tokens[last - 1].end]
            if at == 0 and last > 1:
                yield sentence[tokens[1].start : tokens[last - 1].end]
        at = max(last, at + 1)


def _is_capital(token: _Token, inside: int) -> bool:
    return token.text[:1].isupper() or (inside >= 0 and (token.text.isdigit() or token.text == "."))


def _after_heads(sentence: str, tokens: Sequence[_Token]) -> Iterator[str]:
    words = [token.plain for token in tokens]
    for at in range(len(tokens)):
        for head in _HEADS:
            if tuple(words[at : at + len(head)]) == head:
                yield from _pieces(sentence, tokens, at + len(head))


def _pieces(sentence: str, tokens: Sequence[_Token], first: int) -> Iterator[str]:
    first += first < len(tokens) and tokens[first].text in _SIGNS
    last = first
    while last < len(tokens) and last < first + _LONGEST:
        token = tokens[last]
        if token.plain in STOPS or not token.text[0].isalnum():
            break
        last += 1
    for end in range(last, first, -1):
        yield sentence[tokens[first].start : tokens[end - 1].end]


def _before_tails(sentence: str, tokens: Sequence[_Token]) -> Iterator[str]:
    for at, token in enumerate(tokens):
        if token.plain not in _TAILS:
            continue
        first = at
        while first > 0 and first > at - 3 and tokens[first - 1].plain not in STOPS:
            first -= 1
            if not tokens[first].text[0].isalnum():
                first += 1
                break
        for start in range(first, at):
            yield sentence[tokens[start].start : tokens[at - 1].end]
