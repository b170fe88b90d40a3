"""The gateway process: the demo's sentences, health, refusals, and being killed."""

from __future__ import annotations

import threading

import httpx
import pytest

from leo_activation.decision.client import PAUSES, GatewayClient, GatewayUnavailableError
from leo_activation.decision.parser import Call
from leo_activation.decision.training.plans import is_exact
from leo_activation.decision.training.sets import read_cases
from tests.integration.decision.conftest import GatewayProcess
from tests.support.catalogues import check, send, shop, wait

VIP, OTHERS = "contains", "not_contains"
DEMO: list[tuple[str, list[Call]]] = [
    (
        "Gửi email tri ân nếu là khách VIP",
        [check("segments", VIP, "vip"), send("email", "tri_an_vip")],
    ),
    (
        "Gửi Telegram cho khách VIP, còn lại gửi email",
        [
            check("segments", VIP, "vip"), send("telegram", "*"),
            check("segments", OTHERS, "vip"), send("email", "*"),
        ],
    ),
    (
        "Gửi email cho khách chi tiêu trên 3 triệu",
        [check("total_spent_vnd", "gt", 3_000_000), send("email", "*")],
    ),
    ("Chờ 2 giờ rồi gửi email nhắc nhở", [wait(120), send("email", "nhac_mua_lai")]),
    ("Thời tiết hôm nay thế nào?", []),
]  # fmt: skip
CATALOGUE = {
    "templates": [
        {"template_id": "tri_an_vip_zalo", "channels": ["zalo"], "label": "Tin tri ân khách VIP"},
        {"template_id": "tri_an_vip", "channels": ["email"], "label": "Thư tri ân khách VIP"},
    ],
    "attributes": [
        {"name": "segments", "type": "set", "label": "nhóm khách hàng",
         "values": [{"name": "vip", "label": "Khách VIP"}, {"name": "new_buyers"}]},
        {"name": "total_spent_vnd", "type": "number", "unit": "vnd", "label": "tổng chi tiêu"},
        {"name": "preferred_channel", "type": "text", "label": "kênh ưa thích",
         "values": ["zalo", "email"]},
    ],
}  # fmt: skip
SHOP = next(case.catalogue for case in read_cases() if case.catalogue_name == "shop")


@pytest.mark.parametrize(("sentence", "plan"), DEMO)
def test_the_sentences_of_the_demonstration_compile_right(
    gateway_process: GatewayProcess, sentence: str, plan: list[Call]
) -> None:
    answer = GatewayClient(gateway_process.url).decide(sentence, SHOP)
    assert answer.plan is not None
    assert is_exact(plan, answer.plan), answer.plan
    assert answer.verdict == ("accepted" if plan else "no_call")
    assert answer.document["latency_ms"] < 2_000 or not answer.document["cached"]


def test_an_answer_holds_the_whole_trace(gateway_process: GatewayProcess) -> None:
    document = GatewayClient(gateway_process.url).decide(DEMO[0][0], SHOP).document
    assert document["raw_output"].startswith("<start_function_call>call:check_condition{")
    assert document["model"].startswith("gemma-3-270m + local adapter ")
    assert len(document["prompt_hash"]) == len(document["toolset_hash"]) == 64
    assert {"slot", "chosen", "probability"} == set(document["choices"][0])


def test_health_and_versions_are_told(gateway_process: GatewayProcess) -> None:
    assert httpx.get(f"{gateway_process.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{gateway_process.url}/ready").json()["status"] == "ready"
    version = httpx.get(f"{gateway_process.url}/v1/model").json()
    assert version["adapter"]["schema_hash"] == version["schema_hash"]
    assert version == httpx.get(f"{gateway_process.url}/version").json()
    assert "leo_gateway_queue_depth" in httpx.get(f"{gateway_process.url}/metrics").text


@pytest.mark.parametrize(
    "body",
    [
        {"instruction": "Gửi email", "catalogue": {"channels": ["email"]}},
        {"instruction": "<escape>", "catalogue": shop().to_document()},
        {"instruction": "", "catalogue": shop().to_document()},
        {"instruction": "Gửi", "catalogue": shop().to_document(), "mode": "dream"},
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    gateway_process: GatewayProcess, body: dict[str, object]
) -> None:
    response = httpx.post(f"{gateway_process.url}/v1/decisions", json=body, timeout=30)
    assert response.status_code == 422
    assert response.json()["detail"]


def test_vip_customers_get_zalo_through_the_gateway(
    gateway_process: GatewayProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {
        "instruction": "Gửi Zalo nếu là khách VIP",
        "catalogue": CATALOGUE,
        "profiles": [
            {"id": "vip", "facts": {"segments": ["vip"]}},
            {"id": "other", "facts": {"segments": ["new_buyers"]}},
        ],
    }
    answer = httpx.post(f"{gateway_process.url}/v1/decisions", json=body, timeout=60).json()
    plan = [check("segments", VIP, "vip"), send("zalo", "tri_an_vip_zalo")]
    assert answer["plan"]["calls"] == [call.to_document() for call in plan]
    told = {item["id"]: (item["calls"], item["reason"]) for item in answer["decisions"]}
    assert told == {"vip": ([plan[1].to_document()], None), "other": ([], "condition_false")}
    with capsys.disabled():
        print(f"\n{body['instruction']} → {answer['plan']['raw_output']}")


def test_customers_who_look_the_same_are_decided_once_in_choose_mode(
    gateway_process: GatewayProcess,
) -> None:
    profiles = [
        {"id": str(number), "facts": {"preferred_channel": ["zalo", "email"][number % 2]}}
        for number in range(20)
    ]
    body = {
        "instruction": "Gửi tin tri ân qua kênh khách thích nhất", "mode": "choose",
        "catalogue": CATALOGUE, "profiles": profiles,
    }  # fmt: skip
    answer = httpx.post(f"{gateway_process.url}/v1/decisions", json=body, timeout=120).json()
    assert [item["memo"] for item in answer["decisions"]] == [False, False, *[True] * 18]
    assert {item["verdict"] for item in answer["decisions"]} <= {"accepted", "no_call"}
    again = httpx.post(f"{gateway_process.url}/v1/decisions", json=body, timeout=120).json()
    assert all(item["memo"] for item in again["decisions"])


def test_a_killed_gateway_is_tried_three_times_and_works_again_after_its_restart(
    gateway_process: GatewayProcess,
) -> None:
    gateway_process.kill()
    pauses: list[float] = []
    client = GatewayClient(gateway_process.url, sleep=pauses.append)
    with pytest.raises(GatewayUnavailableError, match="in 3 attempts: ConnectError"):
        client.decide("Gửi email", SHOP)
    assert pauses == list(PAUSES)

    restart = threading.Timer(0.5, gateway_process.start)
    restart.start()
    answer = GatewayClient(gateway_process.url, sleep=lambda _: restart.join()).decide(
        DEMO[0][0], SHOP
    )
    restart.join()
    assert answer.attempts == 2
    assert answer.errors
