"""Words that mean the same, in Vietnamese and English, so that names can be found by meaning.

A catalogue says "Thư tri ân" or ``thank_you``, a sentence "cảm ơn". Both are turned into the same
feature here. What the lexicon does not know stays the word that it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from leo_activation.decision.quantities import fold
from leo_activation.paths import PROMPTS_FOLDER

LEXICON_FILE = "lexicon.v1.json"
CUES_FILE = "cues.v1.json"
ASKING_FILE = "asking.v1.json"
PLACES_FILE = "places.v1.json"
_LONGEST = 4
_SYLLABLE = 3
_PAIR = 2
# Words that only look like forms of others.
_NO_FORMS = frozenset(
    "news goods glasses always business class pass less does was his this".split()
)
# Shorter words may be Vietnamese ones that end like English forms.
_ENGLISH = 5
_TOKEN = re.compile(
    # "30GB" is an amount and its unit, "5G" and "T01" are names.
    r"\d+(?=(?:gb|mb|tb|km|kg|lan|lần|don|đơn|buoi|buổi|t|tuoi|tuổi|diem|điểm)\b)"
    r"|[^\W_]+|[<>=≥≤+]+|(?<![^\W\d_])[-–]|[,;:!?()/&]|\.(?!\d)",
    re.IGNORECASE,
)
# "VIP → email" and "VIP => email" say what "VIP: email" says.
_ARROW = re.compile(r"→|⇒|➜|➡|=+>|-+>")
_AMOUNT = re.compile(r"\d\s*$")
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
# With their accents these words are not what they look like without.
_SPELT: dict[str, str] = {
    "năm": "year", "mẹo": "tips", "chó": "dog", "mèo": "cat", "hè": "summer", "thẻ": "card",
    "mới": "new", "mời": "invite", "nợ": "debt", "sỉ": "wholesale", "lẻ": "retail",
    "nữ": "female", "phí": "fee", "vé": "ticket", "lễ": "holiday", "dặm": "mile", "vay": "loan",
    "đêm": "night", "đếm": "dem", "món": "dish", "cũ": "old customer", "hạng": "tier",
    "lớp": "class", "điểm": "point", "trễ": "late", "đơn": "order", "bậc": "rank",
    "trẻ": "young", "bé": "kid", "còn": "va", "bảy": "seven", "tắm": "bath", "thì": "va",
    "rồi": "va",
}  # fmt: skip
# "Đừng" forbids, "dùng" uses: without accents they would be one word.
_APART = {"đẩy": "dayx", "đừng": "dungx", "dừng": "dungx", "ngừng": "ngung"}
# How function words are shortened in chats. "k" after a digit is a thousand.
_SHORT: dict[str, tuple[str, ...]] = {
    "ko": ("khong",), "k": ("khong",), "kg": ("khong",), "khg": ("khong",), "hok": ("khong",),
    "hk": ("khong",), "hông": ("khong",), "hem": ("khong",), "khum": ("khong",),
    "hổng": ("khong",), "kô": ("khong",), "kp": ("khong", "phai"),
    "r": ("roi",), "rùi": ("roi",), "rui": ("roi",), "ròi": ("roi",), "oy": ("roi",),
    "dc": ("duoc",), "đc": ("duoc",), "dx": ("duoc",),
    "kh": ("khach",), "ng": ("nguoi",), "ngta": ("nguoi", "ta"),
    "trc": ("truoc",), "nhug": ("nhung",), "nhg": ("nhung",), "cx": ("cung",), "mk": ("minh",),
    "mn": ("moi", "nguoi"), "mng": ("moi", "nguoi"), "nt": ("nhan", "tin"), "gởi": ("gui",),
    "gủi": ("gui",), "ntn": ("nhu", "the", "nao"),
    "bnh": ("bao", "nhieu"), "bnhiu": ("bao", "nhieu"),
    "dky": ("dang", "ky"), "đky": ("dang", "ky"), "đkí": ("dang", "ky"), "dki": ("dang", "ky"),
    "lk": ("lien", "ket"), "vs": ("voi",), "j": ("gi",), "ctrinh": ("chuong", "trinh"),
    "hnay": ("hom", "nay"), "bth": ("binh", "thuong"), "tn": ("tin", "nhan"), "chx": ("chua",),
    "chz": ("chua",), "ch": ("chua",), "ksat": ("khao", "sat"),
    "tgian": ("thoi", "gian"), "thg": ("thang",), "ntin": ("nhan", "tin"),
    "bthg": ("binh", "thuong"), "sdung": ("su", "dung"), "ttoan": ("thanh", "toan"),
}  # fmt: skip
# What stands after "mời" in a phrase; after "mới" and "mỗi" stand others.
_INVITED = frozenset("lai ban phong quay tro ra dung mua tham du goi".split())
_AFTER_NAME = frozenset("thi , : . ; ) gui nhan o tren duoi hoac".split())
_VIETNAMESE = frozenset("thi gui khach neu khong nhan duoc nha giup".split())
# Words that every sentence has and that tell nothing apart.
COMMON = frozenset(
    "khach hang nguoi nhom ai nhung cac mot thu tin nhan gui cho va cua co la duoc thi se da dang "
    "khi nao voi qua bang tu den tren duoi hon o tai trong ngoai ra vao de nay kia do ma neu hay "
    "hoac cung deu rat lam giup minh em anh chi ban toi nhe nha a oi hay moi ca thuoc dua theo "
    "nhan ve mau noi dung thong diep loi buc "
    "the a an of to for and or in on at by with via who that this these those is are be been has "
    "have had get gets it its their them they our we us you your please send sends sending message "
    "messages customer customers any anyone everyone all".split()
)

# Of those, the ones with accents: "từ" is "from", and "tủ" is not.
_COMMON_SPELT = frozenset(
    "khách hàng người nhóm những các một thư nhắn nhận gửi và của có được thì sẽ đã đang nào với "
    "bằng từ đến trên dưới hơn ở tại ngoài vào để đề này đó mà nếu hoặc cũng cùng đều rất làm giúp "
    "chị chỉ bạn bản tôi tới ạ ơi mọi cả thuộc dựa về mẫu nội thông điệp lời bức mấy nhà".split()
)


@dataclass(frozen=True)
class Word:
    """One word or sign of a sentence.

    :param text: folded.
    :param typed: in lower case, accents kept.
    """

    text: str
    typed: str
    start: int
    end: int


@dataclass(frozen=True)
class Feature:
    """Something that a run of words means."""

    name: str
    first: int
    last: int


def words_of(sentence: str) -> list[Word]:
    """Return the words and signs of a sentence."""
    found = []
    sentence = _ARROW.sub(lambda match: ":".ljust(len(match.group())), sentence)
    for match in _TOKEN.finditer(sentence):
        typed = unicodedata.normalize("NFC", match.group().lower())
        amount = typed in ("k", "kg") and _AMOUNT.search(sentence[: match.start()])
        if typed in _SHORT and not amount:
            found += [Word(part, part, *match.span()) for part in _SHORT[typed]]
        elif typed == "t" and match.start() and sentence[match.start() - 1].isdecimal():
            found.append(Word("tuoi", "tuoi", *match.span()))
        else:
            found.append(Word(_APART.get(typed) or fold(typed), typed, *match.span()))
    return found


def name_words(name: str) -> list[Word]:
    """Return the words of a name such as ``nhac_mua_lai`` or ``daysToExpiry``."""
    return [Word(fold(part), part.lower(), 0, 0) for part in _NAME_PART.findall(fold_name(name))]


def fold_name(name: str) -> str:
    """Return a name in plain letters with its capitals, which part its words."""
    decomposed = unicodedata.normalize("NFD", name.replace("đ", "d").replace("Đ", "D"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


# Raised with every change of the rules that read a sentence: memos and traces keep it.
RULES_VERSION = "9"
_WORDS = (LEXICON_FILE, CUES_FILE, PLACES_FILE, ASKING_FILE)


@cache
def reading_version() -> str:
    """Return the version of the rules and of the words that they know."""
    content = b"".join((PROMPTS_FOLDER / name).read_bytes() for name in _WORDS)
    return f"{RULES_VERSION}-{hashlib.sha256(content).hexdigest()[:12]}"


@cache
def cues_document() -> dict[str, Any]:
    """Return the turns of phrase that tell who, what and when: lists of regular expressions."""
    document: dict[str, Any] = json.loads((PROMPTS_FOLDER / CUES_FILE).read_text(encoding="utf-8"))
    return document


def cue(name: str) -> str:
    """Return one list of turns of phrase as a single regular expression."""
    return "|".join(cues_document()[name])


@cache
def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    document = json.loads((PROMPTS_FOLDER / LEXICON_FILE).read_text(encoding="utf-8"))
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for number, group in enumerate(document["same"]):
        for phrase in group.split(" | "):
            for key in _keys(phrase):
                found[key] = (*found.get(key, ()), f"#{number}")
    return found


def _keys(phrase: str) -> Iterator[tuple[str, ...]]:
    """Yield how a phrase is looked up: a syllable with accents also as one of a text without."""
    plain = fold(phrase)
    if plain == phrase or " " in phrase:
        yield tuple(plain.split())
    else:
        yield from ((phrase,), (f"{plain}'",))


def features(
    words: Sequence[Word], *, spelt: bool = False, longest: int = _LONGEST
) -> list[Feature]:
    """Return what the words of a text mean: the longest known phrases, and the words left over.

    :param spelt: whether a word without accents is meant without them, even where all are.
    :param longest: so many words may a phrase have.
    """
    plain = [_SPELT.get(word.typed, word.text) for word in words]
    accented = spelt or any(word.typed != word.text for word in words)
    if not accented and any(word.text in _VIETNAMESE for word in words):
        # "The" is a card in Vietnamese, and an article only in English.
        plain = ["card" if word == "the" else word for word in plain]
        plain = ["new" if word == "moi" and _ends_name(plain, at) else word
                 for at, word in enumerate(plain)]  # fmt: skip
    found: list[Feature] = []
    at = 0
    while at < len(words):
        length, names = _longest(words, plain, at, accented=accented, longest=longest)
        found += [Feature(name, at, at + length - 1) for name in names]
        if not names and plain[at][0].isalnum() and not is_common(words[at], plain[at]):
            found.append(Feature(_root(plain[at]), at, at))
        if length > 1:
            # A phrase also means its parts where those are known words of their own.
            found += (item for item in _parts(plain, at, length) if item.name[1:] not in names)
        at += length
    found += _pairs(plain, found)
    return found


def _ends_name(plain: Sequence[str], at: int) -> bool:
    """Tell whether "moi" stands after what it describes: "khach moi thi", not "moi khach"."""
    return at > 0 and (at + 1 == len(plain) or plain[at + 1] in _AFTER_NAME)


def _longest(
    words: Sequence[Word], plain: Sequence[str], at: int, *, accented: bool, longest: int
) -> tuple[int, tuple[str, ...]]:
    """Return the longest known phrase that begins at a word, and what it may mean."""
    phrases = _phrases()
    for length in range(min(longest, len(plain) - at), 1, -1):
        if length == _PAIR < longest and _opens_longer(words, at + 1):
            # "Đã lập gia đình": "lập gia đình" means more than "đã lập".
            continue
        if words[at + length - 1].typed in ("tại", "mọi"):
            # "Mua xe tại đại lý" buys no truck, "xe tải"; "khách mọi chi nhánh" are not new.
            continue
        if _is_invitation(words, at, length):
            continue
        texts = tuple(word.text for word in words[at : at + length])
        names = phrases.get(texts) or phrases.get((*texts[:-1], _singular(texts[-1])))
        if names:
            return length, names
    if is_common(words[at], plain[at]):
        return 1, ()
    typed = words[at].typed
    spelt = phrases.get((typed,), ()) if typed != words[at].text else ()
    if not accented:
        spelt = phrases.get((f"{words[at].text}'",), ())
    forms = (phrases.get(tuple(form.split()), ()) for form in (plain[at], *_stems(plain[at])))
    return 1, tuple(dict.fromkeys((*spelt, *(name for names in forms for name in names))))


def _opens_longer(words: Sequence[Word], at: int) -> bool:
    """Tell whether a phrase of more than two words begins at a word."""
    texts = tuple(word.text for word in words[at : at + _LONGEST])
    return any(texts[:size] in _phrases() for size in range(_PAIR + 1, len(texts) + 1))


def _is_invitation(words: Sequence[Word], at: int, length: int) -> bool:
    """Tell whether "mời ngày hội" stands there, and no "mỗi ngày"; "mời học thử", no "mới học"."""
    if words[at].text != "moi":
        return False
    if words[at].typed == "mời":
        return words[at + 1].text not in _INVITED or words[at + 1].typed == "lái"
    pair = tuple(word.text for word in words[at + 1 : at + 1 + _PAIR])
    return (
        words[at].typed == "moi" and length == _PAIR and len(pair) == _PAIR and pair in _phrases()
    )


def is_common(word: Word, plain: str = "") -> bool:
    """Tell whether every sentence has a word: "từ", or "tu" where accents are left out.

    :param plain: what the word is taken for, where that is not its text.
    """
    meant = plain or _SPELT.get(word.typed, word.text)
    return meant in COMMON and (word.typed == word.text or word.typed in _COMMON_SPELT)


def _singular(word: str) -> str:
    """Return the singular of an English word: phrases are listed with it."""
    return word[:-1] if len(word) > _SYLLABLE and word.endswith("s") and word[-2] != "s" else word


@cache
def _root(word: str) -> str:
    """Return what all forms of an English word have in common: "newb" of "newbies"."""
    if len(word) < _ENGLISH:
        return word
    for ending in ("ies", "ings", "ing", "ers", "ed", "es", "er", "ie", "s", "y", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= _SYLLABLE:
            return word.removesuffix(ending)
    return word


@cache
def _stems(word: str) -> tuple[str, ...]:
    """Return what an English word may be a form of: "trained" of "train", "expiries" of "expiry".

    No Vietnamese syllable ends like that.
    """
    found: list[str] = []
    if word in _NO_FORMS:
        return ()
    if word.startswith("un") and word.endswith("ed"):
        # "Unverified" is said of what "verified" names; that it is denied, the cues tell.
        found += [word[2:], *_stems(word[2:])]
    for ending, others in (("ies", "y"), ("ied", "y"), ("es", ""), ("s", ""), ("ing", ""),
                           ("ed", ""), ("er", ""), ("ers", "")):  # fmt: skip
        stem = word.removesuffix(ending)
        if stem != word and len(stem) >= _SYLLABLE:
            found += [stem + others, f"{stem}e"]
            if stem[-1] == stem[-2]:
                found.append(stem[:-1])
    return tuple(found)


def _parts(plain: Sequence[str], at: int, length: int) -> Iterator[Feature]:
    """Yield what the parts of a phrase mean, marked: a credit card is a card, if need be."""
    for size in range(2, length):
        for index in range(at, at + length - size + 1):
            for name in _phrases().get(tuple(plain[index : index + size]), ()):
                yield Feature(f"~{name}", index, index + size - 1)
    for index in range(at, at + length):
        # A syllable of a Vietnamese word means little alone.
        if len(plain[index]) > _SYLLABLE and plain[index] not in COMMON:
            for name in _phrases().get((plain[index],), (plain[index],)):
                yield Feature(f"~{name}", index, index)


def _pairs(plain: Sequence[str], found: Sequence[Feature]) -> list[Feature]:
    """Return neighbouring words as one feature: a Vietnamese word is often two syllables."""
    single = {item.first for item in found if item.first == item.last and item.name[0] not in "#~"}
    return [
        Feature(f"{plain[index]} {plain[index + 1]}", index, index + 1)
        for index in sorted(single)
        if index + 1 in single
    ]
