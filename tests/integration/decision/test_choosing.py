"""Choose mode on a real database, against a gateway process that misbehaves."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leo_activation.database import Connection, connect
from leo_activation.decision import choosing
from leo_activation.decision.catalogue import Catalogue
from leo_activation.decision.choose import ChoiceAnswer, HttpChoices, read_answer
from leo_activation.decision.choosing import PAUSES, POLL_SECONDS
from leo_activation.decision.tasks import LEASE, DecideReport
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError
from tests.conftest import DatabaseUrls
from tests.integration.decision.conftest import free_port
from tests.support.choice_gateway import RETRY_AFTER, ChoiceGatewayProcess
from tests.support.choice_gateway import decide as answer_of
from tests.support.decisions import PreparedGateway, arrange, decide, open_shop, outcomes, rows

OPEN = "Chọn kênh và tin phù hợp với từng khách"
EVERYONE_IS_SENT = {("queued", None): 30}


@pytest.fixture
def shop(admin_conn: Connection, dbt_conn: Connection, runtime_conn: Connection) -> Connection:
    """Give both tenants thirty customers, ten of them VIP, and two templates."""
    open_shop(admin_conn, dbt_conn)
    return runtime_conn


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[ChoiceGatewayProcess]:
    """Return a gateway that the test starts with the behaviours it wants."""
    process = ChoiceGatewayProcess(free_port(), tmp_path)
    yield process
    process.kill()


class InProcess:
    """A gateway without a network that may do something before it answers."""

    def __init__(self, before: Callable[[], object] = lambda: None) -> None:
        """Keep what happens first."""
        self.before = before
        self.asked: list[str] = []

    def choose(
        self, instruction: str, catalogue: Catalogue, looks: Mapping[str, Mapping[str, Any]]
    ) -> ChoiceAnswer:
        """Answer as the stand-in does."""
        self.asked += looks
        self.before()
        request = {
            "catalogue": catalogue.to_document(),
            "profiles": [{"id": look, "facts": facts} for look, facts in looks.items()],
        }
        return read_answer(ToolSpec(catalogue), looks, answer_of(request))


def choose(
    shop: Connection, run: dict[str, Any], gateway: ChoiceGatewayProcess, **changes: Any
) -> tuple[DecideReport, list[float]]:
    """Decide through the process; return the report and the pauses that were made."""
    pauses: list[float] = []
    changes.setdefault("sleep", pauses.append)
    timeout = changes.pop("timeout", 30.0)
    with HttpChoices(gateway.url, timeout=timeout) as choices:
        return decide(shop, run, choices=choices, **changes), pauses


def arrange_choice(shop: Connection, **changes: Any) -> dict[str, Any]:
    """Freeze everyone for a run in choose mode; nobody is asked yet."""
    silent = PreparedGateway()
    run = arrange(shop, silent, instruction=OPEN, mode="choose", **changes)
    assert silent.asked == []
    return run


def tasks(shop: Connection) -> list[Any]:
    return rows(shop, "select * from agent_task order by task_id")


@pytest.mark.invariant(7)
def test_customers_who_look_alike_are_decided_once_and_each_keeps_the_whole_trace(
    shop: Connection, gateway: ChoiceGatewayProcess
) -> None:
    gateway.start()
    report, pauses = choose(shop, arrange_choice(shop), gateway)
    assert report == DecideReport(30, 30, 30, {}, 0, distinct=2, fallbacks=0)
    assert pauses == []
    assert [len(ids) for ids in gateway.asked()] == [2]
    assert outcomes(shop) == EVERYONE_IS_SENT
    found = tasks(shop)
    prompts = Counter(task["reasoning_trace"]["prompt_hash"] for task in found)
    assert sorted(prompts.values()) == [10, 20]
    trace = next(t for t in found if "vip" in t["reasoning_trace"]["facts"]["segments"])
    assert trace["reasoning_trace"] == trace["reasoning_trace"] | {
        "mode": "choose", "model": "stand-in 1", "verdict": "accepted", "latency_ms": 3,
        "decided_by": "model", "memo": False, "branch": 0, "reason": None,
        "versions": {"model": "stand-in 1", "prompt_version": "v0"},
        "facts": {"reachable": ["email"], "segments": ["everyone", "vip"],
                  "preferred_channel": "unknown"},
    }  # fmt: skip
    assert trace["reasoning_trace"]["raw_output"].startswith("<start_function_call>")
    assert len(trace["reasoning_trace"]["toolset_hash"]) == 64
    assert trace["reasoning_summary"] == (
        "Gửi email «Thư tri ân». AI chọn theo kênh liên lạc được: email; nhóm khách hàng: "
        "Phân khúc everyone, Phân khúc vip."
    )
    assert {(task["status"], task["attempts"]) for task in found} == {("decided", 1)}


def test_deciding_again_asks_nobody(shop: Connection, gateway: ChoiceGatewayProcess) -> None:
    gateway.start()
    run = arrange_choice(shop)
    choose(shop, run, gateway)
    before = tasks(shop)
    report, _ = choose(shop, run, gateway)
    assert report == DecideReport(30)
    assert tasks(shop) == before
    assert len(gateway.asked()) == 1


@pytest.mark.invariant(4)
@pytest.mark.parametrize(
    "behaviour",
    ["error", "html", "cut", "list", "empty", "nested", "shapeless", "tools", "twice"],
)
def test_a_gateway_that_fails_twice_is_asked_a_third_time_and_nobody_is_lost(
    shop: Connection, gateway: ChoiceGatewayProcess, behaviour: str
) -> None:
    gateway.start(behaviour, behaviour)
    report, pauses = choose(shop, arrange_choice(shop), gateway)
    assert (report.decided, report.failed, report.queued) == (30, 0, 30)
    assert pauses == list(PAUSES)
    assert {(task["attempts"], task["error"]) for task in tasks(shop)} == {(3, None)}
    assert outcomes(shop) == EVERYONE_IS_SENT


@pytest.mark.invariant(4)
@pytest.mark.invariant(8)
def test_after_three_attempts_a_task_fails_and_tells_of_each(
    shop: Connection, gateway: ChoiceGatewayProcess
) -> None:
    gateway.start("full", "html", "cut")
    report, _ = choose(shop, arrange_choice(shop), gateway)
    assert (report.decided, report.failed, report.skipped) == (0, 30, {"no_decision": 30})
    (task,) = rows(shop, "select distinct status::text, attempts, error, reasoning_summary "
                         "from agent_task")  # fmt: skip
    assert (task["status"], task["attempts"]) == ("failed", 3)
    for told in ("attempt 1: ", "HTTP 429", "attempt 2: ", "JSONDecodeError", "attempt 3: "):
        assert told in task["error"]
    assert task["reasoning_summary"] == "Không gửi: chưa có quyết định vì cổng AI không trả lời."
    assert outcomes(shop) == {("skipped", "no_decision"): 30}
    assert len(gateway.asked()) == 3


def test_half_an_answer_is_used_and_only_the_rest_asked_again(
    shop: Connection, gateway: ChoiceGatewayProcess
) -> None:
    gateway.start("half")
    report, _ = choose(shop, arrange_choice(shop), gateway)
    assert (report.decided, report.distinct) == (30, 2)
    first, second = gateway.asked()
    assert len(first) == 2
    assert second == first[1:]
    assert {task["attempts"] for task in tasks(shop)} == {1, 2}


@pytest.mark.invariant(4)
def test_a_gateway_killed_in_mid_batch_and_started_again_decides_the_rest(
    shop: Connection, gateway: ChoiceGatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "CHUNK", 1)
    gateway.start("good", "die")
    report, _ = choose(shop, arrange_choice(shop), gateway, sleep=lambda _: gateway.start())
    assert report == DecideReport(30, 30, 30, {}, 0, distinct=2)
    first, second, third = gateway.asked()
    assert second == third != first
    assert outcomes(shop) == EVERYONE_IS_SENT


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_gateway_that_is_too_slow_is_given_up(
    shop: Connection, gateway: ChoiceGatewayProcess, behaviour: str
) -> None:
    gateway.start(behaviour)
    report, pauses = choose(shop, arrange_choice(shop), gateway, timeout=0.6)
    assert (report.decided, pauses) == (30, [PAUSES[0]])
    assert {task["attempts"] for task in tasks(shop)} == {2}


def test_a_full_gateway_is_left_alone_for_as_long_as_it_asks(
    shop: Connection, gateway: ChoiceGatewayProcess
) -> None:
    gateway.start("full", "full")
    report, pauses = choose(shop, arrange_choice(shop), gateway)
    assert (report.decided, pauses) == (30, [float(RETRY_AFTER), PAUSES[1]])
    assert PAUSES[0] < float(RETRY_AFTER) < PAUSES[1]


@pytest.mark.parametrize("behaviour", ["refuse", "malformed", "large"])
def test_a_refused_request_is_not_repeated(
    shop: Connection, gateway: ChoiceGatewayProcess, behaviour: str
) -> None:
    gateway.start(behaviour)
    report, pauses = choose(shop, arrange_choice(shop), gateway)
    assert (report.failed, pauses, len(gateway.asked())) == (30, [], 1)
    (task,) = rows(shop, "select distinct error, attempts from agent_task")
    assert task["attempts"] == 1
    assert "the catalogue has no channels" in task["error"]


@pytest.mark.invariant(7)
@pytest.mark.parametrize("behaviour", ["forbidden", "reject"])
def test_an_output_that_breaks_a_rule_is_recorded_and_runs_for_nobody(
    shop: Connection, gateway: ChoiceGatewayProcess, behaviour: str
) -> None:
    gateway.start(behaviour)
    report, _ = choose(shop, arrange_choice(shop), gateway)
    assert (report.decided, report.skipped) == (30, {"no_decision": 30})
    trace = tasks(shop)[0]["reasoning_trace"]
    assert (trace["verdict"], trace["decided_by"]) == ("rejected", "none")
    assert trace["verdict_reason"]
    assert trace["raw_output"]
    assert len(gateway.asked()) == 1


@pytest.mark.invariant(4)
def test_a_worker_that_comes_back_late_changes_nothing(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    run = arrange_choice(shop)
    reports: list[DecideReport] = []

    def overtake() -> None:
        with contextlib.closing(connect(database_urls.runtime)) as other:
            reports.append(decide(other, run, choices=InProcess(),
                                  clock=lambda: datetime.now(UTC) + 2 * LEASE))  # fmt: skip

    late = decide(shop, run, choices=InProcess(overtake))
    assert reports[0].decided == 30
    assert (late.decided, late.queued) == (0, 0)
    assert {task["attempts"] for task in tasks(shop)} == {2}
    assert outcomes(shop) == EVERYONE_IS_SENT


def _die_while_waiting(url: str, run: dict[str, Any]) -> None:
    with contextlib.closing(connect(url)) as connection:
        decide(connection, run, choices=InProcess(lambda: os.kill(os.getpid(), signal.SIGKILL)))


@pytest.mark.invariant(4)
def test_killed_workers_use_up_attempts_and_the_last_one_settles_everyone(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    run = arrange_choice(shop)
    for attempt in (1, 2, 3):
        worker = multiprocessing.get_context("spawn").Process(
            target=_die_while_waiting, args=(database_urls.runtime, run)
        )
        worker.start()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL
        assert {(t["status"], t["attempts"]) for t in tasks(shop)} == {("deciding", attempt)}
        rewind_leases(database_urls)
    gateway = InProcess()
    report = decide(shop, run, choices=gateway)
    assert (report.failed, report.skipped, gateway.asked) == (30, {"no_decision": 30}, [])
    (task,) = rows(shop, "select distinct status::text, attempts, error from agent_task")
    assert (task["status"], task["attempts"]) == ("failed", 3)
    assert "the worker ended before it had an answer" in task["error"]


def rewind_leases(urls: DatabaseUrls) -> None:
    """Let the leases of dead workers be over."""
    with contextlib.closing(connect(urls.admin)) as admin:
        admin.execute("update agent_task set lease_until = now() - interval '1 second' "
                      "where status = 'deciding'")  # fmt: skip


def test_a_worker_waits_for_tasks_that_another_holds_until_they_are_decided(
    shop: Connection, database_urls: DatabaseUrls
) -> None:
    run = arrange_choice(shop)
    waited: list[float] = []

    def second_worker() -> None:
        def other_dies(seconds: float) -> None:
            waited.append(seconds)
            rewind_leases(database_urls)

        with contextlib.closing(connect(database_urls.runtime)) as other:
            assert decide(other, run, choices=InProcess(), sleep=other_dies).decided == 30

    assert decide(shop, run, choices=InProcess(second_worker)).decided == 0
    assert waited == [POLL_SECONDS]
    assert outcomes(shop) == EVERYONE_IS_SENT


def test_policy_is_applied_after_the_choice(
    shop: Connection, admin_conn: Connection, gateway: ChoiceGatewayProcess
) -> None:
    run = arrange_choice(shop)
    admin_conn.execute(
        "insert into suppression (tenant_id, channel, address, reason) "
        "values ('tenant_a', 'email', 'k-001@example.com', 'bounce')"
    )
    gateway.start()
    assert choose(shop, run, gateway)[0].skipped == {"suppressed": 1}


def test_a_customer_for_whom_nothing_is_chosen_is_told_why(
    shop: Connection, admin_conn: Connection, gateway: ChoiceGatewayProcess
) -> None:
    admin_conn.execute(
        "insert into consent (tenant_id, profile_id, channel, decision, source) "
        "select tenant_id, profile_id, 'email', 'refused', 'form' from cdp_profiles "
        "where ext_id = 'k-001'"
    )
    run = arrange_choice(shop)
    gateway.start()
    report, _ = choose(shop, run, gateway)
    assert (report.distinct, report.skipped) == (3, {"no_decision": 1})
    (task,) = rows(shop, "select t.reasoning_summary from agent_task t join cdp_profiles p "
                         "using (tenant_id, profile_id) where p.ext_id = 'k-001'")  # fmt: skip
    assert task["reasoning_summary"].startswith(
        "Không gửi: AI không chọn tin nào cho khách này. AI chọn theo kênh liên lạc được: không có;"
    )


def test_a_run_in_choose_mode_says_before_approval_by_what_the_model_will_choose(
    shop: Connection,
) -> None:
    arrange_choice(shop)
    (plan,) = rows(shop, "select mode, verdict, verdict_reason, plan, trace from campaign_plan")
    assert (plan["mode"], plan["verdict"], plan["plan"]) == ("choose", "accepted", [])
    assert plan["verdict_reason"] == (
        "AI chọn riêng cho từng khách theo kênh liên lạc được, nhóm khách hàng, kênh ưa thích"
    )


def test_the_mode_of_a_run_cannot_change(shop: Connection) -> None:
    arrange_choice(shop)
    with pytest.raises(DecisionError, match="in mode 'choose'"):
        arrange(shop, PreparedGateway(), instruction=OPEN)
    with pytest.raises(DecisionError, match="there is no mode 'dream'"):
        arrange(shop, PreparedGateway(), mode="dream", run_id="run-2")


def test_choose_mode_needs_a_gateway(shop: Connection) -> None:
    with pytest.raises(DecisionError, match="name the gateway that chooses"):
        decide(shop, arrange_choice(shop))


def test_a_sentence_with_a_control_token_stops_the_run(shop: Connection) -> None:
    with pytest.raises(DecisionError, match="control token"):
        arrange(shop, PreparedGateway(), instruction="Gửi <escape> email", mode="choose")


def test_many_batches_at_once_decide_everyone_once(
    shop: Connection, database_urls: DatabaseUrls, gateway: ChoiceGatewayProcess
) -> None:
    gateway.start()
    run = arrange_choice(shop)
    ranges = [(1, 10), (5, 20), (1, 30), (15, 30)]
    with multiprocessing.get_context("spawn").Pool(len(ranges)) as pool:
        decided = pool.starmap(
            _decide_range, zip(itertools.repeat(database_urls.runtime), itertools.repeat(run),
                               itertools.repeat(gateway.url), ranges, strict=False),
        )  # fmt: skip
    assert sum(decided) == 30
    assert outcomes(shop) == EVERYONE_IS_SENT
    assert {task["attempts"] for task in tasks(shop)} == {1}


def _decide_range(url: str, run: dict[str, Any], gateway: str, part: tuple[int, int]) -> int:
    with contextlib.closing(connect(url)) as connection, HttpChoices(gateway) as choices:
        return decide(connection, run, *part, choices=choices).decided
