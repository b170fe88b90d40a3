"""The restrictions that a sentence states: who is to get the message, and who is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from leo_activation.decision.amounts import AmountReader
from leo_activation.decision.lexicon import cue
from leo_activation.decision.open_names import OpenReader
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.reading import Mention
from leo_activation.decision.sentence import CHANNEL, Sentence, plain_label

# Scores from here on are of names said word by word.
_LITERAL = 4.0
_NOT_NEAR = cue("not_near")
_EVERYONE = cue("everyone")
_OR = cue("or")
_THINGS = cue("things")
_MARKERS = cue("markers")
_SOMEBODY = cue("somebody")
_HAVING = cue("having")
_KNOWING = cue("knowing")
_ON_FILE = cue("on_file")
_NOT_KNOWING = cue("not_knowing")


class ConditionReader:
    """Finds all conditions of a sentence.

    :param sentence: with what is named in it.
    """

    def __init__(self, sentence: Sentence) -> None:
        """Keep the sentence."""
        self.sentence, self._numbers = sentence, AmountReader(sentence)

    @cached_property
    def conditions(self) -> list[Condition]:
        """Return the restrictions, in the sentence's order."""
        found = [
            *self._named_conditions(),
            *self._yes_no(),
            *self._numbers.amounts(),
            *self._numbers.days(),
        ]
        found += OpenReader(self.sentence).conditions(found)
        found += self._known(found)
        found.sort(key=lambda item: (item.first, item.last))
        return self._merged([item for item in found if not self._is_subject(item)])

    def _named_conditions(self) -> Iterator[Condition]:
        for attribute, item in self.sentence.value_mentions:
            if self._is_template_only(item) or self.sentence.names_channel(attribute, item):
                continue
            if self.sentence.is_in_channel(item):
                continue
            operator = "contains" if attribute.type == "set" else "eq"
            if self.sentence.is_excepted(item.first, item.last):
                operator = NEGATED[operator]
            yield Condition(
                item.first, item.last, {attribute.name: 1.0}, {operator: 1.0}, dict(item.names)
            )

    def _is_template_only(self, item: Mention) -> bool:
        """Tell whether the words are those of a template and name no audience."""
        if self.sentence.clause_start(item.first) == item.first:
            return False
        marked = self.sentence.reading.says(_MARKERS, max(0, item.first - 3), item.first - 1)
        breaks = self.sentence.reading.find(r"[,;:.]", max(0, item.first - 3), item.first - 1)
        start = max(0, item.first - 2, *(high + 1 for _, high in breaks))
        asked = rf"{CHANNEL}|gui|nhac|moi|tang|bao|send|the"
        if start == item.first:
            return False
        if (
            not marked
            and item.names[0][1] < 3
            and self.sentence.reading.says(asked, start, item.first - 1)
        ):
            return True
        for other in self.sentence.template_mentions:
            wider = other.first < item.first or (
                other.first == item.first and other.last > item.last
            )
            if other.share < 0.5 or not item.overlaps(other) or not wider:
                continue
            start = min(max(other.first, item.first - 4), item.first - 1)
            if other.first == item.first:
                start = item.first - 2
            if not self.sentence.reading.says(_MARKERS, max(0, start), item.first - 1):
                return True
        return False

    def _is_subject(self, item: Condition) -> bool:
        """Tell whether a place is what the message is about: everyone is to get it."""
        attribute = self.sentence.catalogue.attribute(next(iter(item.attributes)))
        if attribute is None or attribute.type not in ("text", "any") or "eq" not in item.operators:
            return False
        return self.sentence.reading.says(_THINGS, max(0, item.first - 3), item.first - 1) and not (
            self.sentence.reading.says(_SOMEBODY, max(0, item.first - 3), item.first)
        ) and self.sentence.reading.says(_EVERYONE)  # fmt: skip

    def _yes_no(self) -> Iterator[Condition]:
        for attribute in self.sentence.catalogue.attributes:
            if attribute.type != "boolean":
                continue
            for item in self.sentence.reading.mentions({attribute.name: attribute.label}):
                if item.share < 0.6 or self._is_taken(item) or self.sentence.is_in_channel(item):
                    continue
                before = max(self.sentence.clause_start(item.first), item.first - 4)
                denied = self.sentence.reading.says(_NOT_NEAR, before, item.last)
                own = bool(re.search(rf"\b(?:{_NOT_NEAR})\b", plain_label(attribute)))
                excepted = self.sentence.is_left_out(item.first, item.last)
                value = "true" if (denied == own) != excepted else "false"
                yield Condition(
                    item.first, item.last, {attribute.name: 1.0}, {"eq": 1.0}, {value: 1.0}
                )

    def _is_taken(self, item: Mention) -> bool:
        """Tell whether words already name a value, or belong to a template alone."""
        if any(item.overlaps(other) for _, other in self.sentence.value_mentions):
            return True
        if self.sentence.reading.says(r"hang|cap|tier|level|rank", item.last + 1, item.last + 1):
            return True
        marked = self.sentence.reading.says(
            _HAVING,
            max(0, item.first - 2), item.first,
        )  # fmt: skip
        if marked:
            return False
        if any(
            item.overlaps(other) and other.share >= 0.5 for other in self.sentence.template_mentions
        ):
            return True
        alone = self.sentence.clause_start(item.first) == item.first or item.names[0][1] >= _LITERAL
        return not alone and not self.sentence.reading.says(
            _MARKERS, max(0, item.first - 3), item.first - 1
        )

    def _known(self, found: Sequence[Condition]) -> Iterator[Condition]:
        """Yield the attributes of which the sentence asks whether they are known."""
        used = {name for item in found for name in list(item.attributes)[:1]}
        for attribute in self.sentence.catalogue.attributes:
            if attribute.type in ("boolean", "set") or attribute.name in used:
                continue
            for item in self.sentence.reading.mentions({attribute.name: attribute.label}):
                start = max(self.sentence.clause_start(item.first), item.first - 4)
                has = self.sentence.reading.find(_KNOWING, start, item.first - 1)
                tail = self.sentence.reading.says(_ON_FILE, item.last + 1, item.last + 3)
                amount = any(
                    item.first - 3 <= one <= item.last + 4 for _, one, _ in self.sentence.quantities
                )
                if (
                    item.share < 0.6
                    or not (has or tail)
                    or amount
                    or self.sentence.is_in_template(item)
                ):
                    continue
                denied = self.sentence.reading.says(_NOT_KNOWING, start, item.first - 1)
                excepted = self.sentence.is_excepted(item.first, item.last) and not denied
                value = "false" if denied or excepted else "true"
                yield Condition(
                    item.first, item.last, {attribute.name: 1.0}, {"exists": 1.0}, {value: 1.0}
                )
                break

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
                item.attributes.keys() == other.attributes.keys()
                and not self.sentence.has_message_between(other.last, item.first)
                for other in merged
            ):
                merged = [
                    other for other in merged if other.attributes.keys() != item.attributes.keys()
                ]
            if (
                before is not None
                and item.key == before.key
                and item.operators == before.operators
                and (not self.sentence.has_message_between(before.last, item.first))
            ):
                continue
            merged.append(item)
        return merged

    def _alternatives(self, one: Condition, other: Condition) -> bool:
        attribute = self.sentence.catalogue.attribute(one.key[0])
        if attribute is None or other.key[0] != attribute.name or one.key[1] == other.key[1]:
            return False
        if attribute.type not in ("set", "text") or not {*one.operators, *other.operators} <= {
            "eq",
            "contains",
            "in",
        }:
            return False
        between = self.sentence.reading.text_of(one.last + 1, other.first - 1)
        verbs = rf"gui|nhan|send|thi|nhung|ma|but|con|neu|if|gets?|dong thoi|kiem|{CHANNEL}"
        crossed = re.search(rf"\b(?:{verbs})\b|[;:.\d]", between)
        plain = len(between.split()) <= 6 and crossed is None
        joined = re.search(rf"(?:^|\b)(?:{_OR})(?:\b|$)|[,/&]", between)
        both = (
            self.sentence.reading.says(r"vua|dong thoi|both", max(0, one.first - 3), other.first)
            and attribute.type == "set"
        )
        return plain and joined is not None and not both
