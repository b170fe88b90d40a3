"""One sentence beside one catalogue: what is named where, and how far a clause reaches."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.lexicon import cue, cues_document, features, name_words, words_of
from leo_activation.decision.parts import Pause
from leo_activation.decision.quantities import NEXT, Quantity, find_quantities
from leo_activation.decision.reading import Mention, Reading, template_names, value_names
from leo_activation.decision.toolset import SHOWN_VALUES, ToolSpec

# Strong and weak words for each channel: a weak one counts where there is no strong one.
CHANNELS: dict[str, tuple[str, str]] = {
    name: ("|".join(strong), "|".join(weak))
    for name, (strong, weak) in cues_document()["channels"].items()
}
CHANNEL = "|".join(strong for strong, _ in CHANNELS.values())
_ELSE = cue("else")
_EXCEPT = cue("except")
_EXCEPT_AFTER = cue("except_after")
_WAIT_BEFORE = cue("wait_before")
_WAIT_AFTER = cue("wait_after")
_PAST = cue("past")
_STRONG_BREAK = cue("strong_break")
_MARKERS = cue("markers")
_FOLLOWERS = cue("followers")
_LIKING = cue("liking")
_LEFT_OUT = cue("left_out")
_SPARES = cue("spares")
_SPARES_AROUND = cue("spares_around")
# Without accents "chừa" (spare) and "chưa" (not yet) are one word; before these it is the first.
FORBIDS_SENDING = r"(?:khoi|dungx|dung|khong|ko|mien|chua|ngung) (?:gui|nhan|bao|nhac|moi)"
_SPARED_ENDS = rf"[,;.:!?()]|thi|con(?= lai)|and|but|nhung|ma|va|who (?:also )?have|{CHANNEL}"
_SPARED = r"khach|nguoi|nhom|ai|may|nhung|cac|hoi|dan|hang|ben|nha|bon|dam"
_NO_VALUES = cue("no_values")
_NOT_NEAR = cue("not_near")
_CHANNEL_IS_FACT = cue("channel_is_fact")
_PEOPLE_SHORT = cue("people_short")
_COMPARES = cue("compares")
_SINCE_THEN = cue("since_then")
# What is done before anybody waits for the next message.
_SENT = r"gui|nhan(?! (?:hang|phong|xe|nha))|nhac|bao|tang|phat|moi(?= \w)|send|remind|invite|text"
# People and what they do, "everyone who brews with a …", "người đang dùng …", so far ahead of it.
_PEOPLE_DO = (
    rf"(?:{cue('heads')}|{cue('gangs')})(?: nao| deu| cung)*(?: (?:{cue('doings')}))+"
    rf"(?: (?:an?|the|our|bang|voi|with|ve|about|den|toi|in|on))*"
)
_AHEAD = 5
# From here on the words of a message are its name.
_NAMED = 0.6
# Names said word by word score at least so much.
_SAID_OUT = 4.0
_ALL_SAID = 0.95
# What joins the values of a list, with so many words at most, and what ends it.
_LISTED = 4
_LISTS = re.compile(r"^(?:va|hoac|hay|lan|or|and|nor|with|voi|cung|cung nhu|,|/|&|\+|-)(?: |$)")
_LIST_ENDS = re.compile(r"\b(?:gui|nhan|send|thi|ma|but|nhung|neu|if|con|chua|khong|not)\b|[;:.\d]")
_DENIALS = frozenset("khong chua no not non never without het ko".split())
_WAITS = r"cho|doi|wait|hold|hoan|delay|de|den|until|till|sang|qua|again|roi|then|va|and|,"
_HOLDS = r"wait\w*|hold|delay\w*|postpone|pause|doi|hoan|tri hoan|tam ngung|tam hoan|put off"
# What is said of an address, and not of a message: "email nào xác thực rồi".
_IS_CHECKED = (
    r"(?:address(?:es)? )?(?:nao |da |chua |con |is |are |not |has |been |isn t |hasn t )*"
    r"(?:xac (?:thuc|minh|nhan)|verif\w+|confirmed|unverified|bounced|valid|invalid)|"
    r"addresses|on file"
)
_BEFORE_PLURAL = r"tru|cho|toi|den|la|cua|voi|moi|ca|gom|ngoai|loai"
_TAKES_BACK = r"(?:a|ah|y) (?:khong|ko)(?: phai)?"
# What is only numbered: "bão số 4"; and what says that a part of two is not enough.
_NUMBERED = (
    r"(?:bao|quoc lo|duong|nha|cong|toa|lo|dieu|bang|chuong|phu luc|ap thap|tau|chuyen) so \d+|"
    r"(?:thieu|chi|co|du|mot|duoc) (?:\w+ )?1 (?:trong|thu|ben|cai|mon|dieu kien)"
)
# What stands around a time that is a fact: something not done since, or what is to come.
_GONE_BY = (
    r"(?:roi|nay|qua|lien)(?: ma| van| con| cung)* (?:chua|khong|ko|k|chang|hong|bat|vang|mat)\b"
)
_BOUNDED_BEFORE = (
    r"\b(?:toi da|khong qua|nhieu nhat|cung lam|chua (?:toi|den|day)|it nhat|toi thieu|at most|"
    r"due|(?:den|toi|het|dao) han|trong (?:vong|dung|khoang)|han)\b(?: trong| con| la| dung)*$"
)
_IS_IN = (
    r"\b(?:is|are|s|re|coming|due|up|starts?|begins?|falls?|arriv\w+|scheduled|departs?|leaves?|"
    r"leaving|ends?|returns?|happen\w*|takes? place|flying|travell?ing|checking in|moving) in"
    r"(?: (?:exactly|just|only|about|at most|under|less than))?$"
)
# Men are "nam", which is not "nám", a trouble of the skin, though both fold to one word.
_MEN = r"(?:males?|men|man|gentlemen|nam gioi|dan ong|quy ong)"
# What stands between days and what happened before them; and what labels of days share.
_AFTER_EVENT = r"(?:ke )?tu (?:khi|luc|ngay)|sau (?:khi|luc|ngay|buoi|lan)|after|following|since"
_OF_DAYS = (
    "so , ngay , tu , lan , gan nhat , khi , day , since , last , after , den , toi , nua , con lai"
)
_THAT_IS = r"dung|tuc|tuc la|la|khoang|i e|exactly|that is|about|nghia la|ie"
_BOUNDS = (
    r"or (?:less|more|fewer|longer|sooner|over|under|above|below)|and (?:over|above|below|under)|"
    r"at (?:most|least|the most)|max|maximum|tops|tro (?:len|xuong|lai)|do lai|ago or less"
)
_DENIES = (
    r"khong|chua|chang|without|not|no|never|don t|doesn t|isn t|aren t|haven t|hasn t|lacks?|"
    r"ngung|neither|nor"
)
# What customers do with a value, and what a value is called: "chưa từng dùng dịch vụ giặt sofa".
_DOING = re.compile(
    r"\b(?:tung|bao gio|he|co|su dung|dung|xai|mua|dat|goi|thu|hoc|lam|choi|tham gia|dang ky|"
    r"trai nghiem|dich vu|san pham|mon|khoa|lop|dong|ever|yet|used?|bought|tried|taken|ordered|"
    r"booked|hold|holding|own|owning|have|having|got|an?|the|any|our|of|service|product)\b"
)
_NOT_DENIED = r"\b(?:qua|duoi|tren|hon|it|gui|nhan|send|thi|chi|only|va|and|ma|but)\b|[,;.:\d]"


class Sentence:
    """A sentence with everything that is found in it, each thing at its place.

    :param spec: the tenant's functions.
    :param text: the instruction.
    """

    def __init__(self, spec: ToolSpec, text: str) -> None:
        """Split the sentence into words and amounts."""
        self.spec, self.catalogue = spec, spec.catalogue
        self.reading = Reading(text)
        self.quantities = self._said_once([self._placed(item) for item in find_quantities(text)])

    def _said_once(self, found: list[tuple[Quantity, int, int]]) -> list[tuple[Quantity, int, int]]:
        """Return the amounts without those that only repeat in brackets: "hôm sau (24 tiếng)"."""
        kept: list[tuple[Quantity, int, int]] = []
        for item in found:
            if self.reading.says(_NUMBERED, max(0, item[1] - 2), item[1]):
                continue
            before = kept[-1] if kept else None
            if before and item[0].kind == before[0].kind == "duration":
                between = self.reading.text_of(before[2] + 1, item[1] - 1)
                if re.fullmatch(rf"\((?: (?:{_THAT_IS}))?", between):
                    continue
            kept.append(item)
        return kept

    @cached_property
    def template_mentions(self) -> list[Mention]:
        """Return where templates are named."""
        return self.reading.mentions(template_names(self.catalogue))

    @cached_property
    def elses(self) -> list[tuple[int, int]]:
        """Return where "everybody else" is said."""
        names = [(item.first, item.last) for _, item in self.value_mentions
                 if item.names[0][1] >= _SAID_OUT]  # fmt: skip
        names += [(item.first, item.last) for item in self.template_mentions
                  if item.share > _NAMED and item.last - item.first > 1]  # fmt: skip
        return [
            (first, last)
            for first, last in self.reading.find(_ELSE)
            if not any(first < high and last >= low + 1 and last <= high for low, high in names)
        ]

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
        literal = not any(names.values()) and len(names) > SHOWN_VALUES
        found = [item for item in self.reading.mentions(names, literal=literal, pieces=True)
                 if not self._is_other_word(item) and not self._is_only_head(attribute, item)
                 and not self._is_denial(item) and not self._is_crossing(item)]  # fmt: skip
        sure = [item for item in found
                if not self._is_lone(item) or self._names_attribute(attribute, item)]  # fmt: skip
        for item in found:
            if item in sure or any(self._is_listed(item, other) for other in sure):
                yield item

    def _is_listed(self, item: Mention, other: Mention) -> bool:
        """Tell whether a short name stands in a list beside a sure one: "cả rap lẫn indie"."""
        one, two = (item, other) if item.first < other.first else (other, item)
        between = self.reading.text_of(one.last + 1, two.first - 1)
        return (
            len(between.split()) <= _LISTED
            and bool(_LISTS.search(between))
            and not (_LIST_ENDS.search(between))
        )

    def _is_denial(self, item: Mention) -> bool:
        """Tell whether a word only denies: "không quá 15 ngày" is nothing of "Hàng không"."""
        words = self.reading.words[item.first : item.last + 1]
        return len(words) == 1 and words[0].text in _DENIALS and item.names[0][1] < _SAID_OUT

    def _is_crossing(self, item: Mention) -> bool:
        """Tell whether words reach from a message to people: "sách mới cho khách có con học"."""
        crossed = rf"(?:cho|toi|den|to|for) (?:nhung |cac |may |the |our )?(?:{cue('heads')})"
        return self.reading.says(crossed, item.first + 1, item.last - 1)

    def _is_only_head(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether words only name what all values are kinds of: "xe", "gói định kỳ".

        The values "Xe số" and "Xe điện" of "Dòng xe" are told apart by what else they are called.
        """
        if item.names[0][1] >= _SAID_OUT:
            return False
        said = {one.name.removeprefix("~")
                for one in self.reading.inside(item.first, item.last)}  # fmt: skip
        told = [{one.name.removeprefix("~") for one in features(words_of(value.label))}
                for value in attribute.values]  # fmt: skip
        shared = {name for name in said if sum(name in names for names in told) > 1}
        if item.share < _ALL_SAID and {name for name in said if any(
                name in names for names in told)} <= shared:  # fmt: skip
            return True
        label = [word.text for word in words_of(attribute.label)]
        words = [word.text for word in self.reading.words[item.first : item.last + 1]]
        own = {word.text for value in attribute.values if value.name == item.best
               for word in words_of(value.label)}  # fmt: skip
        told_apart = not set(words) & own or item.share < _ALL_SAID
        return bool(attribute.label) and set(words) <= set(label) and told_apart

    def _is_other_word(self, item: Mention) -> bool:
        """Tell whether the words around a value make another one of it: "10,000 dong"."""
        if re.fullmatch(_MEN, self.reading.text_of(item.first, item.last)) and any(
            value.name == item.best and value.label.lower().startswith("nám")
            for attribute in self.catalogue.attributes for value in attribute.values
        ):  # fmt: skip
            return True
        found = self.reading.find(_NO_VALUES, max(0, item.first - 2), item.last + 2)
        return any(low <= item.first and item.last <= high for low, high in found)

    def _is_lone(self, item: Mention) -> bool:
        """Tell whether a mention is one short or everyday word, and nobody is near it."""
        words = self.reading.words[item.first : item.last + 1]
        if len(words) == 1 and len(words[0].text) == 1:
            return True
        if len(words) == 1 and words[0].typed != words[0].text and item.names[0][1] >= _SAID_OUT:
            return False
        if len(words) == 1 and re.fullmatch(r"[a-z]+\d+", words[0].text):
            # A code such as "A1" means nothing else.
            return False
        short = len(words) == 1 and len(words[0].text) <= 4 and item.names[0][1] < 20
        everyday = item.names[0][1] < 3 and all(
            feature.name in _everyday() or feature.name[0] == "~"
            for feature in self.reading.inside(item.first, item.last)
        )
        opens = self.clause_start(item.first) == item.first and not everyday
        marked = self.reading.says(_MARKERS, max(0, item.first - 2), item.first - 1)
        marked = marked or self.is_of_people(item.first)
        followed = self.reading.says(_FOLLOWERS, item.last + 1, item.last + 1)
        return everyday or (short and not (opens or marked or followed))

    def is_of_people(self, first: int) -> bool:
        """Tell whether people and what they do stand right before: "everyone who brews with …"."""
        found = self.reading.find(_PEOPLE_DO, max(0, first - _AHEAD), first - 1) if first else []
        return any(high == first - 1 for _, high in found)

    def _names_attribute(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether the attribute itself is named around a value."""
        told = meanings_of(attribute)
        near = self.reading.inside(max(0, item.first - 4), item.last + 2)
        return bool(told & {feature.name for feature in near})

    def clause_start(self, first: int) -> int:
        """Return the first word of the clause that a word is in."""
        pattern = r"[;.:]|thi|con lai|nhung(?! nguoi| khach| ai)"
        breaks = self.reading.find(pattern, 0, first - 1) if first else []
        ends = [high + 1 for low, high in breaks if not self._is_plural(low)]
        return max(ends, default=0)

    def _is_plural(self, at: int) -> bool:
        """Tell whether a word is "những", and not "nhưng": without accents they are one."""
        word = self.reading.words[at]
        if word.text != "nhung":
            return False
        led = at > 0 and self.reading.says(_BEFORE_PLURAL, at - 1, at - 1)
        return word.typed == "những" or (word.typed == "nhung" and led)

    def clause_of(self, index: int) -> int:
        """Return which clause a word is in: clauses end at strong breaks and commas."""
        return len(self.reading.find(rf"{_STRONG_BREAK}|[,]", 0, index - 1)) if index else 0

    @cached_property
    def channel_mentions(self) -> list[tuple[str, int, int]]:
        """Return where channels are named, those that the catalogue lacks included."""
        strong, weak = self._channels(0), self._channels(1)
        return strong or [item for item in weak if item[0] in self.catalogue.channels]

    def _channels(self, row: int) -> list[tuple[str, int, int]]:
        found: list[tuple[str, int, int]] = []
        names = dict.fromkeys((*self.catalogue.channels, *CHANNELS))
        for name in names:
            pattern = CHANNELS.get(name, (re.escape(name.replace("_", " ")), ""))[row]
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
            if (
                item.first <= first
                and last <= item.last
                and not self.names_channel(attribute, item)
            ):
                return True
        yes_no = [item for item in self.catalogue.attributes if item.type == "boolean"]
        for attribute in yes_no:
            for item in self.reading.mentions({attribute.name: attribute.label}):
                if item.first <= first and last <= item.last and item.share > 0.7:
                    return True
        checked = self.reading.find(_IS_CHECKED, last + 1, last + 4)
        if any(low == last + 1 for low, _ in checked):
            return True
        is_fact = self.reading.says(_CHANNEL_IS_FACT, max(0, first - 2), first - 1)
        is_fact = is_fact and not self.reading.says(r"thi|[,:]", max(0, first - 1), first - 1)
        is_sent = self.reading.says(r"gui|send|nhan", max(0, first - 2), first - 1)
        somebody = self.reading.says(_PEOPLE_SHORT, max(0, first - 6), first)
        return is_fact and somebody and not is_sent

    def names_channel(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether a value is only the channel of the message."""
        if item.best not in CHANNELS and item.best.lower() not in CHANNELS:
            return False
        others = sum(value.name.lower() in CHANNELS for value in attribute.values)
        if item.best.lower() not in self.catalogue.channels and others == 1:
            return False
        return not self.reading.says(_LIKING, max(0, item.first - 6), item.last + 4)

    def is_in_channel(self, item: Mention) -> bool:
        """Tell whether words are part of what a channel is called."""
        return any(
            low <= item.first and item.last <= high for _, low, high in self.channel_mentions
        )

    def pause_of(self, quantity: Quantity, first: int, last: int) -> Pause | None:
        """Return the wait that a duration is, or none when it is something else."""
        limit = self.spec.functions["max_wait_minutes"]
        if quantity.kind != "duration" or not 1 <= quantity.value <= limit:
            return None
        if quantity.after == NEXT:
            asked = self.reading.says(_WAITS, max(self.clause_start(first), first - 4), first - 1)
            later = self.reading.says(
                r"(?:ngay )?hom sau|(?:the )?(?:next|following) day", first, last
            )
            return Pause(first, last, int(quantity.value)) if asked or later else None
        if self._is_short_wait(quantity, first, last) or self._has_gone_by(first, last):
            return Pause(first, last, int(quantity.value))
        if self._is_bounded(first, last) or self._is_time_of_fact(first, last):
            return None
        before = self.reading.find(_WAIT_BEFORE, max(0, first - 3), first - 1)
        after = self.reading.find(_WAIT_AFTER, last + 1, last + 2)
        near = [pair for pair in before if pair[1] == first - 1]
        follows = [pair for pair in after if pair[0] == last + 1]
        follows = follows or self.reading.find(
            r"sau khi|after sending", self.clause_start(first), first - 1
        )
        if not near and (not follows or self._has_passed(first, last)):
            return None
        word = self.reading.text_of(*near[-1]) if near else ""
        if word == "in" and not follows and self._is_counted_over(quantity):
            return None
        since = [
            high + 1
            for _, high in self.reading.find(
                rf"{_ELSE}|[,;:]|thi|{CHANNEL}", max(0, first - 6), first - 1
            )
        ]
        compared = self.reading.says(_COMPARES, max(0, first - 2, *since), first - 1)
        past = self.reading.says(_PAST, max(0, first - 5, *since), first - 1)
        weak = (
            word in ("in", "de", "them", "roi", "then", "cach", "another", "tre", "after", "sau")
            and not follows
        )
        if (past and (weak or not near)) and not re.match(r"cho|doi|wait|delay|hold", word):
            return None
        if compared and not re.match(r"cho|doi|wait|hoan|delay", word):
            return None
        if self.reading.says(_SINCE_THEN, last + 1, last + 3) and not near:
            return None
        return Pause(first, last, int(quantity.value), is_after=bool(near) and not follows)

    def _has_passed(self, first: int, last: int) -> bool:
        """Tell whether a time is over, and nothing sent before it: "giao được 2 ngày rồi thì …"."""
        sent = self.has_message_between(-1, first) or self.reading.says(_SENT, 0, first - 1)
        return not sent and self.reading.says("roi", last + 1, last + 1)

    def _is_bounded(self, first: int, last: int) -> bool:
        """Tell whether a duration is compared after it: "in 10 days or less"."""
        held = self.reading.says(_HOLDS, max(0, first - 3), first - 1)
        return not held and any(low == last + 1 for low, _ in
                                self.reading.find(_BOUNDS, last + 1, last + 3))  # fmt: skip

    def _has_gone_by(self, first: int, last: int) -> bool:
        """Tell whether a time only passes between two messages: "… rồi qua 24 giờ nhắn tiếp"."""
        if not self.reading.says(r"(?:roi|xong|truoc ,|truoc|sau do|,) qua", first - 3, first - 1):
            return False
        if self.reading.says(_PAST, last + 1, last + 3):
            return False
        sends = rf"(?:thi )?(?:moi )?(?:gui|nhan|bao|nhac|moi|tang|them|tiep|{CHANNEL})"
        ends = any(low == last + 1 for low, _ in self.reading.find(sends, last + 1, last + 4))
        begun = self.has_message_between(-1, first) or any(
            item.last < first for item in self.template_mentions
        )
        return ends and begun and self.reading.text_of(first - 1, first - 1) == "qua"

    def _is_time_of_fact(self, first: int, last: int) -> bool:
        """Tell whether a time says when something was or will be, and not how long to wait.

        "30 ngày rồi chưa ghé", "tối đa 5 ngày nữa thi", "whose fitting is in one day" and
        "between 7 and 30 days after birth" are facts of customers.
        """
        before = self.reading.text_of(max(0, first - 5), first - 1)
        after = self.reading.text_of(last + 1, last + 4)
        if re.match(r"(?:chua|khong|ko) \w", after) and re.search(r"\b(?:nghi|vang|tre)$", before):
            return True
        if re.match(_GONE_BY, after) and not re.search(rf"\b(?:{_HOLDS}|cho)$", before):
            return True
        if re.match(r"nua\b", after) and re.search(_BOUNDED_BEFORE, before):
            return True
        if re.search(_IS_IN, before):
            return True
        if self._is_after_event(last):
            return True
        opened = re.search(r"\b(?:between|giua|from|tu) \w+ (?:and|to|den|toi|va|-|–)$", before)
        return opened is not None

    def _is_after_event(self, last: int) -> bool:
        """Tell whether a time is since what an attribute counts from: "one day after the stay"."""
        led = self.reading.find(_AFTER_EVENT, last + 1, last + 3)
        if not led or led[0][0] != last + 1:
            return False
        ends = [low for low, _ in self.reading.find(r"[,;.:]|thi", led[0][1] + 1, last + 8)]
        end = min([*ends, last + 6]) - 1
        said = {item.name for item in features(self.reading.words[led[0][1] + 1 : end + 1])}
        plain = {item.name for item in features(words_of(_OF_DAYS))}
        return any(
            item.type == "number" and item.unit == "days" and said & (meanings_of(item) - plain)
            for item in self.catalogue.attributes
        )

    def _is_counted_over(self, quantity: Quantity) -> bool:
        """Tell whether an attribute counts over just that time: "20 trades in 30 days"."""
        return any(
            re.search(rf"(?<!\d){int(quantity.value // size)}(?!\d)", plain_label(item))
            for item in self.catalogue.attributes if item.type == "number"
            for size in (1_440, 43_200)
        )  # fmt: skip

    def _is_short_wait(self, quantity: Quantity, first: int, last: int) -> bool:
        """Tell whether to wait, though the words stand apart: "hold it back 6 hours"."""
        start = self.clause_start(first)
        if self.reading.says(rf"{_COMPARES}|{_PAST}", max(start, first - 3), last + 2):
            return False
        return self.reading.says(_HOLDS, max(start, first - 7), first - 1)

    @cached_property
    def pauses(self) -> list[Pause]:
        """Return the waits, in the sentence's order."""
        found = (self.pause_of(*item) for item in self.quantities)
        return [item for item in found if item is not None]

    def _placed(self, item: Quantity) -> tuple[Quantity, int, int]:
        """Return a quantity with its first and last word."""
        words = self.reading.words
        first = next((i for i, word in enumerate(words) if word.end > item.start), len(words) - 1)
        last = max(
            (i for i, word in enumerate(words) if word.start < max(item.end, item.start + 1)),
            default=first,
        )
        return item, first, last

    def has_message_between(self, first: int, last: int) -> bool:
        """Tell whether a channel is named after one word and up to another."""
        return any(first < low <= last for _, low, _ in self.channel_mentions)

    @cached_property
    def spared(self) -> list[tuple[int, int]]:
        """Return the words of those who are let alone: "leave the staff out", "chừa … ra"."""
        found = [(low, high) for low, high in self.reading.find(_SPARES_AROUND)
                 if not self.reading.says(rf"[,;.:]|thi|{CHANNEL}|gui|send", low, high)
                 and not self._is_not_yet(low)]  # fmt: skip
        typed = [(at, at) for at, word in enumerate(self.reading.words)
                 if word.typed.startswith("chừa")]  # fmt: skip
        for low, high in (*self.reading.find(_SPARES), *typed):
            if low and self.reading.says(_SPARED, low - 1, low - 1):
                # "Người không lấy hóa đơn" are told of, and nobody is let alone.
                continue
            ends = [place for place in self.reading.find(_SPARED_ENDS, high + 1)
                    if not self._is_plural(place[0])]  # fmt: skip
            end = ends[0][0] if ends else len(self.reading.words)
            found.append((high + 1, end - 1))
        return found

    def _is_not_yet(self, at: int) -> bool:
        """Tell whether a word is "chưa", and not "chừa", which is written alike without accents."""
        word = self.reading.words[at]
        if word.text != "chua" or word.typed.startswith("chừa"):
            return False
        return word.typed != "chua" or not self.reading.says(_SPARED, at + 1, at + 1)

    def is_spared(self, first: int, last: int) -> bool:
        """Tell whether a mention is of those who are let alone."""
        return any(low <= first and last <= high for low, high in self.spared)

    def is_excepted(self, first: int, last: int) -> bool:  # noqa: C901
        """Tell whether a mention is of those who are left out."""
        if self.is_spared(first, last):
            return True
        start = self.clause_start(first)
        names = [(item.first, item.last) for _, item in self.value_mentions]
        for low, high in self.reading.find(_EXCEPT, start, last):
            if any(one <= low and high <= other for one, other in names):
                continue
            if self.reading.says(_TAKES_BACK, low - 1, high):
                continue
            if high < first and self._reaches(low, high, first):
                return True
        for low, high in self.reading.find(_DENIES, max(start, first - 7), first - 1):
            between = _DOING.sub(" ", self.reading.text_of(high + 1, first - 1)).strip()
            if low < first - 4 and between:
                continue
            lives = re.fullmatch(
                r"(?:song|con|dang|live|living|based)? ?(?:o|tai|in|from)", between
            )
            elsewhere = re.search(r"\b(?:o|tai|in|from)\b", between) and not lives
            if elsewhere or re.search(_NOT_DENIED, between):
                continue
            if len(between.split()) <= 3 - (high - low):
                return True
        tails = self.reading.find(_EXCEPT_AFTER, last + 1, last + 8)
        if any(not re.search(r"[,;.:–]|\d", self.reading.text_of(last + 1, low - 1))
               for low, _ in tails[:1]):  # fmt: skip
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
        if re.match(FORBIDS_SENDING, words):
            return not re.search(r",|\b(?:thi|gui|nhan|send)\b", between)
        if re.search(r"phai|thuoc|o$|la$|n ?t$|not in", words):
            return len(between.split()) <= 4
        return not re.search(r"\b(?:thi|gui|nhan|send)\b", between)

    def is_left_out(self, first: int, last: int) -> bool:
        """Tell whether a yes-or-no mention is of those who are left out, whatever it denies."""
        start = self.clause_start(first)
        if self.is_spared(first, last) or self.reading.says(_LEFT_OUT, start, first):
            return True
        if any(
            re.match(FORBIDS_SENDING, self.reading.text_of(low, high))
            and high < first and self._reaches(low, high, first)
            for low, high in self.reading.find(_EXCEPT, start, first)
        ):  # fmt: skip
            return True
        if any(low <= last + 2 for low, _ in self.reading.find(_EXCEPT_AFTER, last + 1, last + 3)):
            return True
        return self.reading.says(r"ngoai|loai|bo", start, first - 1) and self.reading.says(
            r"ra", last + 1, last + 2
        )

    def is_in_template(self, item: Mention) -> bool:
        """Tell whether words are part of what a template is called."""
        return any(item.overlaps(other) and other.share > 0.6 for other in self.template_mentions)


@cache
def _everyday() -> frozenset[str]:
    """Return the meanings of words that hardly name a group on their own."""
    words = words_of(cue("everyday"))
    return frozenset(item.name for item in features(words))


def meanings_of(attribute: Attribute) -> set[str]:
    """Return what the words of an attribute's name and label mean."""
    words = [*name_words(attribute.name), *words_of(attribute.label)]
    return {item.name for item in features(words) if item.name[0] != "~"}


def denies_itself(attribute: Attribute) -> bool:
    """Tell whether a fact is called by what is not so: "Chưa thanh toán", and not "Còn nợ"."""
    words = [*name_words(attribute.name), *words_of(attribute.label)]
    owes = {word.typed for word in words} & {"nợ", "debt"}
    told = " ".join(word.text for word in words if not (owes and word.text == "no"))
    told = re.sub(r"\b(?:con|du|cong|mac|thieu|dang) no\b|\bhoan tat\b", " ", told)
    return re.search(rf"\b(?:{_NOT_NEAR})\b", told) is not None


def plain_label(attribute: Attribute) -> str:
    """Return the words of an attribute's name and label, folded."""
    return " ".join(word.text for word in (*name_words(attribute.name), *words_of(attribute.label)))
