"""A plan as the words of a sentence suggest it, for the model to follow or to overrule.

Rules read what is said in so many words: who (conditions), what (messages), when (waits), and how
clauses belong together. The draft is advice: it raises the options that it names, and the model
still chooses among all that the grammar allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, cues_document, features, name_words, words_of
from leo_activation.decision.quantities import Quantity, find_quantities
from leo_activation.decision.reading import Index, Mention, Reading, template_names, value_names
from leo_activation.decision.spans import STOPS, open_values
from leo_activation.decision.toolset import ToolSpec

# Scores from here on are of names said word by word.
_LITERAL = 4.0
NEGATED = {
    "eq": "ne", "ne": "eq", "gt": "lte", "lte": "gt", "gte": "lt", "lt": "gte",
    "contains": "not_contains", "not_contains": "contains",
}  # fmt: skip
_CHANNELS: dict[str, tuple[str, str]] = {
    name: ("|".join(strong), "|".join(weak))
    for name, (strong, weak) in cues_document()["channels"].items()
}
_BEFORE = tuple((name, "|".join(words)) for name, words in cues_document()["before"])
_AFTER = tuple((name, "|".join(words)) for name, words in cues_document()["after"])
_ELSE = cue("else")
_SILENT = cue("silent")
_EXCEPT = cue("except")
_NOT_NEAR = cue("not_near")
_WAIT_BEFORE = cue("wait_before")
_WAIT_AFTER = cue("wait_after")
_PAST = cue("past")
_GIVES = cue("gives")
_EVERYONE = cue("everyone")
_OR = cue("or")
_STRONG_BREAK = cue("strong_break")
_THINGS = cue("things")


_MARKERS = cue("markers")


_SENDS = cue("sends")
_ASKS = cue("asks")
_OPENS_QUESTION = cue("opens_question")
_OTHERS = cue("others")
_PERSON = re.compile(
    r"\b(?:anh|chị|ông|bà|thầy|cô|bác|Mr|Mrs|Ms|Dr|Anh|Chị|chi|ong|ba|thay|co|bac) [A-ZĐ][^\W\d_]+(?! (?:tuổi|tuoi))"
)
_FILLERS = cue("fillers")
_CHORES = cue("chores")
_STOPS_ALL = cue("stops_all")
_ATTACKS = cue("attacks")


_FOLLOWERS = cue("followers")


@dataclass(frozen=True)
class Condition:
    """A restriction that the sentence states.

    :param attributes: by how well they fit.
    :param operators: by how sure the words are.
    :param values: in the catalogue's or the sentence's spelling, by how well they fit.
    :param items: several values of which one is enough.
    """

    first: int
    last: int
    attributes: Mapping[str, float]
    operators: Mapping[str, float]
    values: Mapping[str, float]
    items: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Return the attribute and the value that fit best."""
        return next(iter(self.attributes)), next(iter(self.values), "")


@dataclass(frozen=True)
class Message:
    """A message that the sentence asks for.

    :param channels: empty when none is named.
    :param templates: by how well they fit; empty when the sentence names none.
    """

    first: int
    last: int
    channels: tuple[str, ...]
    templates: Mapping[str, float]


@dataclass(frozen=True)
class Pause:
    """A wait that the sentence asks for."""

    first: int
    last: int
    minutes: int
    is_after: bool = False


@dataclass
class Branch:
    """Conditions, then waits and messages."""

    conditions: list[Condition] = field(default_factory=list)
    actions: list[Pause | Message] = field(default_factory=list)
    is_rest: bool = False
    is_silent: bool = False

    @property
    def sends(self) -> bool:
        """Tell whether the branch has a message."""
        return any(isinstance(item, Message) for item in self.actions)


Step = Condition | Pause | Message


class Drafter:
    """Reads one sentence against one catalogue.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    """

    def __init__(self, spec: ToolSpec, sentence: str) -> None:
        """Split the sentence into words."""
        self.spec, self.catalogue = spec, spec.catalogue
        self.reading = Reading(sentence)
        self.quantities = [self._placed(item) for item in find_quantities(sentence)]

    def _placed(self, item: Quantity) -> tuple[Quantity, int, int]:
        """Return a quantity with its first and last word."""
        words = self.reading.words
        first = next((i for i, word in enumerate(words) if word.end > item.start), len(words) - 1)
        last = max(
            (i for i, word in enumerate(words) if word.start < max(item.end, item.start + 1)),
            default=first,
        )
        return item, first, last

    # -- what is mentioned -----------------------------------------------------------------

    @cached_property
    def template_mentions(self) -> list[Mention]:
        """Return where templates are named."""
        return self.reading.mentions(template_names(self.catalogue))

    @cached_property
    def elses(self) -> list[tuple[int, int]]:
        """Return where "everybody else" is said."""
        return self.reading.find(_ELSE)

    @cached_property
    def value_mentions(self) -> list[tuple[Attribute, Mention]]:
        """Return where values are named, each word used once."""
        found: list[tuple[Attribute, Mention]] = []
        for attribute in self.catalogue.attributes:
            if attribute.type in ("set", "text", "any") and attribute.values:
                found += [(attribute, item) for item in self._values_of(attribute)]
        found.sort(key=lambda pair: -pair[1].names[0][1])
        kept: list[tuple[Attribute, Mention]] = []
        for attribute, item in found:
            if not any(item.overlaps(other) for _, other in kept):
                kept.append((attribute, item))
        return sorted(kept, key=lambda pair: pair[1].first)

    def _values_of(self, attribute: Attribute) -> Iterator[Mention]:
        names = value_names(attribute)
        literal = not any(names.values()) and len(names) > 16
        for item in self.reading.mentions(names, literal=literal):
            if self._is_lone(item) and not self._names_attribute(attribute, item):
                continue
            yield item

    def _is_lone(self, item: Mention) -> bool:
        """Tell whether a mention is one short or everyday word without anybody it could be about."""
        words = self.reading.words[item.first : item.last + 1]
        if len(words) == 1 and len(words[0].text) == 1:
            return True
        short = len(words) == 1 and len(words[0].text) <= 4 and item.names[0][1] < 20
        everyday = item.names[0][1] < 3 and all(
            feature.name in _everyday() or feature.name[0] == "~"
            for feature in self.reading.inside(item.first, item.last)
        )
        opens = self._clause_start(item.first) == item.first and not everyday
        marked = self.reading.says(_MARKERS, max(0, item.first - 2), item.first - 1)
        followed = self.reading.says(_FOLLOWERS, item.last + 1, item.last + 1)
        return everyday or (short and not (opens or marked or followed))

    def _names_attribute(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether the attribute itself is named around a value."""
        told = _told(attribute)
        near = self.reading.inside(max(0, item.first - 4), item.last + 2)
        return bool(told & {feature.name for feature in near})

    # -- conditions ------------------------------------------------------------------------

    @cached_property
    def conditions(self) -> list[Condition]:
        """Return the restrictions, in the sentence's order."""
        found = [*self._named_conditions(), *self._yes_no(), *self._amounts(), *self._days()]
        found += self._open(found)
        found += self._known(found)
        found.sort(key=lambda item: (item.first, item.last))
        return self._merged([item for item in found if not self._is_subject(item)])

    def _named_conditions(self) -> Iterator[Condition]:
        for attribute, item in self.value_mentions:
            if self._is_template_only(item) or self._is_channel(attribute, item):
                continue
            if self._is_a_channel(item):
                continue
            operator = "contains" if attribute.type == "set" else "eq"
            if self.is_excepted(item.first, item.last):
                operator = NEGATED[operator]
            yield Condition(
                item.first, item.last, {attribute.name: 1.0}, {operator: 1.0}, dict(item.names)
            )

    def _is_a_channel(self, item: Mention) -> bool:
        """Tell whether words are part of what a channel is called."""
        return any(
            low <= item.first and item.last <= high for _, low, high in self.channel_mentions
        )

    def _is_channel(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether a value is only the channel of the message."""
        if item.best not in _CHANNELS and item.best.lower() not in _CHANNELS:
            return False
        return not self.reading.says(
            r"thich|ua|hay dung|quen dung|prefer\w*|favou?rite|likes?|kenh", max(0, item.first - 6), item.last + 4
        )

    def _is_template_only(self, item: Mention) -> bool:
        """Tell whether the words are those of a template and name no audience."""
        if self._clause_start(item.first) == item.first:
            return False
        marked = self.reading.says(_MARKERS, max(0, item.first - 3), item.first - 1)
        breaks = self.reading.find(r"[,;:.]", max(0, item.first - 3), item.first - 1)
        start = max(0, item.first - 2, *(high + 1 for _, high in breaks))
        asked = rf"{_channel_pattern()}|gui|nhac|moi|tang|bao|send|the"
        if start == item.first:
            return False
        if not marked and item.names[0][1] < 3 and self.reading.says(asked, start, item.first - 1):
            return True
        for other in self.template_mentions:
            wider = other.first < item.first or (other.first == item.first and other.last > item.last)
            if other.share < 0.5 or not item.overlaps(other) or not wider:
                continue
            start = min(max(other.first, item.first - 4), item.first - 1)
            if other.first == item.first:
                start = item.first - 2
            if not self.reading.says(_MARKERS, max(0, start), item.first - 1):
                return True
        return False

    def _is_subject(self, item: Condition) -> bool:
        """Tell whether a place is what the message is about: everyone is to get it."""
        attribute = self.catalogue.attribute(next(iter(item.attributes)))
        if attribute is None or attribute.type not in ("text", "any") or "eq" not in item.operators:
            return False
        return self.reading.says(_THINGS, max(0, item.first - 3), item.first - 1) and not (
            self.reading.says(r"khach|nguoi|ai|dan|thanh vien|hoi vien|customers?|people|anyone|those", max(0, item.first - 3), item.first)
        ) and self.reading.says(_EVERYONE)  # fmt: skip

    def is_excepted(self, first: int, last: int) -> bool:
        """Tell whether a mention is of those who are left out."""
        start = self._clause_start(first)
        for low, high in self.reading.find(_EXCEPT, start, first):
            if high < first and self._reaches(low, high, first):
                return True
        after = self.reading.find(r"ra(?! \w*ng)|thi thoi", last + 1, last + 2)
        opened = self.reading.says(r"ngoai|tru|bo|loai", max(0, first - 3), first - 1)
        return bool(after) and opened

    def _reaches(self, low: int, high: int, first: int) -> bool:
        """Tell whether an exception reaches from its words to a mention."""
        words = self.reading.text_of(low, high)
        between = self.reading.text_of(high + 1, first - 1)
        if re.fullmatch(r"not|non|bo|bo qua|skip|ngoai|loai|outside(?: of)?|k phai", words):
            return len(between.split()) <= 3 and not re.search(r"\d|cho ", between)
        if re.search(r"phai|thuoc|o$|la$|n ?t$|not in", words):
            return len(between.split()) <= 4
        return not re.search(r"\b(?:thi|gui|nhan|send)\b", between)

    def _clause_start(self, first: int) -> int:
        breaks = self.reading.find(r"[;.:]|thi|con lai|nhung(?! nguoi| khach| ai)", 0, first - 1) if first else []
        ends = [high + 1 for _, high in breaks]
        return max(ends, default=0)

    def _yes_no(self) -> Iterator[Condition]:
        for attribute in self.catalogue.attributes:
            if attribute.type != "boolean":
                continue
            for item in self.reading.mentions({attribute.name: attribute.label}):
                if item.share < 0.6 or self._is_taken(item) or self._is_a_channel(item):
                    continue
                before = max(self._clause_start(item.first), item.first - 4)
                denied = self.reading.says(_NOT_NEAR, before, item.last)
                own = bool(re.search(rf"\b(?:{_NOT_NEAR})\b", _plain_label(attribute)))
                excepted = self._is_left_out(item.first, item.last)
                value = "true" if (denied == own) != excepted else "false"
                yield Condition(
                    item.first, item.last, {attribute.name: 1.0}, {"eq": 1.0}, {value: 1.0}
                )

    def _is_left_out(self, first: int, last: int) -> bool:
        """Tell whether a yes-or-no mention is of those who are left out, whatever it denies."""
        start = self._clause_start(first)
        if self.reading.says(r"tru|ngoai tru|except(?: for)?|unless|excluding|trong khi", start, first):
            return True
        return self.reading.says(r"ngoai|loai|bo", start, first - 1) and self.reading.says(r"ra", last + 1, last + 2)

    def _is_taken(self, item: Mention) -> bool:
        """Tell whether words already name a value, or belong to a template alone."""
        if any(item.overlaps(other) for _, other in self.value_mentions):
            return True
        if self.reading.says(r"hang|cap|tier|level|rank", item.last + 1, item.last + 1):
            return True
        marked = self.reading.says(
            r"co|da|chua|khong|dang|with|without|have|has|having|not|ai|khach|nguoi|yet|own\w*|who|nuoi|dung",
            max(0, item.first - 2), item.first,
        )  # fmt: skip
        if marked:
            return False
        if any(item.overlaps(other) and other.share >= 0.5 for other in self.template_mentions):
            return True
        alone = self._clause_start(item.first) == item.first or item.names[0][1] >= _LITERAL
        return not alone and not self.reading.says(
            _MARKERS, max(0, item.first - 3), item.first - 1
        )

    # -- amounts ---------------------------------------------------------------------------

    def _amounts(self) -> Iterator[Condition]:
        numbers = [item for item in self.catalogue.attributes if item.type in ("number", "any")]
        for index, (quantity, first, last) in enumerate(self.quantities):
            if quantity.kind == "date" or self._pause_of(quantity, first, last):
                continue
            if any(first >= item.first and last <= item.last for _, item in self.value_mentions):
                continue
            operators = self._operators(index)
            if not operators and self.reading.words[first].text in ("a", "an"):
                continue
            fitting = self._fitting(numbers, quantity, first, last)
            if not fitting:
                continue
            attribute = self.catalogue.attribute(next(iter(fitting)))
            said = fitting[next(iter(fitting))] > 0
            if not operators:
                if not said or self._is_given(first) or quantity.kind == "money" and not said:
                    continue
                operators = self._unsaid(quantity, first)
            elif self._is_given(first) and not said:
                continue
            values = {str(amount_of(item, quantity)): 1.0 for name in fitting
                      if (item := self.catalogue.attribute(name)) is not None}  # fmt: skip
            if attribute is None or not values:
                continue
            if self.reading.says(r"tru|ngoai tru|except(?: for)?|unless|excluding|khong phai", self._clause_start(first), first - 1) and (
                not self.reading.says(r"khong (?:duoi|qua|tren)", max(0, first - 2), first)
            ):
                operators = {NEGATED[name]: weight for name, weight in operators.items()}
            yield Condition(first, last, fitting, operators, values)

    def _unsaid(self, quantity: Quantity, first: int) -> dict[str, float]:
        """Return the comparison that goes without saying: nothing bought "90 ngày" is at least."""
        if quantity.kind == "duration":
            return {"gte": 0.6, "gt": 0.4}
        return {"eq": 0.7, "gte": 0.4}

    def _is_given(self, first: int) -> bool:
        return self.reading.says(_GIVES, max(0, first - 2), first - 1)

    def _operators(self, index: int) -> dict[str, float]:
        """Return the comparison that stands next to an amount."""
        _, first, last = self.quantities[index]
        reading = self.reading
        for name, words in _AFTER:
            if any(low == last + 1 for low, _ in reading.find(words, last + 1, last + 5)):
                return {name: 1.0}
            if any(low <= last + 2 for low, _ in reading.find(words, last + 1, last + 5)):
                return {name: 1.0}
        if self._is_range(index, index + 1):
            return {"gte": 1.0}
        if index and self._is_range(index - 1, index):
            return {"lte": 1.0}
        best: tuple[int, int, str] | None = None
        low_bound = max(0, first - 5, self.quantities[index - 1][2] + 1 if index else 0)
        for name, words in _BEFORE:
            for low, high in reading.find(words, low_bound, first - 1):
                gap = reading.text_of(high + 1, first - 1)
                loose = re.fullmatch(r"(?:(?:khoang|tam|la|co|the|a|total|of|muc|so|chung|dung|den|toi|than|mot|moc|tai|qua) ?){0,2}", gap)
                if loose is None and not (name in ("gt", "lt", "gte", "lte") and len(gap.split()) <= 1):
                    continue
                if name == "gte" and reading.text_of(low, high) in ("tu", "from", "du", "dat", "min") and gap:
                    continue
                if best is None or (high, -low) > (best[0], -best[1]):
                    best = (high, low, name)
        return {best[2]: 1.0} if best else {}

    def _is_range(self, one: int, other: int) -> bool:
        """Tell whether two amounts are the ends of one range."""
        if other >= len(self.quantities):
            return False
        (left, first, end), (right, start, _) = self.quantities[one], self.quantities[other]
        between = self.reading.text_of(end + 1, start - 1)
        if not re.fullmatch(r"(?:tuoi |trieu |ngay |nghin )?(?:den|toi|-|–|to|and|va)(?: duoi)?", between):
            return False
        opened = self.reading.says(r"tu|between|from|giua|trong khoang|khoang", max(0, first - 2), first - 1)
        return left.kind in (right.kind, "plain") and (opened or between in ("-", "–", "den", "toi", "to"))

    def _fitting(
        self, numbers: Sequence[Attribute], quantity: Quantity, first: int, last: int
    ) -> dict[str, float]:
        """Return the attributes that an amount may belong to, the one that the words name first."""
        low, high = self._window(first, last)
        said = self.reading.inside(low, high)
        index = Index({item.name: item.label for item in numbers})
        scores = index.scores(said)
        unit = {item.name for item in self.reading.inside(last, last + 2) if item.first > last}
        unit |= self._shared_unit(last)
        found = {}
        for item in numbers:
            if amount_of(item, quantity) is None:
                continue
            score = scores.get(item.name, (0.0, 0.0))[0]
            bonus = 0.8 if _told(item) & unit else 0.0
            found[item.name] = score + bonus + _habit(item, quantity, self.reading, low, high)
        named = {name: score for name, score in found.items() if score > 0}
        bare = [name for name in found if self._is_numeric(name)]
        # The only attribute that an amount can belong to needs no naming.
        kept = named or dict.fromkeys(bare, 0.1 if len(bare) == 1 else 0.0)
        return dict(sorted(kept.items(), key=lambda pair: -pair[1]))

    def _shared_unit(self, last: int) -> set[str]:
        """Return what the second number of a range counts: "15 đến 22 tuổi"."""
        for _, start, end in self.quantities:
            if start == last + 2 and self.reading.says(r"den|toi|-|–|to|and|va", last + 1, last + 1):
                return {item.name for item in self.reading.inside(end + 1, end + 2)}
        return set()

    def _is_numeric(self, name: str) -> bool:
        attribute = self.catalogue.attribute(name)
        return attribute is not None and attribute.type == "number"

    def _window(self, first: int, last: int) -> tuple[int, int]:
        """Return the words around an amount that can say what is counted."""
        stops = rf"[,;.:()]|thi|con lai|roi|hoac|hay|{_channel_pattern()}|cho (?=khach|ai|nhung|nguoi)|gui|nhan|send|then|to"
        others = [(one, two) for _, one, two in self.quantities if two < first or one > last]
        before = [high for _, high in self.reading.find(stops, max(0, first - 9), first - 1)]
        before += [two for _, two in others if two < first]
        after = [low for low, _ in self.reading.find(stops + "|va|and", last + 1, last + 7)]
        after += [one for one, _ in others if one > last]
        return max(before, default=max(-1, first - 10)) + 1, min(after, default=last + 7) - 1

    def _days(self) -> Iterator[Condition]:
        dates = {item.name: item.label for item in self.catalogue.attributes if item.type == "date"}
        for quantity, first, last in self.quantities if dates else ():
            if quantity.kind != "date":
                continue
            scores = Index(dates).scores(self.reading.inside(*self._window(first, last)))
            ranked = {name: scores.get(name, (0.0, 0.0))[0] for name in dates}
            before = self.reading.text_of(max(0, first - 2), first - 1)
            operator = ("lt" if re.search(r"truoc|before|prior", before) else
                        "gt" if re.search(r"sau|after", before) else
                        "gte" if re.search(r"tu|since|from", before) else "eq")  # fmt: skip
            order = dict(sorted(ranked.items(), key=lambda pair: -pair[1]))
            yield Condition(first, last, order, {operator: 1.0}, {quantity.day: 1.0})

    # -- values that no catalogue lists ------------------------------------------------------

    def _open(self, known: Sequence[Condition]) -> Iterator[Condition]:
        attributes = [item for item in self.catalogue.attributes
                      if item.type in ("set", "text", "any") and not item.values]  # fmt: skip
        attributes.sort(key=lambda item: item.type == "set")
        if not attributes:
            return
        taken = {index for item in known for index in range(item.first, item.last + 1)}
        taken |= {index for item in self.channel_mentions for index in range(item[1], item[2] + 1)}
        taken |= {i for _, first, last in self.quantities for i in range(first, last + 1)}
        used: set[str] = set()
        for attribute in attributes:
            for first, last, value, weight in self._open_values(attribute):
                words = set(range(first, last + 1))
                if words & taken or (attribute.name in used and attribute.type != "set"):
                    continue
                taken |= words
                used.add(attribute.name)
                operator = "contains" if attribute.type == "set" else "eq"
                if self.is_excepted(first, last):
                    operator = NEGATED[operator]
                yield Condition(
                    first, last, {attribute.name: weight}, {operator: 1.0}, {value: weight}
                )

    def _open_values(self, attribute: Attribute) -> Iterator[tuple[int, int, str, float]]:
        """Yield the words that can be a value of an attribute without a list."""
        reading = self.reading
        told = _told(attribute)
        frames = _frames(attribute, told)
        for pattern in frames:
            # After an everyday word only a capital letter tells a name.
            for _, high in reading.find(pattern.removeprefix("^")):
                first = high + 1
                while reading.says(r"dan|nguoi|khach|khu vuc|thanh pho|tinh|la|the", first, first):
                    first += 1
                last = self._name_end(first)
                if last < first:
                    continue
                if pattern[0] != "^" or reading.sentence[reading.words[first].start].isupper():
                    yield first, last, self._typed(first, last), 1.0
        offered = {value: self._place(value) for value in open_values(reading.sentence)}
        if attribute.type == "set":
            for low, _ in reading.find(r"customers?|members?|segment|group|clients?|users?|guests?"):
                best = [(place[1] - place[0], place, value) for value, place in offered.items()
                        if place and place[1] == low - 1]  # fmt: skip
                if best:
                    _, (first, last), value = max(best)
                    yield first, last, value, 1.0
            for value, place in offered.items():
                if place and value.upper() in ("VIP", "VVIP", "VIPS"):
                    yield *place, value[:-1] if value.endswith("s") else value, 1.0

    def _name_end(self, first: int) -> int:
        """Return where a name that begins at a word ends; before it when there is none."""
        last = first - 1
        words = self.reading.words
        while last + 1 < len(words) and last - first < 3:
            word = words[last + 1]
            pair = self.reading.text_of(last + 1, last + 2)
            if (word.text in STOPS and pair not in _WHOLE) or not word.text[0].isalnum():
                break
            if word.text.isdigit() and last < first:
                break
            if word.text == "ra":
                break
            last += 1
        return last

    def _typed(self, first: int, last: int) -> str:
        words = self.reading.words
        return self.reading.sentence[words[first].start : words[last].end]

    def _place(self, value: str) -> tuple[int, int] | None:
        words = [word.text for word in words_of(value)]
        plain = [word.text for word in self.reading.words]
        for first in range(len(plain) - len(words) + 1):
            if words and plain[first : first + len(words)] == words:
                return first, first + len(words) - 1
        return None

    def _known(self, found: Sequence[Condition]) -> Iterator[Condition]:
        """Yield the attributes of which the sentence asks whether they are known."""
        used = {name for item in found for name in list(item.attributes)[:1]}
        for attribute in self.catalogue.attributes:
            if attribute.type in ("boolean", "set") or attribute.name in used:
                continue
            for item in self.reading.mentions({attribute.name: attribute.label}):
                start = max(self._clause_start(item.first), item.first - 4)
                has = self.reading.find(
                    r"(?:da |chua |khong )?(?:co|cung cap|dien|biet|nhap|cap nhat)|thieu|without|with|has|have|missing|lacks?|lacking", start, item.first - 1
                )
                tail = self.reading.says(r"on file|tren he thong|trong ho so|la gi", item.last + 1, item.last + 3)
                amount = any(item.first - 3 <= one <= item.last + 4 for _, one, _ in self.quantities)
                if item.share < 0.6 or not (has or tail) or amount or self._in_template(item):
                    continue
                denied = self.reading.says(r"chua|khong|ko|thieu|without|missing|no|lacks?|lacking", start, item.first - 1)
                excepted = self.is_excepted(item.first, item.last) and not denied
                value = "false" if denied or excepted else "true"
                yield Condition(item.first, item.last, {attribute.name: 1.0}, {"exists": 1.0}, {value: 1.0})
                break

    def _in_template(self, item: Mention) -> bool:
        return any(item.overlaps(other) and other.share > 0.6 for other in self.template_mentions)

    def _merged(self, found: Sequence[Condition]) -> list[Condition]:
        """Join values of one attribute that are alternatives."""
        merged: list[Condition] = []
        for item in found:
            before = merged[-1] if merged else None
            if before is not None and self._alternatives(before, item):
                items = (*(before.items or (before.key[1],)), item.key[1])
                merged[-1] = replace(before, last=item.last, operators={"in": 1.0}, items=items)
                continue
            if item.key[1] in ("true", "false") and any(
                item.attributes.keys() == other.attributes.keys() and not self._message_between(other.last, item.first)
                for other in merged
            ):
                merged = [other for other in merged if other.attributes.keys() != item.attributes.keys()]
            if before is not None and item.key == before.key and item.operators == before.operators and (
                not self._message_between(before.last, item.first)
            ):
                continue
            merged.append(item)
        return merged

    def _alternatives(self, one: Condition, other: Condition) -> bool:
        attribute = self.catalogue.attribute(one.key[0])
        if attribute is None or other.key[0] != attribute.name or one.key[1] == other.key[1]:
            return False
        if attribute.type not in ("set", "text") or not {*one.operators, *other.operators} <= {"eq", "contains", "in"}:
            return False
        between = self.reading.text_of(one.last + 1, other.first - 1)
        plain = len(between.split()) <= 6 and not re.search(
            rf"\b(?:gui|nhan|send|thi|nhung|ma|but|con|neu|if|gets?|dong thoi|kiem|{_channel_pattern()})\b|[;:.\d]", between
        )  # fmt: skip
        joined = re.search(rf"(?:^|\b)(?:{_OR})(?:\b|$)|[,/&]", between)
        both = self.reading.says(r"vua|dong thoi|both", max(0, one.first - 3), other.first) and attribute.type == "set"
        return plain and joined is not None and not both

    def _message_between(self, first: int, last: int) -> bool:
        return any(first < low <= last for _, low, _ in self.channel_mentions)

    # -- messages --------------------------------------------------------------------------

    @cached_property
    def channel_mentions(self) -> list[tuple[str, int, int]]:
        """Return where channels are named, those that the catalogue lacks included."""
        strong, weak = self._channels(0), self._channels(1)
        return strong or [item for item in weak if item[0] in self.catalogue.channels]

    def _channels(self, row: int) -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        names = dict.fromkeys((*self.catalogue.channels, *_CHANNELS))
        for name in names:
            pattern = _CHANNELS.get(name, (re.escape(name.replace("_", " ")), ""))[row]
            for first, last in self.reading.find(pattern) if pattern else ():
                found.append((name, first, last))
        found.sort(key=lambda item: (item[1], -item[2]))
        apart: list[tuple[str, int, int]] = []
        for item in found:
            if apart and item[1] <= apart[-1][2]:
                continue
            if not self._is_about(item[1], item[2]):
                apart.append(item)
        return apart

    def _is_about(self, first: int, last: int) -> bool:
        """Tell whether a channel's word is part of a condition instead."""
        for attribute, item in self.value_mentions:
            if item.first <= first and last <= item.last and not self._is_channel(attribute, item):
                return True
        yes_no = [item for item in self.catalogue.attributes if item.type == "boolean"]
        for attribute in yes_no:
            for item in self.reading.mentions({attribute.name: attribute.label}):
                if item.first <= first and last <= item.last and item.share > 0.7:
                    return True
        return self.reading.says(r"da mo|chua mo|mo|co|chua co|xac minh|xac thuc|verified|opened|thich|dia chi|with|without|valid|have|has",
                                 max(0, first - 1), first - 1) and not self.reading.says(r"gui|send|nhan", max(0, first - 2), first - 1) and (
            self.reading.says(r"khach|ai|nguoi|customers?|people|who|thanh vien", max(0, first - 6), first)
        )  # fmt: skip

    @cached_property
    def messages(self) -> list[Message]:
        """Return the messages asked for, in the sentence's order."""
        usable = [item for item in self.channel_mentions if item[0] in self.catalogue.channels]
        if not self.channel_mentions:
            several = self._with_silent([], [])
            if len({self._clause_of(item.first) for item in several}) > 1:
                return several
            return self._unchannelled(0, len(self.reading.words) - 1)
        found = []
        cuts = self._cuts([(first, last) for _, first, last in usable])
        for (name, first, last), (low, high) in zip(usable, cuts, strict=True):
            if found and found[-1].channels == (name,) and self._is_same(found[-1].last, first):
                # "Gửi Telegram mẫu tin Telegram …" is one message.
                low = min(low, found.pop().first)
            found.append(Message(first, last, (name,), self._templates(low, high, name)))
        return self._with_silent(found, cuts)

    def _is_same(self, last: int, first: int) -> bool:
        """Tell whether two mentions of one channel are about one message."""
        between = self.reading.text_of(last + 1, first - 1)
        apart = re.search(r"[,;.:]|\b(?:con|va|and|roi|then|thi|cho|to|for|sau|cho|doi|wait)\b", between)
        return apart is None and not any(last < item.first < first for item in self.conditions)

    def _with_silent(self, found: list[Message], cuts: Sequence[tuple[int, int]]) -> list[Message]:
        """Add the messages of clauses that name a template without a channel."""
        extra: list[Message] = []
        for item in self.template_mentions:
            if item.share < 0.6 or any(m.first <= item.last and item.first <= m.last for m in found):
                continue
            at = self._clause_of(item.first)
            if any(self._clause_of(message.first) == at for message in found):
                continue
            verb = self.reading.says(r"gui|nhan|tang|moi|bao|nhac|send|remind|invite|thank|cam on|chuc|chao|gioi thieu",
                                     max(0, item.first - 4), item.last)  # fmt: skip
            begins = self.reading.says(_ELSE, max(0, item.first - 4), item.first - 1)
            if (verb or begins) and not self._said_by_condition(item):
                extra += self._unchannelled(item.first, item.last)
        return sorted([*found, *extra], key=lambda message: message.first)

    def _said_by_condition(self, item: Mention) -> bool:
        return any(one.first <= item.last and item.first <= one.last for one in self.conditions)

    def _clause_of(self, index: int) -> int:
        """Return which clause a word is in: clauses end at strong breaks and commas."""
        return len(self.reading.find(rf"{_STRONG_BREAK}|[,]", 0, index - 1)) if index else 0

    def _unchannelled(self, low: int, high: int) -> list[Message]:
        ranked = self._templates(low, high, "")
        if not ranked:
            return []
        best = self.catalogue.template(next(iter(ranked)))
        channels = best.channels if best else ()
        return [Message(low, high, tuple(channels), ranked)]

    def _templates(self, low: int, high: int, channel: str) -> dict[str, float]:
        """Return the templates that some words name, on a channel."""
        fitting = (
            self.catalogue.templates_for(channel) if channel else list(self.catalogue.templates)
        )
        index = Index({item.template_id: item.label for item in fitting})
        names = {item.template_id: item.label for item in fitting}
        literal = [item for item in self.reading.mentions(names, literal=True)
                   if low <= item.first and item.last <= high]  # fmt: skip
        spoken = {i for item in self.conditions for i in range(item.first, item.last + 1)}
        said = [item for item in self.reading.inside(low, high)
                if not {item.first, item.last} <= spoken]  # fmt: skip
        scores = {name: score for name, (score, _) in index.scores(said).items()}
        for name, (score, _) in index.scores(self.reading.inside(low, high)).items():
            scores[name] = scores.get(name, 0.0) + 0.15 * score
        for item in literal:
            for name, score in item.names:
                if item.names[0][1] >= 3.5:
                    scores[name] = scores.get(name, 0.0) + score / 2
        return dict(sorted(scores.items(), key=lambda pair: -pair[1]))

    def _cuts(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return for each channel the words of its message."""
        bounds = [0]
        for (_, end), (start, _) in zip(places, places[1:], strict=False):
            breaks = self.reading.find(rf"{_STRONG_BREAK}|[,:]", end + 1, start - 1)
            loose = self.reading.find(r"va|and|thi|con|lan|plus", end + 1, start - 1)
            chosen = breaks or loose
            bounds.append(chosen[0][1] + 1 if chosen else end + 1)
        ends = [bound - 1 for bound in bounds[1:]] + [len(self.reading.words) - 1]
        cuts = list(zip(bounds, ends, strict=True))[: len(places)]
        for index, ((_, end), (start, _)) in enumerate(zip(places, places[1:], strict=False)):
            between = self.reading.text_of(end + 1, start - 1)
            if re.fullmatch(rf"(?:(?:{_OR}|lan|ca|cung|plus|\\+|vua|dong thoi|qua|both|tin) ?)*", between):
                # "cả SMS lẫn email": what is said about one is said about both.
                whole = (cuts[index][0], cuts[index + 1][1])
                cuts[index] = cuts[index + 1] = whole
        return cuts

    # -- waits -----------------------------------------------------------------------------

    def _pause_of(self, quantity: Quantity, first: int, last: int) -> Pause | None:
        limit = self.spec.functions["max_wait_minutes"]
        if quantity.kind != "duration" or not 1 <= quantity.value <= limit:
            return None
        before = self.reading.find(_WAIT_BEFORE, max(0, first - 3), first - 1)
        after = self.reading.find(_WAIT_AFTER, last + 1, last + 2)
        near = [pair for pair in before if pair[1] == first - 1]
        follows = [pair for pair in after if pair[0] == last + 1]
        follows = follows or self.reading.find(r"sau khi|after sending", self._clause_start(first), first - 1)
        if not near and not follows:
            return None
        word = self.reading.text_of(*near[-1]) if near else ""
        compared = self.reading.says(r"tren|hon|qua|duoi|it nhat|over|more than|at least|under|less than|toi thieu", max(0, first - 2), first - 1)
        since = [high + 1 for _, high in self.reading.find(rf"{_ELSE}|[,;:]|thi", max(0, first - 6), first - 1)]
        past = self.reading.says(_PAST, max(0, first - 5, *since), first - 1)
        weak = word in ("in", "de", "them", "roi", "then", "cach", "another", "tre", "after", "sau") and not follows
        if (past and (weak or not near)) and not re.match(r"cho|doi|wait|delay|hold", word):
            return None
        if compared and not re.match(r"cho|doi|wait|hoan|delay", word):
            return None
        if self.reading.says(r"ago|truoc do|tro lai day|trong qua khu|khong mua|chua mua|ke tu", last + 1, last + 3) and not near:
            return None
        return Pause(first, last, int(quantity.value), is_after=bool(near) and not follows)

    @cached_property
    def pauses(self) -> list[Pause]:
        """Return the waits, in the sentence's order."""
        found = (self._pause_of(*item) for item in self.quantities)
        return [item for item in found if item is not None]

    # -- the whole -------------------------------------------------------------------------

    @cached_property
    def branches(self) -> list[Branch]:
        """Return who gets what, in order."""
        return [item for item in self._grouped() if item.sends or item.is_silent]

    def _events(self) -> list[tuple[int, str, Step | None]]:
        events: list[tuple[int, str, Step | None]] = [
            (item.first, "condition", item) for item in self.conditions
        ]
        events += [(item.first, "message", item) for item in self.messages]
        events += [(item.first, "pause", item) for item in self.pauses]
        events += [(self._rest_begins(first), "else", None) for first, _ in self.elses]
        silent = self.reading.find(_SILENT)
        events += [(first, "silent", None) for first, _ in silent if self._is_silence(first)]
        order = ("else", "silent", "condition", "pause", "message")
        return sorted(events, key=lambda event: (event[0], order.index(event[1])))

    def _rest_begins(self, first: int) -> int:
        """Return where the part for everybody else begins: "… and a push for the rest"."""
        before = [item for item in self.messages if item.first < first]
        led = self.reading.says(r"cho|toi|den|voi|for|to|nhung", first - 1, first - 1) if first else False
        if not led or len(before) < 2 or any(before[-1].first < item.first < first for item in self.conditions):
            return first
        return before[-1].first

    def _is_silence(self, first: int) -> bool:
        """Tell whether "nothing" ends a clause of its own."""
        after = self.reading.find(r"[,;.]", first + 1)
        end = after[0][0] if after else len(self.reading.words)
        later = [item for item in self.messages if first < item.first < end]
        later_conditions = [item for item in self.conditions if first < item.first < end]
        return not later and not later_conditions

    def _grouped(self) -> list[Branch]:
        branches: list[Branch] = [Branch()]
        leads = None
        for place, kind, item in self._events():
            now = branches[-1]
            if kind == "else":
                if now.sends or now.is_silent:
                    branches.append(Branch(is_rest=True))
            elif kind == "silent":
                if now.is_rest:
                    branches[-1] = Branch()
                elif not now.sends and now.conditions:
                    now.is_silent = True
            elif isinstance(item, Condition):
                if now.is_silent:
                    now = Branch()
                    branches.append(now)
                leads = leads or ("message" if now.sends else "condition")
                if now.sends and self._opens(now, item, leads, place):
                    branches.append(Branch())
                elif now.is_rest and not now.sends and branches[:-1]:
                    # "còn khách khác ở Hà Nội" is a group of its own, not everybody else.
                    now.is_rest = False
                branches[-1].conditions.append(item)
            elif isinstance(item, Pause):
                self._add_pause(branches, item)
            elif isinstance(item, Message):
                if self._follows_group(now, item, leads) or now.is_silent:
                    branches.append(Branch(is_rest=now.is_silent))
                branches[-1].actions.append(item)
        return self._with_late_pauses(branches)

    def _opens(self, now: Branch, item: Condition, leads: str, place: int) -> bool:
        """Tell whether a condition after a message begins another branch."""
        if leads == "condition":
            last = [action for action in now.actions if isinstance(action, Message)][-1]
            between = self.reading.text_of(last.last + 1, item.first - 1)
            return bool(re.search(r"[,;.:]|\b(?:con|neu|voi|if|for|while|va|and)\b", between)) or True
        return False

    def _follows_group(self, now: Branch, item: Message, leads: str | None) -> bool:
        """Tell whether a message after "gửi … cho …" belongs to the next group."""
        if leads != "message" or not now.sends or not now.conditions:
            return False
        last = [action for action in now.actions if isinstance(action, Message)][-1]
        if now.conditions[-1].first < last.first:
            return False
        if any(isinstance(action, Pause) and action.first > last.first for action in now.actions):
            return False
        return any(one.first > item.first for one in self.conditions)

    def _add_pause(self, branches: list[Branch], item: Pause) -> None:
        branches[-1].actions.append(item)

    def _with_late_pauses(self, branches: list[Branch]) -> list[Branch]:
        """Put a wait named after its message ("gửi Zalo sau 2 giờ") before it."""
        for branch in branches:
            for index, item in enumerate(branch.actions):
                if not isinstance(item, Pause) or not index:
                    continue
                later = [one for one in branch.actions[index + 1 :] if isinstance(one, Message)]
                before = branch.actions[index - 1]
                between = self.reading.text_of(before.last + 1, item.first - 1)
                joined = not re.search(r"[,;.:]|\b(?:roi|then|va|and)\b", between)
                if later:
                    gap = self.reading.text_of(item.last + 1, later[0].first - 1)
                    apart = re.search(r"[,;]|\b(?:roi|then)\b", gap)
                    if not (item.is_after and joined and apart and isinstance(before, Message)):
                        continue
                if isinstance(before, Message):
                    branch.actions[index - 1], branch.actions[index] = item, before
        return branches

    @cached_property
    def steps(self) -> list[Step]:
        """Return the draft of the plan."""
        steps: list[Step] = []
        done: list[Branch] = []
        for branch in self.branches:
            if branch.is_silent:
                done.append(branch)
                continue
            conditions = branch.conditions
            if branch.is_rest and not conditions:
                conditions = self._everybody_else(done)
                if not conditions:
                    continue
            if not conditions and done and not done[-1].is_silent:
                done[-1].actions += branch.actions
                steps += branch.actions
                continue
            steps += [*conditions, *branch.actions]
            done.append(branch)
        return steps

    @cached_property
    def evidence(self) -> float:
        """Return how much speaks for a request to send something: below 0 when more speaks against."""
        reading, last = self.reading, len(self.reading.words) - 1
        if self.channel_mentions and not any(item[0] in self.catalogue.channels for item in self.channel_mentions):
            return -3.0
        verb = reading.says(_SENDS)
        score = 2.0 if self.messages and self.channel_mentions else 0.0
        score += 1.0 if verb else 0.0
        score += 1.0 if self.conditions or self.pauses else 0.0
        score += 0.5 if any(message.templates for message in self.messages) else -0.5
        score += 1.0 if reading.says(_EVERYONE) or self.elses else 0.0
        if not self.channel_mentions and not verb:
            score -= 2.0
        if reading.says(_ASKS) or (reading.sentence.rstrip().endswith("?") and not reading.says(r"can you|could you|please|giup|duoc khong|gui")):
            score -= 4.0
        opening = reading.find(_OPENS_QUESTION, self._begins(), self._begins() + 3)
        if opening and opening[0][0] == self._begins() and not self.conditions and not self.channel_mentions:
            score -= 4.0
        if self._is_for_others() or _PERSON.search(reading.sentence):
            score -= 4.0
        begins = self._begins()
        if any(first == begins for first, _ in reading.find(_CHORES, begins, min(last, begins + 4))):
            score -= 4.0
        if self._stops_all():
            score -= 4.0
        if reading.says(_ATTACKS):
            score -= 4.0
        if not self.messages:
            score -= 2.0
        return score

    def _is_for_others(self) -> bool:
        """Tell whether the message is for somebody who is no customer."""
        return any(
            not any(item.first <= last and first < item.first + 1 for item in self.conditions)
            for first, last in self.reading.find(_OTHERS)
        )

    def _begins(self) -> int:
        """Return the first word after "hãy", "please" and the like."""
        index = 0
        while (found := self.reading.find(_FILLERS, index, index + 4)) and found[0][0] == index:
            index = found[0][1] + 1
        return index

    def _stops_all(self) -> bool:
        """Tell whether sending is forbidden, and nothing else is asked for."""
        if self.elses or any({"ne", "not_contains"} & set(item.operators) for item in self.conditions):
            return False
        return any(
            not any(self._clause_of(message.first) > self._clause_of(last) for message in self.messages)
            for _, last in self.reading.find(_STOPS_ALL)
        )

    def _is_set(self, item: Condition) -> bool:
        attribute = self.catalogue.attribute(item.key[0])
        return attribute is not None and attribute.type == "set"

    def _everybody_else(self, done: Sequence[Branch]) -> list[Condition]:
        """Return the checks of all who are in none of the branches."""
        found: list[Condition] = []
        for branch in done:
            if len(branch.conditions) != 1:
                continue
            item = branch.conditions[0]
            if next(iter(item.values), "") in ("true", "false"):
                flipped = "false" if next(iter(item.values)) == "true" else "true"
                found.append(replace(item, values={flipped: 1.0}))
            elif item.items:
                name = "not_contains" if self._is_set(item) else "ne"
                found += [
                    replace(item, items=(), operators={name: 1.0}, values={value: 1.0})
                    for value in item.items
                ]
            else:
                operators = {NEGATED[name]: weight for name, weight in item.operators.items()
                             if name in NEGATED}  # fmt: skip
                found.append(replace(item, operators=operators))
        return found


@cache
def _everyday() -> frozenset[str]:
    """Return the meanings of words that hardly name a group on their own."""
    words = words_of("mua , don , lan , ngay , thang , year , total , value , tien , khach , so , order , count , hang , tier , level , rank , member , thanh vien , gui , dung , use")
    return frozenset(item.name for item in features(words))


# -- words of attributes ---------------------------------------------------------------------

_OLDEST = 120
_HABITS = (
    (r"people|customers|anyone|those|khach|nguoi|ai|guests|users|members", "age|tuoi", "plain"),
    (r"chi|tieu|bo ra|spent|spend\w*|mua", "spen|tieu|revenue|ltv|total", "money"),
    (r"tuoi|years? old|aged?", "age|tuoi", "plain"),
)


def _habit(
    attribute: Attribute, quantity: Quantity, reading: Reading, low: int, high: int
) -> float:
    """Return how much a turn of phrase speaks for an attribute beyond its own words."""
    if (quantity.kind, attribute.unit) in (("money", "vnd"), ("duration", "days")):
        return 0.25 + (0.2 if _says_habit(attribute, quantity, reading, low, high) else 0.0)
    return 0.3 if _says_habit(attribute, quantity, reading, low, high) else 0.0


def _says_habit(
    attribute: Attribute, quantity: Quantity, reading: Reading, low: int, high: int
) -> bool:
    if quantity.kind == "plain" and quantity.value > _OLDEST:
        return False
    for words, names, kind in _HABITS:
        named = re.search(names, attribute.name.lower()) is not None
        if quantity.kind == kind and named and reading.says(words, low, high):
            return True
    return False


def _told(attribute: Attribute) -> set[str]:
    words = [*name_words(attribute.name), *words_of(attribute.label)]
    return {item.name for item in features(words) if item.name[0] != "~"}


def _plain_label(attribute: Attribute) -> str:
    return " ".join(word.text for word in (*name_words(attribute.name), *words_of(attribute.label)))


def _frames(attribute: Attribute, told: set[str]) -> list[str]:
    """Return the words after which a value of an open attribute stands."""
    name = _plain_label(attribute)
    if attribute.type == "set":
        return [r"nhom khach hang|nhom khach|phan khuc|nhom|segment|group|tag", rf"(?:khach hang|khach|thanh vien|hoi vien|hang)(?= (?:{_GROUPS})\b)"]
    for pattern, frames in _FRAMES:
        if re.search(rf"\b(?:{pattern})\b", name):
            return [*frames]
    words = [word for word in name.split() if len(word) > 1]
    return [rf"(?:{'|'.join(map(re.escape, words))}) (?:la|is|=|bang|thuoc|equals?)"] if words else []


_PEOPLE = cue("people")
_GROUPS = cue("groups")
_TIERS = cue("tiers")
# Pairs of syllables that are one word, though the first alone would end a name.
_WHOLE = frozenset({"nhan vien", "tin dung", "co dong", "gui tiet", "moi gioi", "tin nhan"})
_FRAMES = (
    ("city|province|thanh pho|tinh|location|district|quan|region|khu vuc|area|noi o|address|town|huyen|tinh thanh",
     (rf"{_PEOPLE} (?:\\w+ )?(?:song o|o tai|song tai|den tu|o|tai)|song o|o tai|song tai|khu vuc|thanh pho|living in|based in|outside|khong o|ngoai|cu dan|(?<!huong )(?<!dac )dan", "^(?:o|tai|in|from|den tu|nguoi|tu)")),
    ("country|quoc gia|nuoc|nationality|quoc tich", (r"den tu|quoc tich", "^(?:nguoi|o|tu|from|in)")),
    ("branch|chi nhanh|store|co so|cua hang|shop|outlet", (r"chi nhanh|co so|cua hang", "^(?:tai|o|branch|store|at|in|of)")),
    ("tier|hang|rank|level|membership|cap", (rf"(?:thanh vien hang|khach hang hang|hang the|hang|tier|cap|bac|level|rank|hoi vien cap|hoi vien|thanh vien)(?= (?:{_TIERS})\b)",)),

    ("language|ngon ngu|lang", (r"noi tieng|dung tieng|tieng|speak|speaks|ngon ngu",)),
    ("job|occupation|nghe|profession", (r"nghe nghiep la|lam nghe|nghe|la|who are|work as",)),
    ("device|os|platform|thiet bi|model", (r"(?:dung|xai|using|use|on)(?= (?:android|iphone|ios|samsung|oppo|web|may tinh))",)),
    ("source|nguon", (r"nguon|biet qua|came from", "^(?:den tu|from)")),
    ("type|loai|category|interest|product|brand|favorite|preferred|prefer|so thich|pet", (r"loai|nuoi|thich|quan tam den|quan tam|yeu thich|like|likes|prefer|prefers|interested in|thuong hieu|own|owns",)),
    ("gender|gioi tinh|sex", (r"(?:gioi tinh|khach hang|khach|nguoi|gender|hoi vien)(?= (?:nu|nam|female|male)\b)",)),
    ("status|trang thai", (r"trang thai(?: la)?|status is|status",)),
)  # fmt: skip


def _channel_pattern() -> str:
    return "|".join(rows[0] for rows in _CHANNELS.values())


def amount_of(attribute: Attribute, quantity: Quantity) -> int | float | None:
    """Return what an amount is in the attribute's unit, or none when it cannot be one."""
    if attribute.type not in ("number", "any"):
        return None
    value = quantity.value
    plain = _plain_label(attribute)
    if quantity.kind == "duration":
        for words, minutes in _UNITS:
            if attribute.unit != "days" and re.search(rf"\b(?:{words})\b", plain):
                return _whole(value / minutes) if value >= minutes else None
        size = _SIZES.get(attribute.unit)
        return int(value // size) if size and value >= size else None
    if quantity.kind == "money":
        return value if attribute.unit in ("vnd", "any") or value < 1_000_000 else None
    if attribute.unit == "vnd":
        return value if value >= 1_000 else None
    return value


_SIZES = {"days": 1_440, "any": 1_440, "years": 525_600}
_UNITS = (("months?|thang", 43_200), ("years?|nam", 525_600), ("weeks?|tuan", 10_080),
          ("hours?|gio|tieng", 60), ("minutes?|phut", 1))  # fmt: skip


def _whole(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)
