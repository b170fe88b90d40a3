"""What a sentence says in so many words, so that the grammar need not offer the rest.

The model is small. Where the words leave no doubt (a comparison is "ít nhất", a message is called
by its name, nothing is negated) the choice is made here, the same way every time, and the model
keeps what needs reading: who, in which order, and what follows from what. Nothing here ever
empties a choice: without a word that speaks for one option, all stay open.
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
_COMPARISONS: Mapping[str, str] = {
    "gte": r"tro len|it nhat|toi thieu|khong duoi|at least|or more|minimum|tu (?=\d)|from (?=\d)",
    "lte": r"khong qua|khong hon|toi da|nhieu nhat|tro xuong|at most|no more than|up to"
    r"|(?<!chua )den (?=\d)|or less",
    "gt": r"(?<!khong )(?:tren|(?<!it )(?<!nho )hon(?! nua)|vuot|qua (?=\d))|over|above"
    r"|(?<!no )more than",
    "lt": r"(?<!khong )duoi|chua (?:den|toi|day)|(?:it|nho) hon|less than|under|below|fewer",
    "eq": r"(?:dung|bang|exactly) (?=\d)",
}
_NEGATED = (
    r"tru|ngoai|dung gui|khong|ko|k|chua|chang|except|unless|but|not|don t|doesn t|isn t|aren t"
    r"|without|non"
)
_REST = (
    r"con lai|nguoc lai|khac|neu khong|con khong|khong thi|otherwise|rest|others?|remaining|else"
    r"|everyone|everybody"
)
# Words that can only mean "for everybody else": they promise a second branch.
_ELSE = (
    r"con lai(?! (?:duoi|tren|it|hon|cua|\d))|nguoc lai|khong thi|con khong|nhung nguoi khac"
    r"|otherwise|the rest|remaining|(?:all|the) others|everyone else"
)
_EXCEPTION = r"tru|dung gui|ngoai tru|except|unless|(?:everyone|everybody|all|anyone) but"
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
_EITHER = r"hoac|hay|or|va|and|lan|cung|deu"
_CHOICE = r"hoac|hay|or"
_SEVERAL = r"va|lan|cung|vua|both|and(?! then)"
_LIKING = r"thich|ua|hay dung|quen dung|prefer\w*|favou?rite|likes?"
_KNOWN = r"co thong tin|biet|khong ro|thieu|chua co|da co|known|missing|unknown"
# A candidate stays that has this share of the best one's score, or a pair of words of its own.
_MATCH_SHARE = 0.6
_UNIQUE_PAIR = 4.0


class Mentions:
    """The words of one sentence.

    :param sentence: as the marketer wrote it.
    """

    def __init__(self, sentence: str) -> None:
        """Fold the sentence and look for the cues."""
        self.words = _WORD.findall(_spell_signs(fold(sentence)))
        self.text = " ".join(self.words)
        self._pairs = set(zip(self.words, self.words[1:], strict=False))
        self.has_else = self._says(_ELSE)
        self.has_exception = self._says(_EXCEPTION)
        first_half = re.sub(rf"\b(?:{_ELSE})\b", " ", self.text)
        self.has_negation = re.search(rf"\b(?:{_NEGATED}|{_REST})\b", first_half) is not None
        self.has_alternatives = self._says(_EITHER)
        self.has_choice = self._says(_CHOICE)
        self.has_several = self._says(_SEVERAL)
        self.speaks_of_liking = self._says(_LIKING)
        self.asks_for_knowledge = self._says(_KNOWN)
        self.comparisons = [name for name, words in _COMPARISONS.items() if self._says(words)]

    def _says(self, pattern: str) -> bool:
        return re.search(rf"\b(?:{pattern})(?:\b|(?<=\s))", self.text) is not None

    def operators(self, fitting: Sequence[str], negations: Mapping[str, str]) -> list[str]:
        """Return the operators that the words leave possible in the first branch.

        :param fitting: those of the attribute's type.
        :param negations: each operator's opposite.
        """
        left = [name for name in fitting if self._possible(name)]
        said = set(self.comparisons)
        if said & set(left) and "gt" in left:
            if self.has_negation:
                said |= {negations[name] for name in said}
            return [name for name in left if name in said]
        opposites = [name for name in left if name in ("ne", "not_contains")]
        return opposites if self.has_exception and opposites and "gt" not in left else left

    def _possible(self, operator: str) -> bool:
        match operator:
            case "ne" | "not_contains":
                return self.has_negation or self.has_exception
            case "in":
                return self.has_alternatives
            case "exists":
                return self.asks_for_knowledge
            case _:
                return True

    def says_all(self, text: str) -> bool:
        """Tell whether every telling word of a text is in the sentence, in one piece or not."""
        words = [word for word in _WORD.findall(fold(text)) if word not in _COMMON]
        return len(words) > 1 and set(words) <= set(self.words)

    def channels(self, allowed: Sequence[str]) -> list[str]:
        """Return the channels that the sentence names, or all when it names none."""
        return self._named_channels(allowed) or list(allowed)

    def has_one_message(self, channels: Sequence[str]) -> bool:
        """Tell whether the sentence speaks of one message only, so that its words are about it."""
        patterns = (CHANNEL_WORDS.get(name, re.escape(name)) for name in channels)
        named = sum(len(re.findall(rf"\b(?:{pattern})\b", self.text)) for pattern in patterns)
        return not self.has_else and named < 2

    def _named_channels(self, allowed: Sequence[str]) -> list[str]:
        return [name for name in allowed if self._says(CHANNEL_WORDS.get(name, re.escape(name)))]

    def narrow(self, candidates: Mapping[str, str], *, by_first_word: bool = False) -> list[str]:
        """Return the candidates that the sentence may mean, in their order.

        :param candidates: what each is called, by its name.
        :param by_first_word: where nothing better speaks for one, let its first word do so.
        """
        words = {name: _telling_words(name, label) for name, label in candidates.items()}
        counts = Counter(word for both in words.values() for word in {*both[0], *both[1]})
        scores = {
            name: max(self._score(said, counts) for said in both) for name, both in words.items()
        }
        best = max(scores.values(), default=0.0)
        if best <= 0:
            return self._by_first_word(words) if by_first_word else list(candidates)
        enough = min(_MATCH_SHARE * best, _UNIQUE_PAIR)
        return [
            name
            for name, both in words.items()
            if scores[name] >= enough or any(map(self._has_all, both))
        ]

    def _by_first_word(
        self, candidates: Mapping[str, tuple[Sequence[str], Sequence[str]]]
    ) -> list[str]:
        """Return those whose first telling word is said ("nhắc" for "nhắc mua lại"), else all."""
        named = [
            name
            for name, both in candidates.items()
            if any(words and words[0] in self.words for words in both)
        ]
        return named or list(candidates)

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


# Comparisons written as signs; an arrow is none.
_SIGNS = (
    (re.compile(r"(?<![-=])(?:>=|≥|=>(?=\s*\d))"), " it nhat "), (re.compile(r"<=|≤"), " toi da "),
    (re.compile(r"(?<![-=])>"), " tren "), (re.compile(r"<(?!-)"), " duoi "),
    (re.compile(r"(?<=\d)\s?\+(?!\s?\d)"), " tro len "),
)  # fmt: skip


def _spell_signs(text: str) -> str:
    for sign, words in _SIGNS:
        text = sign.sub(words, text)
    return text


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
