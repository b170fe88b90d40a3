"""What a condition may be compared with, given a sentence and the catalogue."""

from __future__ import annotations

import pytest

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.offers import Offers
from leo_activation.decision.toolset import ToolSpec

SPEC = ToolSpec(
    parse_catalogue(
        {
            "templates": [{"template_id": "hello", "channel": "zalo", "description": "Lời chào"}],
            "attributes": [
                {"name": name, "type": "number", "unit": unit, "label": label}
                for name, unit, label in (
                    ("orders", "count", "Số đơn hàng"),
                    ("visits_month", "count", "Số lần ghé trong tháng"),
                    ("unpaid", "vnd", "Tiền còn nợ"),
                    ("spent", "vnd", "Tổng chi tiêu"),
                    ("dpd", "days", "Số ngày quá hạn"),
                    ("idle", "days", "Số ngày chưa ghé"),
                    ("age", "years", "Tuổi"),
                    ("car_age", "years", "Tuổi xe (năm)"),
                    ("baby", "any", "Tuổi của bé (tháng)"),
                    ("birth_month", "month", "Tháng sinh"),
                )
            ]
            + [{"name": "city", "type": "text", "label": "Thành phố"}],
        }
    )
)


def offered(sentence: str, name: str) -> list[str]:
    return Offers(SPEC, sentence).values(name)


@pytest.mark.parametrize(
    ("sentence", "name", "value"),
    [
        ("Chưa đặt đơn nào thì gửi Zalo", "orders", "0"),
        ("Zalo to anyone with nothing ordered", "orders", "0"),
        ("Còn nợ tiền thì nhắn Zalo", "unpaid", "0"),
        ("anyone still owing money gets a Zalo", "unpaid", "0"),
        ("Trả sách quá hạn thì nhắn Zalo", "dpd", "0"),
        ("qua han 0 ngay -> zalo", "dpd", "0"),
        ("For 30 or more days late, Zalo, then again after three days", "dpd", "30"),
        ("quá hạn trên 30 thì Zalo, 3 ngày sau nhắc lại", "dpd", "30"),
        ("tháng này ghé từ bốn bữa trở lên: Zalo", "visits_month", "4"),
        ("chi trên 3 chai thì Zalo", "spent", "3000000"),
        ("chi từ 5 lít trở lên thì Zalo", "spent", "500000"),
        ("con dưới nửa tuổi thì Zalo", "baby", "6"),
        ("bé hai tuổi rưỡi thì Zalo", "baby", "30"),
        ("babies under 2 years get a Zalo", "baby", "24"),
        ("xe chạy trên 18 tháng thì Zalo", "car_age", "1.5"),
        ("xe chạy trên 12 tháng thì Zalo", "car_age", "1"),
        ("Mai hết hạn: Zalo", "idle", "1"),
        ("cả tháng qua chưa ghé thì Zalo", "idle", "30"),
        ("sinh tháng 12 thì Zalo", "birth_month", "12"),
    ],
)
def test_a_number_is_offered_in_the_unit_of_its_attribute(
    sentence: str, name: str, value: str
) -> None:
    assert value in offered(sentence, name)


@pytest.mark.parametrize(
    ("sentence", "name", "value"),
    [
        ("Khách mua trên 3 đơn thì gửi Zalo", "unpaid", "0"),
        ("60 ngày chưa ghé thì gửi Zalo", "idle", "0"),
        ("mua 3 chai nước thì Zalo", "orders", "3000000"),
        ("khách trên 25 tuổi, 60 ngày chưa ghé: Zalo", "idle", "25"),
        ("chi trên 45 triệu thì Zalo", "birth_month", "45000000"),
        ("trên 45 tuổi thì Zalo", "birth_month", "45"),
    ],
)
def test_a_number_is_not_offered_where_it_means_nothing(
    sentence: str, name: str, value: str
) -> None:
    assert value not in offered(sentence, name)


def test_what_is_over_is_no_wait() -> None:
    assert Offers(SPEC, "Tuần trước chưa ghé thì Zalo").waits == []
    assert Offers(SPEC, "Zalo, sáng mai Zalo lần nữa").waits == [1_440]


def test_a_place_is_offered_as_it_is_stored() -> None:
    assert "Đà Nẵng" in offered("gui zalo cho khach da nang di e", "city")
