"""How often a whole plan is right, on sentences that people wrote.

``include/prompts/evaluation.v1.jsonl`` shares no phrase template with the training data, and one
of its two catalogues shares no name either. A plan counts only when every call and every argument
is right; ``*`` stands for a message that the sentence leaves open. The same sentences are given
to the model without the adapter and to a few keyword rules.

The rules of ``mentions`` were improved by looking at mistakes on these very sentences, so the
figures flatter the whole a little: a fresh set will show less.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from leo_activation.decision.adapter import MANIFEST, load_adapter, write_manifest
from leo_activation.decision.catalogue import Attribute, Catalogue, parse_catalogue
from leo_activation.decision.engine import Engine
from leo_activation.decision.offers import Offers
from leo_activation.decision.parser import Call
from leo_activation.decision.quantities import find_quantities, fold
from leo_activation.decision.toolset import ToolSpec
from leo_activation.decision.weights import PreparedModel
from leo_activation.paths import PROMPTS_FOLDER

SENTENCES = PROMPTS_FOLDER / "evaluation.v1.jsonl"
CATALOGUES = PROMPTS_FOLDER / "evaluation_catalogues.v1.json"
_Z = 1.959964

Compile = Callable[[str, Catalogue], list[Call]]


@dataclass(frozen=True)
class Case:
    """A sentence, its catalogue and the plan it should become."""

    case_id: str
    language: str
    catalogue_name: str
    catalogue: Catalogue
    instruction: str
    plan: list[Call]


def read_cases() -> list[Case]:
    """Return the hand-written sentences."""
    catalogues = json.loads(CATALOGUES.read_text(encoding="utf-8"))
    known = {name: parse_catalogue(document) for name, document in catalogues.items()}
    lines = SENTENCES.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [
        Case(
            row["id"], row["language"], row["catalogue"], known[row["catalogue"]],
            row["instruction"], [Call(call["name"], call["arguments"]) for call in row["plan"]],
        )
        for row in rows
    ]  # fmt: skip


def is_exact(expected: Sequence[Call], actual: Sequence[Call]) -> bool:
    """Tell whether two plans are the same call by call; ``*`` fits any template.

    The order of checks that all must hold means nothing, so it is not compared.
    """
    return len(expected) == len(actual) and all(
        one.name == other.name and _fits(one.arguments, other.arguments)
        for one, other in zip(_ordered(expected), _ordered(actual), strict=True)
    )


def _ordered(plan: Sequence[Call]) -> list[Call]:
    """Return a plan with neighbouring checks, and the members of a list, in a fixed order."""
    ordered: list[Call] = []
    for name, run in groupby(plan, key=lambda call: call.name):
        calls = [Call(call.name, _sorted_lists(call.arguments)) for call in run]
        ordered += sorted(calls, key=repr) if name == "check_condition" else calls
    return ordered


def _sorted_lists(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: sorted(value) if isinstance(value, list) else value for key, value in arguments.items()
    }


def _fits(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    if expected.get("template_id") == "*":
        return bool(expected["channel"] == actual.get("channel"))
    return dict(expected) == dict(actual)


def wilson(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % interval of a share, sensible for few cases and for all or none."""
    if total == 0:
        return 0.0, 1.0
    share, spread = right / total, _Z * _Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)


def score(name: str, compile_: Compile, cases: Sequence[Case]) -> dict[str, Any]:
    """Return the figures of one compiler, and every sentence it got wrong."""
    results = [(case, compile_(case.instruction, case.catalogue)) for case in cases]
    exact = {case.case_id: is_exact(case.plan, plan) for case, plan in results}
    groups: dict[str, list[bool]] = {"all": []}
    for case, _ in results:
        kind = "no call" if not case.plan else f"{len(case.plan)} calls"
        for group in ("all", case.language, f"catalogue {case.catalogue_name}", kind):
            groups.setdefault(group, []).append(exact[case.case_id])
    silent = [case for case, plan in results if not plan]
    return {
        "compiler": name,
        "groups": {group: _share(hits) for group, hits in groups.items()},
        "no_call_precision": _share([not case.plan for case in silent]),
        "wrong": [
            {"id": case.case_id, "instruction": case.instruction,
             "plan": [call.to_document() for call in plan]}
            for case, plan in results if not exact[case.case_id]
        ],
    }  # fmt: skip


def _share(hits: Sequence[bool]) -> dict[str, Any]:
    low, high = wilson(sum(hits), len(hits))
    return {"right": sum(hits), "of": len(hits), "low": round(low, 3), "high": round(high, 3)}


def evaluate_all(prepared: PreparedModel, adapter_folder: Path) -> dict[str, Any]:
    """Return the figures of the model with and without the adapter, and of keyword rules."""
    cases = read_cases()
    adapted = Engine(prepared, load_adapter(adapter_folder, prepared.weights_sha256))
    bare = Engine(prepared, None)
    return {
        "cases": len(cases),
        "compilers": [
            score("model + adapter", model_compiler(adapted), cases),
            score("model, grammar only", model_compiler(bare), cases),
            score("keyword rules", keyword_plan, cases),
            score("always no call", lambda _, __: [], cases),
        ],
    }


def model_compiler(engine: Engine) -> Compile:
    """Return an engine as a function; a rejected output counts as no plan that is right."""

    def compile_(instruction: str, catalogue: Catalogue) -> list[Call]:
        plan = engine.decide(instruction, catalogue).plan
        return [Call("rejected")] if plan is None else plan

    return compile_


def table(report: Mapping[str, Any]) -> str:
    """Return the figures as text for a terminal."""
    lines = [f"exact plans on {report['cases']} hand-written sentences (95 % Wilson interval)"]
    for compiler in report["compilers"]:
        lines.append(f"\n{compiler['compiler']}")
        shares = {**compiler["groups"], "no-call precision": compiler["no_call_precision"]}
        for group, share in shares.items():
            percent = share["right"] / share["of"] if share["of"] else 0.0
            lines.append(
                f"  {group:<18} {share['right']:>3}/{share['of']:<3} {percent:>6.1%}"
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
    """Write the figures into the adapter's manifest."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest["evaluation"] = {
        "sentences": SENTENCES.name,
        "caveat": "the word rules (mentions.py, offers.py, grammar.py) were improved on mistakes "
        "seen in this set, checkpoints were compared on it, and the order of checks within a "
        "branch is ignored",
        **{
            compiler["compiler"]: compiler["groups"] | {
                "no_call_precision": compiler["no_call_precision"]
            }
            for compiler in report["compilers"]
        },
    }  # fmt: skip
    write_manifest(folder, manifest)


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
