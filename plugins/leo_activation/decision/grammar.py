"""The plans that a sentence may become, as a chain of choices, with the draft's advice on each.

Between two special tokens the tokenizer sees nothing of what surrounds them, so encoding the text
between choices piece by piece gives exactly the tokens of the whole call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from leo_activation.decision.asking import log_odds
from leo_activation.decision.offers import Offers
from leo_activation.decision.parser import END_CALL, END_TURN, ESCAPE, START_CALL, START_RESPONSE
from leo_activation.decision.parts import Condition, Message, Pause, Step
from leo_activation.decision.toolset import ToolSpec

_MAX_LIST = 3
_MAX_CHECKS_IN_A_ROW = 4
SLOTS = (
    "start", "start-", "after", "function", "attribute", "operator", "items", "more", "value",
    "channel", "template",
)  # fmt: skip
DOUBT = "?"
# The name under which a bonus for doing anything at all may stand beside the weights.
TO_CALL = "call"
# The name of how much it counts against a plan that the model was not sure of its choices.
CERTAINTY = "certainty"
# How much the words of the sentence count against the model, in natural logarithms of odds, for
# each slot; with :data:`DOUBT` behind its name where the draft did not explain all of the
# sentence. An adapter brings weights that were learned with it; without one the words decide.
WORDS: Mapping[str, float] = {f"{slot}{end}": 60.0 for slot in SLOTS for end in ("", DOUBT)}
# The odds, as a logarithm, from which on it is sure that a sentence asks to send, or does not.
_SURE = 6.0
_OPENS_BRANCH = 2.5
_KINDS: Mapping[type, str] = {Condition: "check", Message: "send", Pause: "wait"}


@dataclass(frozen=True)
class Choice:
    """The pieces of text that the grammar allows next.

    :param slot: what is being chosen, for the trace.
    :param options: label to the text that it stands for, in the catalogue's order.
    :param advice: what the sentence's own words add to the score of some labels.
    :param weighed_as: the name of the weight that is in the advice.
    """

    slot: str
    options: dict[str, str]
    advice: dict[str, float] = field(default_factory=dict)
    weighed_as: str = ""


@dataclass(frozen=True)
class State:
    """How far a plan has been written.

    :param slot: the next choice.
    :param calls: calls finished so far.
    :param checks: checks in a row just before this point.
    :param is_open: a check or a wait is still without a message that follows it.
    :param waits: how many of the sentence's durations are used up.
    :param last: channel and template of the message just before, to tell a repetition.
    :param picked: what this call has chosen so far.
    :param at: the step of the draft that comes next.
    :param follows: whether the call being written is that step.
    """

    slot: str = "start"
    calls: int = 0
    checks: int = 0
    is_open: bool = False
    waits: int = 0
    last: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()
    at: int = 0
    follows: bool = False


class PlanGrammar:
    """All plans that one sentence may become.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    :param advice: how much the sentence's own words count, by slot; where it is empty, everything
        is left to the model.
    """

    def __init__(
        self, spec: ToolSpec, sentence: str, *, advice: Mapping[str, float] = WORDS
    ) -> None:
        """Work out what the sentence offers."""
        self.spec, self.weights = spec, advice
        self.offers = Offers(spec, sentence)
        self.steps: list[Step] = self.offers.draft.steps if advice else []

    @cached_property
    def asks(self) -> float:
        """Return how sure the words are that a sentence asks to send, as a logarithm of odds."""
        return log_odds(self.offers.draft)

    @property
    def spares_strangers(self) -> bool:
        """Tell whether the words leave out people whom the catalogue does not know."""
        return bool(self.weights) and self.offers.draft.audience.spares_strangers()

    def start(self) -> State:
        """Return the state before the first token."""
        return State()

    def options(self, state: State) -> dict[str, str]:
        """Return the ways on from a state, with the text that each stands for."""
        options: dict[str, str] = getattr(self, f"_{state.slot}")(state)
        return options

    def choice(self, state: State) -> Choice | None:
        """Return what may come next, or none when the plan is complete."""
        if state.slot == "end":
            return None
        options = self.options(state)
        if len(options) == 1 or not self.weights:
            return Choice(state.slot, options)
        name = self._weight_name(state.slot)
        weight = self.weights[name]
        advice = {label: weight * share for label, share in self._advice(state).items()}
        if state.slot == "start":
            advice["call"] += self.weights.get(TO_CALL, 0.0)
        return Choice(state.slot, options, advice, name)

    def advance(self, state: State, label: str) -> State:
        """Return the state after an option was chosen."""
        match state.slot:
            case "start" | "after":
                return replace(state, slot="function") if label == "call" else State("end")
            case "function":
                return self._begin(state, label)
            case "channel":
                return replace(state, slot="template", picked=(label,))
            case "template":
                return replace(
                    state, slot="after", calls=state.calls + 1, checks=0, is_open=False,
                    last=(*state.picked, label), picked=(), at=state.at + state.follows,
                )  # fmt: skip
            case _:
                return self._advance_check(state, label)

    def _begin(self, state: State, label: str) -> State:
        """Return the state after a function was chosen; a wait is complete with that."""
        meant = self._meant(state, label.split()[0])
        state = replace(state, at=state.at if meant is None else meant, follows=meant is not None)
        if label == "check":
            return replace(state, slot="attribute", last=())
        if label == "send":
            return replace(state, slot="channel")
        used = self.offers.waits.index(int(label.removeprefix("wait ")), state.waits) + 1
        return replace(
            state, slot="after", calls=state.calls + 1, is_open=True, waits=used, last=(),
            at=state.at + state.follows,
        )  # fmt: skip

    def _meant(self, state: State, kind: str) -> int | None:
        """Return the step of the draft that a new call is, or none where it is an additional one.

        A message after a check or a wait passes over what the draft would have restricted more.
        """
        for index, step in enumerate(self.steps[state.at :], state.at):
            if _KINDS[type(step)] == kind:
                return index
            if kind == "check" or (kind == "send" and not state.is_open and state.calls):
                return None
            if kind == "wait" and isinstance(step, Message):
                return None
        return None

    def _advance_check(self, state: State, label: str) -> State:
        """Return the state after a choice inside a ``check_condition``."""
        match state.slot:
            case "attribute":
                step = self._step(state)
                follows = isinstance(step, Condition) and label in step.attributes
                return replace(state, slot="operator", picked=(label,), follows=follows)
            case "operator":
                slot = "items" if label == "in" else "value"
                return replace(state, slot=slot, picked=(*state.picked, label))
            case "items":
                return replace(state, slot="more", picked=(*state.picked, label))
            case "more" if label == "and":
                return replace(state, slot="items")
            case _:
                return replace(
                    state, slot="after", calls=state.calls + 1, checks=state.checks + 1,
                    is_open=True, picked=(), at=state.at + state.follows,
                )  # fmt: skip

    # -- what is allowed -------------------------------------------------------------------

    def _start(self, _: State) -> dict[str, str]:
        return {"call": START_CALL, "none": END_TURN}

    def _after(self, state: State) -> dict[str, str]:
        if state.calls >= self.spec.functions["max_calls"]:
            return {"stop": START_RESPONSE}
        if state.is_open:
            return {"call": START_CALL}
        if not self._function(state):
            return {"stop": START_RESPONSE}
        return {"call": START_CALL, "stop": START_RESPONSE}

    def _function(self, state: State) -> dict[str, str]:
        options: dict[str, str] = {}
        room = self.spec.functions["max_calls"] - state.calls > 1
        if self._channel(state):
            options["send"] = f"call:send_notification{{channel:{ESCAPE}"
        if room and state.checks < _MAX_CHECKS_IN_A_ROW and self.offers.attributes:
            options["check"] = f"call:check_condition{{attribute:{ESCAPE}"
        if room:
            for minutes in self.offers.waits[state.waits :]:
                options[f"wait {minutes}"] = f"call:wait_duration{{minutes:{minutes}}}{END_CALL}"
        return options

    def _attribute(self, _: State) -> dict[str, str]:
        return {name: f"{name}{ESCAPE},operator:{ESCAPE}" for name in self.offers.attributes}

    def _operator(self, state: State) -> dict[str, str]:
        return {
            name: f"{name}{ESCAPE},value:{'[' if name == 'in' else ''}{ESCAPE}"
            for name in self.offers.operators(state.picked[0])
        }

    def _value(self, state: State) -> dict[str, str]:
        names = self.offers.values(*state.picked[:2])
        return {name: f"{name}{ESCAPE}}}{END_CALL}" for name in names}

    def _items(self, state: State) -> dict[str, str]:
        names = self.offers.values(*state.picked[:2])
        return {name: f"{name}{ESCAPE}" for name in names if name not in state.picked[2:]}

    def _more(self, state: State) -> dict[str, str]:
        options = {"done": f"]}}{END_CALL}"}
        if len(state.picked) - 2 < _MAX_LIST and self._items(state):
            options["and"] = f",{ESCAPE}"
        return options

    def _channel(self, state: State) -> dict[str, str]:
        names = (name for name in self.offers.channels if self._messages(state, name))
        return {name: f"{name}{ESCAPE},template_id:{ESCAPE}" for name in names}

    def _template(self, state: State) -> dict[str, str]:
        names = self._messages(state, state.picked[0])
        return {name: f"{name}{ESCAPE}}}{END_CALL}" for name in names}

    def _messages(self, state: State, channel: str) -> list[str]:
        """Return the templates for a channel, without the one that was just sent over it."""
        offered = self.offers.templates(channel)
        return [name for name in offered if state.last != (channel, name)]

    # -- what is advised: 1 for what the words say clearly ------------------------------------

    def _weight_name(self, slot: str) -> str:
        draft = self.offers.draft
        refused = slot == "start" and self.asks < 0 and not draft.is_doubtful
        return f"{slot}{'-' if refused else ''}{DOUBT if draft.is_doubtful else ''}"

    def _step(self, state: State) -> Step | None:
        """Return the step of the draft that the call being written is."""
        return self.steps[state.at] if state.follows and state.at < len(self.steps) else None

    def _advice(self, state: State) -> dict[str, float]:
        """Return what the sentence's own words say of a choice."""
        if state.slot == "start":
            share = max(-1.0, min(1.0, self.asks / _SURE))
            return {"call": share / 2, "none": -share / 2}
        coming = self.steps[state.at] if state.at < len(self.steps) else None
        if state.slot == "after":
            return {"stop" if coming is None else "call": 1.0} if self.steps else {}
        if state.slot == "function":
            if coming is None:
                return {}
            wait = f"wait {coming.minutes}" if isinstance(coming, Pause) else ""
            # Without its check the next branch would go to those of the branch before.
            opens = isinstance(coming, Condition) and state.calls and not state.is_open
            return {wait or _KINDS[type(coming)]: _OPENS_BRANCH if opens else 1.0}
        step = self._step(state)
        if isinstance(step, Message):
            if state.slot == "channel":
                return dict.fromkeys(step.channels, 1.0)
            return _shares(step.templates)
        return self._of_condition(state, step) if isinstance(step, Condition) else {}

    def _of_condition(self, state: State, step: Condition) -> dict[str, float]:
        match state.slot:
            case "attribute":
                return _shares(step.attributes)
            case "operator":
                return _shares(step.operators)
            case "items":
                return dict.fromkeys(step.items, 1.0)
            case "more":
                ready = len(state.picked) - 2 >= len(step.items)
                return {"done" if ready else "and": 1.0}
            case _:
                return _shares(step.values)


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Return weights as advice: the best gets all of it, the others less."""
    best = max(weights.values(), default=0.0)
    if best <= 0:
        return {}
    return {name: (weight / best) ** 2 * min(1.0, 0.4 + best) for name, weight in weights.items()}
