"""The form behind Airflow's Trigger button of a campaign; its words are for marketers."""

from __future__ import annotations

import os

from airflow.sdk import Param

# Those of leo_activation.channels.registry; a test compares them, because importing it takes time
# that every look at the DAG file would pay.
CHANNELS = {"zalo": "Zalo", "email": "Email", "push": "Thông báo đẩy", "telegram": "Telegram"}
REALTIME_CHANNELS = ("push", "telegram")
QUIET_HOURS = {"hold": "Giữ lại, gửi khi đến giờ", "skip": "Bỏ qua, không gửi"}
MODES = {"plan": "Theo điều kiện trong chỉ dẫn", "choose": "AI chọn cho từng khách"}
# Every segment of dbt_project/models/segments with its Vietnamese name; a test compares them.
SEGMENTS = {
    "active_customers": "Khách đang mua",
    "vip": "Khách VIP",
    "loyal_customers": "Khách trung thành",
    "new_buyers": "Khách mới mua",
    "one_time_buyers": "Khách mua một lần",
    "big_baskets": "Khách mua đơn lớn",
    "at_risk": "Khách có nguy cơ rời bỏ",
    "lapsed_high_value": "Khách giá trị cao đã ngừng mua",
    "birthday_this_month": "Khách sinh nhật tháng này",
    "reachable_email": "Khách nhận được email",
    "reachable_telegram": "Khách nhận được Telegram",
    "reachable_zalo": "Khách nhận được Zalo",
}


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
            next(iter(SEGMENTS)),
            type="string",
            enum=list(SEGMENTS),
            values_display=SEGMENTS,
            title="Phân khúc",
            description="Nhóm khách nhận chiến dịch; danh sách được chốt khi chạy.",
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
        "mode": Param(
            "plan",
            type="string",
            enum=list(MODES),
            values_display=MODES,
            title="Cách quyết định",
            description="Theo điều kiện: AI đọc chỉ dẫn một lần cho mọi khách. AI chọn: cho yêu "
            "cầu mở, ví dụ kênh mà khách thích.",
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
        "quiet_hours": Param(
            "hold",
            type="string",
            enum=list(QUIET_HOURS),
            values_display=QUIET_HOURS,
            title="Ngoài giờ được gửi",
            description="Tin quảng cáo chỉ được gửi từ 7 giờ đến 22 giờ (Nghị định 91/2020).",
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
        "run_key": Param(
            None,
            type=["null", "string"],
            maxLength=300,
            section="Nâng cao",
            title="Danh sách đã chốt",
            description="Để trống. Mã của lần chạy đã chốt danh sách, khi cần chạy trên đúng danh "
            "sách và chỉ dẫn đó (API điền vào).",
        ),
    }
