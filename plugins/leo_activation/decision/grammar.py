"""The plans that a sentence may become, as a chain of choices, with the draft's advice on each.

Between two special tokens the tokenizer sees nothing of what surrounds them, so encoding the text
between choices piece by piece gives exactly the tokens of the whole call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from leo_activation.decision.offers import Offers
from leo_activation.decision.parser import END_CALL, END_TURN, ESCAPE, START_CALL, START_RESPONSE
from leo_activation.decision.parts import Condition, Message, Pause, Step
from leo_activation.decision.toolset import ToolSpec

_MAX_LIST = 3
_MAX_CHECKS_IN_A_ROW = 4
# How much the words of the sentence count against the model, in natural logarithms of odds. So
# much leaves to the model what the words leave open: measured on all development sets (514
# sentences), at 8 it turned 14 right drafts wrong and 3 wrong ones right, at 60 it hardly differs.
ADVICE = 60.0
_ADVICE_TO_CALL = 20.0
_MOST_TO_CALL = 40.0
_KINDS: Mapping[type, str] = {Condition: "check", Message: "send"}


@dataclass(frozen=True)
class Choice:
    """The pieces of text that the grammar allows next.

    :param slot: what is being chosen, for the trace.
    :param options: label to the text that it stands for, in the catalogue's order.
    :param advice: what the sentence's own words add to the score of some labels.
    """

    slot: str
    options: dict[str, str]
    advice: dict[str, float] = field(default_factory=dict)


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
    :param is_drafted: whether the calls so far are of the kinds that the draft has.
    """

    slot: str = "start"
    calls: int = 0
    checks: int = 0
    is_open: bool = False
    waits: int = 0
    last: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()
    is_drafted: bool = True


class PlanGrammar:
    """All plans that one sentence may become.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    :param advice: how much the sentence's own words count; 0 leaves everything to the model.
    """

    def __init__(self, spec: ToolSpec, sentence: str, *, advice: float = ADVICE) -> None:
        """Work out what the sentence offers."""
        self.spec, self.strength = spec, advice
        self.offers = Offers(spec, sentence)
        self.steps: list[Step] = self.offers.draft.steps if advice else []

    def start(self) -> State:
        """Return the state before the first token."""
        return State()

    def choice(self, state: State) -> Choice | None:
        """Return what may come next, or none when the plan is complete."""
        if state.slot == "end":
            return None
        options: dict[str, str] = getattr(self, f"_{state.slot}")(state)
        return Choice(state.slot, options, self._advice(state) if len(options) > 1 else {})

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
                    last=(*state.picked, label), picked=(),
                )  # fmt: skip
            case _:
                return self._advance_check(state, label)

    def _begin(self, state: State, label: str) -> State:
        """Return the state after a function was chosen; a wait is complete with that."""
        step = self._step(state)
        kind = _KINDS.get(type(step), "wait")
        drafted = step is not None and kind == label.split()[0]
        state = replace(state, is_drafted=drafted)
        if label == "check":
            return replace(state, slot="attribute", last=())
        if label == "send":
            return replace(state, slot="channel")
        used = self.offers.waits.index(int(label.removeprefix("wait ")), state.waits) + 1
        return replace(
            state, slot="after", calls=state.calls + 1, is_open=True, waits=used, last=()
        )

    def _advance_check(self, state: State, label: str) -> State:
        """Return the state after a choice inside a ``check_condition``."""
        match state.slot:
            case "attribute":
                return replace(state, slot="operator", picked=(label,))
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
                    is_open=True, picked=(),
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

    # -- what is advised -------------------------------------------------------------------

    def _step(self, state: State) -> Step | None:
        """Return the step of the draft that a call being written corresponds to."""
        if not state.is_drafted or state.calls >= len(self.steps):
            return None
        return self.steps[state.calls]

    def _advice(self, state: State) -> dict[str, float]:
        """Return what the sentence's own words add to the scores of a choice."""
        if not self.strength:
            return {}
        if state.slot == "start":
            share = self.offers.draft.evidence * _ADVICE_TO_CALL
            share = max(-_MOST_TO_CALL, min(_MOST_TO_CALL, share)) * self.strength / ADVICE
            return {"call": share / 2, "none": -share / 2}
        step = self._step(state)
        if state.slot == "after":
            goes_on = "call" if step is not None else "stop"
            return {goes_on: self.strength} if state.is_drafted and self.steps else {}
        return {} if step is None else self._of_step(state, step)

    def _of_step(self, state: State, step: Step) -> dict[str, float]:
        if state.slot == "function":
            kind = f"wait {step.minutes}" if isinstance(step, Pause) else _KINDS[type(step)]
            return {kind: self.strength}
        if isinstance(step, Message):
            if state.slot == "channel":
                return dict.fromkeys(step.channels, self.strength)
            return self._scaled(step.templates)
        if isinstance(step, Condition):
            return self._of_condition(state, step)
        return {}

    def _of_condition(self, state: State, step: Condition) -> dict[str, float]:
        match state.slot:
            case "attribute":
                return self._scaled(step.attributes)
            case "operator":
                return self._scaled(step.operators)
            case "items":
                return dict.fromkeys(step.items, self.strength)
            case "more":
                ready = len(state.picked) - 2 >= len(step.items)
                return {"done" if ready else "and": self.strength}
            case _:
                return self._scaled(step.values)

    def _scaled(self, weights: Mapping[str, float]) -> dict[str, float]:
        """Return weights as advice: the best gets all of it, the others less."""
        best = max(weights.values(), default=0.0)
        if best <= 0:
            return {}
        return {
            name: self.strength * (weight / best) ** 2 * min(1.0, 0.4 + best)
            for name, weight in weights.items()
        }
