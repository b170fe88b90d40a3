"""Training examples: a random catalogue, a sentence about it, and the plan that it means.

The same seed gives the same examples. A sentence is put together from a shape (who gets what,
who gets the rest, wait, exceptions, nothing at all) and then roughened as people type: without
diacritics, in lower case, with shorthand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from leo_activation.decision.catalogue import Catalogue, Template, parse_catalogue
from leo_activation.decision.parser import Call
from leo_activation.decision.toolset import functions_document
from leo_activation.decision.training.phrases import (
    AFFINITIES,
    CHANNELS,
    CITIES,
    COMPARISONS,
    FLAGS,
    GENDERS,
    MEASURES,
    OUT_OF_SCOPE_EN,
    OUT_OF_SCOPE_VI,
    SEGMENTS,
    TEMPLATES,
    Concept,
    Measure,
)

MINUTES = {"phút": 1, "giờ": 60, "tiếng": 60, "ngày": 1440, "tuần": 10080}
MINUTES_EN = {"minutes": 1, "hours": 60, "days": 1440, "weeks": 10080}


@dataclass(frozen=True)
class Example:
    """One sentence and the plan that it means for its catalogue."""

    instruction: str
    plan: tuple[Call, ...]


@dataclass(frozen=True)
class World:
    """A catalogue, and which concept each of its names stands for."""

    catalogue: Catalogue
    templates: dict[str, Concept]
    segments: dict[str, Concept]
    measures: dict[str, Measure]


@dataclass(frozen=True)
class Audience:
    """A way to name some customers, the checks that select them, and the checks of the rest."""

    text: str
    checks: tuple[Call, ...]
    rest: tuple[Call, ...]


def make_world(rng: random.Random, *, familiar: bool) -> World:
    """Return a random catalogue.

    :param familiar: use each concept's first name, as the platform's own segments and
        attributes have, instead of any of its names.
    """

    def pick(names: Sequence[str]) -> str:
        return names[0] if familiar else rng.choice(names)

    channels = rng.sample(list(CHANNELS), rng.randint(2, 4))
    templates, messages = _messages(rng, channels, pick)
    segments = {pick(item.names): item for item in _segments(rng, familiar)}
    amount = rng.randint(3, 6)
    measures = {pick(item.names): item for item in
                (MEASURES[:6] if familiar else rng.sample(MEASURES, amount))}  # fmt: skip
    document = {
        "channels": channels,
        "templates": messages,
        "attributes": _attributes(rng, segments, measures),
    }
    return World(parse_catalogue(document), templates, segments, measures)


_KINDS = {"email": "Thư", "telegram": "Tin Telegram", "zalo": "Tin Zalo",
          "push": "Thông báo", "sms": "Tin SMS"}  # fmt: skip


def _messages(
    rng: random.Random, channels: list[str], pick: Callable[[Sequence[str]], str]
) -> tuple[dict[str, Concept], list[dict[str, Any]]]:
    """Return templates: shared by several channels, or one for each as the platform keeps them."""
    concepts: dict[str, Concept] = {}
    documents: list[dict[str, Any]] = []
    apart = rng.random() < 0.6
    for concept in rng.sample(TEMPLATES, rng.randint(3, 5)):
        name, label = pick(concept.names) if rng.random() < 0.5 else (
            rng.choice(concept.names)), rng.choice(concept.labels)  # fmt: skip
        chosen = rng.sample(channels, rng.randint(1, 2 if apart else len(channels)))
        for group in [[channel] for channel in chosen] if apart else [chosen]:
            suffix = f"_{group[0]}" if len(chosen) > 1 and apart and group != chosen[:1] else ""
            concepts[name + suffix] = concept
            full = f"{_KINDS[group[0]]} {label[:1].lower()}{label[1:]}" if apart else label
            documents.append({"template_id": name + suffix, "label": full, "channels": group})
    for channel in channels:
        if not any(channel in document["channels"] for document in documents):
            documents[-1 if apart else 0]["channels"].append(channel)
    rng.shuffle(documents)
    return concepts, documents


def _segments(rng: random.Random, familiar: bool) -> list[Concept]:
    if familiar:
        return [*SEGMENTS[:9], *rng.sample(SEGMENTS[9:], 2)]
    return rng.sample(SEGMENTS, rng.randint(5, 9))


def _attributes(
    rng: random.Random, segments: dict[str, Concept], measures: dict[str, Measure]
) -> list[dict[str, Any]]:
    named = [{"name": name, "label": rng.choice(concept.labels)}
             for name, concept in segments.items()]  # fmt: skip
    attributes: list[dict[str, Any]] = [
        {"name": "segments", "type": "set", "label": "nhóm khách hàng", "values": named}
    ]
    for name, measure in measures.items():
        attributes.append({"name": name, "type": "number", "unit": measure.unit,
                           "label": rng.choice(measure.labels)})  # fmt: skip
    genders = [{"name": "female", "label": "nữ"}, {"name": "male", "label": "nam"}]
    attributes.append({"name": "gender", "type": "text", "label": "giới tính", "values": genders})
    cities = [{"name": city} for city in rng.sample(CITIES, rng.randint(3, 6))]
    attributes.append({"name": "city", "type": "text", "label": "thành phố", "values": cities})
    if rng.random() < 0.5:
        name, label, *_ = rng.choice(FLAGS)
        attributes.append({"name": name, "type": "boolean", "label": label})
    return attributes


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

    # -- sending -------------------------------------------------------------------------

    def send(
        self, *, channel: str = "", bare: bool | None = None, who: Audience | None = None
    ) -> tuple[str, Call]:
        """Return a phrase like "gửi email tri ân" and its call.

        :param channel: the one to use, or any.
        :param bare: whether the message is left open: then it is the one made for the audience,
            else the channel's first.
        :param who: the audience, where it is known.
        """
        catalogue = self.world.catalogue
        channel = channel or self.rng.choice(catalogue.channels)
        templates = catalogue.templates_for(channel)
        if bare is None:
            bare = self.rng.random() < 0.3
        template = self._fitting(templates, who) if bare else self.rng.choice(templates)
        words = self.rng.choice(CHANNELS[channel][0 if self.vi else 1])
        text = self._bare(words) if bare else self._full(words, template)
        arguments = {"channel": channel, "template_id": template.template_id}
        return text, Call("send_notification", arguments)

    def _fitting(self, templates: Sequence[Template], who: Audience | None) -> Template:
        value = who.checks[0].arguments["value"] if who else None
        concept = self.world.segments.get(value) if isinstance(value, str) else None
        wanted = AFFINITIES.get(concept.names[0]) if concept else None
        for template in templates:
            if self.world.templates[template.template_id].names[0] == wanted:
                return template
        return templates[0]

    def _bare(self, words: str) -> str:
        return self.say(("gửi {}", "nhắn qua {}", "dùng {}", "báo qua {}"),
                        ("send {}", "use {}", "reach out via {}")).format(words)  # fmt: skip

    def _full(self, words: str, template: Template) -> str:
        concept = self.world.templates[template.template_id]
        if self.rng.random() < 0.12:
            mention = template.template_id
        else:
            mention = self.rng.choice(concept.vi if self.vi else concept.en)
        frame = self.say(
            ("gửi {c} {t}", "gửi {t} qua {c}", "nhắn {t} qua {c}", "gửi {c} nội dung {t}",
             "gửi tin {t} bằng {c}"),
            ("send a {t} {c}", "send the {t} by {c}", "send {c} {t}"),
        )  # fmt: skip
        return frame.format(c=words, t=mention)

    # -- conditions ----------------------------------------------------------------------

    def audience(self) -> Audience:
        """Return some customers, by segment half of the time."""
        kinds: list[tuple[Callable[[], Audience], float]] = [
            (self.by_segment, 5.0), (self.by_measure, 4.0), (self.by_text, 1.5),
        ]  # fmt: skip
        if any(item.type == "boolean" for item in self.world.catalogue.attributes):
            kinds.append((self.by_flag, 0.8))
        chosen = self.rng.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])
        return chosen[0]()

    def by_segment(self) -> Audience:
        """Return the members of a segment."""
        name, concept = self.rng.choice(list(self.world.segments.items()))
        words = self.rng.choice(concept.vi if self.vi else concept.en)
        return Audience(words, *_both("segments", "contains", name))

    def by_measure(self) -> Audience:
        """Return the customers on one side of an amount."""
        name, measure = self.rng.choice(list(self.world.measures.items()))
        operator = self.rng.choices(("gt", "gte", "lt", "lte", "eq"), (5, 4, 3, 2, 0.4))[0]
        amount, value = self.amount(measure.unit)
        compared = self.say(*COMPARISONS[operator]).format(amount)
        measured = self.say(measure.vi, measure.en).format(compared)
        words = self.say(("khách {}", "khách hàng {}", "những ai {}", "người {}"),
                         ("customers with {}", "customers who have {}",
                          "those with {}")).format(measured)  # fmt: skip
        return Audience(words, *_both(name, operator, value))

    def by_text(self) -> Audience:
        """Return the customers of a gender or a city."""
        if self.rng.random() < 0.5:
            gender = self.rng.choice(list(GENDERS))
            return Audience(self.say(*GENDERS[gender]), *_both("gender", "eq", gender))
        known = self.world.catalogue.attribute("city")
        city = self.rng.choice(known.values).name if known else CITIES[0]
        words = self.say(("khách ở {}", "khách tại {}", "khách sống ở {}", "người {}"),
                         ("customers in {}", "people from {}")).format(city)  # fmt: skip
        return Audience(words, *_both("city", "eq", city))

    def by_flag(self) -> Audience:
        """Return the customers for whom a yes-or-no attribute holds, or does not."""
        flags = {row[0]: row for row in FLAGS}
        name = next(item.name for item in self.world.catalogue.attributes if item.name in flags)
        _, _, yes_vi, no_vi, yes_en, no_en = flags[name]
        yes = self.rng.random() < 0.6
        words = (yes_vi if yes else no_vi) if self.vi else (yes_en if yes else no_en)
        check = Call("check_condition", {"attribute": name, "operator": "eq", "value": yes})
        rest = Call("check_condition", {"attribute": name, "operator": "eq", "value": not yes})
        return Audience(words, (check,), (rest,))

    def amount(self, unit: str) -> tuple[str, int]:
        """Return an amount in words and as a number."""
        if unit == "vnd":
            return self._money()
        if unit == "days":
            count, word, days = self.rng.choice(
                [(30, "ngày", 30), (60, "ngày", 60), (90, "ngày", 90), (45, "ngày", 45),
                 (2, "tuần", 14), (3, "tháng", 90), (6, "tháng", 180), (1, "năm", 365),
                 (2, "tháng", 60)]
            )  # fmt: skip
            english = {"ngày": "days", "tuần": "weeks", "tháng": "months", "năm": "year"}
            return f"{count} {word if self.vi else english[word]}", days
        value = self.rng.choice((18, 25, 30, 35, 40, 50)) if unit == "years" else (
            self.rng.choice((2, 3, 4, 5, 6, 8, 10, 12, 20)))  # fmt: skip
        return str(value), value

    def _money(self) -> tuple[str, int]:
        value = self.rng.choice((200, 300, 500, 800, 1000, 1500, 2000, 3000, 5000, 7000, 10000,
                                 20000, 50000)) * 1000  # fmt: skip
        if value < 1_000_000:
            short = f"{value // 1000}"
            return self.say((f"{short}k", f"{short} nghìn", f"{short}.000 đồng"),
                            (f"{short}k", f"{short},000 VND")), value  # fmt: skip
        millions = f"{value / 1_000_000:g}"
        local = millions.replace(".", ",")
        words = self.say(
            (f"{local} triệu", f"{local}tr", f"{local} triệu đồng", f"{value}"),
            (f"{millions} million", f"{millions} million VND", f"{value}"),
        )
        return words, value

    def pause(self) -> tuple[str, Call]:
        """Return a duration and the wait for it."""
        units = MINUTES if self.vi else MINUTES_EN
        unit = self.rng.choice(list(units))
        count = self.rng.choice((10, 15, 30, 45)) if units[unit] == 1 else self.rng.randint(2, 7)
        call = Call("wait_duration", {"minutes": count * units[unit]})
        return f"{count} {unit}", call

    # -- shapes --------------------------------------------------------------------------

    def plain(self) -> Example:
        """Send to everyone."""
        text, call = self.send()
        tail = self.say(("", " cho tất cả khách hàng", " cho mọi người", " cho khách"),
                        ("", " to everyone", " to all customers"))  # fmt: skip
        return Example(text + tail, (call,))

    def some(self) -> Example:
        """Send to some customers only."""
        who = self.audience()
        text, call = self.send(who=who)
        frame = self.say(
            ("{s} cho {a}", "{s} nếu là {a}", "nếu là {a} thì {s}", "{a} thì {s}",
             "với {a}, {s}", "chỉ {s} cho {a}", "{s} tới {a}", "{a}: {s}"),
            ("{s} to {a}", "for {a}, {s}", "{s} only to {a}", "if they are {a}, {s}"),
        )  # fmt: skip
        return Example(frame.format(s=text, a=who.text), (*who.checks, call))

    def otherwise(self) -> Example:
        """Give the rest something else."""
        first, second = self.rng.sample(self.world.catalogue.channels, 2)
        bare = self.rng.random() < 0.6
        who = self.audience()
        one, call = self.send(channel=first, bare=bare, who=who)
        two, other = self.send(channel=second, bare=bare)
        frame = self.say(
            ("{s} cho {a}, còn lại {t}", "{a} thì {s}, còn lại thì {t}",
             "nếu là {a} thì {s}, không thì {t}", "{a} {s}, những người khác {t}",
             "{s} cho {a}, ngược lại {t}", "{s} cho {a}, số còn lại {t}"),
            ("{s} to {a}, otherwise {t}", "for {a} {s}, everyone else {t}",
             "{s} to {a} and {t} for the rest"),
        )  # fmt: skip
        plan = (*who.checks, call, *who.rest, other)
        return Example(frame.format(s=one, t=two, a=who.text), plan)

    def unless(self) -> Example:
        """Send to all but some customers."""
        text, call = self.send()
        who = self.by_segment() if self.rng.random() < 0.7 else self.by_text()
        frame = self.say(
            ("{s} cho mọi khách trừ {a}", "{s} nếu không phải {a}", "{s}, trừ {a}",
             "đừng gửi cho {a}, {s} cho những người khác", "{s} cho ai không phải là {a}"),
            ("{s} to everyone except {a}", "{s} unless they are {a}", "{s} to all but {a}"),
        )  # fmt: skip
        return Example(frame.format(s=text, a=who.text), (*who.rest, call))

    def both(self) -> Example:
        """Ask for two conditions at once."""
        text, call = self.send()
        one, two = self.by_segment(), self.rng.choice((self.by_measure, self.by_text))()
        frame = self.say(("{s} cho {a} và là {b}", "{s} cho {a}, đồng thời là {b}",
                          "nếu là {a} và {b} thì {s}"),
                         ("{s} to {a} who are also {b}", "if {a} and {b}, {s}"))  # fmt: skip
        plan = (*one.checks, *two.checks, call)
        return Example(frame.format(s=text, a=one.text, b=two.text), plan)

    def either(self) -> Example:
        """Ask for one segment or another."""
        text, call = self.send()
        (name, one), (other, two) = self.rng.sample(list(self.world.segments.items()), 2)
        words = [self.rng.choice(item.vi if self.vi else item.en) for item in (one, two)]
        frame = self.say(("{s} cho {a} hoặc {b}", "{s} nếu là {a} hay {b}"),
                         ("{s} to {a} or {b}", "{s} if {a} or {b}"))  # fmt: skip
        check = {"attribute": "segments", "operator": "in", "value": [name, other]}
        plan = (Call("check_condition", check), call)
        return Example(frame.format(s=text, a=words[0], b=words[1]), plan)

    def later(self) -> Example:
        """Wait, then send, to everyone or to some."""
        text, call = self.send()
        time, wait = self.pause()
        frame = self.say(("chờ {d} rồi {s}", "đợi {d} sau đó {s}", "sau {d} thì {s}",
                          "{s} sau {d}"),
                         ("wait {d} then {s}", "after {d} {s}", "{s} after {d}"))  # fmt: skip
        sentence = frame.format(d=time, s=text)
        if self.rng.random() < 0.6:
            return Example(sentence, (wait, call))
        who = self.audience()
        joined = self.say(("nếu là {a} thì {s}", "{a}: {s}", "với {a} thì {s}"),
                          ("for {a}, {s}", "if {a}, {s}"))  # fmt: skip
        return Example(joined.format(a=who.text, s=sentence), (*who.checks, wait, call))

    def twice(self) -> Example:
        """Send, wait, send again."""
        one, first = self.send()
        two, second = self.send()
        time, wait = self.pause()
        frame = self.say(("{s}, {d} sau {t}", "{s} rồi chờ {d} và {t}", "{s}, sau {d} thì {t}"),
                         ("{s}, wait {d}, then {t}", "{s} and {d} later {t}"))  # fmt: skip
        sentence = frame.format(s=one, d=time, t=two)
        if self.rng.random() < 0.6:
            return Example(sentence, (first, wait, second))
        who = self.by_segment()
        joined = self.say(("với {a}, {s}", "nếu là {a} thì {s}"), ("for {a}, {s}",))
        return Example(joined.format(a=who.text, s=sentence), (*who.checks, first, wait, second))

    def many(self) -> Example:
        """Use two channels at once."""
        first, second = self.rng.sample(self.world.catalogue.channels, 2)
        one, call = self.send(channel=first, bare=True)
        two, other = self.send(channel=second, bare=True)
        del two
        words = self.rng.choice(CHANNELS[second][0 if self.vi else 1])
        sentence = self.say(("{} và {}", "{} lẫn {}"), ("{} and {}",)).format(one, words)
        if self.rng.random() < 0.5:
            return Example(sentence, (call, other))
        who = self.audience()
        joined = self.say(("{} cho {}",), ("{} to {}",)).format(sentence, who.text)
        return Example(joined, (*who.checks, call, other))

    def nothing(self) -> Example:
        """Ask for what is none of this platform's business."""
        concept = self.rng.choice(list(self.world.segments.values()))
        sentence = self.say(OUT_OF_SCOPE_VI, OUT_OF_SCOPE_EN).format(
            city=self.rng.choice(CITIES), n=self.rng.randint(2, 40), m=self.rng.randint(2, 40),
            segment=self.rng.choice(concept.vi if self.vi else concept.en),
        )  # fmt: skip
        return Example(sentence, ())


SHAPES: tuple[tuple[Callable[[Writer], Example], float], ...] = (
    (Writer.plain, 9), (Writer.some, 27), (Writer.otherwise, 18), (Writer.unless, 8),
    (Writer.both, 6), (Writer.either, 4), (Writer.later, 9), (Writer.twice, 5),
    (Writer.many, 4), (Writer.nothing, 14),
)  # fmt: skip


def make_examples(rng: random.Random, world: World, count: int) -> list[Example]:
    """Return examples about one catalogue, two thirds of them in Vietnamese."""
    return [make_example(rng, world) for _ in range(count)]


def make_example(rng: random.Random, world: World) -> Example:
    """Return one example."""
    language = "vi" if rng.random() < 0.68 else "en"
    writer = Writer(rng, world, language)
    shape = rng.choices([item for item, _ in SHAPES], [weight for _, weight in SHAPES])[0]
    made = shape(writer)
    return Example(roughen(rng, made.instruction, language), made.plan)


_OPENINGS = {
    "vi": ("", "", "", "Hãy ", "Giúp mình ", "Em ơi ", "Nhờ bạn ", "Cần "),
    "en": ("", "", "", "Please ", "Can you ", "I want to "),
}
_ENDINGS = {
    "vi": ("", "", "", ".", " nhé", " giúp mình", " nha", "!", " để tăng doanh số"),
    "en": ("", "", "", ".", " please", "!", " to boost sales"),
}
_SHORTHAND = (("không", "ko"), ("khách hàng", "kh"), ("khách", "k/h"), ("được", "dc"),
              ("với", "vs"), ("nếu", "neu"), ("trên", "tren"))  # fmt: skip


def roughen(rng: random.Random, sentence: str, language: str) -> str:
    """Return a sentence as somebody might type it."""
    sentence = rng.choice(_OPENINGS[language]) + sentence + rng.choice(_ENDINGS[language])
    if language == "vi":
        if rng.random() < 0.08:
            sentence = sentence.replace(*rng.choice(_SHORTHAND))
        if rng.random() < 0.28:
            sentence = _without_diacritics(sentence)
    if rng.random() < 0.3:
        return sentence.lower()
    return sentence[:1].upper() + sentence[1:]


def _without_diacritics(text: str) -> str:
    import unicodedata

    replaced = text.replace("đ", "d").replace("Đ", "D")
    decomposed = unicodedata.normalize("NFD", replaced)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@cache
def _negations() -> dict[str, str]:
    found: dict[str, str] = functions_document()["negations"]
    return found


def _both(attribute: str, operator: str, value: Any) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
    """Return a check and the check of everyone else."""
    negated = _negations()[operator]
    return tuple(
        (Call("check_condition", {"attribute": attribute, "operator": name, "value": value}),)
        for name in (operator, negated)
    )  # type: ignore[return-value]
