"""Purchases and identities as the documents that a LEO CDP keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.cdnow.dirt import spoil
from sandbox.cdnow.identities import FEMALE, MALE, Identity, invent
from sandbox.cdnow.log import VND_PER_DOLLAR, Log, Purchase

Document = dict[str, Any]

SEED = "cdnow-1"
SAIGON = ZoneInfo("Asia/Ho_Chi_Minh")
JOURNEY = "id_default_journey"
OBSERVER = "leo_data_observer"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_GENRES = ("Nhạc trẻ", "Bolero", "Nhạc quốc tế", "Nhạc không lời", "Nhạc thiếu nhi", "Nhạc đỏ")
# One of this many profiles has a second document that the CDP merged into it.
MERGED_EVERY = 120
# One of this many customers shares an e-mail address with another: a family, a shop's till.
_SHARED_EMAIL_EVERY = 400


@dataclass(frozen=True)
class Segment:
    """A segment of the CDP, kept by a rule over a customer's purchases."""

    number: int
    name: str
    score: int

    @property
    def key(self) -> str:
        """The CDP's id of the segment."""
        return key_of("segment", self.name)


VIP = Segment(1, "Khách hàng VIP", 8)
REPURCHASED = Segment(2, "Mua lại trong 30 ngày", 5)
NEW = Segment(3, "Khách hàng mới", 4)
AT_RISK = Segment(4, "Nguy cơ rời bỏ", 6)
NEWSLETTER = Segment(5, "Nhận bản tin email", 2)
WOMEN = Segment(6, "Khách hàng nữ", 1)
SEGMENTS = (VIP, REPURCHASED, NEW, AT_RISK, NEWSLETTER, WOMEN)


def key_of(*parts: object) -> str:
    """Return a CDP key (22 base62 characters) that depends on nothing but the parts."""
    number = int.from_bytes(hashlib.sha256(repr((SEED, *parts)).encode()).digest()[:16])
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(digits)


def cdp_time(moment: datetime) -> str:
    """Return a moment in the CDP's only date format."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:23] + "Z"


@dataclass(frozen=True)
class Base:
    """One customer base: a log, an anchor day, and the name of the installation.

    Two installations give the same customers the same keys, which is the hardest case for whoever
    must keep their tenants apart; consent and reachability differ.
    """

    name: str
    log: Log
    anchor: date

    def profiles(self) -> Iterator[Document]:
        """All profiles: the customers, then merged-away and unusable documents."""
        for number, customer in enumerate(sorted(self.log.by_customer)):
            profile = self.profile(customer)
            spoil(profile, number, self._random("dirt", customer))
            yield profile
            if number % MERGED_EVERY == 41:
                yield self._merged_away(profile, customer)
        yield from (self._unusable(number) for number in range(3))

    def events(self) -> Iterator[Document]:
        """All purchases, voided ones included."""
        for customer in sorted(self.log.by_customer):
            for purchase in self.log.by_customer[customer]:
                yield self._event(purchase)

    def segments(self) -> Iterator[Document]:
        """Return the segments, one of them deleted as the CDP deletes."""
        for segment in SEGMENTS:
            yield self._segment(segment.key, segment.name, status=1 if segment.number % 2 else 2)
        yield self._segment(key_of("segment", "x"), "[DELETED] Chương trình Tết", status=-4)

    def profile(self, customer: int) -> Document:
        """One customer's profile, clean."""
        random = self._random("identity", customer)
        identity = invent(customer, Random(f"{SEED}:{customer}"))  # noqa: S311
        bought = [p for p in self.log.by_customer[customer] if p.value_vnd]
        events = [self._event(p) for p in self.log.by_customer[customer]]
        moments = sorted(str(event["createdAt"]) for event in events)
        key = key_of("profile", customer)
        profile = {
            "_key": key,
            "rootProfileId": "",
            "crmRefId": f"CRM-{customer:06d}",
            "schemaType": "general",
            "type": 2,
            "mergeCode": 0,
            "status": 1,
            "createdAt": moments[0],
            "updatedAt": _later(moments[-1], seconds=random.randrange(1, 90)),
            "dataContext": -1,
            "partitionId": 0,
            **self._person(identity, customer, random),
            **_reachability(identity, customer, random),
            **self._behaviour(bought, events, identity, random),
            **_secrets(customer),
        }
        profile["extAttributes"] |= _opt_ins(profile, self._random("opt-in", customer))
        profile["identities"] = _identities(profile)
        return profile

    # -- parts of a profile -------------------------------------------------------------------

    def _person(self, identity: Identity, customer: int, random: Random) -> Document:
        email = identity.email
        if customer % _SHARED_EMAIL_EVERY == 7:
            email = f"gia.dinh{customer // (2 * _SHARED_EMAIL_EVERY)}@example.com"
        born = identity.born
        return {
            "firstName": identity.first_name,
            "middleName": identity.middle_name,
            "lastName": identity.last_name,
            "gender": identity.gender,
            "dateOfBirth": "" if born is None else f"{born.isoformat()}T00:00:00.000Z",
            "age": 0 if born is None else (self.anchor - born).days // 365,
            "maritalStatus": 7,
            "primaryLanguage": "vi" if random.random() < 0.97 else "en",
            "primaryNationality": "Vietnam",
            "livingCountry": "Vietnam",
            "livingCity": identity.city,
            "livingDistrict": f"Quận {random.randrange(1, 13)}",
            "livingLocation": f"{random.randrange(1, 400)} Đường Ví Dụ, {identity.city}",
            "primaryEmail": email,
            "secondaryEmails": [f"kh{customer}@example.com"] if random.random() < 0.06 else [],
            "primaryPhone": identity.phone,
            "secondaryPhones": [identity.second_phone] if identity.second_phone else [],
            "dataLabels": ["web-user"] + (["app-user"] if random.random() < 0.4 else []),
            "jobTitles": random.choice(([], [], ["Giáo viên"], ["Kế toán"], ["Kỹ sư"])),
            "personalInterests": random.sample(_GENRES, 2),
            "extAttributes": {"loyalty_tier": random.choice(("silver", "gold", "member"))},
        }

    def _behaviour(
        self, bought: list[Purchase], events: list[Document], identity: Identity, random: Random
    ) -> Document:
        total = sum(purchase.value_vnd for purchase in bought)
        days = sorted({purchase.day for purchase in bought})
        recency = (self.anchor - days[-1]).days if days else 9999
        views = len(bought) * random.randrange(3, 12) + 1
        stage = ("lead", "new-customer", "engaged-customer", "happy-customer")
        receives_news = random.random() < 0.3
        segments = [_membership(s) for s in _segments(bought, days, self.anchor)]
        segments += [_membership(NEWSLETTER)] if receives_news else []
        segments += [_membership(WOMEN)] if identity.gender == FEMALE else []
        return {
            "inSegments": segments,
            "inJourneyMaps": [{"id": JOURNEY, "name": "Default Journey", "funnelIndex": len(days)}],
            "funnelStage": stage[min(len(days), 3)],
            "totalTransactionValue": total,
            "totalCLV": total,
            "totalCAC": 90_000,
            "totalLeadScore": min(100, 5 * views),
            "totalEngagementScore": views,
            "totalLoyaltyScore": total // 10_000,
            "dataQualityScore": 100 + 20 * bool(identity.email) + 20 * bool(identity.phone),
            "rfmScore": _rfm_score(recency, len(days), total),
            "churnScore": round(min(1.0, recency / (270 + 60 * len(days))), 3),
            "behavioralEvents": ["page-view", "item-view"] + (["purchase"] if bought else []),
            "eventStatistics": {
                f"{JOURNEY}-page-view": views,
                f"{JOURNEY}-item-view": views // 2,
                f"{JOURNEY}-purchase": len(bought),
            },
            "productKeywords": sorted({random.choice(_GENRES) for _ in range(3)}),
            "lastObserverId": OBSERVER,
            "lastPurchaseEvent": _last_purchase(events),
        }

    # -- other documents ----------------------------------------------------------------------

    def _merged_away(self, survivor: Document, customer: int) -> Document:
        """Return an older profile of the same person: it holds refusals and push ids of its own."""
        random = self._random("merged", customer)
        return survivor | {
            "_key": key_of("merged", customer),
            "rootProfileId": survivor["_key"],
            "status": 0,
            "mergeCode": 11,
            "crmRefId": "",
            "primaryEmail": "" if random.random() < 0.5 else f"cu.kh{customer}@example.com",
            "receiveEmail": -1 if random.random() < 0.4 else 0,
            "notificationUserIds": {"fcm": [_token(f"cu{customer}")]},
            "inSegments": [],
            "totalTransactionValue": 0,
            "eventStatistics": {},
            "lastPurchaseEvent": None,
            "identities": [],
        }

    def _unusable(self, number: int) -> Document:
        """Return a document that no reader can make a customer of."""
        return {
            "_key": key_of("unusable", number),
            "status": ("đang hoạt động", None, {"code": 1})[number],
            "firstName": "Khách thử",
            "dataContext": -1,
            "updatedAt": cdp_time(datetime.combine(self.anchor, time(), SAIGON)),
        }

    def _event(self, purchase: Purchase) -> Document:
        content = (purchase.customer, purchase.logged_on, purchase.quantity, purchase.cents)
        moment = self._moment(purchase, Random(repr((SEED, content))))  # noqa: S311
        is_void = not purchase.value_vnd
        return {
            "_key": key_of("event", *content),
            "metricName": "order-checkout" if is_void else "purchase",
            "metricValue": 100,
            "refProfileId": key_of("profile", purchase.customer),
            "refJourneyId": JOURNEY,
            "journeyStage": 4,
            "observerId": OBSERVER,
            "isConversion": not is_void,
            "createdAt": cdp_time(moment),
            "updatedAt": cdp_time(moment + timedelta(seconds=1)),
            "timestamp": int(moment.timestamp()),
            "transactionId": f"DH-{key_of('order', *content)[:10]}",
            "transactionValue": purchase.value_vnd,
            "transactionCurrency": "VND",
            "transactionStatus": "voided" if is_void else "completed",
            "transactionDiscount": 0,
            "orderedItems": [_item(purchase, content)],
            "state": 1,
            "partitionId": 0,
        }

    def _moment(self, purchase: Purchase, random: Random) -> datetime:
        if purchase.day == self.anchor:
            # The first minutes of today: nothing in the base may lie in the future.
            at = timedelta(seconds=random.randrange(300))
        else:
            at = timedelta(hours=8, seconds=random.randrange(13 * 3600))
        return datetime.combine(purchase.day, time(), SAIGON) + at

    def _segment(self, key: str, name: str, *, status: int) -> Document:
        moment = cdp_time(datetime.combine(self.anchor, time(), SAIGON) - timedelta(days=200))
        return {
            "_key": key,
            "name": name,
            "status": status,
            "type": 2,
            "jsonQueryRules": "{}",
            "customQueryFilter": "",
            "totalCount": 0,
            "autoUpdateProfiles": True,
            "createdAt": moment,
            "updatedAt": moment,
        }

    def _random(self, purpose: str, customer: int) -> Random:
        return Random(f"{SEED}:{self.name}:{purpose}:{customer}")  # noqa: S311


def _later(moment: str, *, seconds: int) -> str:
    return cdp_time(datetime.fromisoformat(moment) + timedelta(seconds=seconds))


def _reachability(identity: Identity, customer: int, random: Random) -> Document:
    social = {}
    if random.random() < 0.55:
        social["zalo"] = str(1_000_000_000_000_000_000 + customer)
    if random.random() < 0.25:
        social["telegram"] = str(500_000_000 + customer)
    push: Document = {}
    if random.random() < 0.35:
        push["fcm"] = [_token(str(customer))]
    if random.random() < 0.2:
        push["onesignal"] = [key_of("onesignal", customer)]
    agreed = 1 if identity.email else 0
    return {
        "socialMediaProfiles": social,
        "notificationUserIds": push,
        "receiveEmail": random.choices((agreed, 0, -1), (75, 17, 8))[0],
        "receiveSMS": random.choices((1, 0, -1), (60, 34, 6))[0],
        "receiveWebPush": random.choices((1, 0, -1), (30, 65, 5))[0],
        "receiveAppPush": random.choices((1, 0, -1), (35, 60, 5))[0],
        "receiveAds": random.choices((1, -1), (97, 3))[0],
    }


def _opt_ins(profile: Document, random: Random) -> Document:
    """Return what people with a Zalo or Telegram account said; the CDP has no flags for these.

    This installation keeps them among its own attributes, and says so in its tenant's settings.
    """
    accounts = profile["socialMediaProfiles"]
    return {
        f"{name}_ok": random.choices((1, 0, -1), (80, 14, 6))[0]
        for name in ("zalo", "telegram")
        if name in accounts
    }


def _token(name: str) -> str:
    return f"demo_{name}:APA91b" + key_of("token", name) * 5


def _secrets(customer: int) -> Document:
    """Attributes that no reader may ever ask for."""
    return {
        "password": f"never-read-password-{customer}",
        "webCookies": f"never-read-cookie-{customer}",
        "governmentIssuedIDs": [f"never-read-cccd-{customer}"],
        "contextSessionKeys": {f"never-read-session-{customer}": "2026-01-01T00:00:00.000Z"},
    }


def _identities(profile: Document) -> list[str]:
    social = profile["socialMediaProfiles"]
    named = {
        "email": profile["primaryEmail"], "phone": profile["primaryPhone"],
        "crm": profile["crmRefId"], **social,
    }  # fmt: skip
    return [f"{name}:{value}" for name, value in named.items() if value]


def _segments(bought: list[Purchase], days: list[date], anchor: date) -> Iterator[Segment]:
    if not days:
        return
    total = sum(purchase.value_vnd for purchase in bought)
    recency = (anchor - days[-1]).days
    if recency <= 90 and len(days) >= 5 and total >= 200 * VND_PER_DOLLAR:
        yield VIP
    if recency <= 30 and len(days) >= 2:
        yield REPURCHASED
    if (anchor - days[0]).days <= 180:
        yield NEW
    if 91 <= recency <= 270 and len(days) >= 4 and total >= 100 * VND_PER_DOLLAR:
        yield AT_RISK


def _membership(segment: Segment) -> Document:
    return {
        "id": segment.key,
        "name": segment.name,
        "indexScore": segment.score,
        "lastDataSynch": 0,
        "queryHashedId": key_of("query", segment.name),
    }


def _rfm_score(recency: int, days: int, total: int) -> int:
    recent = 5 - min(4, recency // 90)
    return 100 * recent + 10 * min(5, max(1, days)) + min(5, 1 + total // (50 * VND_PER_DOLLAR))


def _last_purchase(events: list[Document]) -> Document | None:
    last = max(events, key=lambda event: str(event["createdAt"]))
    names = ("_key", "createdAt", "metricName", "transactionId", "transactionValue")
    return {name: last[name] for name in names}


def _item(purchase: Purchase, content: tuple[object, ...]) -> Document:
    genre = _GENRES[int(hashlib.sha256(repr(content).encode()).hexdigest(), 16) % len(_GENRES)]
    each = purchase.value_vnd // max(1, purchase.quantity)
    return {
        "itemId": f"CD-{purchase.cents:05d}",
        "idType": "SKU",
        "name": f"Đĩa {genre.lower()}",
        "categoryName": genre,
        "quantity": purchase.quantity,
        "originalPrice": each,
        "salePrice": each,
        "currency": "VND",
    }


__all__ = [
    "AT_RISK",
    "MALE",
    "NEW",
    "NEWSLETTER",
    "REPURCHASED",
    "SEGMENTS",
    "VIP",
    "WOMEN",
    "Base",
]
