"""The gateway process: the demo's sentences, health, refusals, and being killed."""

from __future__ import annotations

import threading

import httpx
import pytest
from fastapi.testclient import TestClient

from leo_activation.decision.client import PAUSES, GatewayClient, GatewayUnavailableError
from leo_activation.decision.engine import Engine
from leo_activation.decision.gateway import Queue, create_app
from leo_activation.decision.parser import Call
from leo_activation.decision.training.evaluation import is_exact, read_cases
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
    version = httpx.get(f"{gateway_process.url}/version").json()
    assert version["adapter"]["schema_hash"] == version["schema_hash"]


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


def test_one_request_too_many_is_told_to_come_back(engine: Engine) -> None:
    queue = Queue(1)
    with queue.place(), pytest.raises(Exception, match="try again") as refused, queue.place():
        pass
    assert refused.value.status_code == 503  # type: ignore[attr-defined]
    assert queue.inside == 0
    client = TestClient(create_app(engine, max_waiting=0))
    body = {"instruction": "Gửi email", "catalogue": shop().to_document()}
    assert client.post("/v1/decisions", json=body).status_code == 503


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
