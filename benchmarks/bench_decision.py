"""One decision, and many: transformers' own ``generate`` against ours, in the same run.

Run: ``python -m benchmarks.bench_decision``. The naive way reads the whole prompt and writes every
token of the call, with logits over the whole vocabulary; it is given the exact number of tokens of
the call, since the untuned model would ramble. A plain loop over the same network with its
key-value cache stands beside it. Ours reads the developer turn once per catalogue, reads the
drafted plan in one pass and scores only what the grammar allows; nothing is remembered between
rows, except in the row that says so. All run the same weights on the same threads, in float32
where a row does not say bfloat16. The last row evaluates a compiled plan for customers, without a
database.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from transformers import Gemma3ForCausalLM

from leo_activation.decision.adapter import load_adapter
from leo_activation.decision.engine import Engine, Request
from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.loading import load_engine
from leo_activation.decision.prompt import render_prompt
from leo_activation.decision.summary import summarise
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.sets import read_cases
from leo_activation.decision.weights import prepare
from leo_activation.paths import ADAPTER_FOLDER

NAIVE_RUNS = 3
BATCHES = (8, 16, 32)
REPEATS = 4
MEMBERS = 10_000


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def naive(model: Gemma3ForCausalLM, engine: Engine, spec: ToolSpec, sentence: str) -> None:
    """Generate a call as a first program would: one token at a time from the whole prompt."""
    ids = torch.tensor([engine.tokenizer.encode(render_prompt(spec, sentence))])
    tokens = len(engine.tokenizer.encode(engine.decide(sentence, spec.catalogue).raw_output))
    with torch.inference_mode():
        model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens,
            min_new_tokens=tokens,
        )  # fmt: skip


def by_hand(model: Gemma3ForCausalLM, engine: Engine, spec: ToolSpec, sentence: str) -> None:
    """Write as many tokens with a plain greedy loop and the network's own cache."""
    ids = torch.tensor([engine.tokenizer.encode(render_prompt(spec, sentence))])
    tokens = len(engine.tokenizer.encode(engine.decide(sentence, spec.catalogue).raw_output))
    known = None
    with torch.inference_mode():
        for _ in range(tokens):
            out = model(ids, past_key_values=known, use_cache=True, logits_to_keep=1)
            known, ids = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)


def row(name: str, walls: list[float], cpus: list[float], baseline: float) -> str:
    """Return one line of the table."""
    wall = statistics.median(walls)
    slow = sorted(walls)[max(0, round(len(walls) * 0.95) - 1)]
    return (
        f"{name:<52} {wall * 1000:>9.1f} {slow * 1000:>9.1f} "
        f"{statistics.median(cpus) * 1000:>9.1f} {baseline / wall:>8.1f}x"
    )


def batch(engine: Engine, spec: ToolSpec, sentences: Sequence[str]) -> tuple[float, float]:
    """Return wall and processor seconds per decision of a batch."""
    asked = [Request(sentence, spec.catalogue) for sentence in sentences]
    wall, cpu = timed(lambda: engine.decide_many(asked))
    return wall / len(asked), cpu / len(asked)


def timed_rows(
    engine: Engine, spec: ToolSpec, sentences: Sequence[str], how: str
) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return what one number format takes, alone, in batches and with duplicates.

    :param how: is added to the names of the rows.
    """
    first = timed(lambda: engine.decide("Gửi email cho mọi người", spec.catalogue))
    rows = [
        (f"first sentence of a catalogue{how}", [first]),
        (f"another sentence of the catalogue{how}",
         [batch(engine, spec, [sentence]) for sentence in sentences]),
    ]  # fmt: skip
    for size in BATCHES:
        runs = [sentences[at : at + size] for at in range(0, len(sentences) - size + 1, size)]
        rows.append(
            (f"in a batch of {size}, each{how}", [batch(engine, spec, run) for run in runs])
        )
    few = sentences[: BATCHES[0]] * REPEATS
    rows.append((f"{len(few)} requests, {BATCHES[0]} of them distinct, each{how}",
                 [batch(engine, spec, few)]))  # fmt: skip
    return rows


def main() -> None:
    """Print the table."""
    prepared = prepare(print)
    loading = time.perf_counter()
    load_engine(prepared, ADAPTER_FOLDER)
    loaded = time.perf_counter() - loading
    adapter = load_adapter(ADAPTER_FOLDER, prepared.weights_sha256)
    engine = Engine(prepared, adapter, memo=0)
    cases = [case for case in read_cases() if case.catalogue_name == "shop"]
    sentences = [case.instruction for case in cases]
    asking = [case.instruction for case in cases if case.plan]
    spec = ToolSpec(cases[0].catalogue)
    rows = [
        *timed_rows(engine, spec, sentences, ""),
        *timed_rows(Engine(prepared, adapter, memo=0, precision=torch.bfloat16), spec, sentences,
                    ", bfloat16"),
    ]  # fmt: skip
    known = Engine(prepared, adapter)
    known.decide_many([Request(sentence, spec.catalogue) for sentence in sentences])
    rows.append(("a sentence that was decided before",
                 [batch(known, spec, [sentence]) for sentence in sentences]))  # fmt: skip
    oracle = Gemma3ForCausalLM.from_pretrained(prepared.folder, dtype=torch.float32).eval()
    slow = [timed(lambda s=sentence: naive(oracle, known, spec, s))  # type: ignore[misc]
            for sentence in asking[:NAIVE_RUNS]]  # fmt: skip
    loop = [timed(lambda s=sentence: by_hand(oracle, known, spec, s))  # type: ignore[misc]
            for sentence in asking[:NAIVE_RUNS]]  # fmt: skip
    baseline = statistics.median(wall for wall, _ in slow)
    tokens = len(engine.tokenizer.prefix_ids(spec))
    print(f"{engine.model}, {tokens} tokens of declarations, {torch.get_num_threads()} threads")
    print(f"engine loaded in {loaded:.1f} s\n")
    print(f"{'one decision':<52} {'ms':>9} {'p95 ms':>9} {'CPU ms':>9} {'gain':>9}")
    for name, times in (
        ("naive generate", slow),
        ("the same with a plain loop", loop),
        *rows,
    ):
        print(row(name, [wall for wall, _ in times], [cpu for _, cpu in times], baseline))
    evaluate_members(known, spec)


def evaluate_members(engine: Engine, spec: ToolSpec) -> None:
    """Print how long a compiled plan takes for many customers."""
    plan = engine.decide("Gửi email tri ân nếu là khách VIP", spec.catalogue).plan or []
    facts = [{"segments": ["vip"] if number % 5 else []} for number in range(MEMBERS)]
    wall, _ = timed(lambda: [summarise(run_plan(plan, known), spec.catalogue) for known in facts])
    print(f"\n{MEMBERS:,} customers evaluated, with trace and sentence: {wall:.2f} s "
          f"({wall / MEMBERS * 1e6:.0f} µs each)")  # fmt: skip


if __name__ == "__main__":
    main()
