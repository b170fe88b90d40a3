"""The messages that a sentence asks for: over which channel, and which template."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise, zip_longest

from leo_activation.decision.lexicon import COMMON, cue, features, words_of
from leo_activation.decision.parts import Condition, Message
from leo_activation.decision.reading import Index, Mention, index_of
from leo_activation.decision.sentence import Sentence, meanings_of

_ELSE = cue("else")
_OR = cue("or")
_STRONG_BREAK = cue("strong_break")
_ASKS_TO_SEND = cue("asks_to_send")
_UNWANTED = cue("unwanted")
# A template that scores less is not named by the words of its message.
_NAMED = 0.3
_SURELY = 0.8
# From here on a message has a name of its own, though it says "again".
_CLEAR = 1.2
# What a message scores at least that is not the one just named, sent over another channel.
_OWN = 0.6
_AGAIN = cue("again")
# What is written like a request to send and is none: "mới", "bao", "tăng", "bệnh nhân".
_ASKS_NOT = frozenset("mới mỗi môi bao bão bào tăng tầng tảng nhân nhãn nhẫn chức cháo".split())
_NOT_BEFORE_ASKING = r"benh|ca|nguyen|hon|gia|xac|chung|dien"
# Below this no template is named; so many words that say something name another message.
_KNOWN, _TOPIC = 0.3, 2
# What a message is about has so much in common with the best template, and not only its kind.
_SHARED = 0.34
_KINDS = cue("kinds")
_ENGLISH = r"the|our|an?|of|to|for|their|your|this|that|with|and|who|from|about"
_SAYS_NOTHING = "|".join(
    (cue("heads"), cue("harmless"), cue("sends"), cue("everyone"), cue("any_message"), _AGAIN)
)
# So much of a name is all of it; so many words stand between a wait and what comes after.
_WHOLE, _CLOSE = 0.6, 3
# What two neighbouring words of a label count.
_PAIR = 0.4
_HINTED = 0.2
_SENDS = cue("sends")
# What a clause that sends something to its own group says before the name of the message.
_GETS = (
    r"(?:thi|:|=>|->|gets?|receives?|should (?:get|receive)|nhan)"
    r"(?: (?:gui|nhan|tang|moi|bao|duoc|cho|the|an?|our|send))*"
)
# What stands between a channel and the one that is meant instead.
_CORRECTED = (
    r"(?:(?:nhe|nha|di) +)?(?:(?:a|ah|y|oi|ui|ay|ma|oh|um|hmm|em) +)*"
    r"(?:(?:a|ah|y|oi|ui|ma|hay) +thoi|"
    r"(?:a +)?khoan(?: +da)?|(?:a +)?nham(?: +roi)?|a +khong|no wait|wait no|i mean|sorry|oops|"
    r"scratch that|make that|or rather|actually)"
    r"(?: +(?:no|thoi|chuyen|doi|sang|qua|bang|gui|nhan|dung|la|thanh|make|it|that|use|via|by))*"
)
# "Push the weekend deal via Zalo" sends it on, and is no push.
_PUSHED = (
    r"(?!.*(?:[,;.:!]|\b(?:va|and|roi|then|con|else|otherwise|if|neu|thi|lan|or|hoac|hay)\b))"
    r"(?:\w+ ){1,9}(?:qua|bang|via|by|over|through|on|vao|len|tren)"
)
# What may stand around a channel at the end of a sentence.
_ONLY = (
    r"nhan|bao|ban|inbox|ib|ping|thong|viet|"
    r"deu|tat ca|ca hai|cung|qua|bang|via|by|on|through|over|both|all|gui|di|duong|kenh|dung|nhe|"
    r"nha|nhen|nghen|thoi|please|only|em|anh|chi|a|oi|giup|minh|voi|ho|luon|het|channel|use|the|"
    r"cho|toi|ne|tren|them|nhung|ca|hi|hen|\.|!|,|it|goes?|out|send|sent|are|is|ad|team|sep"
)
# What takes back the channel before it, and what may stand before the one that is meant.
_TAKES_BACK = rf"(?<!thi )(?:{cue('corrects_channel')})"
_CONTRASTS = r"chu khong|(?:khong|ko|k|chang) phai|but not|and not"
_INSTEAD = (
    r"[,.;:!–-]|gui|nhan|qua|bang|sang|chuyen|doi|di|use|send|by|on|via|it|to|an?|the|dung|thanh|la|"
    r"phai|cho|nhe|nha|em|chi|anh|chi can|just|only|make|that|please|should be|mean|day|ban|do|them"
)
_PEOPLE = rf"{cue('heads')}|all|every|each|nhung|cac|nhom|tat ca"
_AUDIENCE = r"to|for|cho|toi|den|if|neu|who|whose|unless|except|tru"


@dataclass(frozen=True)
class Topic:
    """What is said to be sent, in numbers of words.

    :param words: that say what it is.
    :param explained: of them, by the template that is drafted.
    :param explained_by_any: by the template that explains most of them.
    """

    words: int
    explained: int
    explained_by_any: int


class MessageReader:
    """Finds all messages of a sentence.

    :param sentence: with what is named in it.
    :param conditions: whose words name no template.
    """

    def __init__(self, sentence: Sentence, conditions: Sequence[Condition]) -> None:
        """Keep both."""
        self.sentence, self._conditions = sentence, conditions
        self._taken_back: list[tuple[str, int, int]] = []

    @cached_property
    def messages(self) -> list[Message]:
        """Return the messages asked for, in the sentence's order."""
        return self._with_closing(self._with_opening(self._found()))

    def _found(self) -> list[Message]:
        """Return the messages that have a channel, or a clause, of their own."""
        usable = self._wanted()
        if not self.sentence.channel_mentions:
            several = self._with_silent([], [])
            if len({self.sentence.clause_of(item.first) for item in several}) > 1:
                return several
            return self._unchannelled(0, len(self.sentence.reading.words) - 1)
        found: list[Message] = []
        cut: list[tuple[int, int]] = []
        cuts = self._cuts([(first, last) for _, first, last in usable])
        for (name, first, last), (low, high) in zip(usable, cuts, strict=True):
            if found and found[-1].channels == (name,) and self._is_same(found[-1].last, first):
                # "Gửi Telegram mẫu tin Telegram …" is one message.
                low = min(low, found.pop().first, cut.pop()[0])
            cut.append((low, high))
            before = found[-1] if found else None
            found.append(Message(first, last, (name,), self._templates(low, high, name, before)))
        return self._with_silent(found, cut)

    def _with_opening(self, found: list[Message]) -> list[Message]:
        """Add the message before the first wait, if only the one after it has a channel.

        "Gửi khảo sát, 5 ngày sau mời combo spa bằng Zalo": the survey goes on its own channel.
        """
        pauses = self.sentence.pauses
        if not found or not pauses or pauses[0].first == 0:
            return found
        reading, wait = self.sentence.reading, pauses[0]
        later, end = found[0], len(reading.words) - 1
        spans = len(found) == 1 and later.first <= wait.first and later.last == end
        if later.first <= wait.last and not spans:
            return found
        said = self._opening(wait.first - 1)
        if said is None:
            return found
        starts = [one.first for one in found[1:]] + [one.first for one in pauses[1:]]
        ends = [one - 1 for one in starts if one > wait.last]
        name = "" if spans else later.channels[0]
        after = self._scores(wait.last + 1, min([*ends, end]), name)
        best = max(after, key=lambda one: after[one], default="")
        if after.get(best, 0.0) >= _OWN and best != next(iter(said.templates)):
            ranked = dict(sorted(after.items(), key=lambda pair: -pair[1]))
        elif spans and reading.says(_AGAIN, wait.last + 1, end):
            ranked = dict(said.templates)
        else:
            return found
        template = self.sentence.catalogue.template(next(iter(ranked)))
        channels = template.channels if spans and template else later.channels
        moved = replace(later, first=wait.last + 1) if spans else later
        return [said, replace(moved, channels=tuple(channels), templates=ranked), *found[1:]]

    def _with_closing(self, found: list[Message]) -> list[Message]:
        """Add the message after the last wait, if only the one before it has a channel."""
        pauses = self.sentence.pauses
        if not found or not pauses or not self.sentence.channel_mentions:
            return found
        wait, before, end = pauses[-1], found[-1], len(self.sentence.reading.words) - 1
        if before.last >= wait.first or any(first > wait.last for first, _ in self.sentence.elses):
            return found
        said = self._unchannelled(wait.last + 1, end)
        lasts = [one.last for one in found[:-1]] + [one.last for one in pauses[:-1]]
        low = max(lasts, default=-1) + 1
        own = self._scores(low, wait.first - 1, before.channels[0])
        if not said or not own or not self.sentence.reading.says(_SENDS, wait.last + 1, end):
            return found
        best = next(iter(said[0].templates))
        if min(max(own.values()), said[0].templates[best]) < _OWN or own.get(best, 0.0) >= _OWN:
            return found
        ranked = dict(sorted(own.items(), key=lambda pair: -pair[1]))
        same = next(iter(self._on_channel(said[0], before.channels[0])), "") == best
        channels = before.channels[:1] if same else said[0].channels
        closing = replace(said[0], first=wait.last + 1, channels=channels)
        return [*found[:-1], replace(before, templates=ranked), closing]

    def _opening(self, high: int) -> Message | None:
        """Return what the words up to the first wait ask to send, on its template's channel."""
        named = [item for item in self.sentence.template_mentions
                 if item.share >= _WHOLE and item.last <= high]  # fmt: skip
        verbs = self.sentence.reading.find(_SENDS, 0, high)
        if not named and not verbs:
            return None
        scores = self._scores(0, high, "")
        if max(scores.values(), default=0.0) < _OWN:
            return None
        first = named[-1].first if named else verbs[-1][0]
        whole = self._unchannelled(0, high)
        return replace(whole[0], first=first) if whole else None

    def is_unknown(self) -> bool:
        """Tell whether a message is named by words of which no template has any."""
        return any(
            (
                max(item.templates.values(), default=0.0) < _KNOWN
                and len(self._topic(item)) >= _TOPIC
            )
            or self._is_foreign(item)
            or self._is_of_something_else(item)
            for item in self.messages
        )

    def topics(self, messages: Sequence[Message]) -> list[Topic]:
        """Return how much of what is said to be sent is in the labels of templates."""
        labels = {item.template_id: item.label for item in self.sentence.catalogue.templates}
        found = []
        for message in messages:
            words = self._content_places(*self._topic_place(message))
            own = labels.get(next(iter(message.templates), ""), "")
            shared = max((self._shared(words, label) for label in labels.values()), default=0)
            found.append(Topic(len(words), self._shared(words, own), shared))
        return found

    def _is_of_something_else(self, message: Message) -> bool:
        """Tell whether most of what is to be sent is nothing that any template is about."""
        places = {(first, last) for _, first, last in self.sentence.channel_mentions}
        low, high = self._topic_place(message)
        if (message.first, message.last) not in places or not self._speaks_as_labels(low, high):
            return False
        if any(item.share >= _WHOLE and item.first <= high for item in
               self.sentence.template_mentions):  # fmt: skip
            return False
        words = [(at, word) for at, word in self._content_places(low, high)
                 if not re.fullmatch(_KINDS, word)]  # fmt: skip
        best = max((self._shared(words, item.label)
                    for item in self.sentence.catalogue.templates), default=0)  # fmt: skip
        enough = _TOPIC + (best > 0)
        return len(words) - best >= enough and best < _SHARED * len(words)

    def _shared(self, words: Sequence[tuple[int, str]], label: str) -> int:
        """Return how many words a label has, or means.

        :param words: with their places.
        """
        own = words_of(label)
        told = {item.name for item in features(own) if item.name[0] == "#"}
        said = self.sentence.reading.features
        spelt = self.sentence.reading.words
        return sum(
            any(word == one.text and (spelt[at].typed in (one.typed, word) or one.typed == word)
                for one in own)
            or any(item.first <= at <= item.last and item.name in told for item in said)
            for at, word in words
        )  # fmt: skip

    def _speaks_as_labels(self, low: int, high: int) -> bool:
        """Tell whether a message is named in the language of the templates' labels."""
        labels = " ".join(item.label for item in self.sentence.catalogue.templates)
        vietnamese = any(word.typed != word.text for word in words_of(labels))
        around = self.sentence.reading.says(_ENGLISH, max(0, low - 1), high + 1)
        return vietnamese != around

    def _is_foreign(self, message: Message) -> bool:
        """Tell whether a verb is followed by what no template is about: "gửi … cho … qua Zalo"."""
        reading = self.sentence.reading
        ends = rf"[,;.:!?]|thi|{_ELSE}"
        low = max((high + 1 for _, high in reading.find(ends, 0, message.first - 1)), default=0)
        verbs = reading.find(_SENDS, low, message.first - 1) if message.first else []
        if not verbs:
            return False
        low = verbs[0][0]
        stops = reading.find(rf"{_AUDIENCE}|qua|via|by|bang", verbs[0][1] + 1, message.first - 1)
        if not stops:
            return False
        high = stops[0][0] - 1
        said = [item for item in reading.inside(low, high)]
        known = index_of({item.template_id: item.label
                          for item in self.sentence.catalogue.templates}).scores(said)  # fmt: skip
        best = max((score for score, _ in known.values()), default=0.0)
        return best < _KNOWN and len(self._content(low, high)) > _TOPIC

    def _topic(self, message: Message) -> list[str]:
        """Return the words around a channel that say what is to be sent."""
        return self._content(*self._topic_place(message))

    def _topic_place(self, message: Message) -> tuple[int, int]:
        """Return the first and the last word of what is said to be sent."""
        reading = self.sentence.reading
        last = len(reading.words) - 1
        ends = reading.find(rf"[,;.:!?]|thi|{_AUDIENCE}|{_ELSE}", message.last + 1, last)
        breaks = reading.find(rf"[,;.:!?]|thi|{_AUDIENCE}|{_ELSE}", 0, message.first - 1)
        low = max((high + 1 for _, high in breaks), default=0) if message.first else 0
        verbs = reading.find(_SENDS, low, message.first)
        low = verbs[-1][1] + 1 if verbs else message.first
        return low, min((first - 1 for first, _ in ends), default=last)

    def _content(self, low: int, high: int) -> list[str]:
        """Return the words that name neither who, when nor how."""
        return [word for _, word in self._content_places(low, high)]

    def _content_places(self, low: int, high: int) -> list[tuple[int, str]]:
        """Return those words with their places."""
        reading = self.sentence.reading
        taken = {i for item in self._conditions for i in range(item.first, item.last + 1)}
        taken |= {i for item in self.sentence.pauses for i in range(item.first, item.last + 1)}
        taken |= {i for _, one, two in self.sentence.channel_mentions for i in range(one, two + 1)}
        taken |= {i for one, two in reading.find(_SAYS_NOTHING, low, high)
                  for i in range(one, two + 1)}  # fmt: skip
        return [
            (index, word.text) for index, word in enumerate(reading.words[low : high + 1], low)
            if index not in taken and word.text.isalpha() and word.text not in COMMON
        ]  # fmt: skip

    def _wanted(self) -> list[tuple[str, int, int]]:
        """Return the channels asked for: "đừng push" asks for none where another one is."""
        usable = [item for item in self.sentence.channel_mentions
                  if item[0] in self.sentence.catalogue.channels]  # fmt: skip
        meant = [item for item, after in zip_longest(usable, usable[1:])
                 if after is None or not self._gives_way(item, after)]  # fmt: skip
        wanted = [
            item for item in meant
            if not any(high == item[1] - 1 for _, high in
                       self.sentence.reading.find(_UNWANTED, max(0, item[1] - 5), item[1] - 1))
        ]  # fmt: skip
        return self._corrected(wanted or usable, usable)

    def _corrected(
        self, wanted: list[tuple[str, int, int]], usable: Sequence[tuple[str, int, int]]
    ) -> list[tuple[str, int, int]]:
        """Return the channels without those that are taken back: "gửi email, à không, Zalo"."""
        reading = self.sentence.reading
        refused = {item[0] for item in usable if item not in wanted
                   and reading.says(_CONTRASTS, item[1] - 3, item[1] - 1)}  # fmt: skip
        wanted = [item for item in wanted if item[0] not in refused] or wanted
        for low, high in reading.find(_TAKES_BACK):
            after = [item for item in wanted if high < item[1] <= high + _CLOSE + 1]
            before = [item for item in wanted if item[2] < low]
            if not after or not before or before[-1][0] == after[0][0]:
                continue
            gap = reading.text_of(high + 1, after[0][1] - 1)
            grouped = any(before[-1][2] < item.first and self._opens_group(item, low)
                          for item in self._conditions if item.last < low)  # fmt: skip
            if not grouped and re.fullmatch(rf"(?:(?:{_INSTEAD})(?: |$))*", gap):
                self._taken_back.append(before[-1])
                wanted = [item for item in wanted if item is not before[-1]]
        return wanted

    def _opens_group(self, item: Condition, low: int) -> bool:
        """Tell whether a group of its own stands before "thì thôi": "email, ai VIP thì thôi"."""
        return self.sentence.reading.says(r"thi", item.last + 1, low)

    def _gives_way(self, item: tuple[str, int, int], after: tuple[str, int, int]) -> bool:
        """Tell whether the next channel is meant instead: "Zalo, à thôi, SMS"."""
        reading = self.sentence.reading
        between = reading.text_of(item[2] + 1, after[1] - 1)
        if re.fullmatch(_CORRECTED, re.sub(r"[^\w ]", "", between).strip()):
            return True
        verb = reading.text_of(item[1], item[2]) in ("push", "dayx")
        return verb and item[0] != after[0] and re.fullmatch(_PUSHED, between) is not None

    def _is_same(self, last: int, first: int) -> bool:
        """Tell whether two mentions of one channel are about one message."""
        between = self.sentence.reading.text_of(last + 1, first - 1)
        apart = re.search(
            r"[,;.:]|\b(?:con|va|and|roi|then|thi|cho|to|for|sau|cho|doi|wait)\b", between
        )
        return apart is None and not any(last < item.first < first for item in self._conditions)

    def _with_silent(self, found: list[Message], cuts: Sequence[tuple[int, int]]) -> list[Message]:
        """Add the messages of clauses that name a template without a channel."""
        extra: list[Message] = []
        for item in self.sentence.template_mentions:
            if item.share < 0.6 or any(
                m.first <= item.last and item.first <= m.last for m in found
            ):
                continue
            at = self.sentence.clause_of(item.first)
            if any(self.sentence.clause_of(message.first) == at for message in found) or any(
                self.sentence.clause_of(first) == at for _, first, _ in self._taken_back
            ):
                continue
            start = max([0, item.first - 4, *(high + 1 for _, high in
                         self.sentence.reading.find(r"[,;:.]", 0, item.first - 1))])  # fmt: skip
            verb = self._asks_to_send(start, item.last)
            begins = self.sentence.reading.says(_ELSE, max(0, item.first - 4), item.first - 1)
            if self._said_by_condition(item):
                continue
            if verb or begins:
                extra += self._unchannelled(item.first, item.last)
            elif (before := self._before_wait(found, item)) is not None:
                ranked = self._templates(item.first, item.last, before.channels[0])
                extra.append(Message(item.first, item.last, before.channels[:1], ranked))
        extra += self._in_own_clauses([*found, *extra])
        kept = [self._without(one, cut, extra) for one, cut in zip(found, cuts, strict=True)]
        kept, extra = self._joined(kept, cuts, extra)
        return self._with_first_channel(self._with_last_channel(kept, extra))

    def _asks_to_send(self, low: int, high: int) -> bool:
        """Tell whether some words ask to send: "mời", and not "mới"; "nhắn", not "bệnh nhân"."""
        reading = self.sentence.reading
        return any(
            reading.words[first].typed not in _ASKS_NOT
            and not reading.says(_NOT_BEFORE_ASKING, first - 1, first - 1)
            for first, _ in reading.find(_ASKS_TO_SEND, low, high)
        )

    def _joined(
        self, found: list[Message], cuts: Sequence[tuple[int, int]], extra: list[Message]
    ) -> tuple[list[Message], list[Message]]:
        """Make one message of a name and a channel in two clauses: "Mời khai trương, nhắn Zalo"."""
        kept, single = list(found), list(extra)
        for one in extra:
            for index, item in enumerate(kept):
                low, high = min(one.last, item.last), max(one.first, item.first)
                if len(extra) > 1 and self._is_only_channel(item):
                    # "…, đều đi Zalo" is said of all of them.
                    continue
                if self._is_parted(low, high, [*found, *extra], (one, item)):
                    continue
                best = next(iter(one.templates))
                same = next(iter(item.templates), "") == best
                bare = one.first < item.first and self._is_bare(one, item, cuts[index])
                if same or bare:
                    fitting = self._on_channel(one, item.channels[0])
                    if best in fitting:
                        kept[index] = replace(item, templates=fitting)
                        single.remove(one)
                        break
        return kept, single

    def _is_parted(
        self, low: int, high: int, messages: Sequence[Message], pair: tuple[Message, Message]
    ) -> bool:
        """Tell whether two messages belong to different groups or times.

        :param low: the last word of the first of them.
        :param high: the first word of the second.
        """
        if any(low < item.first < high for item in messages if item not in pair):
            return True
        if any(low < item.first < high for item in self.sentence.pauses):
            return True
        if any(low < first < high for first, _ in self.sentence.elses):
            return True
        if self.sentence.reading.says(_AGAIN, low, pair[1].last + 3):
            return True
        between = any(low < item.first < high for item in self._conditions)
        return between and any(item.last < min(pair[0].first, pair[1].first)
                               for item in self._conditions)  # fmt: skip

    def _is_bare(self, named: Message, item: Message, cut: tuple[int, int]) -> bool:
        """Tell whether the words around a channel name no message of their own."""
        low = max(cut[0], named.last + 1)
        return max(self._scores(low, cut[1], item.channels[0]).values(), default=0.0) < _NAMED

    def _on_channel(self, message: Message, channel: str) -> dict[str, float]:
        """Return the templates of a message that a channel has."""
        known = {item.template_id for item in self.sentence.catalogue.templates_for(channel)}
        return {name: score for name, score in message.templates.items() if name in known}

    def _with_first_channel(self, ordered: list[Message]) -> list[Message]:
        """Return messages with the channel that is said for all of them: "Trên Zalo: …"."""
        colons = self.sentence.reading.find(":")
        if not colons or len(ordered) < 2:
            return ordered
        opening = [item for item in self.sentence.channel_mentions if item[2] < colons[0][0]]
        grouped = any(item.first < colons[0][0] for item in self._conditions)
        if len(self.sentence.channel_mentions) != 1 or not opening or grouped:
            return ordered
        channel = opening[0][0]
        return [
            replace(item, channels=(channel,), templates=fitting)
            if (fitting := self._on_channel(item, channel)) else item
            for item in ordered
        ]  # fmt: skip

    def _in_own_clauses(self, found: Sequence[Message]) -> list[Message]:
        """Return what a clause sends to a group of its own: ", offices get the lookbook"."""
        reading, extra = self.sentence.reading, list[Message]()
        breaks = reading.find(rf"{_STRONG_BREAK}|,")
        lows = [0, *(high + 1 for _, high in breaks)]
        for low, high in zip(lows, [*(one - 1 for one, _ in breaks), len(reading.words) - 1],
                             strict=True):  # fmt: skip
            opens = reading.find(_GETS, low, high)
            group = any(low <= item.first <= high for item in self._conditions)
            if not opens or not group or any(low <= item.first <= high for item in found):
                continue
            at = opens[-1][1] + 1
            if max(self._scores(at, high, "").values(), default=0.0) >= _SURELY:
                extra += self._unchannelled(at, high)
        return extra

    def _with_last_channel(
        self, found: Sequence[Message], extra: Sequence[Message]
    ) -> list[Message]:
        """Return all messages in order; a channel alone at the end is that of those before it.

        "Gửi lời chúc cho khách VIP, Zalo nhé" is one message, and "…, all by email" says how.
        """
        ordered = sorted([*found, *extra], key=lambda message: message.first)
        if len(ordered) < 2 or not found or ordered[-1] is not found[-1]:
            return ordered
        *before, last = ordered
        own = all(item in extra or item.channels == last.channels for item in before)
        if not own or not self._is_only_channel(last):
            return ordered
        if not extra and any(before[-1].last < one.first < last.first
                             for one in self.sentence.pauses):  # fmt: skip
            # "…, two days later the survey, on Zalo too" is a message of its own.
            return ordered
        catalogue = self.sentence.catalogue
        known = {item.template_id for item in catalogue.templates_for(last.channels[0])}
        if not all(item.templates.keys() & known for item in before):
            return ordered
        return [
            replace(item, channels=last.channels, templates={
                name: score for name, score in item.templates.items() if name in known
            }) for item in before
        ]  # fmt: skip

    def _is_only_channel(self, last: Message) -> bool:
        """Tell whether the last part of a sentence says nothing but a channel."""
        reading = self.sentence.reading
        breaks = reading.find(r"[,;.:]|-|–", 0, last.first - 1)
        if not breaks:
            return False
        low = breaks[-1][1] + 1
        before = reading.text_of(low, last.first - 1)
        after = reading.text_of(last.last + 1, len(reading.words) - 1)
        said = [text for text in (before, after) if text]
        return all(re.fullmatch(rf"(?:(?:{_ONLY})(?: |$))*", text) for text in said)

    def _without(self, message: Message, cut: tuple[int, int], extra: Sequence[Message]) -> Message:
        """Return a message whose words end where one without a channel is named."""
        low, high = cut
        later = [one.first for one in extra if message.last < one.first <= high]
        scores = self._scores(low, min(later) - 1, message.channels[0]) if later else {}
        if max(scores.values(), default=0.0) < _NAMED:
            return message
        return replace(message, templates=dict(sorted(scores.items(), key=lambda pair: -pair[1])))

    def _before_wait(self, found: Sequence[Message], item: Mention) -> Message | None:
        """Return the message before a wait after which another one is only named.

        "Email the intro and, 6 days later, the monthly package": both go over one channel.
        """
        before = [one for one in found if one.last < item.first]
        waits = [one for one in self.sentence.pauses if one.last < item.first]
        if not before or not waits or waits[-1].first < before[-1].last:
            return None
        if any(one.first > item.last for one in found):
            # "…, and a week later the invitation, also by email" has a channel of its own.
            return None
        gap = self.sentence.reading.text_of(waits[-1].last + 1, item.first - 1)
        template = self.sentence.catalogue.template(item.best)
        fits = template is not None and before[-1].channels[0] in template.channels
        return before[-1] if fits and len(gap.split()) <= _CLOSE else None

    def _said_by_condition(self, item: Mention) -> bool:
        return any(one.first <= item.last and item.first <= one.last for one in self._conditions)

    def _unchannelled(self, low: int, high: int) -> list[Message]:
        ranked = self._templates(low, high, "")
        if not ranked:
            return []
        best = self.sentence.catalogue.template(next(iter(ranked)))
        channels = best.channels if best else ()
        return [Message(low, high, tuple(channels), ranked)]

    def _templates(
        self, low: int, high: int, channel: str, before: Message | None = None
    ) -> dict[str, float]:
        """Return the templates that some words name, on a channel.

        :param before: the message before this one; what names nothing else sends it once more.
        """
        scores = self._scores(low, high, channel)
        again = self.sentence.reading.says(_AGAIN, low, high)
        enough = _CLEAR if again else _OWN
        if before is not None and max(scores.values(), default=0.0) < enough:
            known = {item.template_id for item in self.sentence.catalogue.templates_for(channel)}
            sure = next(iter(before.templates.values()), 0.0) >= _CLEAR
            if sure or again or max(scores.values(), default=0.0) < _NAMED:
                scores = {name: score for name, score in before.templates.items()
                          if name in known} or scores  # fmt: skip
        whole = len(self.sentence.reading.words) - 1
        if max(scores.values(), default=0.0) < _NAMED and (low, high) != (0, whole):
            # "…, đều là khuyến mãi son": what is said once goes for all messages.
            everywhere = self._templates(0, whole, channel)
            scores = {name: score / 2 for name, score in everywhere.items()}
        return dict(sorted(scores.items(), key=lambda pair: -pair[1]))

    def _scores(self, low: int, high: int, channel: str) -> dict[str, float]:
        """Return how well the templates of a channel fit some words."""
        fitting = (
            self.sentence.catalogue.templates_for(channel)
            if channel
            else list(self.sentence.catalogue.templates)
        )
        index = index_of({item.template_id: item.label for item in fitting})
        names = {item.template_id: item.label for item in fitting}
        literal = [item for item in self.sentence.reading.mentions(names, literal=True)
                   if low <= item.first and item.last <= high]  # fmt: skip
        spoken = {i for item in self._conditions for i in range(item.first, item.last + 1)}
        spoken |= {i for one, two in self.sentence.elses for i in range(one, two + 1)}
        low = self._message_begins(low, high, index, spoken)
        high = self._message_ends(low, high, index, channel)
        spoken |= self._counted(low, high)
        said = [item for item in self.sentence.reading.inside(low, high)
                if not {item.first, item.last} <= spoken]  # fmt: skip
        scores = {name: score for name, (score, _) in index.scores(said).items()}
        for name, (score, _) in index.scores(self.sentence.reading.inside(low, high)).items():
            scores[name] = scores.get(name, 0.0) + 0.15 * score
        for item in literal:
            for name, score in item.names:
                if item.names[0][1] >= 3.5:
                    scores[name] = scores.get(name, 0.0) + score / 2
        for name, share in self._pairs(names, low, high, spoken).items():
            scores[name] = scores.get(name, 0.0) + share
        return scores

    def _message_begins(self, low: int, high: int, index: Index, spoken: Collection[int]) -> int:
        """Return where what is sent begins: after "thì", where a template is named there."""
        reading = self.sentence.reading
        for _, last in reversed(reading.find(r"thi|:", low, high)):
            said = index.scores([item for item in reading.inside(last + 1, high)
                                 if not {item.first, item.last} <= set(spoken)])  # fmt: skip
            if max((score for score, _ in said.values()), default=0.0) >= _NAMED:
                return last + 1
        return low

    def _message_ends(self, low: int, high: int, index: Index, channel: str) -> int:
        """Return where what is sent ends: before "to anyone with …", where it is named before."""
        reading = self.sentence.reading
        start = next((first for name, first, _ in self.sentence.channel_mentions
                      if name == channel and low <= first <= high), low)  # fmt: skip
        for first, _ in reading.find(_AUDIENCE, start + 1, high):
            said = index.scores(reading.inside(low, first - 1))
            enough = _HINTED if reading.says(_PEOPLE, first + 1, first + 2) else _SURELY
            if max((score for score, _ in said.values()), default=0.0) >= enough:
                return first - 1
        return high

    def _pairs(
        self, names: Mapping[str, str], low: int, high: int, spoken: Collection[int]
    ) -> dict[str, float]:
        """Return how many neighbouring words a message shares with each template's label."""
        words = [(index, word.text) for index, word in enumerate(self.sentence.reading.words)
                 if low <= index <= high and index not in spoken]  # fmt: skip
        said = {(one[1], two[1]) for one, two in pairwise(words) if two[0] == one[0] + 1}
        told = {name: set(pairwise([word.text for word in words_of(label)]))
                for name, label in names.items()}  # fmt: skip
        owners = Counter(pair for pairs in told.values() for pair in pairs)
        return {
            name: sum(_PAIR / owners[pair] for pair in pairs & said)
            for name, pairs in told.items()
            if pairs & said
        }

    def _counted(self, low: int, high: int) -> set[int]:
        """Return the words around amounts that only say what is counted: "2 claims"."""
        found: set[int] = set()
        for item in self._conditions:
            attribute = self.sentence.catalogue.attribute(item.key[0])
            if attribute is None or attribute.type != "number":
                continue
            told = meanings_of(attribute)
            near = self.sentence.reading.inside(max(low, item.first - 5), min(high, item.last + 3))
            found |= {index for one in near if one.name in told
                      for index in range(one.first, one.last + 1)
                      if not any(other.share > 0.6 and other.first <= index <= other.last
                                 for other in self.sentence.template_mentions)}  # fmt: skip
        return found

    def _breaks(self, pattern: str, first: int, last: int) -> list[tuple[int, int]]:
        """Return the places between two messages that are not part of a template's name."""
        names = [item for item in self.sentence.template_mentions if item.share > 0.6]
        return [
            place for place in self.sentence.reading.find(pattern, first, last)
            if not any(item.first < place[0] and place[1] <= item.last for item in names)
            and self.sentence.reading.text_of(place[0] - 1, place[0]) not in ("lau roi", "xong roi")
        ]  # fmt: skip

    def _last_end(self, low: int, places: Sequence[tuple[int, int]]) -> int:
        """Return where the last message with a channel ends: before one that only has a name."""
        last = len(self.sentence.reading.words) - 1
        named = [item for item in self.sentence.template_mentions if item.share >= _WHOLE]
        for first, _ in self._breaks(r"[.;]|otherwise|else|con lai|nguoc lai", low, last):
            after = any(item.first > first for item in named)
            before = any(low <= item.first and item.last < first for item in named)
            if after and before and all(end < first for _, end in places):
                return first - 1
        return last

    def _cuts(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return for each channel the words of its message."""
        bounds = [0]
        for (_, end), (start, _) in zip(places, places[1:], strict=False):
            chosen = self._breaks(rf"{_STRONG_BREAK}|[,:]", end + 1, start - 1) or self._breaks(
                r"va|and|thi|con|lan|plus|if|nhung|but", end + 1, start - 1
            )
            bounds.append(chosen[0][1] + 1 if chosen else end + 1)
        ends = [bound - 1 for bound in bounds[1:]] + [self._last_end(bounds[-1], places[-1:])]
        cuts = list(zip(bounds, ends, strict=True))[: len(places)]
        for index, ((_, end), (start, _)) in enumerate(zip(places, places[1:], strict=False)):
            between = self.sentence.reading.text_of(end + 1, start - 1)
            if re.fullmatch(
                rf"(?:(?:{_OR}|lan|ca|cung|plus|\\+|vua|dong thoi|qua|both|tin) ?)*", between
            ):
                # "cả SMS lẫn email": what is said about one is said about both.
                whole = (cuts[index][0], cuts[index + 1][1])
                cuts[index] = cuts[index + 1] = whole
        return cuts
