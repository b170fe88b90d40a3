"""How often a whole plan is right, on sentences that people wrote.

``evaluation.v4.jsonl`` was written by somebody who knew neither the training data nor the rules,
about catalogues that occur nowhere else, and is read once, at the end. The sets named
``DEVELOPMENT`` were looked at while the rules and the training data were made, so their figures
flatter. Two of them were blind sets before. At the first reading of ``evaluation.v2.jsonl`` 224 of
its 323 sentences came out right, 69.4 % (64.1 to 74.1); of ``evaluation.v3.jsonl`` the rules alone
read 221 of 284, 77.8 % (72.6 to 82.3).

A plan counts only when every call and every argument is right (``plans.is_exact``); ``*`` stands
for a message that the sentence leaves open, and ``also`` lists plans that are as right as the
first.

Run: ``python -m leo_activation.decision.training.evaluation``.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from leo_activation.decision.adapter import MANIFEST, load_adapter, write_manifest
from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.engine import Engine, Request
from leo_activation.decision.grammar import PlanGrammar
from leo_activation.decision.interpreter import run_plan
from leo_activation.decision.offers import Offers
from leo_activation.decision.parser import Call
from leo_activation.decision.prompt import clean_instruction
from leo_activation.decision.quantities import find_quantities, fold
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.training.plans import is_exact
from leo_activation.decision.training.sets import (
    BLIND,
    CHOICES_BLIND,
    CHOICES_FRESH,
    SETS,
    Case,
    ChoiceCase,
    read_cases,
    read_choices,
    to_plan,
)
from leo_activation.decision.validation import accept_output
from leo_activation.decision.weights import PreparedModel, default_folder, open_prepared
from leo_activation.errors import DecisionError
from leo_activation.paths import ADAPTER_FOLDER

_Z = 1.959964

CompileAll = Callable[[Sequence[Case]], list[list[Call]]]
CompileChoices = Callable[[Sequence[ChoiceCase]], list[list[Call]]]
Told = TypeVar("Told", Case, ChoiceCase)


def is_right(case: Case | ChoiceCase, actual: Sequence[Call]) -> bool:
    """Tell whether a plan is one of those that a sentence may become."""
    return any(is_exact(expected, actual) for expected in (case.plan, *case.also))


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, sensible for few cases and for all or none."""
    if total == 0:
        return 0.0, 1.0
    share, spread = right / total, _Z * _Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def score(
    name: str, compile_all: Callable[[Sequence[Told]], list[list[Call]]], cases: Sequence[Told]
) -> dict[str, Any]:
    """Return the figures of one compiler, and every sentence it got wrong."""
    plans = compile_all(cases)
    results = list(zip(cases, plans, strict=True))
    right = {case.case_id: is_right(case, plan) for case, plan in results}
    groups: dict[str, list[bool]] = {"all": []}
    for case, _ in results:
        for group in _groups(case):
            groups.setdefault(group, []).append(right[case.case_id])
    silent = [case for case, plan in results if not plan]
    return {
        "compiler": name,
        "groups": {group: _share(hits) for group, hits in groups.items()},
        "no_call_precision": _share([_may_be_silent(case) for case in silent]),
        "wrong": [
            {"id": case.case_id, "language": case.language, "instruction": case.instruction,
             "expected": [call.to_document() for call in case.plan],
             "plan": [call.to_document() for call in plan]}
            for case, plan in results if not right[case.case_id]
        ],
    }  # fmt: skip


def _may_be_silent(case: Case | ChoiceCase) -> bool:
    return not case.plan or any(not plan for plan in case.also)


def _groups(case: Case | ChoiceCase) -> list[str]:
    """Return the groups that a sentence counts in."""
    groups = ["all", case.language, f"catalogue {case.catalogue_name}"]
    if case.language.startswith("vi"):
        groups.append("Vietnamese, both ways")
    if isinstance(case, Case) and case.kind:
        groups.append(f"kind {case.kind}")
    groups.append("no call" if not case.plan else f"{len(case.plan)} calls")
    return groups + [f"with {name}" for name in sorted({call.name for call in case.plan})]


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(hits), len(hits))
    return {"right": sum(hits), "of": len(hits), "low": round(low, 3), "high": round(high, 3)}


def evaluate_all(
    prepared: PreparedModel, adapter_folder: Path, name: str = BLIND
) -> dict[str, Any]:
    """Return the figures of the model with its adapter beside those of simpler compilers.

    :param name: of the set of sentences.
    """
    cases = read_cases(name)
    report: list[dict[str, Any]] = []

    def measure(compiler: str, compile_all: CompileAll) -> None:
        report.append(score(compiler, compile_all, cases))
        print(f"{compiler}: {report[-1]['groups']['all']}", file=sys.stderr, flush=True)

    adapter = load_adapter(adapter_folder, prepared.weights_sha256)
    measure("model + adapter", model_compiler(Engine(prepared, adapter)))
    measure("grammar without adapter", model_compiler(Engine(prepared, None)))
    measure("model + adapter, without the words' advice",
            model_compiler(Engine(prepared, adapter, advice={})))  # fmt: skip
    measure("the words' advice without a model", advice_compiler)
    measure("keyword rules", keyword_compiler)
    measure("majority", majority_compiler)
    return {"sentences": name, "cases": len(cases), "compilers": report}


def evaluate_choices(
    prepared: PreparedModel, adapter_folder: Path, name: str = CHOICES_BLIND
) -> dict[str, Any]:
    """Return how often each customer gets what an open wish means for them.

    :param name: of the set of wishes.
    """
    cases = read_choices(name)
    adapter = load_adapter(adapter_folder, prepared.weights_sha256)
    compilers: dict[str, CompileChoices] = {
        "model + adapter": choice_compiler(Engine(prepared, adapter)),
        "grammar without adapter": choice_compiler(Engine(prepared, None, advice={})),
        "the preferred channel's first message": preferred_compiler,
        "majority": majority_compiler,
    }
    measured = [score(key, compiler, cases) for key, compiler in compilers.items()]
    return {"sentences": name, "cases": len(cases), "compilers": measured}


def choice_compiler(engine: Engine) -> CompileChoices:
    """Return an engine as a function that tells what each customer gets."""

    def compile_all(cases: Sequence[ChoiceCase]) -> list[list[Call]]:
        asked = [Request(case.instruction, case.catalogue, case.user_turn) for case in cases]
        return [
            list(run_plan(decision.plan or [], case.facts).calls)
            for case, decision in zip(cases, engine.decide_many(asked), strict=True)
        ]

    return compile_all


def preferred_compiler(cases: Sequence[ChoiceCase]) -> list[list[Call]]:
    """Return for each customer the first message of the channel they like, or can be reached on."""
    return [_preferred(case) for case in cases]


def _preferred(case: ChoiceCase) -> list[Call]:
    liked = case.facts.get("preferred_channel")
    channels = [name for name in case.reachable if name == liked] or list(case.reachable)
    if not channels:
        return []
    template = case.catalogue.templates_for(channels[0])[0].template_id
    return [Call("send_notification", {"channel": channels[0], "template_id": template})]


def model_compiler(engine: Engine) -> CompileAll:
    """Return an engine as a function; a rejected output counts as no plan that is right."""

    def compile_all(cases: Sequence[Case]) -> list[list[Call]]:
        usable = [case for case in cases if not is_refused(case)]
        asked = [Request(case.instruction, case.catalogue) for case in usable]
        plans = {
            case.case_id: [Call("rejected")] if decision.plan is None else decision.plan
            for case, decision in zip(usable, engine.decide_many(asked), strict=True)
        }
        return [plans.get(case.case_id, []) for case in cases]

    return compile_all


def is_refused(case: Case) -> bool:
    """Tell whether a sentence never reaches the model, so that nothing is sent."""
    try:
        clean_instruction(case.instruction)
    except DecisionError:
        return True
    return False


def advice_compiler(cases: Sequence[Case]) -> list[list[Call]]:
    """Return the plans that the words' advice alone amounts to: no model is asked."""
    return [
        [] if is_refused(case)
        else advised_plan(PlanGrammar(ToolSpec(case.catalogue), case.instruction))
        for case in cases
    ]  # fmt: skip


def advised_plan(grammar: PlanGrammar, *, begins: bool = False) -> list[Call]:
    """Return the plan that the words' advice alone amounts to.

    :param begins: write a plan even where the words advise none.
    """
    state, text = grammar.start(), ""
    if begins:
        text, state = grammar.options(state)["call"], grammar.advance(state, "call")
    while (choice := grammar.choice(state)) is not None:
        ends = ("none", "stop", "done")
        label = max(choice.options, key=lambda name: (choice.advice.get(name, 0.0), name in ends))
        text += choice.options[label]
        state = grammar.advance(state, label)
    return accept_output(grammar.spec, text)


def keyword_compiler(cases: Sequence[Case]) -> list[list[Call]]:
    """Return the plans of straightforward keyword rules."""
    return [keyword_plan(case.instruction, case.catalogue) for case in cases]


def majority_compiler(cases: Sequence[Case] | Sequence[ChoiceCase]) -> list[list[Call]]:
    """Return for every sentence the answer that is right most often: usually no call."""
    most, _ = Counter(json.dumps([call.to_document() for call in case.plan]) for case in cases
                      ).most_common(1)[0]  # fmt: skip
    return [to_plan(json.loads(most)) for _ in cases]


def table(report: Mapping[str, Any]) -> str:
    """Return the figures as text for a terminal."""
    lines = [
        f"exact plans on the {report['cases']} hand-written sentences of {report['sentences']} "
        "(95 % Wilson interval)"
    ]
    for compiler in report["compilers"]:
        lines.append(f"\n{compiler['compiler']}")
        shares = {**compiler["groups"], "no-call precision": compiler["no_call_precision"]}
        for group, share in shares.items():
            percent = share["right"] / share["of"] if share["of"] else 0.0
            lines.append(
                f"  {group:<24} {share['right']:>3}/{share['of']:<3} {percent:>6.1%}"
                f"   [{share['low']:.1%}, {share['high']:.1%}]"
            )
    lines.append(f"\nwrong with {report['compilers'][0]['compiler']}:")
    for wrong in report["compilers"][0]["wrong"]:
        calls = "; ".join(
            f"{call['name']}({', '.join(map(str, call['arguments'].values()))})"
            for call in wrong["plan"]
        )
        lines.append(f"  {wrong['id']}: {wrong['instruction']}\n      -> {calls or 'no call'}")
    return "\n".join(lines)


def record_metrics(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the figures, and the sentences that came out wrong, into the adapter's manifest."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    known = manifest.get("evaluation", {})
    # The manifest of another adapter's time had one set only.
    sets = {key: value for key, value in known.items() if key in (*SETS, CHOICES_BLIND)}
    sets[report["sentences"]] = {
        "cases": report["cases"],
        "compilers": {
            compiler["compiler"]: compiler["groups"]
            | {"no_call_precision": compiler["no_call_precision"]}
            for compiler in report["compilers"]
        },
        "wrong": report["compilers"][0]["wrong"],
    }
    manifest["evaluation"] = sets
    write_manifest(folder, manifest)


def main() -> None:
    """Print the figures of one set; see :func:`evaluate_all`."""
    parser = argparse.ArgumentParser(description="Measure exact plans on hand-written sentences.")
    wishes = (CHOICES_BLIND, *CHOICES_FRESH)
    parser.add_argument("--sentences", default=BLIND, choices=(*SETS, *wishes))
    parser.add_argument("--adapter", type=Path, default=ADAPTER_FOLDER)
    parser.add_argument("--record", action="store_true", help="write them into the manifest")
    options = parser.parse_args()
    evaluate = evaluate_choices if options.sentences in wishes else evaluate_all
    report = evaluate(open_prepared(default_folder()), options.adapter, options.sentences)
    print(table(report))
    if options.record:
        record_metrics(options.adapter, report)


# -- the rules that the model has to beat ----------------------------------------------------

_ELSE = re.compile(r"\b(?:con lai|khong thi|nguoc lai|otherwise|others?|the rest|remaining)\b")
_NOT = re.compile(r"\b(?:tru|khong phai|ngoai tru|except|unless|but)\b")
_COMPARED = (
    ("gte", r"tro len|it nhat|toi thieu|at least"), ("lte", r"khong qua|toi da|at most"),
    ("gt", r"tren|hon|qua|vuot|over|above|more than"), ("lt", r"duoi|chua|less|under|fewer"),
)  # fmt: skip


def keyword_plan(instruction: str, catalogue: Catalogue) -> list[Call]:
    """Return the plan that straightforward keyword rules find."""
    text = fold(instruction)
    channels = sorted(
        (name for name in catalogue.channels if name in text), key=lambda name: text.index(name)
    )
    if not channels:
        return []
    check = _keyword_check(instruction, text, catalogue)
    wait = [Call("wait_duration", {"minutes": item.value})
            for item in find_quantities(instruction)
            if item.kind == "duration" and not check][:1]  # fmt: skip
    plan = [*([check] if check else []), *wait, _keyword_send(channels[0], text, catalogue)]
    if check and len(channels) > 1 and _ELSE.search(text):
        plan += [_negate(check, catalogue), _keyword_send(channels[1], text, catalogue)]
    return plan


def _keyword_send(channel: str, text: str, catalogue: Catalogue) -> Call:
    templates = catalogue.templates_for(channel)
    words = set(re.findall(r"\w+", text))
    best = max(templates, key=lambda item: len(words & set(re.findall(r"\w+", fold(item.label)))))
    return Call("send_notification", {"channel": channel, "template_id": best.template_id})


def _keyword_check(instruction: str, text: str, catalogue: Catalogue) -> Call | None:
    offers = Offers(ToolSpec(catalogue), instruction)
    for attribute in catalogue.attributes:
        for value in attribute.values:
            if any(name and fold(name) in text for name in (value.name, value.label)):
                operator = "contains" if attribute.type == "set" else "eq"
                call = _check(attribute, operator, value.name)
                return _negate(call, catalogue) if _NOT.search(text) else call
    for attribute in catalogue.attributes:
        offered = offers.values(attribute.name)
        if attribute.type == "number" and offered and fold(attribute.label) in text:
            for operator, words in _COMPARED:
                if re.search(words, text):
                    return _check(attribute, operator, int(offered[0]))
    return None


def _check(attribute: Attribute, operator: str, value: Any) -> Call:
    arguments = {"attribute": attribute.name, "operator": operator, "value": value}
    return Call("check_condition", arguments)


def _negate(call: Call, catalogue: Catalogue) -> Call:
    operator = ToolSpec(catalogue).functions["negations"][call.arguments["operator"]]
    return Call(call.name, {**call.arguments, "operator": operator})


if __name__ == "__main__":
    main()
