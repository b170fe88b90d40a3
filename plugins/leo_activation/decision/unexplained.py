"""What a sentence says of its audience that no condition explains.

"Khách ở Đà Nẵng" where no attribute knows a city, "members who drive a Tesla": to leave such a
restriction out would send to everybody, so nothing is sent at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property

from leo_activation.decision.background import background_end
from leo_activation.decision.lexicon import cue, features, words_of
from leo_activation.decision.parts import NEGATED, Condition, Message
from leo_activation.decision.reading import index_of, value_names
from leo_activation.decision.sentence import Sentence, meanings_of, plain_label

_HEADS = cue("heads")
_STATES = cue("states")
_HARMLESS = cue("harmless")
_EVERYONE = cue("everyone")
_PLACES = cue("places")
_TURNS = cue("turns")
_ASKS_TO_SEND = cue("asks_to_send")
# What nothing but those who get nothing follows: who they are must have been understood.
_LEAVES_OUT = cue("leaves_out")
_PARTS = (
    r"[,;.:]|thi|con(?= (?:lai|khach|nguoi|ai|nhung|neu|khong|thi|nhom|ban))|nhung(?! nguoi)|but"
)
# What is taken out stands behind such words; and who was named before needs no name.
_TAKEN_OUT = r"skip|bo qua|loai|gat|gach|ne|bo"
_POINTED = r"ho|them|those|these|nay|do|ay|kia|tren"
# A value is not meant where another one fits nearly as well.
_SECOND = 0.8
_SENDS = r"gui|(?<!benh )(?<!ca )nhan|send|then|roi|qua|via|by|bang|get|gets|should|receives?|will"
# "Chờ" (wait) and "tối" (evening) look like "cho" and "tới" without their accents.
_WAITS = frozenset("chờ chợ chó tối tôi tỏi đen đèn".split())


class Audience:
    """Looks for restrictions that were not understood.

    :param sentence: with its words.
    :param conditions: found in it.
    :param messages: found in it.
    """

    def __init__(
        self, sentence: Sentence, conditions: Sequence[Condition], messages: Sequence[Message]
    ) -> None:
        """Keep all three."""
        self.sentence, self._conditions, self._messages = sentence, conditions, messages

    def is_unexplained(self) -> bool:
        """Tell whether some restriction is none that the catalogue can check."""
        return any(True for _ in self._strange())

    def unexplained(self) -> list[str]:
        """Return the restrictions that the catalogue cannot check, in the marketer's words."""
        reading = self.sentence.reading
        return [
            reading.sentence[reading.words[low].start : reading.words[high].end]
            for low, high in self._strange()
        ]

    def spares_strangers(self) -> bool:
        """Tell whether it is not known who is left out: "everyone except left-handed people"."""
        ends = {high for _, high in self.sentence.reading.find(_LEAVES_OUT)}
        return any(low - 1 in ends for low, _ in self._strange())

    def has_strange_place(self) -> bool:
        """Tell whether a place is named that no attribute knows."""
        told = background_end(self.sentence, self._conditions, self._messages)
        return any(
            self._has_strange_place(low, high)
            for low, high in self._regions()
            if told < low <= high
        )

    def nearest(self) -> list[Condition]:
        """Return the values that restrictions may mean of which only a part was said.

        "Acne clients" are those whose label is "Điều trị mụn", if nothing else fits as well and
        no word is left that the value does not explain.
        """
        found = (self._nearest(low, high) for low, high in self._strange())
        return [item for item in found if item is not None]

    def _strange(self) -> Iterator[tuple[int, int]]:
        told = background_end(self.sentence, self._conditions, self._messages)
        for low, high in self._regions():
            if told < low <= high and self._is_strange(low, high):
                yield low, high

    def _nearest(self, low: int, high: int) -> Condition | None:
        reading = self.sentence.reading
        words = {word for text in self._left_over(low, high) for word in text.split()}
        fitting: list[tuple[float, str, str, int, int]] = []
        for attribute in self.sentence.catalogue.attributes:
            names = value_names(attribute)
            scores = index_of(names).scores(reading.inside(low, high)) if names else {}
            for name, (_, share) in scores.items():
                runs = self._runs_of(names[name] or name, low, high)
                covered = {reading.words[i].text for one, two in runs for i in range(one, two + 1)}
                if runs and words <= covered:
                    first, last = min(one for one, _ in runs), max(two for _, two in runs)
                    fitting.append((share, attribute.name, name, first, last))
        fitting.sort(reverse=True)
        if not fitting or (len(fitting) > 1 and fitting[1][0] >= _SECOND * fitting[0][0]):
            return None
        _, name, value, first, last = fitting[0]
        known = self.sentence.catalogue.attribute(name)
        operator = "contains" if known is not None and known.type == "set" else "eq"
        if self.sentence.is_excepted(first, last):
            operator = NEGATED[operator]
        return Condition(first, last, {name: 1.0}, {operator: 1.0}, {value: 1.0})

    def _runs_of(self, label: str, low: int, high: int) -> list[tuple[int, int]]:
        """Return the places of the words that a label explains."""
        told = {item.name.removeprefix("~") for item in features(words_of(label))}
        return [(item.first, item.last) for item in self.sentence.reading.inside(low, high)
                if item.name.removeprefix("~") in told]  # fmt: skip

    def _regions(self) -> Iterator[tuple[int, int]]:
        """Yield the runs of words that say who is meant."""
        reading = self.sentence.reading
        last = len(reading.words) - 1
        channels = [first for _, first, _ in self.sentence.channel_mentions]
        for at, _ in (*reading.find(r"thi(?! (?:thu|sinh|cu))|:"),
                      *reading.find(r"(?:should |will )?(?:gets?|receives?)|should")):  # fmt: skip
            if reading.words[at].typed == "thi" and self._is_spelt:
                # "Ôn thi", "cuộc thi": whoever writes accents writes "thì".
                continue
            breaks = reading.find(_PARTS, 0, at - 1) if at else []
            low = max((high + 1 for _, high in breaks), default=0)
            if not any(low <= channel < at for channel in channels):
                yield low, at - 1
        ends = rf"[,;.:!?]|thi|{_SENDS}|after|unless|except|in \d|sau \d"
        opens = (
            rf"(?:cho|toi|den|to|for)(?= (?:\w+ ){{0,2}}(?:{_HEADS})\b)|neu|if|unless|tru khi|"
            rf"{_LEAVES_OUT}"
        )
        for low, high in self.sentence.spared:
            if reading.says(_TAKEN_OUT, low, low) and not reading.says(_POINTED, low + 1, high):
                yield low + 1, high - (reading.text_of(high, high) == "ra")
        for _, at in reading.find(opens):
            stops = [low for low, _ in reading.find(ends, at + 1, last)]
            stops += [channel for channel in channels if channel > at]
            waits = reading.words[at].typed in _WAITS
            if not waits and not self._is_purpose(at):
                yield at + 1, min([*stops, last + 1]) - 1

    def _is_purpose(self, at: int) -> bool:
        """Tell whether "cho" says what a message is good for: "khách mới thì gửi … cho vui"."""
        reading = self.sentence.reading
        if not reading.says(r"cho|toi|to|for", at, at):
            return False
        return any(
            any(item.last < first for item in self._conditions)
            and not reading.says(r"[;.]|con|otherwise|nhung|but", first, at)
            for first, _ in reading.find(r"thi|:", 0, at - 1)
        ) and not reading.says(_PLACES, at + 1, at + 5)

    def _is_strange(self, low: int, high: int) -> bool:
        """Tell whether a run of words restricts the audience in a way that nothing explains."""
        reading = self.sentence.reading
        told = reading.says(rf"{_HEADS}|{_STATES}", low, high)
        if self._is_headline(low, high):
            return False
        if not told and reading.says(":", high + 1, high + 1):
            return False
        if not told and any(
            low <= item.last and item.first <= high for item in self.sentence.template_mentions
        ):
            return False
        if any(low <= last and first <= high for first, last in self.sentence.elses):
            return False
        if any(item.first <= high and low <= item.last for item in self.sentence.pauses):
            return False
        if self._has_strange_place(low, high):
            return True
        if not reading.says(_HEADS, low, high) and self._names_message(low, high):
            return False
        if any(item.first <= high and low <= item.last for item in self._conditions):
            return False
        return bool(self._left_over(low, high))

    def _is_headline(self, low: int, high: int) -> bool:
        """Tell whether a message is named before a colon: "Mời khách cũ quay lại: …"."""
        reading = self.sentence.reading
        if not reading.says(":", high + 1, high + 1) or self._has_strange_place(low, high):
            return False
        if reading.says(_ASKS_TO_SEND, low, low) and not reading.says(_HEADS, low, high):
            return True
        best = {next(iter(item.templates)) for item in self._messages if item.templates}
        labels = {word.text for item in self.sentence.catalogue.templates
                  if item.template_id in best for word in words_of(item.label)}  # fmt: skip
        left = {word for text in self._left_over(low, high) for word in text.split()}
        return bool(left) and left <= labels

    @cached_property
    def _is_spelt(self) -> bool:
        """Tell whether a sentence is written with accents."""
        return any(word.typed == "thì" for word in self.sentence.reading.words)

    def _has_strange_place(self, low: int, high: int) -> bool:
        reading = self.sentence.reading
        return any(
            not any(item.first <= last and first <= item.last for item in self._conditions)
            and not any(item.first <= last and first <= item.last
                        for _, item in self.sentence.value_mentions)
            and not any(item.overlaps(other) for item in self.sentence.template_mentions
                        for other in [item] if item.first <= last and first <= item.last)
            for first, last in reading.find(_PLACES, low, high)
            if reading.says(r"o|tai|in|from|dan|nguoi|khach", max(0, first - 2), first - 1)
        )  # fmt: skip

    def _left_over(self, low: int, high: int) -> list[str]:
        """Return the words that say something of the audience."""
        reading = self.sentence.reading
        known = re.compile(rf"(?:{_EVERYONE}|{_HEADS}|{_HARMLESS}|{_TURNS})(?: (?:{_HEADS}))?")
        phrases = [
            text for item in reading.inside(low, high)
            if item.name[0] == "#" and item.last > item.first
            and not known.fullmatch(text := reading.text_of(item.first, item.last))
        ]  # fmt: skip
        text = reading.text_of(low, high)
        for words in (_HEADS, _EVERYONE, f"{_HARMLESS}|{_TURNS}"):
            text = re.sub(rf"\b(?:{words})\b", " ", text)
        repeated, told = self._repeated(low, high), self._told()
        idle = re.compile(rf"\b(?:{_HARMLESS}|{_TURNS})\b")
        return [
            word for word in (*phrases, *re.findall(r"\w+", text))
            if not set(idle.sub(" ", word).split() or word.split()) <= repeated
            and not told & {item.name for item in features(words_of(word))}
        ]  # fmt: skip

    def _names_message(self, low: int, high: int) -> bool:
        """Tell whether all words of a clause are those of a message: "ghi chú … thì gửi …"."""
        reading = self.sentence.reading
        best = {next(iter(item.templates)) for item in self._messages if item.templates}
        labels = [item.label for item in self.sentence.catalogue.templates
                  if item.template_id in best]  # fmt: skip
        told = {item.name.removeprefix("~") for label in labels
                for item in features(words_of(label))}  # fmt: skip
        said = [item for item in reading.inside(low, high) if item.name[0] != "~"]
        covered = {index for item in said if item.name in told
                   for index in range(item.first, item.last + 1)}  # fmt: skip
        return bool(said) and all({item.first, item.last} <= covered for item in said)

    def _told(self) -> set[str]:
        """Return what the attributes of all conditions mean."""
        known = (self.sentence.catalogue.attribute(item.key[0]) for item in self._conditions)
        return {name for item in known if item is not None for name in meanings_of(item)}

    def _repeated(self, low: int, high: int) -> set[str]:
        """Return the words that only come back to what a condition has said already."""
        # What the groups of a catalogue are groups of: "nhóm độc giả", "loại hộ".
        groups = {
            word
            for item in self.sentence.catalogue.attributes
            if item.type == "set"
            for word in plain_label(item).split()
        }
        if not self._conditions:
            return groups
        words = self.sentence.reading.words
        found = groups | {word.text for word in (*words[:low], *words[high + 1 :])}
        for item in self._conditions:
            attribute = self.sentence.catalogue.attribute(item.key[0])
            if attribute is not None:
                found |= set(plain_label(attribute).split())
                found |= {word.text for value in attribute.values
                          for word in words_of(f"{value.name} {value.label}")}  # fmt: skip
        return found
