"""The plans that a sentence may become, as a chain of choices.

Between two special tokens the tokenizer sees nothing of what surrounds them, so encoding the text
between choices piece by piece gives exactly the tokens of the whole call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from leo_activation.decision.offers import Offers
from leo_activation.decision.parser import END_CALL, END_TURN, ESCAPE, START_CALL, START_RESPONSE
from leo_activation.decision.toolset import ToolSpec

_MAX_LIST = 3
_MAX_CHECKS_IN_A_ROW = 3
# With so many channels named, the first branch may send over several before the rest gets one.
_MANY_CHANNELS = 3
_FLIPPED = {"true": "false", "false": "true"}


@dataclass(frozen=True)
class Choice:
    """The pieces of text that the grammar allows next.

    :param slot: what is being chosen, for the trace.
    :param options: label to the text that it stands for, in the catalogue's order.
    """

    slot: str
    options: dict[str, str]


@dataclass(frozen=True)
class State:
    """How far a plan has been written.

    :param slot: the next choice.
    :param calls: calls finished so far.
    :param checks: checks in a row just before this point.
    :param is_open: a check or a wait is still without a message that follows it.
    :param branch: which branch is being written, from 0.
    :param is_sent: the branch has a message, so that another check opens the next one.
    :param first: attribute, operator and value of the first branch's check, when it has just one.
    :param checked: attributes that the first branch checks.
    :param waits: how many of the sentence's durations are used up.
    :param last: channel and template of the message just before, to tell a repetition.
    :param picked: what this call has chosen so far.
    """

    slot: str = "start"
    calls: int = 0
    checks: int = 0
    is_open: bool = False
    branch: int = 0
    is_sent: bool = False
    first: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    waits: int = 0
    last: tuple[str, ...] = ()
    picked: tuple[str, ...] = ()


class PlanGrammar:
    """All plans that one sentence may become.

    :param spec: the tenant's functions.
    :param sentence: the instruction.
    :param wide: narrow as little as possible, for training.
    """

    def __init__(self, spec: ToolSpec, sentence: str, *, wide: bool = False) -> None:
        """Work out what the sentence offers."""
        self.spec, self.wide = spec, wide
        self.offers = Offers(spec, sentence, wide=wide)

    def start(self) -> State:
        """Return the state before the first token."""
        return State()

    def choice(self, state: State) -> Choice | None:
        """Return what may come next, or none when the plan is complete."""
        if state.slot == "end":
            return None
        options: dict[str, str] = getattr(self, f"_{state.slot}")(state)
        return Choice(state.slot, options)

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
                    is_sent=True, last=(*state.picked, label), picked=(),
                )  # fmt: skip
            case _:
                return self._advance_check(state, label)

    def _begin(self, state: State, label: str) -> State:
        """Return the state after a function was chosen; a wait is complete with that."""
        if label == "check":
            branch = state.branch + 1 if state.is_sent else state.branch
            return replace(state, slot="attribute", branch=branch, is_sent=False, last=())
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
                return self._checked(state, (*state.picked, label))

    def _checked(self, state: State, picked: tuple[str, ...]) -> State:
        """Return the state after a complete check."""
        first, checked = state.first, state.checked
        if state.branch == 0:
            # A list or a second check has no single opposite.
            first = picked if not checked and state.slot == "value" else ()
            checked = (*checked, picked[0])
        return replace(
            state, slot="after", calls=state.calls + 1, checks=state.checks + 1, is_open=True,
            first=first, checked=checked, picked=(),
        )  # fmt: skip

    def _owes_rest(self, state: State) -> bool:
        """Tell whether "còn lại" was said and the branch for it is still to come."""
        exception = state.first[1:2] in (("ne",), ("not_contains",))
        promised = not self.wide and self.offers.mentions.has_else and bool(state.first) and not exception
        return promised and state.branch == 0 and state.is_sent

    def _opposite(self, state: State) -> tuple[str, ...]:
        """Return the check of everybody else, when this is the place for it."""
        if self.wide or not (self.offers.mentions.has_else and state.branch == 1 and state.first):
            return ()
        attribute, operator, value = state.first
        if value in _FLIPPED and operator == "eq":
            return (attribute, operator, _FLIPPED[value])
        opposite = self.spec.functions["negations"].get(operator)
        return (attribute, opposite, value) if opposite else ()

    def _owed(self, state: State) -> list[str]:
        """Return what must be checked before a message: what the sentence restricts and names."""
        if self.wide or state.branch or state.is_sent:
            return []
        unmet = [need for need in self.offers.required if not need & set(state.checked)]
        owed = {name for need in unmet for name in need}
        named = set(self.offers.named_sets) - set(state.checked)
        return [name for name in self.offers.attributes if name in owed | named] if owed else []

    def _start(self, _: State) -> dict[str, str]:
        return {"call": START_CALL, "none": END_TURN}

    def _after(self, state: State) -> dict[str, str]:
        if state.calls >= self.spec.functions["max_calls"]:
            return {"stop": START_RESPONSE}
        if state.is_open or self._owes_rest(state):
            return {"call": START_CALL}
        if self._is_all_said(state) or not self._function(state):
            return {"stop": START_RESPONSE}
        return {"call": START_CALL, "stop": START_RESPONSE}

    def _is_all_said(self, state: State) -> bool:
        """Tell whether a sentence about one message has got it, and all its waits are used."""
        if self.wide:
            return False
        mentions = self.offers.mentions
        one = mentions.has_one_message(self.spec.catalogue.channels) and not mentions.has_several
        return one and state.is_sent and not self.offers.waits[state.waits :]

    def _function(self, state: State) -> dict[str, str]:
        options: dict[str, str] = {}
        room = self.spec.functions["max_calls"] - state.calls > 1
        may_check = room and state.checks < _MAX_CHECKS_IN_A_ROW and bool(self._attribute(state))
        rest_next = room and self._owes_rest(state) and len(self.offers.channels) < _MANY_CHANNELS
        check_next = may_check and bool(self._owed(state))
        if self._channel(state) and not rest_next and not check_next:
            options["send"] = f"call:send_notification{{channel:{ESCAPE}"
        if may_check:
            options["check"] = f"call:check_condition{{attribute:{ESCAPE}"
        if room:
            for minutes in self.offers.waits[state.waits :]:
                options[f"wait {minutes}"] = f"call:wait_duration{{minutes:{minutes}}}{END_CALL}"
        return options

    def _attribute(self, state: State) -> dict[str, str]:
        branch = replace(state, branch=state.branch + 1) if state.is_sent else state
        names = self._opposite(branch)[:1] or self._owed(state) or self.offers.attributes
        return {name: f"{name}{ESCAPE},operator:{ESCAPE}" for name in names}

    def _operator(self, state: State) -> dict[str, str]:
        names = list(self._opposite(state)[1:2]) or self.offers.operators(state.picked[0])
        return {
            name: f"{name}{ESCAPE},value:{'[' if name == 'in' else ''}{ESCAPE}" for name in names
        }

    def _value(self, state: State) -> dict[str, str]:
        names = self._opposite(state)[2:] or self.offers.values(*state.picked[:2])
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
