"""Which attribute of the CDP becomes which column: the one place that says so.

:data:`COLUMNS` is the default. An installation that keeps things elsewhere overrides it in
``tenant.settings``, without code::

    {"mapping": {"telegram_chat_id": "extAttributes.tg", "fcm_tokens": ["notificationUserIds.app"]},
     "consent": {"zalo": ["extAttributes.zalo_ok"]},
     "events": {"don-hang": "purchase"}}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, TypeGuard

import orjson

from leo_activation.errors import ConfigurationError
from leo_activation.ingest import readers
from leo_activation.ingest.readers import FieldError, Reader, is_empty

# Raise it when a reader or the table below changes meaning: the next full sync reads all again.
MAPPING_VERSION = 1

# Never asked for, whatever a tenant's settings say.
FORBIDDEN = frozenset(("password", "webCookies", "governmentIssuedIDs", "contextSessionKeys"))


@dataclass(frozen=True)
class Column:
    """One column of ``cdp_profiles``.

    :param paths: attributes to try in order; the first usable value wins.
    :param empty: the value when the CDP has none.
    """

    name: str
    paths: tuple[str, ...]
    read: Reader
    empty: Any = None


COLUMNS = (
    Column("first_name", ("firstName",), readers.text),
    Column("last_name", ("lastName",), readers.text),
    Column("gender", ("gender",), readers.gender, "unknown"),
    Column("date_of_birth", ("dateOfBirth",), readers.birthday),
    Column("city", ("livingCity",), readers.city),
    Column("language", ("primaryLanguage",), readers.language, "vi"),
    Column("email", ("primaryEmail", "secondaryEmails"), readers.email),
    Column("mobile", ("primaryPhone", "secondaryPhones"), readers.mobile),
    Column("zalo_user_id", ("socialMediaProfiles.zalo",), readers.numeric_id),
    Column("telegram_chat_id", ("socialMediaProfiles.telegram",), readers.chat_id),
    Column("fcm_tokens", ("notificationUserIds.fcm",), readers.tokens, []),
    Column("web_push_ids", ("notificationUserIds",), readers.push_ids, {}),
    Column("segments", ("inSegments",), readers.segments, []),
    Column("data_labels", ("dataLabels",), readers.labels, []),
    Column("total_spent_vnd", ("totalTransactionValue",), readers.amount, 0),
    Column("churn_score", ("churnScore",), readers.number),
)

# Kept in raw_attributes beside what the columns are read from.
RAW_ATTRIBUTES = (
    "rootProfileId", "crmRefId", "type", "status", "schemaType", "dataContext", "createdAt",
    "middleName", "age", "maritalStatus", "livingCountry", "livingProvince", "livingDistrict",
    "livingLocation", "jobTitles", "personalInterests", "contentKeywords", "productKeywords",
    "mediaChannels", "behavioralEvents", "funnelStage", "totalCLV", "totalCAC", "totalLeadScore",
    "totalEngagementScore", "totalLoyaltyScore", "totalNPS", "totalCSAT", "rfmScore", "rfeScore",
    "dataQualityScore", "eventStatistics", "extAttributes", "receiveAds",
)  # fmt: skip

# Flags of a channel: -1 refused, 1 agreed, 0 says nothing. One refusal is a refusal.
CONSENT_FLAGS = {
    "email": ("receiveEmail",),
    "sms": ("receiveSMS",),
    "push": ("receiveAppPush", "receiveWebPush"),
    "zalo": (),
    "telegram": (),
}
# Refuses every channel when -1; 1 is the CDP's default and proves nothing.
ADVERTISING_FLAG = "receiveAds"

# Metrics of the CDP that are worth keeping, and the type of event they become.
EVENT_TYPES = {
    "purchase": "purchase",
    "first-purchase": "purchase",
    "repurchase": "purchase",
    "order-checkout": "order-checkout",
    "email-open": "email-open",
    "email-click": "email-click",
    "notification-click": "notification-click",
}

_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[^.\x00]{1,80})*")
_STATUS_MERGED = 0
_STATUS_REMOVED = -4


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that could not be taken as it was.

    :param scope: ``document`` when the profile was refused, ``field`` when it came in without it.
    """

    ext_id: str
    scope: str
    field: str | None
    value: str | None
    reason: str
    document: str


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One profile as it goes into ``cdp_profiles``.

    :param columns: values of :data:`COLUMNS` by name.
    :param raw: ``raw_attributes`` as JSON text.
    :param consent: decision by channel, where the CDP's flags say something.
    :param content_hash: SHA-256 over everything but the revision and the time of the save.
    """

    ext_id: str
    lifecycle: str
    merged_into_ext_id: str | None
    full_name: str | None
    columns: dict[str, Any]
    raw: str
    source_rev: str | None
    source_updated_at: str | None
    consent: dict[str, str]
    content_hash: bytes


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as it goes into ``marketing_event``."""

    ext_id: str
    source_key: str
    event_type: str
    occurred_at: str
    payload: str


class ProfileMapping:
    """The mapping of one tenant.

    :param settings: ``tenant.settings``; what it does not mention keeps its default.
    :raises ConfigurationError: for an unknown column or channel, or a path that may not be read.
    """

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        """Combine the defaults with the tenant's settings."""
        settings = settings or {}
        overrides = _paths_by_name(settings, "mapping", {column.name for column in COLUMNS})
        flags = _paths_by_name(settings, "consent", set(CONSENT_FLAGS))
        self._columns = [
            Column(c.name, overrides.get(c.name, c.paths), c.read, c.empty) for c in COLUMNS
        ]
        self._flags = {**CONSENT_FLAGS, **flags}
        self.event_types: dict[str, str] = {**EVENT_TYPES, **settings.get("events", {})}
        self._steps = {
            path: tuple(path.split("."))
            for paths in (*(c.paths for c in self._columns), *self._flags.values())
            for path in paths
        }
        heads = {steps[0] for steps in self._steps.values()}
        self.attributes = tuple(sorted({*heads, *RAW_ATTRIBUTES, "updatedAt"}))
        described = orjson.dumps(
            [MAPPING_VERSION, {c.name: c.paths for c in self._columns}, self._flags,
             self.event_types, self.attributes],
            option=orjson.OPT_SORT_KEYS,
        )  # fmt: skip
        self.fingerprint = hashlib.sha256(described).hexdigest()

    def profile(
        self, document: dict[str, Any], *, today: date
    ) -> tuple[ProfileRow | None, list[Problem]]:
        """Turn a document into a row.

        :param today: bounds the day of birth.
        :returns: the row, or None for a document that is no profile; and what was wrong with it.
        """
        problems: list[Problem] = []
        ext_id = document["_key"]
        status = document.get("status")
        if not isinstance(status, int) or isinstance(status, bool):
            return None, [_problem(document, "document", "status", status, "no status code")]
        root = document.get("rootProfileId")
        lifecycle = _lifecycle(status, root, ext_id)
        if lifecycle == "deleted":
            return erased(ext_id), []
        columns = {
            column.name: self._value(column, document, problems, today) for column in self._columns
        }
        raw = {
            name: value
            for name, value in document.items()
            if name not in _NOT_RAW and not is_empty(value)
        }
        return _row(document, lifecycle, columns, raw, self._consent(document)), problems

    def event(self, document: dict[str, Any]) -> EventRow | Problem:
        """Turn an event document into a row, or say why it is none."""
        metric, moment = document.get("metricName"), document.get("createdAt")
        event_type = self.event_types.get(metric) if isinstance(metric, str) else None
        if event_type is None or not re.fullmatch(r"[a-z][a-z0-9_-]{0,63}", event_type):
            return _problem(document, "document", "metricName", metric, "no event type for it")
        if not is_moment(moment):
            return _problem(document, "document", "createdAt", moment, "no time of the CDP")
        owner = document.get("refProfileId")
        if not isinstance(owner, str):
            return _problem(document, "document", "refProfileId", owner, "no profile")
        payload = orjson.dumps(_payload(document), option=orjson.OPT_SORT_KEYS).decode()
        return EventRow(owner, document["_key"], event_type, moment, payload)

    def _value(
        self, column: Column, document: dict[str, Any], problems: list[Problem], today: date
    ) -> Any:
        """Return the first usable value; every unusable one on the way is noted."""
        for path in column.paths:
            for found in _candidates(document, self._steps[path], column):
                try:
                    value = column.read(found)
                    if isinstance(value, date):
                        value = readers.bounded(value, today=today)
                except FieldError as error:
                    problems.append(_problem(document, "field", column.name, found, str(error)))
                else:
                    if not is_empty(value):
                        return value
        return column.empty

    def _consent(self, document: dict[str, Any]) -> dict[str, str]:
        """Return what the flags say: -1 refuses, 1 grants, anything else says nothing."""
        refuses_all = document.get(ADVERTISING_FLAG) == -1
        decisions = {}
        for channel, paths in self._flags.items():
            values = [_follow(document, self._steps[path]) for path in paths]
            if refuses_all or -1 in values:
                decisions[channel] = "refused"
            elif any(value == 1 and value is not True for value in values):
                decisions[channel] = "granted"
        return decisions


# Columns of their own, or bookkeeping that changes without the customer changing.
_NOT_RAW = frozenset(("_key", "_rev", "updatedAt", "inSegments"))
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


def is_moment(value: Any) -> TypeGuard[str]:
    """Return whether a value is a moment in the CDP's format that the calendar knows."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        # The right form, such as the 31st of February.
        return False
    return True


ERASED_HASH = hashlib.sha256(b"erased").digest()


def erased(ext_id: str) -> ProfileRow:
    """Return the row of a profile that the source has removed: nothing personal is left."""
    columns = {column.name: column.empty for column in COLUMNS}
    return ProfileRow(ext_id, "deleted", None, None, columns, "{}", None, None, {}, ERASED_HASH)


def _lifecycle(status: int, root: Any, ext_id: str) -> str:
    if status > 0:
        return "active"
    if status == _STATUS_REMOVED:
        return "deleted"
    is_merged = isinstance(root, str) and root not in ("", ext_id)
    return "merged" if status == _STATUS_MERGED and is_merged else "inactive"


def _row(
    document: dict[str, Any],
    lifecycle: str,
    columns: dict[str, Any],
    raw: dict[str, Any],
    consent: dict[str, str],
) -> ProfileRow:
    names = (columns["last_name"], raw.get("middleName"), columns["first_name"])
    full_name = _full_name(names)
    merged_into = document["rootProfileId"] if lifecycle == "merged" else None
    raw_text = orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)
    content = orjson.dumps([lifecycle, merged_into, full_name, columns, consent])
    moment = document.get("updatedAt")
    return ProfileRow(
        document["_key"], lifecycle, merged_into, full_name, columns, raw_text.decode(),
        document.get("_rev"), moment if is_moment(moment) else None, consent,
        hashlib.sha256(content + raw_text).digest(),
    )  # fmt: skip


def _full_name(names: tuple[Any, ...]) -> str | None:
    """Return the name in Vietnamese order: family, middle, given."""
    parts = []
    for name in names:
        try:
            part = None if is_empty(name) else readers.text(name)
        except FieldError:
            # An unusable middle name costs only itself.
            part = None
        if part:
            parts.append(part)
    return " ".join(parts) or None


def _candidates(document: dict[str, Any], steps: tuple[str, ...], column: Column) -> Iterator[Any]:
    """Values at a path; for an address, a list means several to try."""
    value = _follow(document, steps)
    if isinstance(value, list) and column.read in (readers.email, readers.mobile):
        yield from (item for item in value if not is_empty(item))
    elif not is_empty(value):
        yield value


def _follow(document: dict[str, Any], steps: tuple[str, ...]) -> Any:
    value: Any = document
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _payload(document: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of an event; ``value_vnd`` only when the amount is in đồng."""
    value = document.get("transactionValue")
    currency = document.get("transactionCurrency") or "VND"
    amount = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    items = document.get("orderedItems")
    payload = {
        "metric": document.get("metricName"),
        "value_vnd": round(amount) if amount is not None and currency == "VND" else None,
        "value": value if currency != "VND" else None,
        "currency": currency,
        "transaction_id": document.get("transactionId"),
        "status": document.get("transactionStatus"),
        "campaign": document.get("refCampaignId"),
        "items": [_item(item) for item in items if isinstance(item, dict)]
        if isinstance(items, list)
        else None,
    }
    return {name: kept for name, kept in payload.items() if not is_empty(kept)}


def _item(item: dict[str, Any]) -> dict[str, Any]:
    names = ("itemId", "name", "categoryName", "quantity", "salePrice")
    return {name: item[name] for name in names if not is_empty(item.get(name))}


def _problem(
    document: dict[str, Any], scope: str, field: str | None, value: Any, reason: str
) -> Problem:
    shown = value if isinstance(value, str) else orjson.dumps(value).decode()
    raw = orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()
    return Problem(document["_key"], scope, field, shown, reason, raw)


def _paths_by_name(
    settings: Mapping[str, Any], section: str, known: set[str]
) -> dict[str, tuple[str, ...]]:
    """Check one section of a tenant's settings: known names, paths that may be read."""
    result = {}
    for name, given in settings.get(section, {}).items():
        if name not in known:
            raise ConfigurationError(
                f"tenant.settings.{section} names {name!r}; it can name: {', '.join(sorted(known))}"
            )
        paths = (given,) if isinstance(given, str) else tuple(given)
        for path in paths:
            if not isinstance(path, str) or not _PATH.fullmatch(path):
                raise ConfigurationError(
                    f"tenant.settings.{section}.{name}: {path!r} is no path such as 'a.b'"
                )
            if path.partition(".")[0] in FORBIDDEN:
                raise ConfigurationError(
                    f"tenant.settings.{section}.{name}: {path!r} may never be read from the CDP"
                )
        result[name] = paths
    return result
