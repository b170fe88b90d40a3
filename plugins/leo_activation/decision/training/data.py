"""Training examples: a random catalogue, a sentence about it, and the plan that it means.

The same seed gives the same examples. A sentence is put together from a shape (who gets what,
who gets the rest, wait, exceptions, nothing at all) and then roughened as people type: without
diacritics, in lower case, with shorthand and slips of the finger.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from leo_activation.decision.catalogue import Attribute, Catalogue, Template, parse_catalogue
from leo_activation.decision.parser import Call
from leo_activation.decision.toolset import functions_document
from leo_activation.decision.training.phrases import (
    CHANNELS,
    CITIES,
    COMPARISONS,
    FLAGS,
    KINDS,
    KNOWN,
    MEASURES,
    OUT_OF_SCOPE_EN,
    OUT_OF_SCOPE_VI,
    PLACE_EN,
    PLACE_LABELS,
    PLACE_VALUES,
    PLACE_VI,
    PLACES,
    SEGMENTS,
    TEMPLATES,
    Concept,
    Flag,
    Kind,
    Measure,
)

MINUTES = {"phút": 1, "giờ": 60, "tiếng": 60, "ngày": 1440, "tuần": 10080, "h": 60, "hôm": 1440}
MINUTES_EN = {"minutes": 1, "hours": 60, "days": 1440, "weeks": 10080}
_SPELLED = {2: "hai", 3: "ba", 4: "bốn", 5: "năm", 7: "bảy"}
_SPELLED_EN = {2: "two", 3: "three", 4: "four", 5: "five", 7: "seven"}


@dataclass(frozen=True)
class Example:
    """One sentence and the plan that it means for its catalogue.

    :param free: indices of the messages whose template the sentence leaves open.
    :param user_turn: what the model reads, where it is more than the sentence.
    """

    instruction: str
    plan: tuple[Call, ...]
    free: tuple[int, ...] = ()
    user_turn: str = ""


@dataclass(frozen=True)
class World:
    """A catalogue, and which concept each of its names stands for."""

    catalogue: Catalogue
    templates: dict[str, Concept]
    segments: dict[str, Concept]
    measures: dict[str, Measure]
    flags: dict[str, Flag]
    kinds: dict[str, Kind]
    places: dict[str, int]
    known: dict[str, Concept]
    groups: str


@dataclass(frozen=True)
class Audience:
    """A way to name some customers, the checks that select them, and the checks of the rest."""

    text: str
    checks: tuple[Call, ...]
    rest: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Message:
    """A phrase that asks for a message, and its call."""

    text: str
    call: Call
    is_free: bool = False


@dataclass
class Draft:
    """A plan under construction, which remembers the messages left open."""

    calls: list[Call] = field(default_factory=list)
    free: list[int] = field(default_factory=list)

    def add(self, *parts: Call | Message) -> Draft:
        """Append calls and messages."""
        for part in parts:
            if isinstance(part, Message):
                if part.is_free:
                    self.free.append(len(self.calls))
                self.calls.append(part.call)
            else:
                self.calls.append(part)
        return self

    def example(self, sentence: str) -> Example:
        """Return the finished example."""
        return Example(sentence, tuple(self.calls), tuple(self.free))


# -- catalogues ------------------------------------------------------------------------------

_KINDS = {"email": "Thư", "telegram": "Tin Telegram", "zalo": "Tin Zalo", "push": "Thông báo",
          "sms": "Tin SMS", "web": "Thông báo web", "messenger": "Tin Messenger",
          "whatsapp": "Tin WhatsApp"}  # fmt: skip
_TAILS = (" cho khách VIP", " dành cho khách mới", " tháng này", " cuối năm", " cho hội viên",
          " mùa hè", " cho khách thân thiết", " bản ngắn", " có ảnh", " gửi khách hàng",
          " của chúng tôi", " hằng tuần")  # fmt: skip
TEMPLATE_CODES = ("TPL", "tpl_", "zns_", "T", "msg-", "KM", "tmpl.", "m_", "mau_", "c")
_GROUP_NAMES = ("segments", "segments", "segments", "groups", "tags", "nhom_khach", "labels")


class _Names:
    """How one catalogue names things."""

    def __init__(self, rng: random.Random, *, familiar: bool) -> None:
        self.rng, self.familiar = rng, familiar
        self.is_english = rng.random() < 0.2 and not familiar
        self.is_opaque = rng.random() < 0.3 and not familiar
        self.has_labels = familiar or rng.random() < 0.6
        self.code = rng.choice(TEMPLATE_CODES)

    def pick(self, names: Sequence[str]) -> str:
        return names[0] if self.familiar else self.rng.choice(names)

    def words(self, concept: Concept) -> str:
        text = self.rng.choice(concept.en if self.is_english else concept.vi)
        return text[:1].upper() + text[1:]

    def template(self, concept: Concept, taken: set[str]) -> str:
        name = self.pick(concept.names)
        if self.is_opaque:
            name = f"{self.code}{self.rng.randint(1, 999):03d}"
        elif not self.familiar and self.rng.random() < 0.2:
            name = f"{name}_{self.rng.choice(('v2', '2026', 'q4', 'a', 'moi', '01'))}"
        while name in taken:
            name = f"{name}{self.rng.randint(2, 9)}"
        taken.add(name)
        return name


def make_world(rng: random.Random, *, familiar: bool) -> World:
    """Return a random catalogue.

    :param familiar: use each concept's first name, as the platform's own segments and
        attributes have, instead of any of its names.
    """
    names = _Names(rng, familiar=familiar)
    pool = list(CHANNELS)[:5] if rng.random() < 0.85 else list(CHANNELS)
    channels = rng.sample(pool, min(len(pool), rng.choice((1, 2, 2, 3, 3, 4, 5))))
    templates, messages = _messages(rng, channels, names)
    segments = {names.pick(item.names): item for item in rng.sample(SEGMENTS, rng.randint(3, 9))}
    wanted = MEASURES[:6] if familiar else rng.sample(MEASURES, rng.randint(2, 6))
    measures = {names.pick(item.names): item for item in wanted}
    flags = {names.pick(item.names): item for item in rng.sample(FLAGS, rng.randint(0, 3))}
    kinds = {names.pick(item.names): item for item in rng.sample(KINDS, rng.randint(0, 3))}
    places = {names.pick(PLACES[index]): index for index in rng.sample(range(3), rng.randint(0, 2))}
    known = {names.pick(item.names): item for item in rng.sample(KNOWN, rng.randint(0, 1))}
    group = "segments" if familiar else rng.choice(_GROUP_NAMES)
    attributes = [
        _segment_attribute(rng, names, group, segments),
        *(_measure_attribute(rng, names, name, item) for name, item in measures.items()),
        *(_labelled(rng, names, name, "boolean", item.labels) for name, item in flags.items()),
        *(_kind_attribute(rng, names, name, item) for name, item in kinds.items()),
        *(_place_attribute(rng, names, name, index) for name, index in places.items()),
        *(_labelled(rng, names, name, "text", item.vi) for name, item in known.items()),
    ]
    if not familiar:
        rng.shuffle(attributes)
    unique = {item["name"]: item for item in attributes}
    document = {"channels": channels, "templates": messages, "attributes": list(unique.values())}
    return World(
        parse_catalogue(document), templates, segments, measures, flags, kinds, places, known, group
    )


def _messages(
    rng: random.Random, channels: list[str], names: _Names
) -> tuple[dict[str, Concept], list[dict[str, Any]]]:
    """Return templates: mostly one for each channel as the platform keeps them."""
    concepts: dict[str, Concept] = {}
    documents: list[dict[str, Any]] = []
    taken: set[str] = set()
    apart = rng.random() < 0.75
    is_decorated = rng.random() < 0.5
    for concept in rng.sample(TEMPLATES, rng.randint(3, 7)):
        chosen = rng.sample(channels, rng.randint(1, min(2 if apart else 3, len(channels))))
        for group in [[channel] for channel in chosen] if apart else [chosen]:
            label = names.words(concept)
            if is_decorated:
                label = f"{_KINDS[group[0]]} {label[:1].lower()}{label[1:]}"
            if rng.random() < 0.2 and not names.is_english:
                label += rng.choice(_TAILS)
            name = names.template(concept, taken)
            concepts[name] = concept
            documents.append({"template_id": name, "label": label, "channels": group})
    for channel in channels:
        if not any(channel in document["channels"] for document in documents):
            rng.choice(documents)["channels"].append(channel)
    rng.shuffle(documents)
    return concepts, documents


def _labelled(
    rng: random.Random, names: _Names, name: str, kind: str, labels: Sequence[str]
) -> dict[str, Any]:
    label = rng.choice(labels) if names.has_labels else ""
    return {"name": name, "type": kind, "label": label}


def _measure_attribute(
    rng: random.Random, names: _Names, name: str, measure: Measure
) -> dict[str, Any]:
    return {**_labelled(rng, names, name, "number", measure.labels), "unit": measure.unit}


def _segment_attribute(
    rng: random.Random, names: _Names, group: str, segments: dict[str, Concept]
) -> dict[str, Any]:
    made = _labelled(rng, names, group, "set", ("nhóm khách hàng", "phân khúc", "segments"))
    if rng.random() < 0.15 and not names.familiar:
        return made
    values = [{"name": name, "label": names.words(concept)} for name, concept in segments.items()]
    return {**made, "values": values}


def _kind_attribute(rng: random.Random, names: _Names, name: str, kind: Kind) -> dict[str, Any]:
    made = _labelled(rng, names, name, "text", kind.labels)
    labelled = names.has_labels or rng.random() < 0.5
    values = [{"name": value, "label": vi if labelled else ""} for value, vi, _ in kind.values]
    return {**made, "values": values}


def _place_attribute(rng: random.Random, names: _Names, name: str, index: int) -> dict[str, Any]:
    made = _labelled(rng, names, name, "text", PLACE_LABELS[index])
    if rng.random() < 0.3 and not names.familiar:
        return made
    values = rng.sample(PLACE_VALUES[index], rng.randint(2, 6))
    return {**made, "values": [{"name": value} for value in values]}


# -- sentences -------------------------------------------------------------------------------


class Writer:
    """Writes sentences about one world, in one language.

    :param rng: all randomness comes from here.
    """

    def __init__(self, rng: random.Random, world: World, language: str) -> None:
        """Remember the world and the language's index into every table."""
        self.rng, self.world, self.vi = rng, world, language == "vi"

    def say(self, vi: Sequence[str], en: Sequence[str]) -> str:
        """Return one of the phrases in this writer's language."""
        return self.rng.choice(vi if self.vi else en)

    def words(self, concept: Concept) -> str:
        """Return one way to say a concept; now and then in the other language."""
        mixed = self.vi and self.rng.random() < 0.06
        return self.rng.choice(concept.vi if self.vi and not mixed else concept.en)

    # -- sending -------------------------------------------------------------------------

    def send(self, *, channel: str = "", bare: bool | None = None) -> Message:
        """Return a phrase like "gửi email tri ân" and its call.

        :param channel: the one to use, or any.
        :param bare: whether the template is left open.
        """
        catalogue = self.world.catalogue
        channel = channel or self.rng.choice(catalogue.channels)
        templates = catalogue.templates_for(channel)
        bare = self.rng.random() < 0.25 if bare is None else bare
        template = self.rng.choice(templates)
        concept = self.world.templates[template.template_id]
        same = [item for item in templates if self.world.templates[item.template_id] is concept]
        words = self.channel_words(channel)
        call = Call("send_notification", {"channel": channel, "template_id": template.template_id})
        if bare:
            return Message(self.bare(words), call, len(templates) > 1)
        everywhere = [item for item in catalogue.templates
                      if self.world.templates[item.template_id] is concept]  # fmt: skip
        alone = len(everywhere) == 1 and len(template.channels) == 1
        if alone and self.rng.random() < 0.25:
            return Message(self.unchannelled(template), call)
        return Message(self.full(words, template), call, len(same) > 1)

    def channel_words(self, channel: str) -> str:
        """Return what a channel is called."""
        return self.rng.choice(CHANNELS[channel][0 if self.vi else 1])

    def bare(self, words: str) -> str:
        """Return a request that names the channel only."""
        return self.say(
            ("gửi {}", "gửi {}", "nhắn qua {}", "dùng {}", "báo qua {}", "nhắn {}",
            "gửi tin qua {}",
             "bắn {}", "liên hệ qua {}", "gửi bằng {}", "thông báo bằng {}", "cho nhận {}"),
            ("send {}", "use {}", "reach out via {}", "message via {}", "contact by {}",
             "send a {}", "drop a {}"),
        ).format(words)  # fmt: skip

    def mention(self, template: Template) -> str:
        """Return what a template is called in this sentence."""
        draw = self.rng.random()
        if draw < 0.1:
            return template.template_id
        if draw < 0.25 and template.label:
            return template.label[:1].lower() + template.label[1:]
        return self.words(self.world.templates[template.template_id])

    def full(self, words: str, template: Template) -> str:
        """Return a request that names channel and template."""
        return self.say(
            ("gửi {c} {t}", "gửi {t} qua {c}", "nhắn {t} qua {c}", "gửi {c} nội dung {t}",
             "gửi tin {t} bằng {c}", "gửi mẫu {t} qua {c}", "dùng {c} gửi {t}", "{c} {t}",
             "bắn {c} {t}", "gửi {c} mẫu {t}", "báo {t} qua {c}", "gửi thông điệp {t} trên {c}",
             "phát {t} bằng {c}", "cho nhận {c} {t}"),
            ("send a {t} {c}", "send the {t} by {c}", "send {c} {t}", "{c} the {t}",
             "send the {t} message via {c}", "deliver {t} over {c}", "use {c} to send the {t}",
             "push out {t} on {c}"),
        ).format(c=words, t=self.mention(template))  # fmt: skip

    def unchannelled(self, template: Template) -> str:
        """Return a request that names the template only."""
        return self.say(
            ("gửi {t}", "gửi tin {t}", "gửi mẫu {t}", "gửi nội dung {t}", "gửi lời {t}"),
            ("send the {t}", "send {t}", "send out the {t} message"),
        ).format(t=self.mention(template))

    # -- conditions ----------------------------------------------------------------------

    def audience(self) -> Audience:
        """Return some customers, by whatever the catalogue knows about them."""
        world = self.world
        kinds: list[tuple[Callable[[], Audience], float]] = [
            (self.by_segment, 5.0), (self.by_measure, 5.0 if world.measures else 0.0),
            (self.by_place, 2.0 if world.places else 0.0),
            (self.by_kind, 2.0 if world.kinds else 0.0),
            (self.by_flag, 2.0 if world.flags else 0.0),
            (self.by_known, 0.5 if world.known else 0.0),
        ]  # fmt: skip
        chosen = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        return chosen[0]()

    def attribute(self, name: str) -> Attribute:
        """Return an attribute that the world certainly has."""
        found = self.world.catalogue.attribute(name)
        if found is None:
            raise KeyError(name)
        return found

    def segment(self) -> tuple[str, str]:
        """Return the words for a segment and its name, which is a word of them when it is open."""
        name, concept = self.rng.choice(list(self.world.segments.items()))
        words = self.words(concept)
        if self.attribute(self.world.groups).values:
            draw = self.rng.random()
            if draw < 0.06:
                return f"{'nhóm' if self.vi else 'segment'} {name}", name
            return words, name
        core = self.rng.choice([item for item in _CORES if item[0] in concept.names] or _CORES)
        return self.say(
            ("khách {}", "khách hàng {}", "nhóm {}", "phân khúc {}", "hạng {}", "thành viên {}"),
            ("{} customers", "{} members", "the {} segment"),
        ).format(core[1]), core[1]  # fmt: skip

    def by_segment(self) -> Audience:
        """Return the members of a segment."""
        words, name = self.segment()
        return Audience(words, *_both(self.world.groups, "contains", name))

    def by_measure(self) -> Audience:
        """Return the customers on one side of an amount, or between two."""
        name, measure = self.rng.choice(list(self.world.measures.items()))
        operator = self.rng.choices(("gt", "gte", "lt", "lte", "eq"), (5, 4, 4, 2, 0.4))[0]
        amount, value = self.amount(measure.unit)
        compared = self.say(*COMPARISONS[operator]).format(amount)
        checks, rest = _both(name, operator, value)
        if self.rng.random() < 0.08:
            compared, checks, rest = self.between(name, measure.unit)
        measured = self.say(measure.vi, measure.en).format(compared)
        words = self.say(
            ("khách {}", "khách hàng {}", "những ai {}", "người {}", "ai {}", "{}", "khách nào {}"),
            ("customers with {}", "customers who have {}", "those with {}", "anyone with {}"),
        ).format(measured)  # fmt: skip
        return Audience(words, checks, rest)

    def between(self, name: str, unit: str) -> tuple[str, tuple[Call, ...], tuple[Call, ...]]:
        """Return "từ … đến …" with its two checks; there is no single check of the rest."""
        (low, small), (high, large) = sorted(
            (self.amount(unit), self.amount(unit)), key=lambda pair: pair[1]
        )
        if small == large:
            raise KeyError(name)
        words = self.say(("từ {} đến {}", "trong khoảng {} đến {}", "từ {} tới {}"),
                         ("between {} and {}", "from {} to {}")).format(low, high)  # fmt: skip
        checks = (_check(name, "gte", small), _check(name, "lte", large))
        return words, checks, ()

    def by_place(self) -> Audience:
        """Return the customers of one or two places, or of all others."""
        name, index = self.rng.choice(list(self.world.places.items()))
        values = [item.name for item in self.attribute(name).values] or list(PLACE_VALUES[index])
        frame = self.say(PLACE_VI[index], PLACE_EN[index])
        chosen = self.rng.sample(values, min(2, len(values)))
        if len(chosen) == 2 and self.rng.random() < 0.2:
            text = self.say(("{} hoặc {}", "{} và {}", "{}, {}"), ("{} or {}", "{} and {}"))
            return Audience(frame.format(text.format(*chosen)), (_check(name, "in", chosen),))
        if self.rng.random() < 0.12:
            text = self.say(("khách không ở {}", "ai không ở {}", "khách ngoài {}"),
                            ("customers outside {}", "customers not in {}"))  # fmt: skip
            checks, rest = _both(name, "ne", chosen[0])
            return Audience(text.format(chosen[0]), checks, rest)
        return Audience(frame.format(chosen[0]), *_both(name, "eq", chosen[0]))

    def by_kind(self) -> Audience:
        """Return the customers with a value of a closed list."""
        name, kind = self.rng.choice(list(self.world.kinds.items()))
        value, vi, en = self.rng.choice(kind.values)
        words = vi if self.vi else en
        text = self.say(kind.vi, kind.en).format(words)
        return Audience(text, *_both(name, "eq", value))

    def by_flag(self) -> Audience:
        """Return the customers for whom a yes-or-no attribute holds, or does not."""
        name, flag = self.rng.choice(list(self.world.flags.items()))
        yes = self.rng.random() < 0.55
        words = self.say(flag.yes_vi if yes else flag.no_vi, flag.yes_en if yes else flag.no_en)
        return Audience(words, (_check(name, "eq", yes),), (_check(name, "eq", not yes),))

    def by_known(self) -> Audience:
        """Return the customers about whom something is known, or not."""
        name, concept = self.rng.choice(list(self.world.known.items()))
        yes = self.rng.random() < 0.5
        words = self.say(concept.vi, concept.en)
        text = (
            self.say(("khách đã có {}", "khách có {}", "ai đã cung cấp {}"),
                     ("customers with {} on file", "customers whose record has {}"))
            if yes else
            self.say(("khách chưa có {}", "khách thiếu {}", "ai chưa cung cấp {}"),
                     ("customers without {}", "customers missing {}"))
        )  # fmt: skip
        check, rest = _check(name, "exists", yes), _check(name, "exists", not yes)
        return Audience(text.format(words), (check,), (rest,))

    def amount(self, unit: str) -> tuple[str, int]:
        """Return an amount in words and as a number."""
        if unit == "vnd":
            return self._money()
        if unit == "days":
            count, word, days = self.rng.choice(
                [(30, "ngày", 30), (60, "ngày", 60), (90, "ngày", 90), (45, "ngày", 45),
                 (7, "ngày", 7), (14, "ngày", 14), (10, "ngày", 10), (180, "ngày", 180),
                 (2, "tuần", 14), (3, "tháng", 90), (6, "tháng", 180), (1, "năm", 365),
                 (2, "tháng", 60), (3, "tuần", 21), (1, "tháng", 30)]
            )  # fmt: skip
            english = {"ngày": "days", "tuần": "weeks", "tháng": "months", "năm": "year"}
            return f"{count} {word if self.vi else english[word]}", days
        value = self.rng.choice((18, 22, 25, 30, 35, 40, 45, 50, 60)) if unit == "years" else (
            self.rng.choice((2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 50, 100, 500, 1000)))  # fmt: skip
        spelled = _SPELLED if self.vi else _SPELLED_EN
        if unit == "count" and value in spelled and self.rng.random() < 0.15:
            return spelled[value], value
        if value == 1000 and self.vi:
            return self.rng.choice(("1000", "1.000")), value
        return str(value), value

    def _money(self) -> tuple[str, int]:
        value = self.rng.choice((50, 100, 200, 300, 500, 800, 1000, 1500, 2000, 2500, 3000, 5000,
                                 7000, 10000, 20000, 50000, 100_000, 1_000_000)) * 1000  # fmt: skip
        if value >= 1_000_000_000:
            return self.say(("1 tỷ", "1 tỉ", "một tỷ"), ("1 billion", "one billion")), value
        if value < 1_000_000:
            short = f"{value // 1000}"
            return self.say((f"{short}k", f"{short} nghìn", f"{short}.000 đồng", f"{short} ngàn",
                             f"{short}.000đ", f"{short}K"),
                            (f"{short}k", f"{short},000 VND",
                            f"{short} thousand")), value  # fmt: skip
        millions = f"{value / 1_000_000:g}"
        local = millions.replace(".", ",")
        choices = [f"{local} triệu", f"{local}tr", f"{local} triệu đồng", f"{value}",
                   f"{local} trieu", f"{local} củ"]  # fmt: skip
        if millions.endswith(".5"):
            choices += [f"{millions[:-2]}tr5", f"{millions[:-2]} triệu rưỡi"]
        words = self.say(choices, (f"{millions} million", f"{millions} million VND", f"{value}",
                                   f"{millions}m"))  # fmt: skip
        return words, value

    def pause(self) -> tuple[str, Call]:
        """Return a duration and the wait for it."""
        units = MINUTES if self.vi else MINUTES_EN
        unit = self.rng.choice(list(units))
        count = (self.rng.choice((10, 15, 20, 30, 45, 90)) if units[unit] == 1
                 else self.rng.choice((1, 2, 3, 4, 5, 6, 7, 12, 24)))  # fmt: skip
        if units[unit] > 1440:
            count = self.rng.randint(1, 4)
        if count == 1 and not self.vi:
            count = 2
        call = Call("wait_duration", {"minutes": count * units[unit]})
        if unit == "h":
            return f"{count}h", call
        spelled = _SPELLED if self.vi else _SPELLED_EN
        number = spelled[count] if count in spelled and self.rng.random() < 0.2 else str(count)
        if self.rng.random() < 0.05:
            return self.say(("nửa tiếng",), ("half an hour",)), Call(call.name, {"minutes": 30})
        return f"{number} {unit}", call

    # -- shapes --------------------------------------------------------------------------

    def plain(self) -> Example:
        """Send to everyone."""
        message = self.send()
        frame = self.say(
            ("{}", "{} cho tất cả khách hàng", "{} cho mọi người", "{} cho khách",
            "{} đến toàn bộ khách",
             "{} cho cả danh sách", "{} tới tất cả mọi người", "ai cũng được nhận: {}",
             "toàn bộ khách hàng: {}", "{} hàng loạt", "{} cho từng khách"),
            ("{}", "{} to everyone", "{} to all customers", "{} to the whole list",
             "for everybody, {}"),
        )  # fmt: skip
        return Draft().add(message).example(frame.format(message.text))

    def some(self) -> Example:
        """Send to some customers only."""
        who = self.audience()
        message = self.send()
        frame = self.say(_SOME_VI, _SOME_EN)
        return Draft().add(*who.checks, message).example(frame.format(s=message.text, a=who.text))

    def otherwise(self) -> Example:
        """Give the rest something else."""
        one, two = self.two_messages()
        who = self.audience()
        if not who.rest:
            who = self.by_segment()
        frame = self.say(_OTHERWISE_VI, _OTHERWISE_EN)
        draft = Draft().add(*who.checks, one, *who.rest)
        text = two.text
        if self.rng.random() < 0.12:
            time, wait = self.pause()
            text = self.say(("chờ {} rồi {}", "sau {} thì {}"),
                            ("wait {} and {}", "after {} {}")).format(time, text)  # fmt: skip
            draft.add(wait)
        return draft.add(two).example(frame.format(s=one.text, t=text, a=who.text))

    def two_messages(self) -> tuple[Message, Message]:
        """Return two requests, over two channels where there are two."""
        channels = self.world.catalogue.channels
        first, second = (
            self.rng.sample(channels, 2) if len(channels) > 1 else (channels[0], channels[0])
        )
        bare = self.rng.random() < 0.5 and first != second
        return self.send(channel=first, bare=bare), self.send(channel=second, bare=bare)

    def silent_rest(self) -> Example:
        """Say in so many words that the rest gets nothing."""
        who, message = self.audience(), self.send()
        frame = self.say(
            (
                "{s} cho {a}, còn lại không gửi gì",
                "{a} thì {s}, còn lại bỏ qua",
                "chỉ {s} cho {a} thôi, những người khác thì không",
                "{a}: {s}; ai khác thì thôi",
            ),
            ("{s} to {a}, nothing for the rest", "{s} to {a} only, skip everyone else"),
        )
        return Draft().add(*who.checks, message).example(frame.format(s=message.text, a=who.text))

    def two_groups(self) -> Example:
        """Give two groups a message each."""
        one, two = self.two_messages()
        first, second = self.by_segment(), self.audience()
        if first.text == second.text:
            raise KeyError(first.text)
        frame = self.say(
            (
                "{a} thì {s}, {b} thì {t}",
                "{s} cho {a}, {t} cho {b}",
                "{a}: {s}; {b}: {t}",
                "nếu là {a} thì {s}, nếu là {b} thì {t}",
                "với {a} {s}, với {b} {t}",
                "{s} cho {a} và {t} cho {b}",
            ),
            (
                "{s} to {a}, {t} to {b}",
                "{a}: {s}; {b}: {t}",
                "if {a}, {s}; if {b}, {t}",
                "{s} to {a} and {t} to {b}",
            ),
        )
        draft = Draft().add(*first.checks, one, *second.checks, two)
        return draft.example(frame.format(s=one.text, t=two.text, a=first.text, b=second.text))

    def three_ways(self) -> Example:
        """Give two groups and the rest a message each."""
        channels = self.world.catalogue.channels
        picked = [self.rng.choice(channels) for _ in range(3)]
        one, two, three = (self.send(channel=name, bare=self.rng.random() < 0.6) for name in picked)
        first, second = self.by_segment(), self.by_segment()
        if first.checks == second.checks:
            raise KeyError(first.text)
        frame = self.say(
            (
                "{a} thì {s}, {b} thì {t}, còn lại {u}",
                "{s} cho {a}, {t} cho {b}, số còn lại {u}",
                "{a}: {s}; {b}: {t}; những người khác: {u}",
                "nếu là {a} thì {s}, nếu là {b} thì {t}, không thì {u}",
            ),
            ("{s} to {a}, {t} to {b}, everyone else {u}", "{a}: {s}; {b}: {t}; the rest: {u}"),
        )
        draft = Draft().add(*first.checks, one, *second.checks, two)
        draft.add(*first.rest, *second.rest, three)
        return draft.example(
            frame.format(s=one.text, t=two.text, u=three.text, a=first.text, b=second.text)
        )

    def unless(self) -> Example:
        """Send to all but some customers."""
        message = self.send()
        kinds = [
            self.by_segment,
            self.by_segment,
            self.by_place if self.world.places else self.by_segment,
            self.by_flag if self.world.flags else self.by_segment,
            self.audience,
        ]
        who = self.rng.choice(kinds)()
        if not who.rest or who.checks[0].arguments["operator"] in ("ne", "exists"):
            who = self.by_segment()
        frame = self.say(_UNLESS_VI, _UNLESS_EN)
        return Draft().add(*who.rest, message).example(frame.format(s=message.text, a=who.text))

    def both(self) -> Example:
        """Ask for two conditions at once, one of them perhaps an exception."""
        message = self.send()
        one, two = self.by_segment(), self.audience()
        if self.rng.random() < 0.3:
            one = self.audience()
        attributes = {call.arguments["attribute"] for call in one.checks}
        if any(call.arguments["attribute"] in attributes for call in two.checks):
            raise KeyError(two.text)
        draft = Draft()
        if two.rest and self.rng.random() < 0.2:
            frame = self.say(("{s} cho {a} nhưng trừ {b}", "{s} cho {a}, ngoại trừ {b}",
                              "{a} trừ {b} thì {s}", "{s} cho {a} mà không phải {b}"),
                             ("{s} to {a} except {b}", "{s} to {a} but not {b}"))  # fmt: skip
            draft.add(*one.checks, *two.rest)
        else:
            frame = self.say(_BOTH_VI, _BOTH_EN)
            draft.add(*one.checks, *two.checks)
        return draft.add(message).example(frame.format(s=message.text, a=one.text, b=two.text))

    def either(self) -> Example:
        """Ask for one segment or another."""
        message = self.send()
        (one, name), (two, other) = self.segment(), self.segment()
        if name == other:
            raise KeyError(name)
        frame = self.say(
            (
                "{s} cho {a} hoặc {b}",
                "{s} nếu là {a} hay {b}",
                "{a} hoặc {b} thì {s}",
                "{s} cho {a} và {b}",
                "{a} hay {b} đều {s}",
                "{s} cho cả {a} lẫn {b}",
            ),
            ("{s} to {a} or {b}", "{s} if {a} or {b}", "{s} to {a} and {b}", "{a} or {b}: {s}"),
        )
        check = _check(self.world.groups, "in", [name, other])
        return Draft().add(check, message).example(frame.format(s=message.text, a=one, b=two))

    def later(self) -> Example:
        """Wait, then send, to everyone or to some."""
        message = self.send()
        time, wait = self.pause()
        frame = self.say(_LATER_VI, _LATER_EN)
        sentence = frame.format(d=time, s=message.text)
        if self.rng.random() < 0.5:
            tail = self.say(("", " cho tất cả", " cho mọi khách"), ("", " to everyone"))
            return Draft().add(wait, message).example(sentence + tail)
        who = self.audience()
        joined = self.say(
            ("nếu là {a} thì {s}", "{a}: {s}", "với {a} thì {s}", "{s} cho {a}", "{a} thì {s}"),
            ("for {a}, {s}", "if {a}, {s}", "{s} to {a}"),
        )
        draft = Draft().add(*who.checks, wait, message)
        return draft.example(joined.format(a=who.text, s=sentence))

    def twice(self) -> Example:
        """Send, wait, send again, perhaps a third time."""
        one, two = self.two_messages()
        time, wait = self.pause()
        frame = self.say(_TWICE_VI, _TWICE_EN)
        sentence = frame.format(s=one.text, d=time, t=two.text)
        draft = Draft()
        if self.rng.random() < 0.5:
            who = self.audience()
            sentence = self.say(
                ("với {a}, {s}", "nếu là {a} thì {s}", "{a}: {s}", "{a} thì {s}"),
                ("for {a}, {s}", "{a}: {s}", "if {a}: {s}"),
            ).format(a=who.text, s=sentence)  # fmt: skip
            draft.add(*who.checks)
        draft.add(one, wait, two)
        if self.rng.random() < 0.15:
            time, wait = self.pause()
            three = self.send(bare=True)
            sentence += self.say((", thêm {} nữa {}", ", rồi {} sau {}"),
                                 (", then {} later {}",)).format(time, three.text)  # fmt: skip
            draft.add(wait, three)
        return draft.example(sentence)

    def many(self) -> Example:
        """Use two or three channels at once."""
        channels = list(self.world.catalogue.channels)
        if len(channels) < 2:
            raise KeyError("one channel")
        picked = self.rng.sample(channels, min(len(channels), self.rng.choice((2, 2, 2, 3))))
        words = [self.channel_words(name) for name in picked]
        calls = [Message("", self.send(channel=name, bare=True).call,
                         len(self.world.catalogue.templates_for(name)) > 1)
                 for name in picked]  # fmt: skip
        joined = self.say((" và ", " lẫn ", " cùng ", " + ", ", "), (" and ", " plus ", ", "))
        listed = ", ".join(words[:-1]) + joined + words[-1]
        sentence = self.say(("gửi {}", "gửi cả {}", "nhắn qua {}", "dùng cả {}",
        "gửi đồng thời {}"),
                            ("send {}", "send both {}", "use {}")).format(listed)  # fmt: skip
        if self.rng.random() < 0.4:
            return Draft().add(*calls).example(sentence)
        who = self.audience()
        frame = self.say(("{s} cho {a}", "{a} thì {s}", "nếu là {a} thì {s}"),
                         ("{s} to {a}", "for {a}, {s}"))  # fmt: skip
        return Draft().add(*who.checks, *calls).example(frame.format(s=sentence, a=who.text))

    def nothing(self) -> Example:
        """Ask for what is none of this platform's business."""
        concept = self.rng.choice(list(self.world.segments.values()))
        template = self.rng.choice(list(self.world.templates.values()))
        other = [name for name in CHANNELS if name not in self.world.catalogue.channels]
        if other and self.rng.random() < 0.06:
            words = self.rng.choice(CHANNELS[self.rng.choice(other)][0 if self.vi else 1])
            return Example(f"{self.bare(words)} {self.say(('cho', 'tới'), ('to',))} "
                           f"{self.words(concept)}", ())  # fmt: skip
        channel = self.rng.choice(self.world.catalogue.channels)
        sentence = self.say(OUT_OF_SCOPE_VI, OUT_OF_SCOPE_EN).format(
            city=self.rng.choice(CITIES), n=self.rng.randint(2, 40), m=self.rng.randint(2, 40),
            segment=self.words(concept), t=self.words(template), c=self.channel_words(channel),
        )  # fmt: skip
        return Example(sentence, ())


_SOME_VI = (
    "{s} cho {a}", "{s} nếu là {a}", "nếu là {a} thì {s}", "{a} thì {s}", "với {a}, {s}",
    "chỉ {s} cho {a}", "{s} tới {a}", "{a}: {s}", "{s} đến {a}", "ai là {a} thì {s}",
    "riêng {a} thì {s}", "đối với {a}, hãy {s}", "trường hợp {a} thì {s}", "{s} dành cho {a}",
    "{s} khi khách là {a}", "lọc {a} rồi {s}", "chọn {a} và {s}", "{a} => {s}", "{a} -> {s}",
    "tìm {a} rồi {s}", "{s} riêng cho {a}", "hễ là {a} thì {s}", "{a} nên được {s}",
    "những khách thuộc {a} thì {s}", "khi gặp {a}, {s}", "{s} (chỉ {a})", "mỗi {a} đều {s}",
)  # fmt: skip
_SOME_EN = (
    "{s} to {a}", "for {a}, {s}", "{s} only to {a}", "if they are {a}, {s}", "{a}: {s}",
    "{s} for {a}", "when it is {a}, {s}", "{a} should get this: {s}", "only {a}: {s}",
    "pick {a} and {s}", "{s} if {a}",
)  # fmt: skip
_OTHERWISE_VI = (
    "{s} cho {a}, còn lại {t}", "{a} thì {s}, còn lại thì {t}", "nếu là {a} thì {s}, không thì {t}",
    "{a} {s}, những người khác {t}", "{s} cho {a}, ngược lại {t}", "{s} cho {a}, số còn lại {t}",
    "nếu là {a} thì {s}, nếu không thì {t}", "{a}: {s}; khách khác: {t}",
    "{a}: {s}, còn lại: {t}", "nếu {a} thì {s} còn không {t}",
    "{s} cho {a}; các khách khác thì {t}",
    "{a} thì {s}, ai không phải thì {t}", "{s} với {a}, phần còn lại {t}", "{a} -> {s}, else {t}",
    "với {a} thì {s}, trường hợp khác {t}", "{s} cho {a}, mấy người còn lại thì {t}",
)  # fmt: skip
_OTHERWISE_EN = (
    "{s} to {a}, otherwise {t}", "for {a} {s}, everyone else {t}",
    "{s} to {a} and {t} for the rest",
    "if {a}, {s}, else {t}", "{a}: {s}; the others: {t}", "{s} to {a}; for all others {t}",
    "{s} if {a}; if not, {t}", "{s} to {a}, the remaining customers {t}",
)  # fmt: skip
_UNLESS_VI = (
    "{s} cho mọi khách trừ {a}", "{s} nếu không phải {a}", "{s}, trừ {a}",
    "đừng gửi cho {a}, {s} cho những người khác", "{s} cho ai không phải là {a}",
    "{s} trừ khi là {a}", "ngoại trừ {a}, {s}", "trừ {a} ra, {s} cho tất cả",
    "{s} cho tất cả ngoại trừ {a}", "ai không phải {a} thì {s}", "không phải {a} thì {s}",
    "{s} cho cả danh sách, bỏ {a} ra", "loại {a} ra rồi {s}", "{s} trừ {a} nhé",
    "ngoài {a} ra thì {s} cho mọi người", "{s}, miễn không phải {a}",
    "{s} cho mọi người, bỏ qua {a}",
)  # fmt: skip
_UNLESS_EN = (
    "{s} to everyone except {a}", "{s} unless they are {a}", "{s} to all but {a}",
    "except for {a}, {s}", "{s} to everyone who is not {a}", "excluding {a}, {s}",
    "{s} to all customers other than {a}", "skip {a}, {s} to everyone else", "if not {a}, {s}",
)  # fmt: skip
_BOTH_VI = (
    "{s} cho {a} và là {b}", "{s} cho {a}, đồng thời là {b}", "nếu là {a} và {b} thì {s}",
    "{a} mà {b} thì {s}", "{s} cho {a} có điều kiện {b}", "{a} đồng thời {b}: {s}",
    "vừa là {a} vừa là {b} thì {s}", "trong số {a}, {b} thì {s}", "{s} cho {a} với điều kiện {b}",
    "{a} kiêm {b} thì {s}", "{s} nếu {a} và {b}",
)  # fmt: skip
_BOTH_EN = (
    "{s} to {a} who are also {b}",
    "if {a} and {b}, {s}",
    "{s} to {a} that are {b} as well",
    "among {a}, {s} to {b}",
    "both {a} and at the same time {b}: {s}",
)
_LATER_VI = (
    "chờ {d} rồi {s}", "đợi {d} sau đó {s}", "sau {d} thì {s}", "{s} sau {d}", "{d} nữa {s}",
    "{d} sau {s}", "chờ {d}, {s}", "để {d} nữa hãy {s}", "hoãn {d} rồi {s}", "{s} sau {d} nữa",
    "đợi thêm {d} mới {s}", "trong {d} tới đừng gửi, sau đó {s}",
)  # fmt: skip
_LATER_EN = (
    "wait {d} then {s}", "after {d} {s}", "{s} after {d}", "in {d}, {s}", "{s} {d} from now",
    "hold for {d} and {s}", "{d} later, {s}", "delay {d}, then {s}",
)  # fmt: skip
_TWICE_VI = (
    "{s}, {d} sau {t}", "{s} rồi chờ {d} và {t}", "{s}, sau {d} thì {t}",
    "{s}; {d} sau nhắc bằng cách {t}",
    "{s} trước, đợi {d} rồi {t}", "đầu tiên {s}, sau {d} {t}", "{s} ngay, {d} nữa {t}",
    "{s}, chờ {d}, {t}", "{s} -> chờ {d} -> {t}", "bước 1 {s}, bước 2 chờ {d}, bước 3 {t}",
)  # fmt: skip
_TWICE_EN = (
    "{s}, wait {d}, then {t}",
    "{s} and {d} later {t}",
    "first {s}, after {d} {t}",
    "{s} now, {t} in {d}",
    "{s}; {t} {d} afterwards",
)

SHAPES: tuple[tuple[Callable[[Writer], Example], float], ...] = (
    (Writer.plain, 8), (Writer.some, 30), (Writer.otherwise, 13), (Writer.silent_rest, 2),
    (Writer.two_groups, 5), (Writer.three_ways, 3), (Writer.unless, 8), (Writer.both, 8),
    (Writer.either, 4), (Writer.later, 9), (Writer.twice, 6), (Writer.many, 4),
    (Writer.nothing, 16),
)  # fmt: skip


def make_examples(rng: random.Random, world: World, count: int) -> list[Example]:
    """Return examples about one catalogue, two thirds of them in Vietnamese."""
    return [make_example(rng, world) for _ in range(count)]


def make_example(rng: random.Random, world: World) -> Example:
    """Return one example."""
    while True:
        language = "vi" if rng.random() < 0.7 else "en"
        writer = Writer(rng, world, language)
        shape = rng.choices([item for item, _ in SHAPES], [weight for _, weight in SHAPES])[0]
        try:
            made = shape(writer)
        except KeyError:
            # The catalogue has nothing for this shape; another one is drawn.
            continue
        return Example(roughen(rng, made.instruction, language), made.plan, made.free)


_OPENINGS = {
    "vi": ("", "", "", "", "Hãy ", "Giúp mình ", "Em ơi ", "Nhờ bạn ", "Cần ", "Làm ơn ",
    "Mình muốn ",
           "Anh cần ", "Chiến dịch này: ", "Cho chạy giúp chị: ", "Tuần này "),
    "en": ("", "", "", "", "Please ", "Can you ", "I want to ", "Let's ", "We need to ", "Team, "),
}  # fmt: skip
_ENDINGS = {
    "vi": ("", "", "", "", ".", " nhé", " giúp mình", " nha", "!", " để tăng doanh số", " ạ",
    " nhe",
           " giùm", " hộ em", " đi"),
    "en": ("", "", "", "", ".", " please", "!", " to boost sales", " thanks"),
}  # fmt: skip
_SHORTHAND = (
    ("không", "ko"), ("khách hàng", "kh"), ("khách", "k/h"), ("được", "dc"), ("với", "vs"),
    ("nếu", "neu"), ("trên", "tren"), ("không", "k"), ("gửi", "gởi"), ("những", "nhg"),
    ("khách", "khach"), ("người", "ng"), ("cho", "cho mấy"), ("tin nhắn", "tn"), ("rồi", "r"),
)  # fmt: skip


def roughen(rng: random.Random, sentence: str, language: str) -> str:
    """Return a sentence as somebody might type it."""
    sentence = rng.choice(_OPENINGS[language]) + sentence + rng.choice(_ENDINGS[language])
    sentence = roughen_written(rng, sentence, language)
    return sentence[:1].upper() + sentence[1:] if sentence != sentence.lower() else sentence


def roughen_written(rng: random.Random, sentence: str, language: str) -> str:
    """Return a sentence that people wrote as somebody else might type it.

    :param language: vi, vi-ascii, en or mixed.
    """
    if language in ("vi", "mixed"):
        if rng.random() < 0.12:
            sentence = sentence.replace(*rng.choice(_SHORTHAND))
        if rng.random() < 0.28:
            sentence = _without_diacritics(sentence)
    if rng.random() < 0.05:
        sentence = _slip(rng, sentence)
    return sentence.lower() if rng.random() < 0.3 else sentence


def _slip(rng: random.Random, sentence: str) -> str:
    """Return a sentence with two letters of one long word swapped."""
    words = sentence.split(" ")
    places = [index for index, word in enumerate(words) if len(word) > 5 and word.isalpha()]
    if not places:
        return sentence
    place = rng.choice(places)
    word = words[place]
    at = rng.randint(1, len(word) - 3)
    words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _without_diacritics(text: str) -> str:
    replaced = text.replace("đ", "d").replace("Đ", "D")
    decomposed = unicodedata.normalize("NFD", replaced)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


# What a group is called where the catalogue does not list its groups.
_CORES = (
    ("vip", "VIP"), ("gold", "vàng"), ("silver", "bạc"), ("platinum", "bạch kim"), ("gold", "Gold"),
    ("diamond", "kim cương"), ("loyal", "trung thành"), ("loyal", "thân thiết"), ("new_buyers",
    "mới"),
    ("students", "sinh viên"), ("at_risk", "nguy cơ"), ("wholesale", "sỉ"), ("inactive",
    "ngủ đông"),
    ("platinum", "Platinum"), ("business", "doanh nghiệp"), ("vip", "VVIP"), ("active", "Premium"),
)  # fmt: skip


@cache
def _negations() -> dict[str, str]:
    found: dict[str, str] = functions_document()["negations"]
    return found


def _check(attribute: str, operator: str, value: Any) -> Call:
    arguments = {"attribute": attribute, "operator": operator, "value": value}
    return Call("check_condition", arguments)


def _both(attribute: str, operator: str, value: Any) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
    """Return a check and the check of everyone else."""
    negated = _negations()[operator]
    return (_check(attribute, operator, value),), (_check(attribute, negated, value),)
