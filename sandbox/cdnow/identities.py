"""Invented Vietnamese customers: names that could exist, addresses that lead nowhere."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import date
from random import Random

# Family names with their share of the population in percent (rounded).
_FAMILY = {
    "Nguyễn": 38, "Trần": 11, "Lê": 10, "Phạm": 7, "Hoàng": 4, "Huỳnh": 3, "Phan": 4, "Vũ": 2,
    "Võ": 2, "Đặng": 2, "Bùi": 2, "Đỗ": 2, "Hồ": 1, "Ngô": 1, "Dương": 1, "Lý": 1, "Đinh": 1,
    "Trịnh": 1, "Mai": 1, "Lương": 1, "Cao": 1, "Tạ": 1, "Châu": 1, "Đoàn": 1, "Lâm": 1,
}  # fmt: skip
_FEMALE_MIDDLE = (
    "Thị Thị Thị Thị Thu Ngọc Thanh Minh Phương Kim Thùy Bích Hồng Mỹ Diệu Khánh Bảo Hoài".split()
)
_MALE_MIDDLE = (
    "Văn Văn Văn Hữu Đức Minh Quang Thành Công Quốc Đình Xuân Gia Anh Thế Tiến Ngọc Trọng".split()
)
_FEMALE_GIVEN = (
    "Anh Linh Hương Trang Lan Mai Hà Nga Thảo Ngọc Hạnh Phương Yến Vy My Nhi Trinh Quyên Hằng Dung "
    "Thủy Loan Oanh Tuyết Vân Xuân Hiền Chi Giang Nhung Châu Như Trâm Ngân Thư Uyên Diễm Hoa Huệ "
    "Liên Thơ Quỳnh Tú Duyên"
).split()
_MALE_GIVEN = (
    "Hùng Dũng Nam Sơn Tuấn Minh Hải Long Quân Khoa Phúc Thắng Kiên Bình Đạt Huy Khánh Tùng Cường "
    "Trung Việt Tâm Nghĩa Vinh Lâm Phong Thịnh Hiếu Toàn Tín Duy Bảo Quý Hưng Lộc Đức An Thành Tài "
    "Trí Hoàng Khang Nhân Thái"
).split()
_CITIES = {
    "Thành phố Hồ Chí Minh": 30, "Hà Nội": 24, "Đà Nẵng": 8, "Hải Phòng": 6, "Cần Thơ": 6,
    "Biên Hòa": 4, "Huế": 3, "Nha Trang": 3, "Vũng Tàu": 2, "Buôn Ma Thuột": 2, "Đà Lạt": 2,
    "Quy Nhơn": 2, "Vinh": 2, "Hạ Long": 2, "Thái Nguyên": 1, "Long Xuyên": 1, "Rạch Giá": 1,
    "Mỹ Tho": 1,
}  # fmt: skip
_CITY_SPELLINGS = {
    "Thành phố Hồ Chí Minh": ("TP.HCM", "TP. Hồ Chí Minh", "Sài Gòn", "Ho Chi Minh City"),
    "Hà Nội": ("Thành phố Hà Nội", "Ha Noi", "HN"),
}
# Two digits behind the zero; each is a mobile prefix in use.
_PHONE_PREFIXES = "32 33 34 35 36 37 38 39 70 76 77 78 79 81 82 83 84 85 86 88 90 91 93 94 96 97 98"
# Today's prefix -> the eleven-digit one it replaced in 2018.
_OLD_PREFIXES = {
    "32": "162", "33": "163", "34": "164", "35": "165", "36": "166", "37": "167", "38": "168",
    "39": "169", "70": "120", "79": "121", "77": "122", "76": "126", "78": "128", "83": "123",
    "84": "124", "85": "125", "81": "127", "82": "129",
}  # fmt: skip

FEMALE, MALE, UNKNOWN = 0, 1, 7


@dataclass(frozen=True)
class Identity:
    """Who a customer is said to be, in the CDP's terms.

    :param gender: 0 female, 1 male, 7 unknown.
    :param phone: As somebody typed it; not always a phone number.
    :param email: As somebody typed it; empty if unknown.
    """

    last_name: str
    middle_name: str
    first_name: str
    gender: int
    born: date | None
    city: str
    email: str
    phone: str
    second_phone: str


def ascii_name(text: str) -> str:
    """Return a name as people write it in addresses: ``Đặng Thị Hà`` -> ``dangthiha``."""
    decomposed = unicodedata.normalize("NFD", text.replace("Đ", "D").replace("đ", "d"))
    return "".join(char for char in decomposed.lower() if char.isascii() and char.isalnum())


def invent(customer: int, random: Random) -> Identity:
    """Invent the identity of a customer; the same seed gives the same person."""
    is_female = random.random() < 0.56
    middle = random.choice(_FEMALE_MIDDLE if is_female else _MALE_MIDDLE)
    given_names = [name for name in (_FEMALE_GIVEN if is_female else _MALE_GIVEN) if name != middle]
    first = random.choice(given_names)
    if random.random() < 0.3:
        first = f"{random.choice([name for name in given_names if name != first])} {first}"
    last = random.choices(list(_FAMILY), list(_FAMILY.values()))[0]
    gender = (FEMALE if is_female else MALE) if random.random() < 0.93 else UNKNOWN
    born = _birthday(random) if random.random() < 0.82 else None
    prefix = random.choice(_PHONE_PREFIXES.split())
    phone = f"0{prefix}00{customer:05d}"
    return Identity(
        last_name=last, middle_name=middle, first_name=first, gender=gender, born=born,
        city=_city(random), email=_email(last, first, customer, random),
        phone=_typed_phone(phone, random),
        second_phone=f"+84{random.choice(('90', '98'))}01{customer:05d}"
        if random.random() < 0.05 else "",
    )  # fmt: skip


def _birthday(random: Random) -> date:
    # Customers between 18 and 75, most of them around 35.
    year = 2026 - int(random.triangular(18, 75, 34))
    return date.fromordinal(date(year, 1, 1).toordinal() + random.randrange(365))


def _city(random: Random) -> str:
    city = random.choices(list(_CITIES), list(_CITIES.values()))[0]
    spellings = _CITY_SPELLINGS.get(city)
    if spellings and random.random() < 0.12:
        return random.choice(spellings)
    return city


def _email(last: str, first: str, customer: int, random: Random) -> str:
    local = f"{ascii_name(last)}.{ascii_name(first)}{customer}"
    draw = random.random()
    if draw < 0.12:
        return ""
    if draw < 0.14:
        broken = (f"{local}@", f"{local}@@example.com", f"{local} @example.com", "không có",
                  f"{local}@example", "n/a", f"{local}@example.com; {local}@x.y")  # fmt: skip
        return random.choice(broken)
    if draw < 0.17:
        return f"  {local.upper()}@Example.COM "
    return f"{local}@example.com"


def _typed_phone(phone: str, random: Random) -> str:
    """Return the number in one of the ways people type it, sometimes no number at all."""
    draw = random.random()
    if draw < 0.62:
        return phone
    if draw < 0.74:
        spaced = (f"+84{phone[1:]}", f"84{phone[1:]}", f"{phone[:4]} {phone[4:7]} {phone[7:]}",
                  f"{phone[:4]}.{phone[4:7]}.{phone[7:]}", f"+84 (0) {phone[1:4]} {phone[4:]}",
                  phone[1:])  # fmt: skip
        return random.choice(spaced)
    if draw < 0.86:
        old = _OLD_PREFIXES.get(phone[1:3])
        return f"0{old}{phone[3:]}" if old else phone
    if draw < 0.94:
        return ""
    if draw < 0.97:
        other = f"098{phone[3:]}"
        return random.choice((f"{phone} (Zalo)", f"{phone}/{other}", f"{phone}; {other}"))
    junk = ("0000000000", "0123456789", "không có", "113", "19001234", "02438251234",
            "+16502530000", f"{phone}0", phone[:-1], "0521234567", "-")  # fmt: skip
    return random.choice(junk)
