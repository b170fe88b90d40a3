"""The form behind Airflow's Trigger button of a campaign; its words are for marketers."""

from __future__ import annotations

import os

from airflow.sdk import Param

# Those of leo_activation.channels.registry; a test compares them, because importing it takes time
# that every look at the DAG file would pay.
CHANNELS = {"email": "Email", "telegram": "Telegram"}
REALTIME_CHANNELS = ("push", "telegram")
# Suggestions only: the catalogue that `segments_build` makes is what a run is checked against.
SEGMENTS = (
    "active_customers",
    "vip",
    "at_risk",
    "lapsed_high_value",
    "new_buyers",
    "one_time_buyers",
    "big_baskets",
    "birthday_this_month",
    "loyal_customers",
    "reachable_zalo",
    "reachable_email",
    "reachable_telegram",
)


def tenants() -> list[str]:
    """Return the tenants of the drop-downs, from ``LEO_TENANTS`` (comma separated)."""
    named = [name.strip() for name in os.environ.get("LEO_TENANTS", "").split(",")]
    return [name for name in named if name]


def tenant_param() -> Param:
    """Return the field for one tenant: a drop-down, or free text when no tenant is configured."""
    known = tenants()
    if not known:
        return Param(None, type=["null", "string"], title="Cửa hàng")
    return Param(known[0], type="string", enum=known, title="Cửa hàng")


def campaign_form() -> dict[str, Param]:
    """Return the fields of the form, in the order in which they are shown."""
    return {
        "tenant": tenant_param(),
        "segment": Param(
            SEGMENTS[0],
            type="string",
            examples=list(SEGMENTS),
            title="Phân khúc",
            description="Nhóm khách nhận chiến dịch, theo tên trong danh mục phân khúc.",
        ),
        "instruction": Param(
            "Gửi email tri ân nếu là khách VIP",
            type="string",
            format="multiline",
            minLength=5,
            maxLength=500,
            title="Chỉ dẫn",
            description="Một câu: gửi gì, qua kênh nào, cho ai. "
            "Ví dụ: Gửi Telegram cho khách VIP, còn lại gửi email.",
        ),
        "campaign_code": Param(
            "tri-an-vip",
            type="string",
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
            title="Mã chiến dịch",
            description="Chữ, số, dấu chấm, gạch. Cùng một mã thì mỗi khách chỉ nhận một lần.",
        ),
        "channels": Param(
            ["email", "telegram"],
            type="array",
            items={"type": "string", "enum": list(CHANNELS)},
            examples=list(CHANNELS),
            values_display=CHANNELS,
            minItems=1,
            uniqueItems=True,
            title="Kênh được dùng",
            description="Chỉ những kênh này được gửi, dù chỉ dẫn nói gì.",
        ),
        "dry_run": Param(
            False,
            type="boolean",
            title="Chạy thử",
            description="Chốt danh sách và quyết định như thật, nhưng không gửi gì.",
        ),
        "needs_approval": Param(
            True,
            type="boolean",
            title="Chờ duyệt",
            description="Tắt thì gửi ngay sau khi xem trước, không hỏi.",
        ),
    }
