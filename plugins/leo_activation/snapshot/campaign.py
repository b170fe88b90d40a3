"""A campaign exists once per tenant and code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from uuid import UUID

from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import ConfigurationError, LeoError
from leo_activation.queries import load_queries

CHANNELS = ("zalo", "email", "push", "telegram", "sms")
# The same rule as campaign_code_ck in schema.sql.
_CODE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
_LONGEST_INSTRUCTION = 500


def ensure_campaign(
    connection: Connection,
    *,
    tenant_id: str,
    code: str,
    instruction: str,
    channels: Sequence[str],
    is_advertising: bool = True,
    quiet_hours: str = "hold",
    created_by: str = "leo",
) -> UUID:
    """Return the campaign of this code, made now or on an earlier run.

    A later run may change instruction and channels: each run's own are kept with its plan.

    :param code: reaches one customer once per channel and step, however often it is run.
    :param instruction: the marketer's sentence, at most 500 characters.
    :param quiet_hours: ``hold`` advertising until the permitted hours, or ``skip`` it.
    :raises ConfigurationError: when code, instruction or channels cannot be used.
    :raises LeoError: when the campaign was cancelled.
    """
    _check(code, instruction, channels)
    with tenant_transaction(connection, tenant_id) as cursor:
        row = cursor.execute(
            load_queries("snapshot").ensure_campaign,
            {
                "tenant_id": tenant_id,
                "code": code,
                "instruction": instruction.strip(),
                "channels": list(dict.fromkeys(channels)),
                "is_advertising": is_advertising,
                "quiet_hours": quiet_hours,
                "created_by": created_by,
            },
        ).fetchone()
    if row is None:
        raise LeoError(f"campaign {code!r}: the database returned no row for tenant {tenant_id!r}")
    if row["status"] == "cancelled":
        raise LeoError(f"campaign {code!r} was cancelled: start a new one with another code")
    campaign_id: UUID = row["campaign_id"]
    return campaign_id


def require_channels(connection: Connection, *, tenant_id: str, channels: Sequence[str]) -> None:
    """Refuse channels that the tenant has no account for, before anybody is promised a message.

    :raises ConfigurationError: naming them, in the marketer's language.
    """
    with tenant_transaction(connection, tenant_id) as cursor:
        rows = cursor.execute(
            load_queries("delivery").channel_providers, {"tenant_id": tenant_id}
        ).fetchall()
    missing = sorted(set(channels) - {row["channel"] for row in rows})
    if missing:
        raise ConfigurationError(
            f"Cửa hàng {tenant_id} chưa có tài khoản để gửi qua {', '.join(missing)}: bỏ chọn kênh "
            f"này, hoặc nhờ kỹ sư thêm bằng 'leo channel set {missing[0]} --tenant {tenant_id}'"
        )


def _check(code: str, instruction: str, channels: Sequence[str]) -> None:
    """Refuse what the database would refuse, in words for the person at the form."""
    if not _CODE.match(code):
        raise ConfigurationError(
            f"Mã chiến dịch {code!r} không hợp lệ: dùng 1 đến 64 chữ cái không dấu, chữ số và . _ -"
        )
    if not instruction.strip() or len(instruction) > _LONGEST_INSTRUCTION:
        raise ConfigurationError(
            f"Yêu cầu phải có từ 1 đến {_LONGEST_INSTRUCTION} ký tự, đang có {len(instruction)}"
        )
    unknown = [name for name in channels if name not in CHANNELS]
    if unknown or not channels:
        raise ConfigurationError(
            f"Kênh {unknown or list(channels)} không dùng được: chọn trong {', '.join(CHANNELS)}"
        )
