"""What one sentence offers to the plan made from it: values, messages, channels and waits.

Numbers are copied from the sentence, names come from the catalogue. Where the sentence's own
words already decide, only what they leave is offered.
"""

from __future__ import annotations

from functools import cached_property

from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.mentions import CHANNEL_WORDS, Mentions, plain_words
from leo_activation.decision.quantities import Quantity, find_quantities
from leo_activation.decision.spans import open_values
from leo_activation.decision.toolset import SHOWN_VALUES, ToolSpec

ORDERED = ("gt", "gte", "lt", "lte")
# Of two or three, one is often meant by what it is not: "nữ thì …, cánh mày râu thì …".
_FEW_VALUES = 3


class Offers:
    """The catalogue as one sentence sees it.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    :param wide: leave names to the model even where the sentence's words decide, for training.
    """

    def __init__(self, spec: ToolSpec, sentence: str, *, wide: bool = False) -> None:
        """Read the sentence once."""
        self.spec, self.sentence, self.wide = spec, sentence, wide
        self.mentions = Mentions(sentence)
        self.quantities = find_quantities(sentence)
        self._values = {item.name: self._offered(item) for item in spec.catalogue.attributes}

    def values(self, name: str, operator: str = "") -> list[str]:
        """Return the values with which a condition may compare an attribute.

        :param operator: where the type leaves open what the attribute is, it decides.
        """
        attribute = self.spec.catalogue.attribute(name)
        if operator == "exists":
            return ["true", "false"]
        if attribute is not None and attribute.type == "any" and operator:
            if operator in ORDERED:
                return self._numbers(attribute)
            if operator not in ("eq", "ne"):
                return self._spans
        return self._values[name]

    def operators(self, name: str) -> list[str]:
        """Return the operators that an attribute may be checked with; none when it cannot be."""
        attribute = self.spec.catalogue.attribute(name)
        if attribute is None:
            return []
        negations = self.spec.functions["negations"]
        fitting = self.spec.operators(attribute)
        left = fitting if self.wide else self.mentions.operators(fitting, negations)
        return [item for item in left if self.values(name, item)]

    @cached_property
    def attributes(self) -> list[str]:
        """Return the attributes that a condition in this sentence may test."""
        return [item.name for item in self.spec.catalogue.attributes if self.operators(item.name)]

    @cached_property
    def named_sets(self) -> list[str]:
        """Return the sets of which the sentence names members, such as segments."""
        return [
            item.name
            for item in self.spec.catalogue.attributes
            if item.type == "set" and 0 < len(self._values[item.name]) < len(item.values)
        ]

    @cached_property
    def channels(self) -> list[str]:
        """Return the channels that the sentence may mean."""
        if self.wide:
            return list(self.spec.catalogue.channels)
        return self.mentions.channels(self.spec.catalogue.channels)

    def templates(self, channel: str) -> list[str]:
        """Return the templates that the sentence may mean on a channel."""
        fitting = self.spec.catalogue.templates_for(channel)
        labels = {item.template_id: item.label for item in fitting}
        if not self.wide and self.mentions.has_one_message(self.spec.catalogue.channels):
            return self.mentions.narrow(labels, by_first_word=True)
        # With two messages, the words of one would speak against the other.
        return list(labels)

    @cached_property
    def waits(self) -> list[int]:
        """Return the durations of the sentence in minutes, in its order."""
        limit = self.spec.functions["max_wait_minutes"]
        found = (item.value for item in self.quantities if item.kind == "duration")
        return [int(minutes) for minutes in found if 1 <= minutes <= limit]

    @cached_property
    def required(self) -> list[frozenset[str]]:
        """Return sets of attributes of which one must be checked before anything is sent.

        A sentence that names a city, calls a yes-or-no attribute by its name, or compares an
        amount of money, restricts who gets the message; leaving that out would send too much.
        """
        catalogue = self.spec.catalogue
        needs = []
        for item in catalogue.attributes:
            proper = bool(item.values) and _must_be_said(item) and not _names_channels(item)
            named = proper and self._values[item.name]
            called = item.type == "boolean" and self.mentions.says_all(item.label)
            if (named or called) and item.name in self.attributes:
                needs.append(frozenset({item.name}))
        money = frozenset(
            item.name
            for item in catalogue.attributes
            if item.unit == "vnd" and item.name in self.attributes
        )
        states_money = any(item.kind == "money" for item in self.quantities)
        if money and states_money and self.mentions.comparisons:
            needs.append(money)
        return needs

    def _offered(self, attribute: Attribute) -> list[str]:
        match attribute.type:
            case "boolean":
                return ["true", "false"]
            case "number":
                return self._numbers(attribute)
            case "date":
                return [item.day for item in self.quantities if item.kind == "date"]
            case "any":
                return [*self._numbers(attribute), "true", "false", *self._spans]
            case _:
                return self._named_values(attribute) if attribute.values else self._spans

    def _numbers(self, attribute: Attribute) -> list[str]:
        limit = self.spec.functions["max_number"]
        found = (value for value in self._amounts(attribute) if value <= limit)
        return [str(value) for value in dict.fromkeys(found)]

    @cached_property
    def _spans(self) -> list[str]:
        """Return the pieces of the sentence that may name what no catalogue lists."""
        return open_values(self.sentence)

    def _named_values(self, attribute: Attribute) -> list[str]:
        """Return the values that the sentence may mean.

        A proper name, or one of a list too long to be shown, must stand in the sentence; what
        has a label may be called by other words.
        """
        labels = {value.name: value.label for value in attribute.values}
        if _names_channels(attribute) and not self.mentions.speaks_of_liking:
            # "Gửi email" says where to send, not what the customer likes best.
            return []
        if self.wide and len(attribute.values) <= SHOWN_VALUES:
            return list(labels)
        if _must_be_said(attribute):
            said = f" {self.mentions.text} "
            return [
                name
                for name, label in labels.items()
                if any(f" {plain_words(item)} " in said for item in (name, label) if item)
            ]
        if len(labels) <= _FEW_VALUES or self.mentions.has_choice:
            return list(labels)
        return self.mentions.narrow(labels)

    def _amounts(self, attribute: Attribute) -> list[int | float]:
        plain = [item.value for item in self._plain_for(attribute)]
        money = [item.value for item in self.quantities if item.kind == "money"]
        spans = [item.value for item in self.quantities if item.kind == "duration"]
        days: list[int | float] = [int(minutes // 1_440) for minutes in spans if minutes >= 1_440]
        match attribute.unit:
            case "vnd":
                return money or [value for value in plain if value >= 1_000]
            case "days":
                return days or plain
            case "years":
                return [*plain, *(value // 365 for value in days if value >= 365)]
            case "count" | "month":
                return plain
            case _:
                return [*plain, *money, *days]

    def _plain_for(self, attribute: Attribute) -> list[Quantity]:
        """Return the bare numbers that may belong to an attribute: "20 buổi" is not an age."""
        own = set(plain_words(attribute.label).split())
        return [
            item
            for item in self.quantities
            if item.kind == "plain" and (item.after in own or item.after not in self._counted)
        ]

    @cached_property
    def _counted(self) -> set[str]:
        """Return the words by which the catalogue's numbers are called."""
        numbers = (
            item
            for item in self.spec.catalogue.attributes
            if item.type == "number" and item.unit != "vnd"
        )
        return {word for item in numbers for word in plain_words(item.label).split()}


def _must_be_said(attribute: Attribute) -> bool:
    """Tell whether a value of an attribute can only be meant by its own name."""
    if attribute.type not in ("set", "text"):
        return False
    labelled = any(value.label for value in attribute.values)
    return len(attribute.values) > SHOWN_VALUES or not labelled


def _names_channels(attribute: Attribute) -> bool:
    """Tell whether an attribute's values are channels, as those of a preferred channel."""
    return any(value.name in CHANNEL_WORDS for value in attribute.values)
