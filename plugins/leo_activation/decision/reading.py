"""Which names of a catalogue a sentence speaks of, where, and how surely.

A mention is a run of words that stands for a value, an attribute or a template. It is found by
meaning (``lexicon``), not by spelling alone, and keeps its place, since what belongs together
stands together.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache

from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.lexicon import (
    COMMON,
    Feature,
    Word,
    cue,
    features,
    is_common,
    name_words,
    words_of,
)

_WIDEST = 9
_ENOUGH = 0.58
# What a word that many names have counts beside one that few have.
_LITTLE, _LEAST = 0.45, 0.2
# The share from which on all of a name was said.
_ALL = 0.95
# What one word of a phrase counts beside the whole.
_PART = 0.5
# A phrase of more words is also read word by word.
_PHRASE = 2
# A name of so few letters is a code.
_CODE = 3
# Codes of countries, languages and majors that are also words of every English sentence.
_FUNCTION_WORDS = frozenset("in it or an is no to on at by us am be as so me my we he and".split())
_BREAKS = frozenset(",;:.?!()")
_DENIES = r"khong|chua|ngung|not|no|never|without|non"
_DENIED = (
    rf"{_DENIES}|nghi|bo|het|roi|stopped|stop|quit|left|lapsed|lost|missing|inactive|un\w+|thieu|"
    r"mat|bao gio|drop\w*|gone|churn\w*|lau|away|haven t|hasn t|don t|doesn t"
)
# Words that end one part of a sentence, as they are typed.
_PARTS = frozenset("thì nếu if gửi send nhắn they who whose nhưng but unless trừ".split())
# What parts two names in one label, and the two ends of a route.
_PIECES = re.compile(r"\s/\s|[(),;]|(?<=[^\W\d])/(?=[^\W\d])")
_ROUTE = re.compile(r"\s*[-–—]\s*|\s*(?:→|->)\s*")
_ENDS = ("from", "to")
_PLAIN = re.compile(r"[a-z0-9]+")
_ALIASES = {
    "tp ho chi minh": ("tphcm", "tp hcm", "hcm", "sai gon", "sg", "ho chi minh", "hcmc", "saigon",
    "tp ho chi minh",
                       "thanh pho ho chi minh"),
    "tp hcm": ("tphcm", "hcm", "sai gon", "ho chi minh", "tp ho chi minh", "hcmc", "saigon"),
    "tphcm": ("tp hcm", "hcm", "sai gon", "ho chi minh", "tp ho chi minh", "hcmc", "saigon"),
    "ho chi minh": ("tphcm", "tp hcm", "hcm", "sai gon", "hcmc", "saigon"),
    "ha noi": ("hanoi", "hn"), "da nang": ("danang", "dn"), "hai phong": ("haiphong",),
    "can tho": ("cantho",), "hue": (), "nha trang": ("nhatrang",), "vung tau": ("vungtau",),
}  # fmt: skip


@dataclass(frozen=True)
class Mention:
    """A run of words and what it may stand for.

    :param first: index of its first word.
    :param last: index of its last word.
    :param names: what it may stand for, by how well it fits, the best first.
    :param share: how much of the best one's own words were said, up to 1.
    """

    first: int
    last: int
    names: tuple[tuple[str, float], ...]
    share: float

    @property
    def best(self) -> str:
        """Return the name that fits best."""
        return self.names[0][0]

    def overlaps(self, other: Mention) -> bool:
        """Tell whether two mentions share a word."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Variant:
    """One way in which a name is known: its own words, or its label's.

    :param units: what each of its words or phrases may mean; one meaning said is enough.
    :param typed: its words with their accents.
    :param parts: what the single words of each unit may mean, where it is a phrase.
    """

    name: str
    words: tuple[str, ...]
    units: tuple[frozenset[str], ...]
    typed: tuple[str, ...] = ()
    parts: tuple[frozenset[str], ...] = ()


def variants_of(names: Mapping[str, str]) -> list[Variant]:
    """Return the ways in which names are known.

    :param names: label by name.
    """
    made = []
    for name, label in names.items():
        # A code such as "ZNS_012" is also said as it is written.
        own = words_of(label)
        called = {word.text for word in own}
        telling = {word.text for word in own if word.text in COMMON and not is_common(word)}
        for words in (name_words(name), words_of(name.replace("_", " ")), own):
            plain = tuple(word.text for word in words if word.text[0].isalnum())
            found = features(words, spelt=bool(label))
            known = {index for item in found for index in range(item.first, item.last + 1)}
            lost = {word.text for index, word in enumerate(words) if index not in known} & telling
            if plain and words is not own and lost and called >= set(plain):
                # In "co_tu_ruou" only the label's accents tell that a word is none of everyday.
                made.append(Variant(name, plain, (), tuple(word.typed for word in words)))
            elif plain and _is_only_code(words, own):
                # The city "dn" is Da Nang, and no "doanh nghiệp".
                made.append(Variant(name, plain, (), plain))
            elif plain:
                typed = tuple(word.typed for word in words if word.text[0].isalnum())
                units = units_of(found)
                parts = tuple(_parts_of(found, unit) for unit in units)
                made.append(Variant(name, plain, units, typed, parts))
                if any(item.last - item.first >= _PHRASE for item in found):
                    # Who knows a long phrase also knows the words that it consists of.
                    single = features(words, spelt=bool(label), longest=_PHRASE)
                    if known <= {at for item in single for at in range(item.first, item.last + 1)}:
                        made.append(Variant(name, plain, units_of(single), typed))
            for alias in (*_ALIASES.get(" ".join(plain), ()), *_short_forms(name, plain)):
                made.append(Variant(name, tuple(alias.split()), ()))
        made += [Variant(name, words, ()) for words in _with_signs(label)]
    return made


def _with_signs(label: str) -> Iterator[tuple[str, ...]]:
    """Yield how a label with signs is said word by word, routes also in short: "hn - vinh"."""
    signs = tuple(word.text for word in words_of(label))
    if all(word[0].isalnum() for word in signs):
        return
    yield signs
    ends = _ROUTE.split(label)
    if len(ends) != len(_ENDS):
        return
    ways = [[tuple(word.text for word in words_of(end)) for end in ends]]
    ways[0] = [end for end in ways[0] if end]
    if len(ways[0]) != len(_ENDS):
        return
    known = [{end, *(tuple(alias.split()) for alias in _ALIASES.get(" ".join(end), ()))}
             for end in ways[0]]  # fmt: skip
    short = [{*names, ("".join(word[0] for word in end),)} if len(end) > 1 else names
             for end, names in zip(ways[0], known, strict=True)]  # fmt: skip
    for one in short[0]:
        for other in short[1]:
            yield from ((*one, "-", *other), (*one, "–", *other))
    for one in known[0]:
        for other in known[1]:
            yield from ((*one, *other), (*one, "di", *other), (*one, "to", *other))


def pieces_of(names: Mapping[str, str]) -> list[Variant]:
    """Return what values are also called where a label has two names: "KOL / beauty blogger".

    :param names: label by name.
    """
    made = []
    for name, label in names.items():
        pieces = [piece.strip() for piece in _PIECES.split(label) if piece.strip()]
        for piece in pieces if len(pieces) > 1 else ():
            words = words_of(piece)
            plain = tuple(word.text for word in words if word.text[0].isalnum())
            found = features(words, spelt=True)
            if units_of(found) and not all(word.isdecimal() for word in plain):
                typed = tuple(word.typed for word in words if word.text[0].isalnum())
                made.append(Variant(name, plain, units_of(found), typed))
    return made


def _is_only_code(words: Sequence[Word], own: Sequence[Word]) -> bool:
    """Tell whether a name is two or three letters that mean something else than its label."""
    if len(words) != 1 or not own or len(words[0].text) > _CODE:
        return False
    if words[0].text in {word.text for word in own}:
        return False
    told = {item.name for item in features(words)}
    meant = {item.name.removeprefix("~") for item in features(own, spelt=True)}
    return not told & meant


def _short_forms(name: str, plain: Sequence[str]) -> Iterator[str]:
    """Yield how chats shorten the name of a place: "q9", "quận 9", "thuduc"."""
    if len(plain) == 2 and plain[0] in ("quan", "district", "q") and plain[1].isdecimal():
        yield from (f"{word}{plain[1]}" for word in ("q", "quan", "d"))
        yield from (f"{word} {plain[1]}" for word in ("q", "quan", "district"))
    elif len(plain) > 1 and _is_proper(name):
        yield "".join(plain)


def units_of(found: Sequence[Feature]) -> tuple[frozenset[str], ...]:
    """Return the meanings of each run of words that has any of its own."""
    runs: dict[tuple[int, int], set[str]] = {}
    for item in found:
        if item.name[0] != "~":
            runs.setdefault((item.first, item.last), set()).add(item.name)
    return tuple(dict.fromkeys(frozenset(names) for names in runs.values()))


def _parts_of(found: Sequence[Feature], unit: frozenset[str]) -> frozenset[str]:
    """Return what the parts of a phrase may mean, but for those that many names have."""
    runs = {(item.first, item.last) for item in found if item.name in unit}
    return frozenset(
        item.name[1:] for item in found if item.name[0] == "~" and item.name[1:] not in _little()
        and any(first <= item.first and item.last <= last for first, last in runs)
    )  # fmt: skip


class Index:
    """Names that tell themselves apart by what they mean.

    :param names: label by name.
    :param pieces: whether a label may have two names, each of them enough.
    """

    def __init__(self, names: Mapping[str, str], *, pieces: bool = False) -> None:
        """Weigh each feature by how few of the names have it."""
        self.variants = variants_of(names) + (pieces_of(names) if pieces else [])
        owners: dict[str, set[str]] = {}
        for variant in self.variants:
            for told in {item for unit in variant.units for item in unit}:
                owners.setdefault(told, set()).add(variant.name)
        self.weights = {
            told: _little().get(told, 1.0) / len(names) ** 0.7 for told, names in owners.items()
        }

    def weight(self, units: Iterable[frozenset[str]]) -> float:
        """Return how much meanings tell."""
        return sum((max(self.weights.get(item, 0.0) for item in unit) for unit in units), 0.0)

    def scores(self, said: Sequence[Feature]) -> dict[str, tuple[float, float]]:
        """Return for each name with any match its score and the share of it that was said."""
        known = {item.name.removeprefix("~") for item in said}
        found: dict[str, tuple[float, float]] = {}
        for variant in self.variants:
            matched = self.weight(unit & known for unit in variant.units if unit & known)
            matched += _PART * self.weight(
                unit for unit, parts in zip(variant.units, variant.parts, strict=False)
                if parts & known and not unit & known
            )  # fmt: skip
            if matched <= 0:
                continue
            share = matched / self.weight(variant.units)
            score = matched * (0.4 + 0.6 * share)
            if score > found.get(variant.name, (0.0, 0.0))[0]:
                found[variant.name] = (score, share)
        return found


@cache
def _little() -> dict[str, float]:
    """Return what those meanings count that many names have: "mời", "nhắc", "số"."""
    return {
        item.name: worth
        for name, worth in (("generic", _LITTLE), ("counting", _LEAST))
        for item in features(words_of(cue(name)))
    }


def index_of(names: Mapping[str, str], *, pieces: bool = False) -> Index:
    """Return the index of some names; those of a catalogue are made once.

    :param names: label by name.
    :param pieces: whether a label may have two names, each of them enough.
    """
    return _index_of(tuple(names.items()), pieces)


@lru_cache(maxsize=4_096)
def _index_of(names: tuple[tuple[str, str], ...], pieces: bool) -> Index:  # noqa: FBT001
    return Index(dict(names), pieces=pieces)


class Reading:
    """A sentence with the places of its words.

    :param sentence: as the marketer wrote it.
    """

    def __init__(self, sentence: str) -> None:
        """Split it into words and meanings."""
        self.sentence = sentence
        self.words: list[Word] = words_of(sentence)
        self.features = features(self.words)
        self.text = " ".join(word.text for word in self.words)

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for word in self.words:
            starts.append(at)
            at += len(word.text) + 1
        return starts

    def at(self, position: int) -> int:
        """Return the index of the word at a position of :attr:`text`."""
        index = 0
        while index + 1 < len(self._starts) and self._starts[index + 1] <= position:
            index += 1
        return index

    def find(self, pattern: str, first: int = 0, last: int | None = None) -> list[tuple[int, int]]:
        """Return the places where a pattern stands, as first and last word.

        :param first: word to begin at.
        :param last: word to end at.
        """
        low, high = self._range(first, last)
        found = re.finditer(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", self.text[low:high])
        return [(self.at(low + item.start()), self.at(low + max(item.start(), item.end() - 1)))
                for item in found]  # fmt: skip

    def says(self, pattern: str, first: int = 0, last: int | None = None) -> bool:
        """Tell whether a pattern stands among some words."""
        return bool(self.find(pattern, first, last))

    def _range(self, first: int, last: int | None) -> tuple[int, int]:
        if not self.words or first >= len(self.words):
            return len(self.text), len(self.text)
        end = len(self.words) - 1 if last is None else min(last, len(self.words) - 1)
        low = self._starts[max(0, first)]
        return low, (self._starts[end] + len(self.words[end].text) if end >= 0 else low)

    def text_of(self, first: int, last: int) -> str:
        """Return a run of words."""
        return " ".join(word.text for word in self.words[max(0, first) : last + 1])

    def inside(self, first: int, last: int) -> list[Feature]:
        """Return the meanings of a run of words."""
        return [item for item in self.features if first <= item.first and item.last <= last]

    def mentions(
        self, names: Mapping[str, str], *, literal: bool = False, pieces: bool = False
    ) -> list[Mention]:
        """Return where names are spoken of, each word used once, the surest first.

        :param names: label by name.
        :param literal: only where all words of a name stand together.
        :param pieces: whether a label may have two names, each of them enough.
        """
        index = index_of(names, pieces=pieces)
        found = self._literal(index.variants)
        if not literal:
            found += self._meant(index, names)
        return _apart(found)

    def _literal(self, variants: Sequence[Variant]) -> list[Mention]:
        plain = [word.text for word in self.words]
        found: dict[tuple[int, int], dict[str, float]] = {}
        for variant in variants:
            size = len(variant.words)
            for first in range(len(plain) - size + 1):
                if tuple(plain[first : first + size]) == variant.words:
                    if size == 1 and (_is_other(self.words[first], variant)
                                      or self._is_function_word(first)
                                      or self._is_everyday(first, variant)):  # fmt: skip
                        continue
                    place = found.setdefault((first, first + size - 1), {})
                    place[variant.name] = 3.0 + size
        return [
            Mention(first, last, tuple(sorted(names.items(), key=lambda pair: -pair[1])), 1.0)
            for (first, last), names in found.items()
        ]

    @cached_property
    def _is_accented(self) -> bool:
        """Tell whether the sentence is typed with accents."""
        return any(word.typed != word.text for word in self.words)

    def _is_everyday(self, at: int, variant: Variant) -> bool:
        """Tell whether a word is "cho" (for), though "chó" (dog) may be called so, too."""
        word = self.words[at]
        return word.text == word.typed == "cho" and variant.name == "cho" and self._is_accented

    def _is_function_word(self, at: int) -> bool:
        """Tell whether a word is "in" or "it", and not the code that is written like it."""
        word = self.words[at]
        return word.text in _FUNCTION_WORDS and not self.sentence[word.start : word.end].isupper()

    def _meant(self, index: Index, labels: Mapping[str, str]) -> list[Mention]:
        found = []
        told = set(index.weights)
        proper = {item.name for item in index.variants if _is_proper(item.name)}
        digits = {word for item in index.variants for word in item.words if word.isdecimal()}
        marks = [item for item in self.features if item.name.removeprefix("~") in told]
        for first in sorted({item.first for item in marks}):
            for last in sorted(
                {item.last for item in marks if first <= item.last < first + _WIDEST}
            ):
                if any(_ends(word, digits) for word in self.words[first : last + 1]):
                    break
                only_part = self._is_only_part(marks, first, last)
                scores = {} if only_part else index.scores(self.inside(first, last))
                scores = {
                    name: value
                    for name, value in scores.items()
                    if name not in proper or labels.get(name)
                }
                if not scores:
                    continue
                if first == last:
                    scores = {name: value for name, value in scores.items()
                              if not _is_spelt_otherwise(self.words[first], labels[name])
                              }  # fmt: skip
                    if not scores:
                        continue
                ranked = sorted(scores.items(), key=lambda pair: -pair[1][0])
                ranked = [
                    (name, value)
                    for name, value in ranked
                    if value[1] > _ALL or self._agrees(labels[name], first, last)
                ]
                if not ranked:
                    continue
                best = ranked[0][1]
                if best[1] >= _ENOUGH:
                    # Words that say nothing about it stretch a mention and weaken it.
                    tight = (4 / (3 + last - first + 1)) ** 0.15
                    close = tuple((name, tight * value[0]) for name, value in ranked
                                  if value[0] >= 0.75 * best[0])  # fmt: skip
                    found.append(Mention(first, last, close, best[1]))
        return found

    def _is_only_part(self, marks: Sequence[Feature], first: int, last: int) -> bool:
        """Tell whether a phrase with more words says all that some words say: "the south"."""
        within = {item.name for item in marks if first <= item.first and item.last <= last}
        return all(name[0] == "~" for name in within) and any(
            item.name[0] != "~" and item.first <= first and last <= item.last for item in marks
        )

    def _agrees(self, label: str, first: int, last: int) -> bool:
        """Tell whether a name that denies something is spoken of by words that do so too."""
        if not re.search(rf"\b(?:{_DENIES})\b", " ".join(word.text for word in words_of(label))):
            return True
        return self.says(_DENIED, max(0, first - 2), last + 2)


def _ends(word: Word, digits: Collection[str]) -> bool:
    """Tell whether no mention reaches over a word.

    :param digits: numbers that are parts of names.
    """
    strange = word.text.isdecimal() and word.text not in digits
    return word.text in _BREAKS or word.typed in _PARTS or strange


def _is_proper(name: str) -> bool:
    """Tell whether a name is one of a place or a person, which is meant only when it is said."""
    return (
        " " in name and name[:1].isupper() and any(part[:1].isupper() for part in name.split()[1:])
    )


def _is_other(word: Word, variant: Variant) -> bool:
    """Tell whether accents show that a word is another one: "năm" is not "nam"."""
    return bool(variant.typed) and word.typed != word.text and word.typed != variant.typed[0]


def _is_spelt_otherwise(word: Word, label: str) -> bool:
    """Tell whether accents make a word another one than that of a label: "dòng" is not "Đồng"."""
    if word.typed == word.text:
        return False
    alike = [other for other in words_of(label) if other.text == word.text]
    return bool(alike) and not any(
        other.typed == other.text or _letters(other.typed) == _letters(word.typed)
        for other in alike
    )


def _letters(text: str) -> list[str]:
    """Return letters and accents wherever those stand: "hòa" is "hoà"."""
    return sorted(unicodedata.normalize("NFD", text))


def _apart(found: Sequence[Mention]) -> list[Mention]:
    """Return mentions that share no word: the better first, the shorter of two equal ones."""
    ranked = sorted(found, key=lambda item: (-item.names[0][1], item.last - item.first, item.first))
    kept: list[Mention] = []
    for item in ranked:
        if not any(item.overlaps(other) for other in kept):
            kept.append(item)
    return sorted(kept, key=lambda item: item.first)


def value_names(attribute: Attribute) -> dict[str, str]:
    """Return label by name of an attribute's values."""
    return {value.name: value.label for value in attribute.values}


def template_names(catalogue: Catalogue) -> dict[str, str]:
    """Return label by name of all templates."""
    return {item.template_id: item.label for item in catalogue.templates}
