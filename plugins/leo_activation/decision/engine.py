"""One decision: prompt, decoding, the gate, and the record of all three.

The engine holds the model for as long as its process lives. Decoding is deterministic, so the
same sentence for the same tool set is decided once.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Literal, TypeVar

import torch

from leo_activation.decision.adapter import LoadedAdapter
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.decoding import ChoiceRecord, choose_many
from leo_activation.decision.grammar import CERTAINTY, WORDS, PlanGrammar
from leo_activation.decision.lexicon import reading_version
from leo_activation.decision.model import Gemma, Prefix
from leo_activation.decision.parser import Call
from leo_activation.decision.prompt import (
    PROMPT_VERSION,
    PromptTokenizer,
    clean_instruction,
    render_prompt,
)
from leo_activation.decision.silence import NOTHING_ASKED, silence_reason
from leo_activation.decision.toolset import ToolSpec, schema_hash
from leo_activation.decision.validation import PlanRejectedError, accept_output
from leo_activation.decision.weights import PreparedModel

Verdict = Literal["accepted", "no_call", "rejected"]
Kept = TypeVar("Kept")
_PREFIXES = 8
DECISIONS = 2_048
# So many sentences are read in one pass; more would not be faster on one core.
BATCH = 16


@dataclass(frozen=True)
class Decision:
    """What became of one sentence, with everything needed to explain or repeat it.

    :param plan: the calls; empty for ``no_call``, none for ``rejected``.
    :param raw_output: the model's turn, control tokens included.
    :param latency_ms: wall time of this decision.
    :param cached: whether an earlier identical request was answered again.
    """

    verdict: Verdict
    reason: str | None
    plan: list[Call] | None
    raw_output: str
    model: str
    prompt_hash: str
    toolset_hash: str
    latency_ms: int
    choices: list[ChoiceRecord] = field(default_factory=list)
    passes: int = 0
    cached: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return the decision as JSON."""
        plan = None if self.plan is None else [call.to_document() for call in self.plan]
        return {**asdict(self), "plan": plan}


@dataclass(frozen=True)
class Request:
    """One sentence to decide about.

    :param instruction: what the marketer wrote; the words that narrow and advise come from it.
    :param catalogue: what the plan may name.
    :param user_turn: what the model reads, where it is more than the instruction.
    """

    instruction: str
    catalogue: Catalogue
    user_turn: str | None = None


class _Asked:
    """A request with everything that its answer depends on worked out."""

    def __init__(self, request: Request, spec: ToolSpec, versions: str) -> None:
        self.request, self.spec = request, spec
        self.turn = request.user_turn or request.instruction
        self.prompt_hash = hashlib.sha256(render_prompt(spec, self.turn).encode()).hexdigest()
        # The prompt shows a part of the catalogue, the grammar knows all of it, and the draft
        # reads the instruction even where the model reads more.
        text = clean_instruction(request.instruction)
        parts = f"{versions}\n{spec.toolset_hash}\n{self.prompt_hash}\n{text}"
        self.key = hashlib.sha256(parts.encode()).hexdigest()


class Engine:
    """The local model behind the gateway.

    :param prepared: the weights.
    :param adapter: none runs the bare base model, as a baseline.
    :param clock: monotonic seconds.
    :param advice: how much the sentence's own words count against the model, by slot; left out, as
        the adapter learned, and without one they decide.
    :param memo: how many decisions are remembered.
    :param precision: number format of the projections.
    """

    def __init__(
        self,
        prepared: PreparedModel,
        adapter: LoadedAdapter | None,
        clock: Callable[[], float] = time.monotonic,
        *,
        advice: Mapping[str, float] | None = None,
        memo: int = DECISIONS,
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Load the network; takes about a second."""
        self.prepared, self.adapter, self.clock = prepared, adapter, clock
        self._tensors = adapter.tensors if adapter else None
        learned = adapter.advice if adapter else WORDS
        self.advice = learned if advice is None else advice
        self.memo, self.precision = memo, precision
        # Each takes about a second; read side by side, a start takes as long as the slower one.
        with ThreadPoolExecutor(max_workers=1) as reader:
            weights = reader.submit(Gemma.load, prepared.folder, precision)
            self.tokenizer = PromptTokenizer(prepared.folder)
            self.gemma = weights.result()
        # The grammar's pieces come again and again; what people wrote is never encoded with it.
        self._encode = cache(self.tokenizer.encode)
        self._prefixes: OrderedDict[str, Prefix] = OrderedDict()
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        # One model, one batch at a time; the gateway bounds how many may wait.
        self._lock = threading.Lock()
        self._versions = json.dumps(self.version(), sort_keys=True, default=str)

    @property
    def model(self) -> str:
        """Return the model's name and version, as traces keep it."""
        if self.adapter is None:
            return f"{self.prepared.name} {self.prepared.weights_sha256[:12]}"
        return f"{self.prepared.name} + local adapter {self.adapter.version}"

    def version(self) -> dict[str, Any]:
        """Return everything a decision depends on besides its input."""
        return {
            "model": self.model,
            "weights_sha256": self.prepared.weights_sha256,
            "adapter": self.adapter.manifest if self.adapter else None,
            "schema_hash": schema_hash(),
            "prompt_version": PROMPT_VERSION,
            "reading_version": reading_version(),
            "advice": dict(self.advice),
            "precision": str(self.precision).removeprefix("torch."),
        }

    def decide(
        self, instruction: str, catalogue: Catalogue, user_turn: str | None = None
    ) -> Decision:
        """Compile a sentence into a plan.

        :param user_turn: what the model reads, where it is more than the instruction.
        :raises DecisionError: when the sentence cannot be put into a prompt.
        """
        return self.decide_many([Request(instruction, catalogue, user_turn)])[0]

    def decide_many(self, requests: Sequence[Request]) -> list[Decision]:
        """Compile sentences into plans; those about one catalogue are read together.

        Identical requests are decided once. The latency is that of the whole batch.

        :returns: one decision per request, in order.
        :raises DecisionError: when a sentence cannot be put into a prompt.
        """
        started = self.clock()
        specs: dict[Catalogue, ToolSpec] = {}
        asked = [
            _Asked(item, specs.setdefault(item.catalogue, ToolSpec(item.catalogue)), self._versions)
            for item in requests
        ]
        answers: dict[str, Decision] = {}
        with self._lock:
            for item in asked:
                if item.key in self._decisions and item.key not in answers:
                    self._decisions.move_to_end(item.key)
                    answers[item.key] = replace(self._decisions[item.key], cached=True)
            fresh = {item.key: item for item in asked if item.key not in answers}
            for key, decision in self._compile_all(list(fresh.values())):
                answers[key] = decision
                _remember(self._decisions, key, decision, self.memo)
        latency = round((self.clock() - started) * 1000)
        seen: set[str] = set()
        return [self._answer(answers[item.key], latency, item.key, seen) for item in asked]

    @staticmethod
    def _answer(decision: Decision, latency: int, key: str, seen: set[str]) -> Decision:
        repeated = decision.cached or key in seen
        seen.add(key)
        return replace(decision, latency_ms=latency, cached=repeated)

    def _compile_all(self, asked: Sequence[_Asked]) -> Iterator[tuple[str, Decision]]:
        groups: dict[str, list[_Asked]] = {}
        for item in asked:
            groups.setdefault(item.spec.toolset_hash, []).append(item)
        for group in groups.values():
            # Rows of similar length are read together, so that little of them is padding.
            ordered = sorted(group, key=lambda item: len(item.turn))
            for start in range(0, len(ordered), BATCH):
                yield from self._compile(ordered[start : start + BATCH])

    def _compile(self, asked: Sequence[_Asked]) -> Iterator[tuple[str, Decision]]:
        spec = asked[0].spec
        grammars = [
            PlanGrammar(spec, item.request.instruction, advice=self._advice(item)) for item in asked
        ]
        written = choose_many(
            self.gemma,
            self.prefix(spec),
            [self.tokenizer.suffix_ids(item.turn) for item in asked],
            grammars,
            self._encode,
            self._tensors,
        )
        for item, grammar, decoded in zip(asked, grammars, written, strict=True):
            raw = self.tokenizer.decode(decoded.ids)
            verdict, reason, plan = judge(spec, raw)
            if verdict == "no_call":
                reason = silence_reason(grammar.offers.draft)
            yield item.key, Decision(
                verdict, reason, plan, raw, self.model, item.prompt_hash, spec.toolset_hash, 0,
                decoded.choices, decoded.passes,
            )  # fmt: skip

    def _advice(self, item: _Asked) -> Mapping[str, float]:
        """Return the weights for a request.

        Of an open wish no message is a sure one, and that is no reason to send nothing.
        """
        if item.request.user_turn is None:
            return self.advice
        return {name: weight for name, weight in self.advice.items() if name != CERTAINTY}

    def prefix(self, spec: ToolSpec) -> Prefix:
        """Return what the model remembers of a tool set's developer turn."""
        prefix = self._prefixes.get(spec.toolset_hash)
        if prefix is None:
            prefix = self.gemma.read_prefix(self.tokenizer.prefix_ids(spec), self._tensors)
        _remember(self._prefixes, spec.toolset_hash, prefix, _PREFIXES)
        return prefix


def judge(spec: ToolSpec, raw: str) -> tuple[Verdict, str | None, list[Call] | None]:
    """Return the verdict on a model's turn, with the reason and the plan."""
    try:
        plan = accept_output(spec, raw)
    except PlanRejectedError as error:
        return "rejected", str(error), None
    if not plan:
        return "no_call", NOTHING_ASKED, []
    return "accepted", None, plan


def _remember(store: OrderedDict[str, Kept], key: str, value: Kept, limit: int) -> None:
    store[key] = value
    store.move_to_end(key)
    if len(store) > limit:
        store.popitem(last=False)
