"""A plan as the words of a sentence suggest it, for the model to follow or to overrule.

Rules read what is said in so many words: who (``conditions``), what (``messages``), when (waits),
and here, how they belong together. The draft is advice: it raises the options that it names, and
the model still chooses among all that the grammar allows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

from leo_activation.decision.background import background_end
from leo_activation.decision.conditions import ConditionReader
from leo_activation.decision.corrections import corrected
from leo_activation.decision.lexicon import cue
from leo_activation.decision.messages import MessageReader
from leo_activation.decision.parts import NEGATED, Branch, Condition, Message, Pause, Step
from leo_activation.decision.quantities import fold
from leo_activation.decision.reading import Reading
from leo_activation.decision.sentence import CHANNEL, Sentence
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.unexplained import Audience

_SILENT = cue("silent")
_EVERYONE = cue("everyone")
_SENDS = cue("sends")
_ASKS = cue("asks")
_OPENS_QUESTION = cue("opens_question")
_OTHERS = cue("others")
_ELSE = cue("else")
_EXCEPT_AFTER = cue("except_after")
_STAFF, _TELLS = cue("staff"), cue("tells")
_FILLERS = cue("fillers")
_CHORES = cue("chores")
_STOPS_ALL = cue("stops_all")
_ATTACKS = cue("attacks")
# What ends a part of a sentence: an attack closes with it.
_STOPS = re.compile(r"[.;!?](?=\s|$)|[,\n]")
_SOMEBODY = cue("heads")
_POLITE = cue("polite")
_LEAD_IN = cue("lead_in")
_TURNS = cue("turns")
_IDENTIFIER = re.compile(r"\b[A-Za-z]+(?:_[A-Za-z0-9]+)+\b")
# What a condition after its message begins with.
_TRAILS = (
    rf"[,;]|if|neu|if only|who|whose|that|with|without|only|ma|tinh|rieng|{cue('except')}|"
    rf"{cue('left_out')}"
)
# What says that one of two conditions is enough, and how many words may stand between them.
_EITHER = re.compile(
    r"\b(?:hoac|hay la|or)\b(?! (?:more|less|fewer|over|under|older|younger|longer|above|below|"
    r"higher|lower|greater|sooner|later|up|hon|tren|duoi|nhieu|it|cao|thap|lau)\b(?! than))"
)
_BETWEEN = 8
# Who points back at those who were named before, within so many words of "skip", "khỏi".
_POINTS, _NEAR = r"them|those|these|ho|(?:nhom|dam|tui|may nguoi) (?:do|nay|kia|ay)", 3
# What compares with the amount that was named before: "dưới mức đó", "less than that".
_OF_AMOUNT = (
    r"(?:duoi|tren|it hon|nhieu hon|thap hon|cao hon|less than|under|below|fewer than|over|above|"
    r"more than|chua toi|chua den|chua du) (?:muc |moc |so |nguong )?"
    r"(?:do|nay|kia|ay|that|this|it)|"
    r"if (?:fewer|less|more|lower|higher|younger|older|under|over|above|below|it s (?:less|more))"
)
# What gives the reason why somebody gets nothing: "đừng gửi kẻo họ hỏi chiết khấu".
_REASONS = r"keo|vi(?! tri)|boi vi|boi|tai vi|because|since|as they|or they|lest"
# What comes back to a group that was named before: "khách tuyến này", "those members".
_POINTS_BACK = (
    r"\b(?:\w+ (?:nay|do|ay|tren)|these|those|among them|in (?:this|that) \w+|"
    r"trong (?:do|so do|nhom))\b"
)
# So much of a template's name is all of it.
_WHOLE = 0.6
# More than all that can speak for a request; and what counts where a part of it may be meant.
_REFUSED, _FORBIDDEN = 8.0, 4.0
# "Mấy chị VIP" and "ai có PT" name nobody: a name has small letters after the first.
_PERSON = re.compile(
    r"(?<!mấy )(?<!may )(?<!các )(?<!cac )(?<!những )(?<!nhung )"
    r"\b(?:anh|chị|ông|bà|thầy|cô|bác|Mr|Mrs|Ms|Dr|Anh|Chị|chi|ong|ba|thay|co|bac) "
    r"[A-ZĐ](?![A-ZĐ])[^\W\d_]+(?! (?:tuổi|tuoi))"
)

# Who asks for it gets no message: "… giúp chị Thảo", "anh Tín dặn rồi".
_HELPED = re.compile(r"\b(?:giup|gium|dum|ho|nho|vi|theo|theo loi|thay|voi|phu) $")
# Who is told something, whatever is said of them behind: "nhắn anh Hùng phòng thu hồi nợ".
_TOLD = re.compile(r"^\W*(?:nhan|nhac|dan|bao|goi|tell|remind|text|call)(?: cho)? $")
_ASKED = re.compile(
    r" (?:(?:ben|o|phong|quay|moi|vua|hay|cu) (?:\w+ )?)?"
    r"(?:bao|noi|nhac|dan|hoi|keu|yeu cau|nho|can)\b"
)


def _names_receiver(text: str) -> bool:
    """Tell whether somebody is named who may be the one to get a message."""
    for match in _PERSON.finditer(text):
        before, after = fold(text[: match.start()]), fold(text[match.end() :])
        if _TOLD.search(before):
            return True
        if not _HELPED.search(before) and not _ASKED.match(after):
            return True
    return False


def _attack(spec: ToolSpec, sentence: str) -> int | None:
    """Return where a sentence begins to ask for what nobody offers, or none."""
    reading = Reading(sentence)
    found = [reading.words[first].start for first, _ in reading.find(_ATTACKS)]
    strange = set(_IDENTIFIER.findall(sentence)) - _names(spec)
    return min([*found, *(sentence.index(word) for word in strange)], default=None)


def _harmless(spec: ToolSpec, sentence: str, attack: int | None) -> str:
    """Return a sentence without the parts that attack, where something else is asked for.

    What stands before an attack is kept, or, where it asks for nothing, what stands after it.
    """
    if attack is None:
        return sentence
    ends = [match.end() for match in _STOPS.finditer(sentence)]
    before = sentence[: max([end for end in ends if end <= attack], default=0)]
    if _is_request(before):
        return before.rstrip(" .;!?,\n")
    after = sentence[min([end for end in ends if end > attack], default=len(sentence)) :].strip()
    again = _attack(spec, after)
    if again is not None:
        after = after[: max([end.end() for end in _STOPS.finditer(after[:again])], default=0)]
    return after if _is_request(after) else sentence


def _is_request(text: str) -> bool:
    """Tell whether a part of a sentence asks to send something to somebody."""
    words = fold(text)
    channel = re.search(rf"\b(?:{CHANNEL})\b", words) is not None
    somebody = re.search(rf"\b(?:{_SOMEBODY})\b", words) is not None
    verb = re.search(rf"\b(?:{_SENDS})\b", words) is not None
    return channel or (somebody and verb)


def _names(spec: ToolSpec) -> set[str]:
    """Return all names that a catalogue has."""
    catalogue = spec.catalogue
    values = {value.name for item in catalogue.attributes for value in item.values}
    templates = {item.template_id for item in catalogue.templates}
    return values | templates | {item.name for item in catalogue.attributes}


class Drafter:
    """Reads one sentence against one catalogue.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    """

    def __init__(self, spec: ToolSpec, sentence: str) -> None:
        """Find what the sentence says."""
        attack = _attack(spec, sentence)
        text = _harmless(spec, sentence, attack)
        self.is_attack = attack is not None and text == sentence
        self.sentence = Sentence(spec, corrected(spec, text))
        self.conditions = ConditionReader(self.sentence).conditions
        self.messages = MessageReader(self.sentence, self.conditions).messages
        self.told = background_end(self.sentence, self.conditions, self.messages)
        asked = [item for item in self.conditions if item.first > self.told]
        if len(asked) < len(self.conditions):
            self.conditions = ConditionReader(self.sentence, self.told).conditions
            self.messages = MessageReader(self.sentence, self.conditions).messages
        near = Audience(self.sentence, self.conditions, self.messages).nearest()
        if near:
            found = [*self.conditions, *near]
            self.conditions = sorted(found, key=lambda item: (item.first, item.last))
            self.messages = MessageReader(self.sentence, self.conditions).messages

    @cached_property
    def branches(self) -> list[Branch]:
        """Return who gets what, in order."""
        found = [item for item in self._grouped() if item.sends or item.is_silent]
        found = [self._without_contradictions(item) for item in self._with_shared(found)]
        return [one for item in found for one in self._alternatives(item)]

    def _without_contradictions(self, branch: Branch) -> Branch:
        """Return a branch that does not ask for what it denies: "ai chưa chụp kỷ yếu … kỷ yếu".

        Who is left out was said on purpose; the other may be but a part of what is sent.
        """
        denied = {
            (item.key, _surest(item)) for item in branch.conditions
            if _surest(item) in ("ne", "not_contains")
        }  # fmt: skip
        kept = [item for item in branch.conditions
                if item.items or (item.key, NEGATED.get(_surest(item), "")) not in denied
                or _surest(item) not in ("eq", "contains")]  # fmt: skip
        return branch if len(kept) == len(branch.conditions) else replace(branch, conditions=kept)

    def _alternatives(self, branch: Branch) -> list[Branch]:
        """Return a branch for each of two conditions of which one is enough."""
        if branch.is_silent:
            return [branch]
        for one, other in pairwise(branch.conditions):
            if one.key[0] == other.key[0] and not self._is_outside(one, other):
                continue
            between = self.sentence.reading.text_of(one.last + 1, other.first - 1)
            if len(between.split()) > _BETWEEN or not _EITHER.search(between):
                continue
            if not re.search(r"\b(?:va|and|ma|dong thoi|but|nhung)\b|[;.:]", between):
                others = [item for item in branch.conditions if item not in (one, other)]
                return [replace(branch, conditions=[*others, item]) for item in (one, other)]
        return [branch]

    def _is_outside(self, one: Condition, other: Condition) -> bool:
        """Tell whether no number is both of what is asked: "under 18 or over 60"."""
        ways = [next(iter(item.operators), "")[:2] for item in (one, other)]
        if not self._is_number(one) or sorted(ways) != ["gt", "lt"]:
            return False
        below, above = (one, other) if ways[0] == "lt" else (other, one)
        return float(below.key[1]) <= float(above.key[1])

    def _with_shared(self, branches: list[Branch]) -> list[Branch]:
        """Give each branch the group that is named once for all: "VIPs: over 2 … , below …".

        That is so where the branches only tell apart what the last condition of the first says.
        """
        sending = [item for item in branches if item.sends and item.conditions]
        if len(sending) != len(branches) or len(branches) < 2 or len(branches[0].conditions) < 2:
            return branches
        *outer, inner = branches[0].conditions
        own = [item for branch in branches[1:] for item in branch.conditions]
        apart = all(item.key[0] == inner.key[0] for item in own)
        if not apart or any(item.key[0] == inner.key[0] for item in outer):
            return branches
        between = self.sentence.reading.text_of(outer[-1].last + 1, inner.first - 1)
        known = self.sentence.catalogue.attribute(inner.key[0])
        halves = known is not None and known.type == "number" and len(own) == 1
        halves = halves and own[0].key == inner.key
        halves = halves and re.search(r"[,:;]|\b(?:if|neu|ma)\b", between) is not None
        if not (":" in between or halves or re.search(_POINTS_BACK, between)):
            return branches
        return [branches[0], *(replace(item, conditions=[*outer, *item.conditions])
                               for item in branches[1:])]  # fmt: skip

    def _events(self) -> list[tuple[int, str, Step | None]]:
        events: list[tuple[int, str, Step | None]] = [
            (item.first, "condition", item) for item in self.conditions
        ]
        events += [(self._stands_at(item), "message", item) for item in self.messages
                   if not self._is_refused(item)]  # fmt: skip
        pauses = [item for item in self.sentence.pauses if item.first > self.told]
        events += [(item.first, "pause", item) for item in pauses]
        events += [(self._rest_begins(*place), "else", None) for place in self.sentence.elses]
        events += [(first, "else", None) for first in self._turns()]
        events += [(first, "silent", None) for first in self._silences]
        order = ("else", "silent", "condition", "pause", "message")
        events.sort(key=lambda event: (event[0], order.index(event[1])))
        # "Thì thôi, khỏi nhắn" says one thing twice.
        return [item for before, item in pairwise([(-1, "", None), *events])
                if not before[1] == item[1] == "silent"]  # fmt: skip

    def _stands_at(self, item: Message) -> int:
        """Return where a message stands: one that all words name comes after all that is asked."""
        last = len(self.sentence.reading.words) - 1
        whole = (item.first, item.last) == (0, last)
        return last + 1 if whole and not self.sentence.reading.says(_SILENT) else item.first

    def _ends_at(self, item: Pause | Message) -> int:
        """Return where a step ends: a message that all words name, where it begins."""
        whole = (item.first, item.last) == (0, len(self.sentence.reading.words) - 1)
        return item.first if whole else item.last

    def _turns(self) -> Iterator[int]:
        """Yield where the opposite is only hinted at: "có rồi thì", "không đủ thì", "if not"."""
        reading = self.sentence.reading
        for before, item in pairwise(self.messages):
            breaks = reading.find(r"[,;.:]|con|nhung|but|while", before.last + 1, item.first - 1)
            verb = reading.find(_SENDS, before.last + 1, item.first - 1)
            for first, last in breaks:
                start = last + 1
                ends = [low for low, _ in (*reading.find(r"thi|,|:", start, item.first - 1), *verb)
                        if low > start]  # fmt: skip
                end = min([*ends, item.first]) - 1
                if self._is_turn(start, end) and not any(
                    before.first < low <= item.first for low, _ in self.sentence.elses
                ):
                    yield first
                    break

    def _is_turn(self, first: int, last: int) -> bool:
        """Tell whether some words only say that something is, or is not, as was said before."""
        reading = self.sentence.reading
        if not 0 <= last - first <= 5 or not reading.says(_TURNS, first, last):
            return False
        if reading.says(r"roi|then|sau", first, first):
            return False
        taken: list[Condition | Pause] = [*self.conditions, *self.sentence.pauses]
        if any(item.first <= last and first <= item.last for item in taken):
            return False
        if reading.says(r"\d+", first, last):
            return False
        known = re.sub(rf"\b(?:{_LEAD_IN}|{_TURNS})\b", " ", reading.text_of(first, last)).split()
        hinted = reading.says(rf"{_LEAD_IN}|{_TURNS}", first, first)
        # "Giỏ hàng còn bỏ đó" ends with no English "do".
        ends = reading.says(_TURNS, last, last) and (
            reading.text_of(last, last) != "do"
            or reading.says(
                r"they|who|that|those|people|we|you|muc|moc|so|nguong|the", last - 1, last - 1
            )
        )
        return len(known) <= 2 and (hinted or ends)

    def _rest_begins(self, first: int, last: int) -> int:
        """Return where the part for everybody else begins: "… and a push for the rest"."""
        before = [item for item in self.messages if item.first < first]
        led = (
            self.sentence.reading.says(r"cho|toi|den|voi|for|to|nhung", first - 1, first - 1)
            if first
            else False
        )
        led = led or self._ends_clause(first, last)
        if led and len(before) == 1 and self._is_for_rest(before[0]):
            return before[0].first
        if (
            not led
            or len(before) < 2
            or any(before[-1].first < item.first < first for item in self.conditions)
        ):
            return first
        return before[-1].first

    def _is_for_rest(self, item: Message) -> bool:
        """Tell whether the only message follows a clause about those who do not get it."""
        named = [one.last for one in self.conditions if one.last < item.first]
        reading = self.sentence.reading
        return bool(named) and reading.says(r"[,.;]", named[-1] + 1, item.first - 1) and not (
            reading.says(r"thi|:", named[-1] + 1, item.first)
        )  # fmt: skip

    def _ends_clause(self, first: int, last: int) -> bool:
        """Tell whether "if not", "otherwise" stand behind their message: "…, and SMS if not"."""
        reading = self.sentence.reading
        if not reading.says(r"if .*|otherwise|else|neu (?:khong|chua|ko)", first, last):
            return False
        ends = last + 1 >= len(reading.words) or reading.says(r"[.;!)]", last + 1, last + 1)
        return ends and not reading.says(r"[,;.:]", first - 1, first - 1)

    @cached_property
    def _silences(self) -> list[int]:
        """Return where "nothing" ends a clause of its own."""
        found = self.sentence.reading.find(_SILENT)
        return [first for first, _ in found if self._is_silence(first)]

    def _is_refused(self, item: Message) -> bool:
        """Tell whether a message is no more than words of a clause that ends with "bỏ qua"."""
        if len(self.messages) < 2:
            return False
        reading = self.sentence.reading
        for at in self._silences:
            if (
                at < item.first
                and not reading.says(r"[.;]", at, item.first)
                and reading.says(_REASONS, at, item.first)
            ):
                return True
            breaks = reading.find(rf"[,;.:]|{_ELSE}", 0, at - 1) if at else []
            low = max((high + 1 for _, high in breaks), default=0)
            if low <= item.first < at and any(low <= one.first < at for one in self.conditions):
                return True
        return False

    def _is_silence(self, first: int) -> bool:
        """Tell whether "nothing" ends a clause of its own."""
        after = self.sentence.reading.find(rf"[,;.]|{_REASONS}", first + 1)
        end = after[0][0] if after else len(self.sentence.reading.words)
        later = [item for item in self.messages if first < item.first < end]
        later_conditions = [item for item in self.conditions if first < item.first < end]
        return not later and not later_conditions

    def _grouped(self) -> list[Branch]:
        """Return the branches that conditions, waits and messages form in their order."""
        branches: list[Branch] = [Branch()]
        leads: str | None = None
        for at, kind, item in self._events():
            now = branches[-1]
            match item:
                case None:
                    self._turn(branches, kind, at)
                case Condition():
                    leads = leads or ("message" if now.sends else "condition")
                    if now.sends and self._is_tail(now, item):
                        leads = "message"
                    self._restrict(branches, item, leads)
                case Message() if self._follows_group(now, item, leads) or now.is_silent:
                    branches.append(Branch(actions=[item], is_rest=now.is_silent))
                case _:
                    now.actions.append(item)
        return self._with_late_pauses(self._taken_out(branches))

    def _taken_out(self, branches: list[Branch]) -> list[Branch]:
        """Leave out of all branches who gets nothing in the end: "…, đại lý thì miễn".

        Where the branches tell the customers apart by that very attribute they do so already,
        unless somebody may have several of its values.
        """
        *before, last = branches
        if not before or not last.is_silent or last.sends or len(last.conditions) != 1:
            return branches
        item = last.conditions[0]
        known = {one.key[0] for branch in before for one in branch.conditions}
        apart = item.key[0] in known and not self._is_set(item)
        if apart or not all(one.sends and not one.is_rest for one in before):
            return branches
        for branch in before:
            self._add(branch, *([item] if self._is_out(item) else self._left(branch, item)))
        return before

    def _left(self, branch: Branch, item: Condition) -> list[Condition]:
        """Return the checks that take customers out of a branch: not all whom it is for."""
        known = {one.key for one in branch.conditions}
        said = {one.key[0] for one in branch.conditions if {"eq", "in"} & set(one.operators)}
        if item.key[0] in said and "eq" in item.operators and item.key not in known:
            # Whoever is to have another value of one text does not have this one.
            return []
        return [one for one in self._others(item) if self._is_number(one) or one.key not in known]

    def _turn(self, branches: list[Branch], kind: str, at: int) -> None:
        """Take in "còn lại" or "thì thôi".

        :param at: where it stands.
        """
        now = branches[-1]
        if kind == "else":
            if not now.sends and self._is_only_told_of(now, at):
                now.is_silent = True
            if now.sends or now.is_silent:
                of_amount = self.sentence.reading.says(_OF_AMOUNT, at, at + _NEAR + 2)
                branches.append(Branch(is_rest=True, is_of_amount=of_amount))
        elif now.is_rest:
            branches[-1] = Branch()
        elif not now.sends and now.conditions:
            # "Khách đoàn thì né ra" has taken them out already.
            now.is_silent = not self.sentence.reading.says(_EXCEPT_AFTER, at, at + _NEAR)
        elif now.sends:
            # "…, nhưng ai từng khiếu nại thì đừng gửi" takes some of them out again.
            sent = max(self._ends_at(item) for item in now.actions)
            breaks = self.sentence.reading.find(r"[,;.]|nhung|but", sent + 1, max(sent + 1, at))
            # "Staff have their own, so not them": who is meant stands before the last sign.
            points = self.sentence.reading.says(_POINTS, at, at + _NEAR)
            held = [high for _, high in breaks if not points
                    or any(item.first > high for item in now.conditions)]  # fmt: skip
            start = held[-1] if held else len(self.sentence.reading.words)
            told = list(now.conditions)
            now.conditions = []
            for item in told:
                out = item.first > start and not self._is_out(item)
                self._add(now, *(self._left(now, item) if out else [item]))

    def _is_only_told_of(self, branch: Branch, at: int) -> bool:
        """Tell whether a group gets nothing: "Đại lý có giá riêng rồi. Những người khác: …".

        :param at: where everybody else begins.
        """
        if not branch.conditions or any(map(self._is_out, branch.conditions)):
            return False
        reading = self.sentence.reading
        apart = reading.says(r"[.,;]", branch.conditions[-1].last + 1, at - 1)
        return apart and not reading.says(r"khong|ko|k|neu|if|con (?:khong|ko)", at, at)

    def _add(self, branch: Branch, *items: Condition) -> None:
        """Give a branch conditions that it does not have yet."""
        for item in items:
            said = [(one.key, one.operators, one.items) for one in branch.conditions]
            if (item.key, item.operators, item.items) not in said:
                branch.conditions.append(item)

    def _is_out(self, item: Condition) -> bool:
        """Tell whether a condition leaves its customers out already: "trừ …, đừng phiền họ"."""
        known = self.sentence.catalogue.attribute(item.key[0])
        if known is not None and known.type in ("text", "set"):
            return bool({"ne", "not_contains"} & set(item.operators))
        place = (item.first, item.last)
        return self.sentence.is_excepted(*place) or self.sentence.is_left_out(*place)

    def _restrict(self, branches: list[Branch], item: Condition, leads: str) -> None:
        """Take in a condition.

        :param leads: whether this sentence names the customers first, or the message.
        """
        now = branches[-1]
        if now.sends and self._says_again(now, item):
            return
        opens = leads == "condition" and not self._trails(now, item)
        if now.is_silent or (now.sends and (opens or self._opens_group(now, item))):
            branches.append(Branch())
        elif now.is_rest and not now.sends and branches[:-1]:
            # "còn khách khác ở Hà Nội" is a group of its own, not everybody else, but for those
            # who get nothing: "ai đang trả góp thì bỏ qua, còn lại mà mua trên 20 triệu thì …".
            now.is_rest = False
            if all(one.is_silent and len(one.conditions) == 1 for one in branches[:-1]):
                silent = [one.conditions[0] for one in branches[:-1]]
                self._add(now, *(other for one in silent if one.key[0] != item.key[0]
                                 for other in self._others(one)))  # fmt: skip
        self._add(branches[-1], item)

    def _says_again(self, now: Branch, item: Condition) -> bool:
        """Tell whether a group is only named again: "gói trị nám thì gửi cho khách bị nám"."""
        later = any(self._stands_at(one) > item.first for one in self.messages)
        return not later and any(
            (one.key, one.operators, one.items) == (item.key, item.operators, item.items)
            for one in now.conditions
        )

    def _is_tail(self, now: Branch, item: Condition) -> bool:
        """Tell whether a condition says when the message before it is sent: "by email if …"."""
        sent = max((one.last for one in now.actions), default=-1)
        between = self.sentence.reading.text_of(sent + 1, item.first - 1)
        opens = re.search(r"\b(?:if|when|neu|khi)\b", between)
        return opens is not None and not re.search(r"[,;.:]|\b(?:thi|then)\b", between)

    def _trails(self, now: Branch, item: Condition) -> bool:
        """Tell whether a condition after the last message restricts that: ", except VIPs"."""
        if any(self._stands_at(one) > item.first for one in self.messages):
            return False
        known = {one.key[0] for one in now.conditions}
        alike = item.key[0] in known and not {"ne", "not_contains"} & set(item.operators)
        sent = max((one.last for one in now.actions), default=-1)
        reading = self.sentence.reading
        joined = reading.says(_TRAILS, sent + 1, item.first)
        return joined and not alike and not reading.says(_SILENT, item.first)

    def _opens_group(self, now: Branch, item: Condition) -> bool:
        """Tell whether a condition after "gửi … cho …" begins a group of its own: ", ai … thì"."""
        if not now.conditions:
            return False
        reading = self.sentence.reading
        before = max(one.last for one in (*now.conditions, *now.actions))
        later = [one.first for one in self.messages if one.first > item.last]
        if not later or not reading.says(r"[,;.:]|con|nhung|but|while", before + 1, item.first):
            return False
        return reading.says(r"thi|:|gets?|should|receives?|nhan", item.last + 1, later[0] - 1)

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

    def _with_late_pauses(self, branches: list[Branch]) -> list[Branch]:
        """Put a wait named after its message ("gửi Zalo sau 2 giờ") before it."""
        for branch in branches:
            for index, item in enumerate(branch.actions):
                if not isinstance(item, Pause) or not index:
                    continue
                later = [one for one in branch.actions[index + 1 :] if isinstance(one, Message)]
                before = branch.actions[index - 1]
                between = self.sentence.reading.text_of(before.last + 1, item.first - 1)
                joined = not re.search(r"[,;.:]|\b(?:roi|then|va|and)\b", between)
                if later:
                    gap = self.sentence.reading.text_of(item.last + 1, later[0].first - 1)
                    apart = re.search(r"[,;]|\b(?:roi|then)\b", gap)
                    if not (item.is_after and joined and apart and isinstance(before, Message)):
                        continue
                if branch is not branches[-1] and not joined and not later:
                    # "Push it, wait two days, and if …, text it": what comes after waits.
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
            elif branch.is_rest and not branch.conditions:
                for conditions in self._everybody_else(done, branch):
                    steps += [*conditions, *branch.actions]
            else:
                steps += [*branch.conditions, *branch.actions]
                if branch.conditions or not done:
                    done.append(branch)
        return steps

    def places(self, meanings: Collection[str]) -> set[int]:
        """Return where words of the sentence have one of some meanings."""
        return {
            index
            for item in self.sentence.reading.features
            if item.name in meanings
            for index in range(item.first, item.last + 1)
        }

    @cached_property
    def evidence(self) -> float:
        """Return how much speaks for a request to send something, or, below 0, against it."""
        reading = self.sentence.reading
        if self.sentence.channel_mentions and not any(
            item[0] in self.sentence.catalogue.channels for item in self.sentence.channel_mentions
        ):
            return -3.0
        verb = reading.says(_SENDS) or self.is_named
        score = 2.0 if self.messages and self.sentence.channel_mentions else 0.0
        score += 1.0 if verb else 0.0
        score += 1.0 if self.conditions or self.sentence.pauses else 0.0
        score += 0.5 if any(message.templates for message in self.messages) else -0.5
        score += 1.0 if reading.says(_EVERYONE) or self.sentence.elses else 0.0
        if not self.sentence.channel_mentions and not verb:
            score -= 2.0
        if not self.messages:
            score -= 2.0
        if self.is_asked or self.is_for_others or self.is_attack:
            score -= _REFUSED
        if self.is_doubtful:
            score -= _REFUSED
        return score - _FORBIDDEN * (self.is_chore + self.stops_all)

    @cached_property
    def is_named(self) -> bool:
        """Tell whether a message and who is to get it stand there: "Toy sale for cat people"."""
        begins = self.begins
        opens = any(item.first <= begins + 1 for item in self.conditions)
        opens = opens or self.sentence.reading.says(":|-|–", begins)
        return bool(self.conditions) and any(
            item.share >= _WHOLE and (opens or item.first <= begins + 1)
            for item in self.sentence.template_mentions
        )

    @cached_property
    def is_doubtful(self) -> bool:
        """Tell whether the sentence restricts or sends what was not found in the catalogue."""
        return self.audience.is_unexplained() or self.names_unknown_message

    @cached_property
    def names_unknown_message(self) -> bool:
        """Tell whether a message is asked for that no template is about."""
        return MessageReader(self.sentence, self.conditions).is_unknown()

    @cached_property
    def audience(self) -> Audience:
        """Return who is meant, with what of it was not understood."""
        return Audience(self.sentence, self.conditions, self.messages)

    @cached_property
    def is_asked(self) -> bool:
        """Tell whether somebody asks a question."""
        reading, begins = self.sentence.reading, self.begins
        asks = reading.sentence.rstrip().endswith("?") and not reading.says(_POLITE)
        if asks or any(not self._is_never(*place) for place in reading.find(_ASKS, self.told + 1)):
            return True
        opens = any(
            first == begins for first, _ in reading.find(_OPENS_QUESTION, begins, begins + 3)
        )
        return opens and not self.conditions and not self.sentence.channel_mentions

    def _is_never(self, first: int, last: int) -> bool:
        """Tell whether "when" only says never: "ai chưa học lớp nào bao giờ"."""
        reading = self.sentence.reading
        start = self.sentence.clause_start(first)
        return reading.says(r"bao gio", first, last) and reading.says(
            r"chua|khong|ko|chang|hong|never", max(start, first - _BETWEEN), first - 1
        )

    @cached_property
    def is_chore(self) -> bool:
        """Tell whether something else than sending is asked for."""
        begins = self.begins
        last = min(len(self.sentence.reading.words) - 1, begins + 4)
        return any(
            first == begins for first, _ in self.sentence.reading.find(_CHORES, begins, last)
        )

    @cached_property
    def is_for_others(self) -> bool:
        """Tell whether the message is for somebody who is no customer."""
        reading = self.sentence.reading
        told = reading.words[self.told].end if self.told >= 0 else 0
        if _names_receiver(reading.sentence[told:]):
            return True
        if any(
            not any(item.first <= last and first < item.first + 1 for item in self.conditions)
            for first, last in reading.find(_OTHERS, self.told + 1)
            if not self._is_favour(first, last) and reading.words[last].typed != "mẹ"
        ):
            return True
        return any(not self._is_known(first, last) for first, last in self._colleagues())

    def _colleagues(self) -> Iterator[tuple[int, int]]:
        """Yield who at work is told something: "nhắc dược sĩ ca tối …", "Zalo cho tài xế …"."""
        reading = self.sentence.reading
        for first, last in reading.find(_STAFF, self.told + 1):
            led = [
                high for _, high in reading.find(_TELLS, max(self.told + 1, first - 4), first - 1)
            ]
            if led and led[-1] == first - 1:
                yield first, last

    def _is_known(self, first: int, last: int) -> bool:
        """Tell whether a catalogue speaks of those whom some words name, or the words say who."""
        if any(item.first <= last and first <= item.last for item in self.conditions):
            return True
        catalogue = self.sentence.catalogue
        names = [f"{item.name} {item.label}" for item in catalogue.attributes]
        names += [f"{one.name} {one.label}" for item in catalogue.attributes for one in item.values]
        names += [f"{item.template_id} {item.label}" for item in catalogue.templates]
        said = self.sentence.reading.text_of(first, last)
        return any(said in fold(name).replace("_", " ") for name in names)

    def _is_favour(self, first: int, last: int) -> bool:
        """Tell whether "cho em" only asks to do it for the writer: "… thì gửi email cho em"."""
        reading = self.sentence.reading
        return (
            last >= len(reading.words) - 2
            and reading.says(r"cho (?:toi|minh|em|anh|chi|me)", first, last)
            and any(item.first < first for item in self.conditions)
            and reading.says(r"thi|:|la|cu|he|giup|dum|gium|luon|het", self.told + 1, first)
        )

    @cached_property
    def begins(self) -> int:
        """Return the first word after "hãy", "please" and the like."""
        index = 0
        while (found := self.sentence.reading.find(_FILLERS, index, index + 4)) and found[0][
            0
        ] == index:
            index = found[0][1] + 1
        return index

    @cached_property
    def stops_all(self) -> bool:
        """Tell whether sending is forbidden, and nothing else is asked for."""
        if self.sentence.elses or any(
            {"ne", "not_contains"} & set(item.operators) for item in self.conditions
        ):
            return False
        if any(item not in self.conditions for one in self.branches for item in one.conditions):
            # Only some of them are left out.
            return False
        return any(
            not any(
                self.sentence.clause_of(message.first) > self.sentence.clause_of(last)
                for message in self.messages
            )
            for _, last in self.sentence.reading.find(_STOPS_ALL)
        )

    def _is_set(self, item: Condition) -> bool:
        attribute = self.sentence.catalogue.attribute(item.key[0])
        return attribute is not None and attribute.type == "set"

    def _everybody_else(self, done: Sequence[Branch], rest: Branch) -> list[list[Condition]]:
        """Return the checks of all who are in none of the branches.

        Whoever misses one of several conditions is among them, so each has a branch of its own.

        :param rest: the branch that they get.
        """
        if len(done) == 1 and len(done[0].conditions) > 1:
            inner = self._inner(done[0], rest)
            if inner is not None:
                outer = [item for item in done[0].conditions if item is not inner]
                return [[*outer, *self._others(inner)]]
            return [others for item in done[0].conditions if (others := self._others(item))]
        found = [
            other
            for branch in done
            if len(branch.conditions) == 1
            for other in self._others(branch.conditions[0])
        ]
        return [found] if found else []

    def _inner(self, branch: Branch, rest: Branch) -> Condition | None:
        """Return the condition that alone tells a branch from the rest of one group, if any.

        "Hanoi club: boxing fans get a push, else an email", "…, below that an SMS".
        """
        numbers = [item for item in branch.conditions if self._is_number(item)]
        if rest.is_of_amount and len(numbers) == 1:
            return numbers[0]
        *outer, inner = branch.conditions
        between = self.sentence.reading.text_of(outer[-1].last + 1, inner.first - 1)
        sent = [item.first for item in branch.actions]
        between_sent = [first for first in sent if outer[-1].last < first < inner.first]
        if between_sent:
            # "For August birthdays: Zalo if they are VIP, SMS if not"
            tail = self.sentence.reading.text_of(between_sent[-1] + 1, inner.first - 1)
            is_tail = re.search(r"\b(?:if|when|neu|khi)\b", tail) and not re.search(r"[;.]", tail)
            return inner if is_tail else None
        return inner if ":" in between or self._is_set_apart(between, inner) else None

    def _is_set_apart(self, between: str, inner: Condition) -> bool:
        """Tell whether a comma sets a group apart: "sinh tháng 8, VIP thì Zalo, còn lại SMS".

        :param between: the words from the group to the condition that tells it apart.
        """
        gap = between.rpartition(",")[2] if "," in between else None
        if gap is None or len(gap.split()) > 2 or re.search(r"\b(?:va|and|ma|dong thoi)\b", gap):
            return False
        reading = self.sentence.reading
        verbs = rf"(?:\w+ )?(?:thi|gets?|receives?|nhan|gui|qua|di|:|{CHANNEL})"
        sends = reading.find(verbs, inner.last + 1, inner.last + 4)
        return any(low == inner.last + 1 for low, _ in sends)

    def _is_number(self, item: Condition) -> bool:
        attribute = self.sentence.catalogue.attribute(item.key[0])
        return attribute is not None and attribute.type == "number"

    def _others(self, item: Condition) -> list[Condition]:
        """Return the checks of all for whom a condition does not hold."""
        value = next(iter(item.values), "")
        if value in ("true", "false"):
            return [replace(item, values={"false" if value == "true" else "true": 1.0})]
        if item.items:
            name = "not_contains" if self._is_set(item) else "ne"
            return [
                replace(item, items=(), operators={name: 1.0}, values={one: 1.0})
                for one in item.items
            ]
        opposite = {NEGATED[name]: weight for name, weight in item.operators.items()}
        if value == "0" and {"gt", "eq"} & set(item.operators):
            # Who has none, and who has any: nobody has less than nothing.
            opposite = {"eq" if "gt" in item.operators else "gt": 1.0}
        return [replace(item, operators=opposite)]


def _surest(item: Condition) -> str:
    """Return the comparison that a condition most likely means."""
    return max(item.operators, key=lambda name: item.operators[name])
