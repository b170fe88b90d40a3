"""One decision: prompt, decoding, the gate, and the record of all three.

The engine holds the model for as long as its process lives. Decoding is deterministic, so the
same sentence for the same tool set is decided once.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from leo_activation.decision.adapter import LoadedAdapter, load_adapter
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.decoding import ChoiceRecord, choose
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.model import Gemma, Prefix
from leo_activation.decision.parser import Call
from leo_activation.decision.prompt import PROMPT_VERSION, PromptTokenizer, render_prompt
from leo_activation.decision.toolset import ToolSpec, schema_hash
from leo_activation.decision.validation import PlanRejectedError, accept_output
from leo_activation.decision.weights import PreparedModel
from leo_activation.errors import ConfigurationError

Verdict = Literal["accepted", "no_call", "rejected"]
Kept = TypeVar("Kept")
_PREFIXES = 8
_DECISIONS = 2_048


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


class Engine:
    """The local model behind the gateway.

    :param prepared: the weights.
    :param adapter: none runs the bare base model, as a baseline.
    :param clock: monotonic seconds.
    """

    def __init__(
        self,
        prepared: PreparedModel,
        adapter: LoadedAdapter | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load weights and tokenizer; takes a few seconds."""
        self.prepared, self.adapter, self.clock = prepared, adapter, clock
        self.gemma = Gemma.load(prepared.folder)
        self.tokenizer = PromptTokenizer(prepared.folder)
        self._encode = cache(self.tokenizer.encode)
        self._prefixes: OrderedDict[str, Prefix] = OrderedDict()
        self._decisions: OrderedDict[str, Decision] = OrderedDict()
        # One model, one decision at a time; the gateway bounds how many may wait.
        self._lock = threading.Lock()

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
        }

    def decide(self, instruction: str, catalogue: Catalogue) -> Decision:
        """Compile a sentence into a plan.

        :raises DecisionError: when the sentence cannot be put into a prompt.
        """
        started = self.clock()
        spec = ToolSpec(catalogue)
        prompt_hash = hashlib.sha256(render_prompt(spec, instruction).encode()).hexdigest()
        # The prompt shows a part of the catalogue; the grammar knows all of it.
        key = f"{spec.toolset_hash}:{prompt_hash}"
        with self._lock:
            known = self._decisions.get(key)
            if known is None:
                known = self._compile(spec, instruction, prompt_hash)
                _remember(self._decisions, key, known, _DECISIONS)
            else:
                known = replace(known, cached=True)
        return replace(known, latency_ms=round((self.clock() - started) * 1000))

    def _compile(self, spec: ToolSpec, instruction: str, prompt_hash: str) -> Decision:
        decoded = choose(
            self.gemma,
            self._prefix(spec),
            self.tokenizer.suffix_ids(instruction),
            PlanGrammar(spec, instruction),
            self._encode,
            self.adapter.tensors if self.adapter else None,
        )
        raw = self.tokenizer.decode(decoded.ids)
        verdict, reason, plan = judge(spec, raw)
        return Decision(
            verdict, reason, plan, raw, self.model, prompt_hash, spec.toolset_hash, 0,
            decoded.choices, decoded.passes,
        )  # fmt: skip

    def _prefix(self, spec: ToolSpec) -> Prefix:
        prefix = self._prefixes.get(spec.toolset_hash)
        if prefix is None:
            prefix = self.gemma.read_prefix(self.tokenizer.prefix_ids(spec))
            _remember(self._prefixes, spec.toolset_hash, prefix, _PREFIXES)
        return prefix


def judge(spec: ToolSpec, raw: str) -> tuple[Verdict, str | None, list[Call] | None]:
    """Return the verdict on a model's turn, with the reason and the plan."""
    try:
        plan = accept_output(spec, raw)
    except PlanRejectedError as error:
        return "rejected", str(error), None
    if not plan:
        return "no_call", "Chỉ dẫn này không phải là yêu cầu gửi tin cho khách.", []
    return "accepted", None, plan


def load_engine(prepared: PreparedModel, adapter_folder: Path | None) -> Engine:
    """Load the model, with one thread unless ``LEO_MODEL_THREADS`` says more.

    Measured on two cores: a second thread gains little when they are idle, and costs up to ten
    times when they are busy, since every short step then waits for the slower of the two.

    :param adapter_folder: none runs without an adapter.
    :raises ConfigurationError: when the adapter does not fit the weights or the functions.
    """
    threads = os.environ.get("LEO_MODEL_THREADS", "1")
    if not threads.isdigit() or not int(threads):
        raise ConfigurationError(
            f"LEO_MODEL_THREADS is {threads!r}: set it to a number of threads, such as 1"
        )
    torch.set_num_threads(int(threads))
    adapter = load_adapter(adapter_folder, prepared.weights_sha256) if adapter_folder else None
    return Engine(prepared, adapter)


def _remember(store: OrderedDict[str, Kept], key: str, value: Kept, limit: int) -> None:
    store[key] = value
    if len(store) > limit:
        store.popitem(last=False)
