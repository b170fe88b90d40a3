"""The page behind the link of every advertisement: looking changes nothing, the button acts.

Mail programs post to the same address when their own button is pressed (RFC 8058); mail scanners
follow links, which is why a GET never acts.
"""

from __future__ import annotations

from typing import Any

import psycopg
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from leo_activation import pages
from leo_activation.api.services import ApiServices
from leo_activation.delivery.unsubscribe import (
    UnsubscribeLinks,
    UnsubscribeTokenError,
    unsubscribe,
)
from leo_activation.errors import UnknownTenantError
from leo_activation.queries import load_queries

router = APIRouter(tags=["unsubscribe"])
CHANNEL_WORDS = {
    "email": "email",
    "zalo": "Zalo",
    "push": "thông báo đẩy",
    "telegram": "Telegram",
    "sms": "tin nhắn SMS",
}
_TITLE = "Huỷ nhận tin quảng cáo"
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {}}},
    404: {"description": "The link is not valid."},
}


@router.head("/unsubscribe/{token}", include_in_schema=False)
@router.get("/unsubscribe/{token}", response_class=HTMLResponse, responses=_PAGE)
async def show_page(token: str, request: Request) -> Response:
    """Show who wrote and a button; nothing is changed."""
    services: ApiServices = request.app.state.services
    try:
        tenant_id, delivery_id = UnsubscribeLinks(services.secret_key, "").read(token)
        async with services.transaction(tenant_id) as cursor:
            wanted = {"tenant_id": tenant_id, "delivery_id": delivery_id}
            await cursor.execute(load_queries("unsubscribe").find_shop, wanted)
            row = await cursor.fetchone()
    except (UnsubscribeTokenError, UnknownTenantError):
        row = None
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return _later()
    if row is None:
        return _invalid()
    channel = CHANNEL_WORDS[row["channel"]]
    return _page(
        200, _TITLE,
        f"Bạn muốn thôi nhận tin quảng cáo của {row['name']} qua {channel}?",
        "Bấm nút dưới đây, chúng tôi sẽ dừng ngay.",
        button="Huỷ nhận tin",
    )  # fmt: skip


@router.post("/unsubscribe/{token}", response_class=HTMLResponse, responses=_PAGE)
async def act(token: str, request: Request) -> Response:
    """Take the customer's no, from the page's button or from a mail program (RFC 8058)."""
    services: ApiServices = request.app.state.services
    wants_page = "text/html" in request.headers.get("accept", "")
    try:
        done = await services.run_briefly(
            unsubscribe, token, secret_key=services.secret_key, now=services.clock()
        )
    except (UnsubscribeTokenError, UnknownTenantError):
        return _invalid()
    except (psycopg.OperationalError, psycopg.InterfaceError):
        return _later()
    if not wants_page:
        return PlainTextResponse("unsubscribed")
    return _page(
        200, "Đã huỷ nhận tin",
        f"Bạn sẽ không nhận tin quảng cáo qua {CHANNEL_WORDS[done.channel]} nữa.",
        "Cảm ơn bạn. Bạn có thể đóng trang này.",
    )  # fmt: skip


def _page(status: int, title: str, *lines: str, button: str | None = None) -> Response:
    content, policy = pages.unsubscribe_page(title, lines, button)
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    return HTMLResponse(content, status, headers={**headers, "X-Robots-Tag": "noindex"})


def _invalid() -> Response:
    return _page(
        404, "Liên kết không hợp lệ",
        "Liên kết này không đúng hoặc không còn trọn vẹn; chưa có gì thay đổi.",
        "Hãy mở lại liên kết trong tin nhắn, hoặc trả lời tin nhắn để chúng tôi huỷ giúp bạn.",
    )  # fmt: skip


def _later() -> Response:
    response = _page(
        503, "Xin thử lại sau ít phút",
        "Hệ thống đang tạm gián đoạn nên yêu cầu của bạn chưa được ghi nhận.",
    )  # fmt: skip
    response.headers["Retry-After"] = "60"
    return response
