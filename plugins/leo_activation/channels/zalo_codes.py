"""What Zalo's error codes mean for a message: the tables of the provider, with our reactions.

Sources: "ZBS Template Message error codes" and "OA message error codes" in Zalo's developer
documentation. The meaning is Zalo's, the reaction this project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from zoneinfo import ZoneInfo

from leo_activation.channels.base import Reaction

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
PROMOTION = "PROMOTION"


class Until(StrEnum):
    """When a deferred message may be tried again."""

    MORNING = "morning"
    NEXT_DAY = "next day"
    NEXT_MONTH = "next month"


class Scope(StrEnum):
    """What a refusing recipient refuses, or a used-up limit closes."""

    # Every message to this recipient; for a limit: everything of the official account.
    ALL = "all"
    # Messages of this template's tag.
    TAG = "tag"
    # Messages with the tag PROMOTION.
    PROMOTION = "promotion"
    # Messages with this template.
    TEMPLATE = "template"
    # This recipient only.
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class Code:
    """One line of the tables.

    :param reason: short class of the cause.
    :param temporary: a SUPPRESS holds for some time only.
    :param until: when a DEFER is due.
    :param scope: what a SUPPRESS stops, or for whom a DEFER's limit is used up.
    :param is_stale_token: a fresh access token may help.
    :param is_bad_data: the template's data were refused; many in a row stop the template.
    """

    reaction: Reaction
    reason: str
    temporary: bool = False
    until: Until | None = None
    scope: Scope = Scope.ALL
    is_stale_token: bool = False
    is_bad_data: bool = False


def _suppress(reason: str, *, temporary: bool = False, scope: Scope = Scope.ALL) -> Code:
    return Code(Reaction.SUPPRESS, reason, temporary=temporary, scope=scope)


def _defer(reason: str, until: Until, scope: Scope) -> Code:
    return Code(Reaction.DEFER, reason, until=until, scope=scope)


def _all(code: Code, *numbers: int) -> dict[int, Code]:
    return dict.fromkeys(numbers, code)


_STALE = Code(Reaction.STOP, "token_refused", is_stale_token=True)
_BAD_DATA = Code(Reaction.PERM, "template_data", is_bad_data=True)

# business.openapi.zalo.me: template messages to a phone number.
TEMPLATE_MESSAGE_CODES: Mapping[int, Code] = MappingProxyType(
    {
        -100: Code(Reaction.RETRY, "provider_error"),
        **_all(Code(Reaction.STOP, "app_refused"), -101, -102, -103, -104, -105),
        **_all(Code(Reaction.PERM, "invalid_request"), -106, -107, -132, -161, -162),
        -108: _suppress("invalid_address"),
        -109: Code(Reaction.STOP_TEMPLATE, "template_unknown"),
        # In practice also people without Zalo (uncertain), who may join.
        -110: _suppress("app_too_old", temporary=True),
        **_all(_BAD_DATA, -111, -112, -1121, -1122, -1123, -1124),
        **_all(
            Code(Reaction.PERM, "invalid_message"), -113, -1131, -116, -121, -122, -130, -153
        ),
        -114: _suppress("inactive", temporary=True),
        -115: Code(Reaction.STOP, "no_money"),
        -117: Code(Reaction.STOP_TEMPLATE, "template_not_permitted"),
        -118: _suppress("no_account"),
        -119: _suppress("cannot_receive"),
        -120: Code(Reaction.STOP, "feature_missing"),
        **_all(Code(Reaction.PERM, "encryption"), -123, -128, -129, -142, -143, -151, -152),
        -124: _STALE,
        -1241: Code(Reaction.STOP, "proof_refused"),
        -125: Code(Reaction.STOP, "oa_refused"),
        -126: Code(Reaction.STOP, "no_money"),
        -127: Code(Reaction.PERM, "test_template"),
        -131: Code(Reaction.STOP_TEMPLATE, "template_not_approved"),
        # Uncertain: absent from the newest edition of the table.
        -133: _defer("night", Until.MORNING, Scope.TEMPLATE),
        # Uncertain: said to be retired.
        -134: _suppress("no_opt_in", temporary=True),
        **_all(Code(Reaction.STOP, "oa_blocked"), -135, -1351),
        **_all(Code(Reaction.STOP, "no_money"), -136, -137),
        **_all(Code(Reaction.STOP, "permission_missing"), -138, -1381),
        -139: _suppress("refused_type", scope=Scope.TAG),
        -140: _suppress("refused_promotion", scope=Scope.PROMOTION),
        -141: _suppress("refused"),
        -144: _defer("oa_daily_quota", Until.NEXT_DAY, Scope.ALL),
        -1441: _defer("oa_monthly_promotion_quota", Until.NEXT_MONTH, Scope.PROMOTION),
        -145: Code(Reaction.STOP_TEMPLATE, "content_not_permitted"),
        -146: Code(Reaction.STOP_TEMPLATE, "template_disabled"),
        -147: _defer("template_daily_quota", Until.NEXT_DAY, Scope.TEMPLATE),
        -1471: _defer("recipient_monthly_limit", Until.NEXT_MONTH, Scope.RECIPIENT),
        -1472: _defer("recipient_daily_limit", Until.NEXT_DAY, Scope.RECIPIENT),
        **_all(Code(Reaction.PERM, "journey_token"), -148, -149, -150, -1491),
        **_all(Code(Reaction.PERM, "upload"), -158, -159, -160),
    }
)  # fmt: skip

# openapi.zalo.me, whose gateway also stands before template messages.
OA_MESSAGE_CODES: Mapping[int, Code] = MappingProxyType(
    {
        **_all(_STALE, -216, -220),
        -32: Code(Reaction.RETRY, "throttled"),
        -200: Code(Reaction.RETRY, "provider_error"),
        -211: _defer("oa_quota", Until.NEXT_DAY, Scope.ALL),
        **_all(Code(Reaction.PERM, "invalid_request"), -201, -210, -233, -240, -248),
        # Until the customer writes again, which a phone number does not tell: so for some time.
        **_all(
            _suppress("out_of_reach", temporary=True), -213, -217, -227, -230, -232, -244
        ),
        -218: _defer("recipient_limit", Until.NEXT_DAY, Scope.RECIPIENT),
        -234: _defer("night", Until.MORNING, Scope.TEMPLATE),
        **_all(
            Code(Reaction.STOP, "oa_refused"),
            -204, -205, -209, -212, -219, -221, -224, -320, -321,
        ),
    }
)  # fmt: skip

CODES: Mapping[int, Code] = MappingProxyType({**TEMPLATE_MESSAGE_CODES, **OA_MESSAGE_CODES})


def due_at(until: Until, now: datetime, *, morning_hour: int, reset_hour: int) -> datetime:
    """Return when a deferred message may be tried again, by the clock of Vietnam.

    :param now: the time, with its zone.
    :param morning_hour: when the night ends, 0 to 23.
    :param reset_hour: when quotas start anew, 0 to 23.
    """
    here = now.astimezone(VIETNAM)
    if until is Until.NEXT_MONTH:
        first = (here.replace(day=1) + timedelta(days=32)).replace(day=1)
        return datetime.combine(first.date(), time(reset_hour), VIETNAM)
    hour = morning_hour if until is Until.MORNING else reset_hour
    due = datetime.combine(here.date(), time(hour), VIETNAM)
    return due if due > here else due + timedelta(days=1)


def is_night(now: datetime, start_hour: int, end_hour: int) -> bool:
    """Tell whether it is night in Vietnam.

    :param now: the time, with its zone.
    :param start_hour: first hour of the night; may be after midnight.
    :param end_hour: first hour of the day; equal hours mean that there is no night.
    """
    hour = now.astimezone(VIETNAM).hour
    if start_hour <= end_hour:
        return start_hour <= hour < end_hour
    return hour >= start_hour or hour < end_hour
