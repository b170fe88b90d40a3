"""The restrictions that a sentence states: who is to get the message, and who is not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from leo_activation.decision.amounts import AmountReader
from leo_activation.decision.blanks import BlankReader, without_blanks
from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.facts import FactReader
from leo_activation.decision.lexicon import cue, cues_document, features, name_words, words_of
from leo_activation.decision.open_names import OpenReader
from leo_activation.decision.owing import OwingReader
from leo_activation.decision.parts import NEGATED, Condition
from leo_activation.decision.quantities import fold
from leo_activation.decision.reading import Mention, index_of
from leo_activation.decision.sentence import (
    CHANNEL,
    FORBIDS_SENDING,
    Sentence,
    denies_itself,
    meanings_of,
    plain_label,
)

# Scores from here on are of names said word by word.
_LITERAL = 4.0
# The share of its words that names a yes-or-no attribute, and after "có" or "need".
_MOST, _HALF = 0.6, 0.45
# The share of it that has to be said where one word is exchanged for its opposite.
_SURE = 0.75
# From here on all of a message's name was said.
_WHOLE = 0.85
_OPPOSITES = [
    pair for one, other in cues_document()["opposites"] for pair in ((one, other), (other, one))
]
# So many words has the name of "nothing": "Chưa có gói".
_SHORT = 4
# So many words around a number belong to it.
_NEAR = 6
_NOT_NEAR = cue("not_near")
_EVERYONE = cue("everyone")
_OR = cue("or")
_SILENT = cue("silent")
_SENDS = cue("sends")
_THINGS = cue("things")
_MARKERS = cue("markers")
_CORRECTS = cue("corrects")
_SWITCHED_OFF = r"(?:dang |is |are |bi |turned |da )?(?:off|tat|disabled|inactive|false)"
_AUDIENCE_LEAD = cue("audience_lead")
_PEOPLE_LEAD = cue("people_lead")
_ZONE_OPENS = cue("zone_opens")
_ZONE_ENDS = cue("zone_ends")
_SUBSCRIBERS = rf"accounts?|addresses|business(?:es)?|{cue('heads')}"
# After these words a mention is of the audience, though it began in a message's name.
_AUDIENCE_OPENS = (
    r"(?:cho|toi|den|to|for|voi|ve)(?= (?:\w+ ){0,2}(?:ai|khach|nguoi|ban|nhom|nhung|cac|may|chu|"
    r"those|customers?|people|anyone|everyone|members?|users?|clients?|guests?|patients?|parents?|"
    r"students?|holders?|owners?|phu huynh|hoc vien|hoi vien|benh nhan|thanh vien)\b)"
    r"(?: (?:cac|nhung|may|ban|em|chi|anh|the|our|all|tat ca|moi))*"
)
# Who gets something: "to our …", "tell the …".
_RECEIVES = (
    r"(?:to|for|cho|toi|den|tell|ping|notify|remind|alert|invite|survey|e ?mail|text|message|thank|"
    r"reward|gift|greet|congratulate|push|zalo|sms|let|ask|nudge|warn|send|give|offer|bao|nhac|moi|"
    r"target|tep|tap|danh sach)"
    r"(?: (?:all|our|the|every|each|any|those|these|of|non|existing|cac|nhung|moi|tat ca|my|-))*"
)
_NOT_INSIDE = r"khong(?: phai)?|chua|ko|not|never"
_FOLLOWS_GROUP = (
    r"customers?|members?|users?|clients?|guests?|people|shoppers|patients?|students?|holders?|"
    r"segment|group|folks|passengers?|buyers?|owners?|subscribers?|thi|who|whose|lovers?|fans?|"
    r"accounts?|tier|travell?ers?|donors?|drivers?|plans?"
)
_SOMEBODY = cue("somebody")
# What customers of a business are called, whichever plan they have.
_COMPANIES = r"(?:cong ty|cty|doanh nghiep|don vi|to chuc|compan(?:y|ies)|business(?:es)?|firms?)"
_PLANS = r"\b(?:plans?|tier|goi|hang|package|subscription|level|cap)\b"
# What ends the name of a message.
_PARTS = (
    r"thi|[,;:.]|gui|nhan|send|nao|chua|khong|should|gets?|receives?|hears?|deserves?|needs?|wants?|"
    r"who|with|that|neu|if"
)
# Members are who is meant where the words around them speak of people, not of a message.
_MEMBERS = r"hoi vien|thanh vien|members?|subscribers?"
_BEFORE_HEADS = (
    r"cho|toi|den|to|for|all|every|our|the|those|la|ai|cac|nhung|moi|non|chua|may|quy|tat ca|"
    r"invite|thank|remind|tell|gift|email|text|push|zalo|[!?,]"
)
_AFTER_HEADS = (
    r"thi|[,:]|co|tu|tren|duoi|o|tai|xai|dung|nao|who|with|that|in|gets?|living|receives?|nhan|"
    r"duoc|ma|chua|khong|da|dang|con|it|toi|hon|at|over|under|aged|whose|via|through|by|having|a|an|"
    r"the|their|our|hear|see|learn|on|qua|bang"
)
# Words after which "members" are told apart by something else than their tier.
_MEMBERS_WHO = (
    r"who|whose|with|without|in|from|living|based|flying|travell?ing|that|having|co|o|tai|di|dang|da|"
    r"vua|chua|khong|con|cu tru|song|thuong tru|sinh|hay|tung|bay|nao|ma|tu|tren|duoi|"
    r"thuoc|aged|over|under"
)
_ARTICLES = r"(?:the|our|an?|any|this|that)"
# What those do who have a thing already: "everyone who does not hold a …".
_OWNS = r"owns?|owning|have|has|having|holds?|holding|bought|uses?|using"
# What customers are asked to do.
_ASKED_FOR = (
    r"ask(?:ing)?(?: them)? (?:for|to)|invite|xin|moi|nhac|ru|keu|giuc|remind|request|to|for an?"
)
# What is denied of one value is denied of the other: "chưa có A lẫn B", "neither A nor B".
_NEITHER = r"(?:lan|nor|or|hoac|hay|va ca|cung nhu)(?: ca)?(?: (?:a|an|the))?"
_HAVING = cue("having")
# Two values at once: "both A and B", "sở hữu cả A lẫn B"; and two groups: "cho cả A lẫn B".
_BOTH, _BOTH_OF, _BOTH_GROUPS = cue("both"), cue("both_of"), cue("both_groups")
_TOGETHER = cue("together")
# So far before two values stands what joins them.
_LEAD = 5
# All of a fact's name was said; and what states it.
_FULL = 0.95
_STATED = r"da|chua|already|not|yet"
_DONE_BEFORE = r"da|dang|tung|vua|chua|khong|ai|khach|nguoi|co|la|thuoc"
_RECEIVES_ALL = (
    r"(?:cho|toi|den|voi|doi voi|to|for|all|every|our|the|cac|nhung|moi|toan the|toan bo|tat ca|"
    r"quy|ai la|la)(?: (?:cac|nhung|moi|the|our|quy))*"
)
_LEAVES_OUT = rf"{cue('left_out')}|{cue('spares')}"
_KNOWING = cue("knowing")
_ON_FILE = cue("on_file")
_NOT_KNOWING = cue("not_knowing")


class ConditionReader:
    """Finds all conditions of a sentence.

    :param sentence: with what is named in it.
    :param told: its last word that only tells something and restricts nobody.
    """

    def __init__(self, sentence: Sentence, told: int = -1) -> None:
        """Keep the sentence."""
        self.sentence, self._told = sentence, told
        self._numbers = AmountReader(sentence)

    @cached_property
    def conditions(self) -> list[Condition]:
        """Return the restrictions, in the sentence's order."""
        found: list[Condition] = [
            *self._named_conditions(),
            *self._yes_no(),
            *self._numbers.amounts(),
            *self._numbers.days(),
        ]
        taken = [(item.first, item.last) for item in found]
        found += [
            item
            for item in self._numbers.none_at_all()
            if not any(first <= item.last and item.first <= last for first, last in taken)
            or not self._is_said_already(item, found)
        ]
        found = [item for item in found if not self._is_counted(item, found)]
        found += FactReader(self.sentence).conditions(found)
        found += OpenReader(self.sentence).conditions(found)
        found += OwingReader(self.sentence).conditions(found)
        blanks = BlankReader(self.sentence).conditions()
        found = [*without_blanks(found, blanks), *blanks]
        found += self._known(found)
        found = [item for item in self._corrected(found) if item.first > self._told]
        found = self._without_contradicted(found)
        found.sort(key=lambda item: (item.first, item.last))
        return self._merged([item for item in found if not self._is_subject(item)])

    def _is_said_already(self, item: Condition, found: Sequence[Condition]) -> bool:
        """Tell whether the words are a yes-or-no condition already, or one on the same number."""
        return any(
            (other.key[1] in ("true", "false") or other.key[0] == item.key[0])
            and other.first <= item.last
            and item.first <= other.last
            for other in found
        )

    def _corrected(self, found: list[Condition]) -> list[Condition]:
        """Drop what the sentence takes back: "khách VIP hoặc … à không, chỉ …"."""
        reading = self.sentence.reading
        found.sort(key=lambda item: (item.first, item.last))
        for low, high in reading.find(_CORRECTS):
            later = [item for item in found if item.first > high]
            dots = reading.says(r"[.,;:–-]|\(", max(0, low - 2), low - 1)
            if not later or not dots or self.sentence.has_message_between(high, later[0].first):
                continue
            end = low - 1
            while end > 0 and not reading.words[end].text[0].isalnum():
                end -= 1
            start = self.sentence.clause_start(end)
            near = [item for item in found if start <= item.first and item.last < low]
            if self.sentence.has_message_between(start - 1, low):
                # "Email the monthly people, scratch that, the yearly ones" takes back one thing.
                near = [item for item in near if item.key[0] == later[0].key[0]]
            found = [item for item in found if item not in near]
        return found

    def _without_contradicted(self, found: list[Condition]) -> list[Condition]:
        """Drop a value that somebody is not to have: "Kho Huế đang ngập. … mọi nơi trừ Huế".

        Where two messages go out, one may be for those who have it and one for the others.
        """
        if len(self.sentence.channel_mentions) > 1 or self.sentence.elses:
            return found
        denied = {item.key for item in found if {"ne", "not_contains"} & set(item.operators)}
        found = [
            item
            for item in found
            if item.key not in denied or not {"eq", "contains"} & set(item.operators)
        ]
        return [item for item in found if not any(self._is_restated(item, one) for one in found)]

    def _is_restated(self, item: Condition, one: Condition) -> bool:
        """Tell whether a later condition says the opposite of a fact, and no branch is opened."""
        return (
            item.first < one.first and item.key[0] == one.key[0]
            and {item.key[1], one.key[1]} == {"true", "false"}
            and "eq" in item.operators and "eq" in one.operators
            and not self._is_own_branch(item, one)
            and self.sentence.has_message_between(item.last, one.first)
        )  # fmt: skip

    def _named_conditions(self) -> Iterator[Condition]:
        before: tuple[Attribute, Mention, str] | None = None
        for attribute, item in self.sentence.value_mentions:
            if self._is_template_only(attribute, item) or self._is_said_of_fact(item):
                continue
            if self._is_any_company(attribute, item) or self._is_any_member(attribute, item):
                continue
            if self.sentence.names_channel(attribute, item) or self.sentence.is_in_channel(item):
                continue
            operator = "contains" if attribute.type == "set" else "eq"
            if self.sentence.is_excepted(item.first, item.last) or self._is_denied_within(item):
                operator = NEGATED[operator]
            elif before is not None and before[0] is attribute and before[2] == "not_contains":
                joint = self.sentence.reading.text_of(before[1].last + 1, item.first - 1)
                operator = before[2] if re.fullmatch(_NEITHER, joint) else operator
            before = attribute, item, operator
            yield Condition(
                item.first, item.last, {attribute.name: 1.0}, {operator: 1.0}, dict(item.names)
            )

    def _is_any_company(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether "companies" only says who is meant, whichever plan they have."""
        said = self.sentence.reading.text_of(item.first, item.last)
        if not re.fullmatch(_COMPANIES, said) or not re.search(_PLANS, plain_label(attribute)):
            return False
        names = {fold(text) for value in attribute.values for text in (value.name, value.label)}
        return said not in names

    def _is_any_member(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether "members" only says who is meant, and not those of the lowest tier."""
        reading = self.sentence.reading
        said = reading.text_of(item.first, item.last)
        if not re.fullmatch(_MEMBERS, said) or not re.search(_PLANS, plain_label(attribute)):
            return False
        if item.first and reading.says(_PLANS, max(0, item.first - 2), item.first - 1):
            return False
        beside = any(
            other is attribute and one.last == item.first - 1 or one.first == item.last + 1
            for other, one in self.sentence.value_mentions
        )
        return beside or reading.says(_MEMBERS_WHO, item.last + 1, item.last + 2)

    def _is_denied_within(self, item: Mention) -> bool:
        """Tell whether "not" stands inside of some words and not in the name: "shop không lớn"."""
        denied = self.sentence.reading.says(_NOT_INSIDE, item.first + 1, item.last - 1)
        names = {value.name: value.label or value.name
                 for attribute in self.sentence.catalogue.attributes
                 for value in attribute.values}  # fmt: skip
        return denied and not re.search(rf"\b(?:{_NOT_INSIDE})\b", fold(names.get(item.best, "")))

    def _is_counted(self, item: Condition, found: Sequence[Condition]) -> bool:
        """Tell whether the words of a group only say what a number counts: "chạy trên 5.000 km"."""
        attribute = self.sentence.catalogue.attribute(item.key[0])
        if attribute is None or not attribute.values:
            return False
        if self.sentence.clause_start(item.first) == item.first:
            return False
        words = self.sentence.reading.words[item.first : item.last + 1]
        said: dict[tuple[int, int], set[str]] = {}
        for one in self.sentence.reading.inside(item.first, item.last):
            if one.name[0] != "~":
                said.setdefault((one.first, one.last), set()).add(one.name)
        names = {word for value in attribute.values for text in (value.name, value.label)
                 for word in [" ".join(one.text for one in words_of(text))]}  # fmt: skip
        if not said or " ".join(word.text for word in words) in names:
            return False
        for other in found:
            number = self.sentence.catalogue.attribute(other.key[0])
            if number is None or number.type != "number" or abs(other.first - item.first) > _NEAR:
                continue
            told = {one.name.removeprefix("~") for words in (
                        name_words(number.name), words_of(number.label))
                    for one in features(words)}  # fmt: skip
            if all(run & told for run in said.values()):
                return True
        return False

    def _is_template_only(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether the words are those of a template and name no audience."""
        reading = self.sentence.reading
        if not self._is_in_some_template(item) or self.sentence.is_of_people(item.first):
            return False
        if self.sentence.clause_start(item.first) == item.first:
            return self._opens_message(item)
        if self._is_spelt_out(item):
            return True
        led = reading.says(_AUDIENCE_LEAD, item.first - 1, item.first - 1) if item.first else True
        led = led or reading.says(rf"(?:{_OWNS}) {_ARTICLES}", item.first - 2, item.first - 1)
        followed = reading.says(_FOLLOWS_GROUP, item.last + 1, item.last + 1)
        if self._is_told(item):
            return False
        if not followed and self._is_object(item):
            return True
        if followed or (led and not self._is_joined(item)) or self._is_named(attribute, item):
            return False
        for other in self.sentence.template_mentions:
            wider = other.first < item.first or other.last > item.last
            if other.share >= 0.5 and wider and item.overlaps(other):
                if not self._reaches_audience(other, item) and self._explains(other, item):
                    return True
        return self._is_in_zone(item) and self._is_of_one_template(item)

    def _is_of_one_template(self, item: Mention) -> bool:
        """Tell whether one template's name has all that some words say."""
        names = {one.template_id: 1.0 for one in self.sentence.catalogue.templates}
        return any(self._explains(Mention(0, -1, ((name, 1.0),), 1.0), item) for name in names)

    def _explains(self, message: Mention, item: Mention) -> bool:
        """Tell whether a message's name has all that is said: "gia hạn gói sv" has no students."""
        if message.first <= item.first and item.last <= message.last:
            return True
        labels = {one.template_id: one.label for one in self.sentence.catalogue.templates}
        told = {
            one.name.removeprefix("~")
            for one in features([*words_of(labels[message.best]), *name_words(message.best)])
        }
        said = self.sentence.reading.inside(item.first, item.last)
        return {one.name for one in said if one.name[0] not in "~" and " " not in one.name} <= told

    def _is_spelt_out(self, item: Mention) -> bool:
        """Tell whether words stand in the middle of a message's name said word by word."""
        reading = self.sentence.reading
        if reading.says(cue("heads"), item.first - 1, item.first - 1) and (
            reading.words[item.first - 1].typed not in ("hồ", "hộ", "chú", "chủ")
        ):
            return False
        return any(
            other.share >= _WHOLE and other.names[0][1] >= _LITERAL
            and other.first < item.first and item.last <= other.last
            for other in self.sentence.template_mentions
        )  # fmt: skip

    def _reaches_audience(self, message: Mention, item: Mention) -> bool:
        """Tell whether a message's words end where people begin: "trại hè tới phụ huynh lớp …"."""
        opens = self.sentence.reading.find(_AUDIENCE_OPENS, message.first, item.last)
        return any(message.first <= high < item.first for _, high in opens)

    def _is_told(self, item: Mention) -> bool:
        """Tell whether words stand for who is told: "let the kids' class know about …"."""
        reading = self.sentence.reading
        return reading.says(r"let|tell", max(0, item.first - 3), item.first - 1) and reading.says(
            r"know|about|that", item.last + 1, item.last + 3
        )

    def _is_object(self, item: Mention) -> bool:
        """Tell whether words are part of a whole message's name, which is sent: "gửi gói bé"."""
        return any(
            other.share >= _WHOLE and other.first < item.first and item.last <= other.last
            and not self.sentence.reading.says(_ZONE_ENDS, other.first, item.first - 1)
            and self._is_in_zone(Mention(other.first, other.last, other.names, other.share))
            for other in self.sentence.template_mentions
        )  # fmt: skip

    def _opens_message(self, item: Mention) -> bool:
        """Tell whether a clause begins with the name of a message: "GPU launch promo goes out"."""
        reading = self.sentence.reading
        if any(
            other.first <= item.first and other.last > item.last and other.share >= _WHOLE
            and reading.says(":", other.last + 1, other.last + 1)
            for other in self.sentence.template_mentions
        ):  # fmt: skip
            return True
        return any(
            other.first == item.first and other.last > item.last and other.share >= _HALF
            and not reading.says(rf"{cue('heads')}|{_FOLLOWS_GROUP}|{_PARTS}", item.last + 1,
                                 other.last + 1)
            for other in self.sentence.template_mentions
        )  # fmt: skip

    def _is_in_some_template(self, item: Mention) -> bool:
        """Tell whether any template is called by words like these."""
        said = {one.name.removeprefix("~")
                for one in self.sentence.reading.inside(item.first, item.last)}  # fmt: skip
        plain = {word.text for word in self.sentence.reading.words[item.first : item.last + 1]}
        return any(
            said & {one.name.removeprefix("~") for one in features(words)}
            or plain <= {word.text for word in words}
            for template in self.sentence.catalogue.templates
            for words in (words_of(template.label), name_words(template.template_id))
        )

    def _is_in_zone(self, item: Mention) -> bool:
        """Tell whether words stand where a message is named: "send the …", "gửi …"."""
        reading = self.sentence.reading
        opens = reading.find(_ZONE_OPENS, max(0, item.first - 6), item.first - 1)
        if not opens:
            return False
        at = opens[-1][1]
        if reading.says(_ZONE_ENDS, at + 1, item.first - 1):
            return False
        is_object = reading.says(r"the|an?|our|about|their|his", item.last + 1, item.last + 1)
        return not (at == item.first - 1 and is_object and reading.words[at].text != "the")

    def _is_said_of_fact(self, item: Mention) -> bool:
        """Tell whether the words are a part of what an attribute without values is called."""
        reading = self.sentence.reading
        return any(
            other.share >= 0.65 and other.first <= item.first and item.last <= other.last
            and not reading.says(r"va|and|or|hoac|but|[,;:.]", other.first, other.last)
            and other.last - other.first > item.last - item.first + 1
            for attribute in self.sentence.catalogue.attributes
            if not attribute.values and attribute.type != "set"
            for other in reading.mentions({attribute.name: attribute.label})
        )  # fmt: skip

    def _is_joined(self, item: Mention) -> bool:
        """Tell whether the word before some words is also one of a template's name."""
        if self.sentence.reading.says(_PEOPLE_LEAD, item.first - 1, item.first - 1):
            return False
        return any(
            other.first < item.first and other.last >= item.last and other.share > 0.6
            and not self._reaches_audience(other, item)
            for other in self.sentence.template_mentions
        )  # fmt: skip

    def _is_named(self, attribute: Attribute, item: Mention) -> bool:
        """Tell whether the attribute itself is named right before a value: "gói gia đình"."""
        before = self.sentence.reading.inside(max(0, item.first - 2), item.first - 1)
        right = {one.name for one in before if one.last == item.first - 1}
        return bool(meanings_of(attribute) & right) and not self._is_in_label(item)

    def _is_in_label(self, item: Mention) -> bool:
        """Tell whether a message's own name has some words and the one before: "mời … gói năm"."""
        reading = self.sentence.reading
        if reading.says(_DONE_BEFORE, item.first - 2, item.first - 2) or (
            self.sentence.is_excepted(item.first, item.last)
        ):
            return False
        said = reading.text_of(item.first - 1, item.last)
        labels = {one.template_id: one.label for one in self.sentence.catalogue.templates}
        return any(
            other.first < item.first and item.last <= other.last
            and re.search(rf"\b{re.escape(said)}\b",
                          " ".join(word.text for word in words_of(labels[other.best])))
            for other in self.sentence.template_mentions
        )  # fmt: skip

    def _is_subject(self, item: Condition) -> bool:
        """Tell whether a place is what the message is about: everyone is to get it."""
        attribute = self.sentence.catalogue.attribute(next(iter(item.attributes)))
        if attribute is None or attribute.type not in ("text", "any") or "eq" not in item.operators:
            return False
        head = self.sentence.reading.text_of(item.first - 2, item.first - 1)
        if item.first > 1 and re.search(rf"\b{re.escape(head)}\b", plain_label(attribute)):
            # "Chi nhánh Nghệ An" is a place of those whose "thành phố của chi nhánh" it is.
            return False
        return self.sentence.reading.says(_THINGS, max(0, item.first - 3), item.first - 1) and not (
            self.sentence.reading.says(_SOMEBODY, max(0, item.first - 3), item.first)
        ) and self.sentence.reading.says(_EVERYONE)  # fmt: skip

    def _yes_no(self) -> Iterator[Condition]:
        for attribute in self.sentence.catalogue.attributes:
            if attribute.type != "boolean":
                continue
            opposite = self._opposites(attribute)
            yield from opposite
            for whole in self.sentence.reading.mentions(_called(attribute)):
                item = self._of_audience(attribute, whole)
                if any(item.first <= one.last and one.first <= item.last for one in opposite):
                    continue
                article = self.sentence.reading.says(r"the|an?|our", item.first - 1, item.first - 1)
                led = self.sentence.reading.says(
                    _HAVING, item.first - (2 if article and item.first > 1 else 1), item.first
                )
                enough = _HALF if led and not self._is_in_zone(item) else _MOST
                if item.share < enough or self._is_taken(item) or self.sentence.is_in_channel(item):
                    continue
                before = max(self.sentence.clause_start(item.first), item.first - 4)
                # "Không gửi người đang mang thai" denies the message, and nothing of who they are.
                forbids = self.sentence.reading.find(FORBIDS_SENDING, before, item.first - 1)
                before = max([before, *(high + 1 for _, high in forbids)])
                denied = self._is_denied(before, item.last) or (
                    self.sentence.reading.says(_SWITCHED_OFF, item.last + 1, item.last + 2)
                )
                own = denies_itself(attribute)
                # "Còn đồ trong giỏ chưa thanh toán": its own denial stands behind the words.
                denied = denied or (own and self.sentence.reading.says(_NOT_NEAR, item.last + 1,
                                                                       item.last + 2))  # fmt: skip
                denied = denied or self._is_outside(item.first)
                excepted = self.sentence.is_left_out(item.first, item.last)
                value = "true" if (denied == own) != excepted else "false"
                yield Condition(
                    item.first, item.last, {attribute.name: 1.0}, {"eq": 1.0}, {value: 1.0}
                )

    def _is_outside(self, first: int) -> bool:
        """Tell whether a group is denied from afar: "aren't in the club", "ngoài câu lạc bộ"."""
        reading = self.sentence.reading
        if first and reading.says(rf"(?:ngoai|outside)(?: of)?(?: {_ARTICLES})?",
                                  max(0, first - 3), first - 1):  # fmt: skip
            near = reading.find(rf"(?:ngoai|outside)(?: of)?(?: {_ARTICLES})?", max(0, first - 3),
                                first - 1)  # fmt: skip
            return near[-1][1] == first - 1
        far = reading.find(rf"(?:n t|\w+n t|not|never)(?: yet| currently)? "
                           rf"(?:in|on|part of|a member of|enrolled in|signed up (?:to|for)|using)"
                           rf"(?: {_ARTICLES})?(?: \w+)?",
                           max(0, first - 7), first - 1)  # fmt: skip
        return any(high == first - 1 for _, high in far)

    def _of_audience(self, attribute: Attribute, item: Mention) -> Mention:
        """Return the part of a mention that says who is meant: "nhắc trả sách cho ai đang mượn"."""
        reading = self.sentence.reading
        opens = reading.find(_AUDIENCE_OPENS, item.first + 1, item.last)
        if not opens:
            return item
        first = opens[-1][1] + 1
        scores = index_of(_called(attribute)).scores(reading.inside(first, item.last))
        score, share = scores.get(attribute.name, (0.0, 0.0))
        if share < _HALF:
            return item
        marks = [one.first for one in reading.inside(first, item.last)
                 if index_of(_called(attribute)).weight([frozenset({one.name})])]  # fmt: skip
        return Mention(min(marks, default=first), item.last, ((attribute.name, score),), share)

    def _is_denied(self, first: int, last: int) -> bool:
        """Tell whether words deny something and do not leave somebody out: "chừa … ra"."""
        reading = self.sentence.reading
        start = self.sentence.clause_start(first)
        out = reading.find(_LEAVES_OUT, start, last)
        return any(
            not any(one <= low and high <= other for one, other in out)
            and not reading.words[low].typed.startswith(("chừa", "nợ"))
            and not any(low == begins for begins, _ in self.sentence.spared)
            for low, high in reading.find(_NOT_NEAR, first, last)
        )

    def _opposites(self, attribute: Attribute) -> list[Condition]:
        """Return where a yes-or-no attribute is denied by the opposite word: "hết hạn"."""
        label = fold(attribute.label) or " ".join(word.text for word in name_words(attribute.name))
        found: list[Condition] = []
        for one, other in _OPPOSITES:
            if not re.search(rf"\b{one}\b", label):
                continue
            said = re.sub(rf"\b{one}\b", other, label)
            for item in self.sentence.reading.mentions({"": said}):
                told = any(item.first <= before.last and before.first <= item.last
                           for before in found)  # fmt: skip
                opposed = self.sentence.reading.says(other, item.first, item.last)
                if told or not opposed or item.share < _SURE:
                    continue
                excepted = self.sentence.is_left_out(item.first, item.last)
                found.append(
                    Condition(item.first, item.last, {attribute.name: 1.0}, {"eq": 1.0},
                              {"true" if excepted else "false": 1.0})
                )  # fmt: skip
        return found

    def _is_taken(self, item: Mention) -> bool:
        """Tell whether words already name a value, or belong to a template alone."""
        if any(item.overlaps(other) and not self._is_said_of_fact(other)
               for _, other in self.sentence.value_mentions):  # fmt: skip
            return True
        if self.sentence.reading.says(r"hang|cap|tier|level|rank", item.last + 1, item.last + 1):
            return True
        marked = self.sentence.reading.says(_HAVING, self._near_before(item.first), item.first)
        if marked or self._leads(item) or self._is_head(item) or self._says_whole(item):
            return False
        if self._is_in_some_template(item) and self._is_in_zone(item):
            return True
        if any(
            item.overlaps(other) and other.share >= 0.5
            and not self._reaches_audience(other, item)
            for other in self.sentence.template_mentions
        ):  # fmt: skip
            return True
        alone = self.sentence.clause_start(item.first) == item.first or item.names[0][1] >= _LITERAL
        return not alone and not self.sentence.reading.says(
            _MARKERS, max(0, item.first - 3), item.first - 1
        )

    def _near_before(self, first: int) -> int:
        """Return where the two words before some words begin, or what ends the clause before."""
        breaks = self.sentence.reading.find(r"[,;:.]", first - 2, first - 1) if first > 1 else []
        return breaks[-1][1] + 1 if breaks else max(0, first - 2)

    def _says_whole(self, item: Mention) -> bool:
        """Tell whether a fact is stated in full: "thẻ đã kích hoạt", "toàn thể xã viên"."""
        attribute = self.sentence.catalogue.attribute(item.best)
        if attribute is None or item.share < _FULL:
            return False
        reading = self.sentence.reading
        opens = self.sentence.clause_start(item.first) == item.first
        if opens and reading.says(_STATED, item.first, item.last):
            return True
        if not re.match(r"(?i)(?:là|is an?) ", attribute.label):
            return False
        led = reading.find(_RECEIVES_ALL, max(0, item.first - 3), item.first - 1)
        return opens or any(high == item.first - 1 for _, high in led)

    def _is_head(self, item: Mention) -> bool:
        """Tell whether words say who is meant: "hội viên có từ …", "to non-members with …"."""
        reading, last = self.sentence.reading, item.last
        if not reading.says(_MEMBERS, item.first, last) or last - item.first > 1:
            return False
        opens = self.sentence.clause_start(item.first) == item.first
        led = reading.says(_BEFORE_HEADS, item.first - 1, item.first - 1) if item.first else True
        return (opens or led) and reading.says(_AFTER_HEADS, last + 1, last + 1)

    def _leads(self, item: Mention) -> bool:
        """Tell whether words stand right before "thì": they say who, not what."""
        places = self.sentence.reading.find(
            r"(?:roi |xong |yet |chua |het roi )?(?:thi|:|\?)|(?:het |xong )?roi (?:ma|nhung|,|va)",
            item.last + 1, item.last + 3,
        )  # fmt: skip
        reading = self.sentence.reading
        led = reading.find(_RECEIVES, max(0, item.first - 5), item.first - 1)
        receives = any(high == item.first - 1 for _, high in led) and reading.says(
            _SUBSCRIBERS, item.last, item.last + 1
        )
        which = reading.says("nao", item.last + 1, item.last + 1)
        return receives or which or any(first == item.last + 1 for first, _ in places)

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
                close = any(high >= item.first - 2 for _, high in has)
                if (
                    item.share < (_HALF if close else _MOST)
                    or not (has or tail)
                    or amount
                    or self.sentence.is_in_template(item)
                ):
                    continue
                denied = self.sentence.reading.says(_NOT_KNOWING, start, item.first - 1)
                if attribute.type == "number" and attribute.unit in ("count", "vnd"):
                    continue
                excepted = self.sentence.is_excepted(item.first, item.last) and not denied
                value = "false" if denied or excepted else "true"
                if nothing := _nothing(attribute):
                    operator = "eq" if value == "false" else "ne"
                    yield Condition(item.first, item.last, {attribute.name: 1.0}, {operator: 1.0},
                                    {nothing: 1.0})  # fmt: skip
                    break
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
            if self._is_only_repeated(item, merged):
                continue
            if item.key[1] in ("true", "false") and any(
                item.attributes.keys() == other.attributes.keys()
                and not self.sentence.has_message_between(other.last, item.first)
                and not self._is_own_branch(other, item)
                for other in merged
            ):
                merged = [
                    other for other in merged if other.attributes.keys() != item.attributes.keys()
                ]
                before = merged[-1] if merged else None
            if (
                before is not None
                and item.key == before.key
                and (_surest(item) == _surest(before) or self._is_repeated(before, item))
                and (not self.sentence.has_message_between(before.last, item.first))
            ):
                continue
            merged.append(item)
        return merged

    def _is_only_repeated(self, item: Condition, merged: Sequence[Condition]) -> bool:
        """Tell whether a fact is only what those without it get: "hasn't reviewed: ask for …"."""
        if item.key[1] != "true" or not self.sentence.reading.says(
            _ASKED_FOR, max(0, item.first - 5), item.first - 1
        ):
            return False
        return any(
            other.attributes.keys() == item.attributes.keys() and other.key[1] == "false"
            and not self.sentence.has_message_between(other.last, item.first)
            for other in merged
        )  # fmt: skip

    def _is_repeated(self, one: Condition, other: Condition) -> bool:
        """Tell whether brackets only say a value again: "chưa mua nệm cao su (latex)"."""
        between = self.sentence.reading.text_of(one.last + 1, other.first - 1)
        return between.strip() in ("(", "/", "=", "( tuc", "( la", "( i e")

    def _is_own_branch(self, one: Condition, other: Condition) -> bool:
        """Tell whether the opposite of a fact opens a branch: "công ty thì …, cá nhân thì …"."""
        if one.key[1] == other.key[1]:
            return False
        between = (one.last + 1, other.first - 1)
        return self.sentence.reading.says(r"thi|:|gets?|receives?|nhan", *between) and (
            self.sentence.reading.says(r"thi|:|gets?|receives?|nhan|gui", other.last + 1)
        )

    def _is_taken_out(self, one: Condition, other: Condition, between: str) -> bool:
        """Tell whether the second of two groups is left out: "… cho A, ai thích B thì khỏi".

        :param between: the words that join them.
        """
        reading = self.sentence.reading
        silent = reading.find(_SILENT, other.last + 1, other.last + 5)
        ends = reading.find(r"[,;.:]", other.last + 1, other.last + 5)
        near = silent and not (ends and ends[0][0] < silent[0][0])
        apart = "," in between and not re.search(r"\b(?:hoac|hay|or|va|and|voi|lan)\b", between)
        sent = self.sentence.has_message_between(-1, one.first)
        return bool(near) and apart and (sent or reading.says(_SENDS, 0, one.first))

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
        if plain and self._is_taken_out(one, other, between):
            return False
        # Nobody has two values of one text, so they are alternatives however they are joined.
        joined = attribute.type == "text" or re.search(rf"(?:^|\b)(?:{_OR})(?:\b|$)|[,/&]", between)
        both = attribute.type == "set" and self._is_both(one, other, between)
        return plain and bool(joined) and not both

    def _is_both(self, one: Condition, other: Condition, between: str) -> bool:
        """Tell whether one customer has two values: "chơi cả A lẫn B", not "gửi cho cả A lẫn B".

        :param between: the words that join the values.
        """
        reading = self.sentence.reading
        low = max(self.sentence.clause_start(one.first), one.first - _LEAD)
        ends = reading.find(r"[,;.:]", low, one.first - 1) if one.first else []
        low = ends[-1][1] + 1 if ends else low
        if reading.says("deu", other.last + 1, other.last + 2):
            return False
        if reading.says(rf"vua|dong thoi|{_BOTH}", low, other.first):
            return True
        if reading.says(_TOGETHER, other.last + 1, other.last + 3):
            return True
        if not re.search(r"\b(?:lan|va|and|voi|cung)\b", between):
            return False
        return reading.says(_BOTH_OF, low, one.first - 1) and not reading.says(
            _BOTH_GROUPS, low, one.first
        )


def _nothing(attribute: Attribute) -> str:
    """Return the value of those who have none: "Chưa đăng ký" of "Gói định kỳ", or nothing."""
    for value in attribute.values:
        words = [word.text for word in words_of(value.label or value.name)]
        if (
            words[:1]
            and words[0] in ("chua", "khong", "none", "no", "not")
            and len(words) <= _SHORT
        ):
            return value.name
    return ""


def _called(attribute: Attribute) -> dict[str, str]:
    """Return what a yes-or-no attribute is called: "Là phụ huynh học viên" by the noun it gives."""
    label = re.sub(r"(?i)^(?:là|is an?) ", "", attribute.label)
    if label != attribute.label:
        ends = r"(?i) (?:của )?(?:học viên|khách hàng|khách|hội viên|thành viên)$"
        label = re.sub(ends, "", label) or label
    # "Có con nhỏ" is said of "con nhỏ".
    label = re.sub(r"(?i)^(?:đã |đang )?có (?=\S+ \S)", "", label)
    return {attribute.name: label}


def _surest(item: Condition) -> str:
    """Return the comparison that a condition most likely means."""
    return max(item.operators, key=lambda name: item.operators[name])
