"""How sure it is that a sentence asks for what its draft says.

Rules find what may be meant; whether anything is meant at all shows in many small signs at once:
words that nothing explains, a message without its verb, "tắt hết …". They are weighed as in a
logistic regression, with weights fitted to sentences that people wrote (``training.asking``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import cache

from leo_activation.decision.draft import Drafter
from leo_activation.decision.lexicon import ASKING_FILE, COMMON, cue, features, words_of
from leo_activation.decision.messages import MessageReader
from leo_activation.decision.parts import Message
from leo_activation.decision.quantities import fold
from leo_activation.decision.sentence import meanings_of
from leo_activation.paths import PROMPTS_FOLDER

# Turns of phrase that carry nothing of who or what is meant.
_IDLE = "|".join(cue(name) for name in ("harmless", "turns", "heads", "sends", "everyone"))
_SENDS, _EVERYONE = cue("sends"), cue("everyone")
_TERM = re.compile(r"[a-z]+|\d+|[?!.:]")
# The end of a sentence is where an afterthought restricts or takes back what was said.
_END = 4


def log_odds(draft: Drafter) -> float:
    """Return the logarithm of the odds that a draft is what its sentence asks for.

    :param draft: of the sentence; below 0 it is likelier that nothing should be sent.
    """
    known = _weights()
    told = sum(known["facts"].get(name, 0.0) * value for name, value in facts(draft).items())
    said = sum(known["terms"].get(term, 0.0) for term in terms(draft.sentence.reading.sentence))
    return told + said


@cache
def _weights() -> Mapping[str, Mapping[str, float]]:
    document: dict[str, dict[str, float]] = json.loads(
        (PROMPTS_FOLDER / ASKING_FILE).read_text(encoding="utf-8")
    )
    return document


def terms(sentence: str) -> set[str]:
    """Return the words of a sentence and its pairs of words, folded, with # for any number."""
    words = ["^", *("#" if word.isdecimal() else word for word in _TERM.findall(fold(sentence)))]
    return {*words, *(f"{one} {other}" for one, other in zip(words, words[1:], strict=False))}


def facts(draft: Drafter) -> dict[str, float]:
    """Return what is weighed of a draft: names with numbers, most of them 0 or 1."""
    told: dict[str, float] = {
        "always": 1.0, "evidence": draft.evidence, "for it": float(draft.evidence >= 0),
        **_of_words(draft), **_of_message(draft), **_left_over(draft),
    }  # fmt: skip
    signs = {
        "named": draft.is_named, "asked": draft.is_asked, "for others": draft.is_for_others,
        "attack": draft.is_attack, "chore": draft.is_chore, "stops all": draft.stops_all,
        "unknown message": draft.names_unknown_message,
        "spares strangers": draft.audience.spares_strangers(),
        "strange place": draft.audience.has_strange_place(),
        "told before": draft.told >= 0,
    }  # fmt: skip
    return {**told, **{name: float(sign) for name, sign in signs.items()}}


def _of_words(draft: Drafter) -> dict[str, float]:
    """Return what a sentence names of the catalogue, and how long it is."""
    sentence, reading = draft.sentence, draft.sentence.reading
    channels = {name for name, _, _ in sentence.channel_mentions}
    known = bool(channels & set(sentence.catalogue.channels))
    begins = draft.begins
    return {
        "channel": known, "other channel": bool(channels) and not known,
        "verb": reading.says(_SENDS), "begins with a verb": bool(
            reading.find(_SENDS, begins, begins)),
        "conditions": bool(draft.conditions), "more conditions": len(draft.conditions),
        "waits": bool(sentence.pauses), "everyone": reading.says(_EVERYONE),
        "the rest": bool(sentence.elses), "words": len(reading.words) / 10,
        "question": reading.sentence.rstrip().endswith("?"),
        "name of a message": max((item.share for item in sentence.template_mentions), default=0.0),
        "templates": len(sentence.catalogue.templates) / 10,
    }  # fmt: skip


def _of_message(draft: Drafter) -> dict[str, float]:
    """Return how well the messages of a draft fit what is said to be sent."""
    scores = [max(item.templates.values()) for item in draft.messages if item.templates]
    said = {item.name for item in draft.sentence.reading.features}
    fits = [len(own & said) / len(own) for label in _labels(draft)
            if (own := {item.name for item in features(words_of(label))})]  # fmt: skip
    topics = MessageReader(draft.sentence, draft.conditions).topics(draft.messages)
    return {
        "messages": len(draft.messages), "no message": not draft.messages,
        "best score": math.log1p(max(scores, default=0.0)),
        "least score": math.log1p(min(scores, default=0.0)),
        "label said": max(fits, default=0.0),
        "topic": max((item.words for item in topics), default=0),
        "unexplained topic": max((item.words - item.explained for item in topics), default=0),
        "topic of none": max(
            (1 - item.explained_by_any / item.words for item in topics if item.words),
            default=0.0),
    }  # fmt: skip


def _labels(draft: Drafter) -> list[str]:
    """Return the labels of the messages that are drafted."""
    catalogue = draft.sentence.catalogue
    best = {_template(item) for item in draft.messages}
    return [item.label for item in catalogue.templates if item.template_id in best]


def _template(message: Message) -> str:
    return next(iter(message.templates), "")


def _left_over(draft: Drafter) -> dict[str, float]:
    """Return how many words nothing in the draft or in the catalogue's names explains."""
    sentence, reading = draft.sentence, draft.sentence.reading
    spans = [(item.first, item.last) for item in (*draft.conditions, *sentence.pauses)]
    spans += [(first, last) for _, first, last in sentence.channel_mentions]
    spans += reading.find(_IDLE)
    taken = {index for first, last in spans for index in range(first, last + 1)}
    told = {item.name for label in _labels(draft) for item in features(words_of(label))}
    asked = set().union(*(meanings_of(item) for item in sentence.catalogue.attributes))
    free = [index for index, word in enumerate(reading.words)
            if index > draft.told and index not in taken and word.text.isalpha()
            and word.text not in COMMON]  # fmt: skip
    left = [index for index in free if index not in draft.places(told)]
    strange = [index for index in left if index not in draft.places(asked)]
    begins = min((item.first for item in draft.messages), default=0)
    words = max(1, len(reading.words) - draft.told - 1)
    restrictions = draft.audience.unexplained()
    return {
        "left over": len(left), "share left over": len(left) / words,
        "strange": len(strange), "share strange": len(strange) / words,
        "strange behind": sum(index > begins for index in strange),
        "strange at the end": sum(index >= len(reading.words) - _END for index in strange),
        "restrictions": len(restrictions), "restricted": bool(restrictions),
        "only restricted": bool(restrictions) and not draft.conditions,
        "words of restrictions": sum(len(text.split()) for text in restrictions),
    }  # fmt: skip
