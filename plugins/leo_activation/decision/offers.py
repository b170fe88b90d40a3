"""What one sentence offers to the plan made from it: values, messages, channels and waits.

Numbers, days and names that no catalogue lists are copied from the sentence; all other names come
from the catalogue. Which of them is meant is advice of the draft and the choice of the model.
"""

from __future__ import annotations

from functools import cached_property

from leo_activation.decision.amounts import amount_of, may_be_none
from leo_activation.decision.catalogue import Attribute
from leo_activation.decision.draft import Drafter
from leo_activation.decision.mentions import plain_words
from leo_activation.decision.quantities import (
    PAST,
    Quantity,
    find_quantities,
    guess_quantities,
)
from leo_activation.decision.spans import STOPS, open_values
from leo_activation.decision.toolset import SHOWN_VALUES, ToolSpec

ORDERED = ("gt", "gte", "lt", "lte")
# What may follow a number that counts none of the things named next.
_NO_THINGS = STOPS | {"", "tro", "do", "to"}


class Offers:
    """The catalogue as one sentence sees it.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    """

    def __init__(self, spec: ToolSpec, sentence: str) -> None:
        """Read the sentence once."""
        self.spec, self.sentence = spec, sentence
        self.draft = Drafter(spec, sentence)
        stated = find_quantities(sentence)
        guessed = guess_quantities(sentence, stated)
        self.quantities = sorted([*stated, *guessed], key=lambda item: item.start)
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
                return self._named(attribute)
        return self._values[name]

    def operators(self, name: str) -> list[str]:
        """Return the operators that an attribute may be checked with; none when it cannot be."""
        attribute = self.spec.catalogue.attribute(name)
        if attribute is None:
            return []
        return [item for item in self.spec.operators(attribute) if self.values(name, item)]

    @cached_property
    def attributes(self) -> list[str]:
        """Return the attributes that a condition in this sentence may test."""
        return [item.name for item in self.spec.catalogue.attributes if self.operators(item.name)]

    @property
    def channels(self) -> list[str]:
        """Return the channels that a message may use."""
        return list(self.spec.catalogue.channels)

    def templates(self, channel: str) -> list[str]:
        """Return the templates that can be sent over a channel."""
        return [item.template_id for item in self.spec.catalogue.templates_for(channel)]

    @cached_property
    def waits(self) -> list[int]:
        """Return the durations of the sentence in whole minutes, in its order."""
        limit = self.spec.functions["max_wait_minutes"]
        found = (
            item.value for item in self.quantities if item.kind == "duration" and item.after != PAST
        )
        return [int(minutes) for minutes in found if 1 <= minutes <= limit]

    def _offered(self, attribute: Attribute) -> list[str]:
        match attribute.type:
            case "boolean":
                return ["true", "false"]
            case "number":
                return self._numbers(attribute)
            case "date":
                return list(dict.fromkeys(item.day for item in self.quantities if item.day))
            case "any":
                found = [*self._numbers(attribute), "true", "false", *self._named(attribute)]
                return list(dict.fromkeys(found))
            case _:
                return self._named(attribute)

    def _numbers(self, attribute: Attribute) -> list[str]:
        limit = self.spec.functions["max_number"]
        fitting = [item for item in self.quantities if item.kind != "date"]
        lasting = [item for item in fitting if item.kind == "duration"]
        if attribute.unit == "days" and any(amount_of(attribute, item) for item in lasting):
            # Beside "60 ngày", a number of something is none of days.
            fitting = [item for item in fitting if item in lasting or _counts_nothing(item)]
        found = [amount_of(attribute, item) for item in fitting]
        # Nothing at all is a number too: "chưa mua lần nào".
        none = [0] if may_be_none(attribute, self.draft.sentence.reading) else [
            0 for item in self.draft.conditions if item.key == (attribute.name, "0")
        ]  # fmt: skip
        return list(dict.fromkeys(str(value) for value in (*found, *none)
                                  if value is not None and value <= limit))  # fmt: skip

    def _named(self, attribute: Attribute) -> list[str]:
        """Return the names that a sentence may mean.

        A list too long to be shown to the model is cut to what the sentence says.
        """
        drafted = [
            value
            for item in self.draft.conditions
            if attribute.name in item.attributes
            for value in (*item.values, *item.items)
        ]
        if not attribute.values:
            return list(dict.fromkeys([*drafted, *self._spans]))
        names = [value.name for value in attribute.values]
        if len(names) <= SHOWN_VALUES:
            return names
        said = f" {plain_words(self.sentence)} "
        told = {value.name for value in attribute.values
                if any(f" {plain_words(text)} " in said
                       for text in (value.name, value.label) if text)}  # fmt: skip
        return [name for name in names if name in told or name in drafted]

    @cached_property
    def _spans(self) -> list[str]:
        """Return the pieces of the sentence that may name what no catalogue lists."""
        return open_values(self.sentence)


def _counts_nothing(quantity: Quantity) -> bool:
    """Tell whether nothing is named behind a number: "trên 30 thì"."""
    return quantity.kind == "plain" and quantity.after in _NO_THINGS
