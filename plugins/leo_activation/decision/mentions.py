"""Which names a sentence means, by its words alone, and what it says about liking.

Choose mode narrows what the model is shown of a customer with it. Nothing here ever empties a
choice: without a word that speaks for one option, all stay open. Plans are drafted with a closer
reading (``draft``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from leo_activation.decision.quantities import fold

_WORD = re.compile(r"[a-z0-9]+")
# Words that people use about every message or every group.
_COMMON = frozenset(
    "khach hang nguoi nhom hoi vien thu tin cho va cua co la gui nhan email telegram zalo sms push "
    "mail customer customers the a an of to for and trong sau dau tien qua ve".split()
)
# What channels are called, folded.
CHANNEL_WORDS = {
    "email": r"e ?mails?|mails?|thu dien tu",
    "telegram": r"telegram|tele|telegarm",
    "zalo": r"zalo|zns|zl",
    "push": r"push(?:es)?|noti|notifications?|thong bao(?! web)|app notifications?|in app",
    "sms": r"sms|texts?|tin nhan(?! (?:zalo|telegram|messenger|whatsapp))|text messages?",
    "web": r"web push|thong bao web|web notifications?",
    "messenger": r"messenger|fb messenger|mess",
    "whatsapp": r"whats ?app|wa",
    "facebook": r"facebook|fb",
    "viber": r"viber",
    "line": r"line",
    "call": r"goi dien|call|phone call",
}
_LIKING = r"thich|ua|hay dung|quen dung|prefer\w*|favou?rite|likes?"
# A candidate stays that has this share of the best one's score, or a pair of words of its own.
_MATCH_SHARE = 0.6
_UNIQUE_PAIR = 4.0


class Mentions:
    """The words of one sentence.

    :param sentence: as the marketer wrote it.
    """

    def __init__(self, sentence: str) -> None:
        """Fold the sentence and split it into words."""
        self.words = _WORD.findall(fold(sentence))
        self.text = " ".join(self.words)
        self._pairs = set(zip(self.words, self.words[1:], strict=False))
        self.speaks_of_liking = re.search(rf"\b(?:{_LIKING})\b", self.text) is not None

    def narrow(self, candidates: Mapping[str, str]) -> list[str]:
        """Return the candidates that the sentence may mean, in their order.

        :param candidates: what each is called, by its name.
        """
        words = {name: _telling_words(name, label) for name, label in candidates.items()}
        counts = Counter(word for both in words.values() for word in {*both[0], *both[1]})
        scores = {
            name: max(self._score(said, counts) for said in both) for name, both in words.items()
        }
        best = max(scores.values(), default=0.0)
        if best <= 0:
            return list(candidates)
        enough = min(_MATCH_SHARE * best, _UNIQUE_PAIR)
        return [
            name
            for name, both in words.items()
            if scores[name] >= enough or any(map(self._has_all, both))
        ]

    def _has_all(self, words: Sequence[str]) -> bool:
        return bool(words) and set(words) <= set(self.words)

    def _score(self, words: Sequence[str], counts: Counter[str]) -> float:
        """Return how much of a candidate is in the sentence; rare words and pairs count more.

        One syllable of a Vietnamese word says little, so single matches count only for words
        that stand alone.
        """
        pairs = set(zip(words, words[1:], strict=False)) & self._pairs
        paired = {word for pair in pairs for word in pair}
        alone = {word for word in words if len(set(words)) == 1} & set(self.words)
        strong = sum(2 / max(counts[left], counts[right]) for left, right in pairs)
        return strong + sum(1 / counts[word] for word in paired | alone)


def _telling_words(name: str, label: str) -> tuple[list[str], list[str]]:
    """Return the words of a candidate's name and of its label that tell it from others."""
    both = []
    for text in (name.replace("_", " "), label):
        words = _WORD.findall(fold(text))
        both.append([word for word in words if word not in _COMMON] or words)
    return both[0], both[1]


def plain_words(text: str) -> str:
    """Return the words of a text as sentences are compared: folded, one space between."""
    return " ".join(_WORD.findall(fold(text)))
