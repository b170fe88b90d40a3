"""Each check is given the very data it exists for, and has to name it.

The data is broken by an administrator with triggers off, because nobody else can break it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from leo_activation.database import Connection
from leo_activation.errors import QualityError
from leo_activation.quality import SUITES, QualityReport, run_suite
from leo_activation.quality.checks import SuiteName
from tests.conftest import DatabaseUrls
from tests.support.ledger_builder import BuiltCampaign, build_campaign

pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Break:
    """A way to break the data, and the check that has to see it.

    :param statements: with the ids of :func:`_names` as parameters; every one has to hit a row.
    :param row: the value by which the check names what is broken.
    :param also: checks that rightly fail as well.
    :param is_of_events: no run has to do with it; it shows in the whole ledger.
    """

    check: str
    statements: tuple[str, ...]
    row: str
    also: frozenset[str] = frozenset()
    is_of_events: bool = False


_RULE = (
    "insert into event_rule (tenant_id, event_type, campaign_id, plan_id, updated_at)"
    " select p.tenant_id, 'cart_left', p.campaign_id, p.plan_id, now() - interval '1 hour'"
    " from campaign_plan as p where p.tenant_id = %(tenant)s"
)
# A task that an event of its own set off, an hour ago.
_ARRIVED = (
    "insert into agent_task (tenant_id, task_id, event_id, profile_id, campaign_id, plan_id,"
    "  status, error, created_at)"
    " select p.tenant_id, deterministic_id('task', p.tenant_id, e.event_id::text), e.event_id,"
    "  %(other_profile)s, p.campaign_id, p.plan_id, '{status}', 'x', now() - interval '1 hour'"
    " from campaign_plan as p cross join (select gen_random_uuid() as event_id) as e"
    " where p.tenant_id = %(tenant)s"
)
DROP = "alter table {} drop constraint {}"

RAW_IN = (
    Break(
        "expect_profile_ids_to_be_derived",
        (
            DROP.format("cdp_profiles", "cdp_profiles_profile_id_ck"),
            "update cdp_profiles set profile_id = gen_random_uuid()"
            " where profile_id = %(sent_profile)s",
        ),
        "KH-SENT",
    ),
    Break(
        "expect_profiles_to_be_unique",
        (
            DROP.format("cdp_profiles", "cdp_profiles_tenant_id_ext_id_uq"),
            DROP.format("cdp_profiles", "cdp_profiles_profile_id_ck"),
            "insert into cdp_profiles (tenant_id, profile_id, ext_id, raw_attributes, content_hash)"
            " values (%(tenant)s, gen_random_uuid(), 'KH-SENT', '{}', '')",
        ),
        "KH-SENT",
        frozenset({"expect_profile_ids_to_be_derived"}),
    ),
    Break(
        "expect_profile_lifecycles_to_be_known",
        (
            DROP.format("cdp_profiles", "cdp_profiles_lifecycle_ck"),
            "update cdp_profiles set lifecycle = 'ngủ đông' where profile_id = %(sent_profile)s",
        ),
        "KH-SENT",
    ),
    Break(
        "expect_profile_mobiles_to_be_valid",
        (
            DROP.format("cdp_profiles", "cdp_profiles_mobile_ck"),
            "update cdp_profiles set mobile = '0901 234 567' where profile_id = %(sent_profile)s",
        ),
        "KH-SENT",
    ),
    Break(
        "expect_profile_emails_to_be_valid",
        ("update cdp_profiles set email = 'hoa at shop' where profile_id = %(sent_profile)s",),
        "KH-SENT",
    ),
    Break(
        "expect_merged_profiles_to_have_survivor",
        (
            "update cdp_profiles set lifecycle = 'merged', merged_into_ext_id = 'KH-NOBODY'"
            " where profile_id = %(sent_profile)s",
        ),
        "KH-NOBODY",
    ),
    Break(
        "expect_reject_share_to_be_bounded",
        (
            "insert into ingest_reject (tenant_id, reject_id, ext_id, scope, reason, raw_document)"
            " values (%(tenant)s, gen_random_uuid(), 'KH-BAD', 'document', 'no key', '{}')",
        ),
        "KH-BAD",
    ),
    Break(
        "expect_watermark_to_exist",
        ("update sync_state set watermark = '{}' where tenant_id = %(tenant)s",),
        "5",
    ),
    Break(
        "expect_source_to_be_fresh",
        (
            "update sync_state set updated_at = now() - interval '3 days'"
            " where tenant_id = %(tenant)s",
        ),
        "last_read_at",
    ),
)

LEDGER_OUT = (
    Break(
        "expect_delivery_tasks_to_exist",
        ("delete from agent_task where task_id = %(sent_task)s",),
        "sent_delivery",
        frozenset({"expect_outcome_counts_to_match_snapshots"}),
    ),
    Break(
        "expect_delivery_events_to_exist",
        ("delete from marketing_event where event_id = %(sent_event)s",),
        "sent_delivery",
    ),
    Break(
        "expect_delivery_members_to_exist",
        (
            "delete from segment_snapshot_member where profile_id = %(sent_profile)s"
            " and snapshot_id = %(snapshot)s",
        ),
        "sent_delivery",
        frozenset({"expect_manifests_to_match_members"}),
    ),
    Break(
        "expect_deliveries_to_agree_with_tasks",
        ("update agent_task set campaign_id = gen_random_uuid() where task_id = %(sent_task)s",),
        "sent_delivery",
    ),
    Break(
        "expect_delivery_ids_to_be_derived",
        (
            DROP.format("delivery_log", "delivery_log_message_key_ck"),
            "update delivery_log set message_key = gen_random_uuid()"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_decided_tasks_to_have_trace",
        (
            "update agent_task set reasoning_trace = '[]', reasoning_summary = ' '"
            " where task_id = %(sent_task)s",
        ),
        "sent_task",
    ),
    Break(
        "expect_decided_tasks_to_follow_plan_of_run",
        ("update agent_task set plan_id = gen_random_uuid() where task_id = %(sent_task)s",),
        "sent_task",
    ),
    Break(
        "expect_tasks_to_be_decided",
        (
            "update agent_task set status = 'deciding', lease_until = now()"
            " where task_id = %(sent_task)s",
        ),
        "sent_task",
    ),
    Break(
        "expect_events_to_set_off_their_tasks",
        (
            _RULE,
            "insert into marketing_event (tenant_id, event_id, profile_id, event_type, source,"
            "  source_key, occurred_at) values (%(tenant)s, deterministic_id('event', %(tenant)s,"
            "  'api/shop', 'k', %(sent_profile)s::text), %(sent_profile)s, 'cart_left', 'api/shop',"
            "  'k', now())",
        ),
        "cart_left",
        is_of_events=True,
    ),
    Break(
        "expect_arrived_tasks_to_be_decided_soon",
        (_ARRIVED.format(status="pending"),),
        "other_profile",
        is_of_events=True,
    ),
    Break(
        "expect_triggered_tasks_to_have_outcome",
        (_ARRIVED.format(status="failed"),),
        "other_profile",
        is_of_events=True,
    ),
    Break(
        "expect_fallbacks_to_be_rare",
        (
            "update agent_task set reasoning_trace = reasoning_trace"
            ' || \'{"decided_by": "fallback"}\' where task_id = %(sent_task)s',
        ),
        "run-1",
    ),
    Break(
        "expect_tasks_to_have_planned_outcomes",
        ("update agent_task set plan = plan || plan where task_id = %(sent_task)s",),
        "sent_task",
    ),
    Break(
        "expect_members_to_have_outcome",
        ("delete from delivery_log where task_id = %(other_task)s",),
        "KH-OTHER",
        frozenset(
            {
                "expect_tasks_to_have_planned_outcomes",
                "expect_outcome_counts_to_match_snapshots",
            }
        ),
    ),
    Break(
        "expect_outcome_counts_to_match_snapshots",
        (
            "drop index agent_task_member_uq",
            "update agent_task set profile_id = %(failed_profile)s where task_id = %(sent_task)s",
        ),
        "snapshot",
        frozenset({"expect_deliveries_to_agree_with_tasks"}),
    ),
    Break(
        "expect_manifests_to_match_members",
        (
            'update segment_snapshot_member set facts = facts || \'{"full_name": "Mallory"}\''
            " where profile_id = %(sent_profile)s and snapshot_id = %(snapshot)s",
        ),
        "snapshot",
    ),
    Break(
        "expect_profiles_to_list_their_snapshots",
        ("update cdp_profiles set segment_snapshots = '{}' where profile_id = %(sent_profile)s",),
        "KH-SENT",
    ),
    Break(
        "expect_deliveries_to_be_settled",
        (
            "update delivery_log set not_before = created_at"
            " where delivery_id = %(waiting_delivery)s",
        ),
        "waiting_delivery",
    ),
    Break(
        "expect_sending_leases_to_be_alive",
        (
            "update delivery_log set delivery_status = 'sending', claimed_by = 'gone',"
            "  lease_until = now() - interval '1 minute' where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_messages_to_be_live_once",
        (
            "drop index delivery_log_message_key_uq",
            DROP.format("delivery_log", "delivery_log_delivery_id_ck"),
            DROP.format("delivery_log", "delivery_log_message_key_ck"),
            "insert into delivery_log"
            " select (jsonb_populate_record(d, jsonb_build_object("
            "  'delivery_id', gen_random_uuid(), 'snapshot_id', null))).*"
            " from delivery_log as d where delivery_id = %(sent_delivery)s",
        ),
        "sent_message",
        frozenset(
            {
                "expect_delivery_ids_to_be_derived",
                "expect_deliveries_to_agree_with_tasks",
                "expect_tasks_to_have_planned_outcomes",
            }
        ),
    ),
    Break(
        "expect_sent_deliveries_to_have_time_and_attempt",
        (
            DROP.format("delivery_log", "delivery_log_sent_ck"),
            "update delivery_log set sent_at = null where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_skipped_deliveries_to_have_reason",
        ("update delivery_log set skip_reason = ' ' where task_id = %(other_task)s",),
        "other_delivery",
    ),
    Break(
        "expect_refusals_to_be_respected",
        (
            "insert into consent (tenant_id, profile_id, channel, decision, source, recorded_at)"
            " values (%(tenant)s, %(sent_profile)s, 'email', 'refused', 'unsubscribe',"
            "  now() - interval '1 hour')",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_suppressions_to_be_respected",
        (
            "insert into suppression (tenant_id, channel, address, reason, suppressed_at)"
            " values (%(tenant)s, 'email', 'kh-sent@example.com', 'hard_bounce',"
            "  now() - interval '1 hour')",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_sends_to_keep_hours",
        (
            "update tenant set settings = '{}', updated_at = now() - interval '9 days'"
            " where tenant_id = %(tenant)s",
            "update delivery_log set attempts = jsonb_set(attempts, '{0,started_at}', to_jsonb("
            "  (date_trunc('day', now() at time zone 'Asia/Ho_Chi_Minh') - interval '21 hours')"
            "   at time zone 'Asia/Ho_Chi_Minh'))"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_sends_to_leave_before_expiry",
        (
            "update delivery_log"
            " set expires_at = (attempts -> -1 ->> 'started_at')::timestamptz"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_caps_to_hold",
        (
            'update tenant set settings = settings || \'{"frequency_cap": {"email": 0}}\''
            " where tenant_id = %(tenant)s",
            "update delivery_log"
            " set attempted_at = (attempts -> -1 ->> 'started_at')::timestamptz"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_receipts_to_be_merged",
        (
            "insert into delivery_receipt (tenant_id, receipt_id, channel, provider, kind,"
            "  delivery_id, occurred_at)"
            " values (%(tenant)s, gen_random_uuid(), 'email', 'smtp', 'delivered',"
            "  %(sent_delivery)s, now())",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_settled_unknowns_to_name_who",
        (
            "update delivery_log"
            " set attempts = jsonb_set(attempts, '{0,outcome}', '\"unknown\"')"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
    Break(
        "expect_unknown_deliveries_to_be_resolved",
        (
            "update delivery_log"
            " set delivery_status = 'unknown', claimed_by = null, lease_until = null"
            " where delivery_id = %(sent_delivery)s",
        ),
        "sent_delivery",
    ),
)

Run = Callable[..., QualityReport]


@pytest.fixture
def campaign(runtime_conn: Connection) -> BuiltCampaign:
    """Build one sound campaign for each of the two tenants; the first is attacked."""
    build_campaign(runtime_conn, "tenant_b")
    return build_campaign(runtime_conn, "tenant_a")


@pytest.fixture
def check(database_urls: DatabaseUrls, campaign: BuiltCampaign, tmp_path: Path) -> Run:
    """Run a suite as the application, on the first tenant unless told otherwise.

    ``days`` later than the campaign, so that nothing is young enough to be under way.
    """

    def run(suite: SuiteName, tenant_id: str = "tenant_a", *, days: float = 0.01, **scope: object):
        return run_suite(
            database_urls.runtime,
            tenant_id,
            suite=suite,
            docs_folder=tmp_path,
            clock=lambda: campaign.now + timedelta(days=days),
            **scope,
        )

    return run


def _names(campaign: BuiltCampaign) -> dict[str, object]:
    """Return every id of the campaign under a name that a statement can use."""
    names: dict[str, object] = {"tenant": campaign.tenant_id, "snapshot": campaign.snapshot_id}
    for ext_id, member in campaign.members.items():
        who = ext_id.removeprefix("KH-").lower()
        names |= {
            f"{who}_profile": member.profile_id,
            f"{who}_event": member.event_id,
            f"{who}_task": member.task_id,
            f"{who}_delivery": member.delivery_id,
        }
    return names


def _apply(admin_conn: Connection, way: Break, campaign: BuiltCampaign) -> None:
    """Break the data of one tenant with triggers and foreign keys off."""
    with admin_conn.transaction(), admin_conn.cursor() as cursor:
        cursor.execute("set local session_replication_role = replica")
        for statement in way.statements:
            cursor.execute(statement, _names(campaign))
            assert cursor.rowcount in (1, -1), f"broke {cursor.rowcount} rows: {statement}"


def _failed(report: QualityReport) -> set[str]:
    """Return the names of the checks that failed."""
    return {result.check.name for result in report.failures}


def _found(report: QualityReport, way: Break) -> str:
    """Return how the report describes what the break did."""
    (result,) = (result for result in report.results if result.check.name == way.check)
    return result.describe()


def test_every_check_has_a_break_of_its_own() -> None:
    assert [way.check for way in RAW_IN] == [check.name for check in SUITES["raw_in"]]
    assert [way.check for way in LEDGER_OUT] == [check.name for check in SUITES["ledger_out"]]


def test_sound_data_passes_every_check(check: Run, campaign: BuiltCampaign) -> None:
    reports = [
        check("raw_in"),
        check("ledger_out", snapshot_id=campaign.snapshot_id),
        check("ledger_out", run_id=campaign.run_id),
        check("ledger_out", days=3),
    ]
    for report in reports:
        assert _failed(report) == set()
        report.raise_for_failure()
    assert reports[2].snapshot_id == campaign.snapshot_id
    assert reports[1].run_id == campaign.run_id


@pytest.mark.parametrize("way", RAW_IN, ids=lambda way: way.check)
def test_the_ingest_suite_names_what_is_broken(
    way: Break, check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    _apply(admin_conn, way, campaign)

    report = check("raw_in")

    assert _failed(report) == {way.check} | way.also
    assert str(_names(campaign).get(way.row, way.row)) in _found(report, way)


@pytest.mark.invariant(4)
@pytest.mark.parametrize("way", LEDGER_OUT, ids=lambda way: way.check)
def test_the_ledger_suite_names_what_is_broken(
    way: Break, check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    names = _names(campaign)
    names["sent_message"] = _message_key(admin_conn, campaign)
    _apply(admin_conn, way, campaign)

    of_the_run = check("ledger_out", snapshot_id=campaign.snapshot_id)
    of_the_ledger = check("ledger_out", days=3)

    if way.is_of_events:
        assert _failed(of_the_run) == set()
    for report in (of_the_ledger,) if way.is_of_events else (of_the_run, of_the_ledger):
        assert way.check in _failed(report)
        assert _failed(report) <= {way.check} | way.also
        assert str(names.get(way.row, way.row)) in _found(report, way)


def test_one_tenants_ruin_does_not_show_in_the_others_report(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    ways = [way for way in (*RAW_IN, *LEDGER_OUT) if not any("drop" in s for s in way.statements)]
    for way in ways:
        with admin_conn.transaction():
            # Some breaks take away what a later one would hit.
            admin_conn.execute("set local session_replication_role = replica")
            for statement in way.statements:
                admin_conn.execute(statement, _names(campaign))

    ruined = _failed(check("ledger_out", snapshot_id=campaign.snapshot_id))

    assert len(ruined) > 10
    assert _failed(check("raw_in", "tenant_b")) == set()
    assert _failed(check("ledger_out", "tenant_b", run_id=campaign.run_id)) == set()
    assert _failed(check("ledger_out", "tenant_b", days=3)) == set()


@pytest.mark.invariant(8)
def test_a_critical_failure_raises_with_check_rows_ids_and_remedy(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    (way,) = (way for way in LEDGER_OUT if way.check == "expect_members_to_have_outcome")
    _apply(admin_conn, way, campaign)
    report = check("ledger_out", snapshot_id=campaign.snapshot_id)

    with pytest.raises(QualityError) as raised:
        report.raise_for_failure()

    lines = str(raised.value).splitlines()
    assert lines[0] == (
        f"3 of {len(SUITES['ledger_out'])} checks of ledger_out failed for tenant 'tenant_a', "
        f"snapshot {campaign.snapshot_id}, run 'run-1':"
    )
    (line,) = (line for line in lines if "expect_members_to_have_outcome" in line)
    assert ": 1 row, first: ext_id=KH-OTHER profile_id=" in line
    assert line.endswith("what is missing is added, nothing doubled.")
    assert lines[-1] == f"Report: {report.report_page}"


def test_a_warning_is_shown_but_stops_nothing(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    (way,) = (way for way in LEDGER_OUT if way.check == "expect_unknown_deliveries_to_be_resolved")
    _apply(admin_conn, way, campaign)

    report = check("ledger_out", snapshot_id=campaign.snapshot_id)

    assert _failed(report) == {way.check}
    assert report.is_success
    report.raise_for_failure()


def test_merged_profiles_may_lead_to_the_survivor_over_others(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    merge = (
        "update cdp_profiles set lifecycle = 'merged', merged_into_ext_id = %s where ext_id = %s"
    )
    admin_conn.execute(merge + " and tenant_id = 'tenant_a'", ("KH-FAILED", "KH-SENT"))
    admin_conn.execute(merge + " and tenant_id = 'tenant_a'", ("KH-OTHER", "KH-FAILED"))
    assert _failed(check("raw_in")) == set()

    admin_conn.execute(merge + " and tenant_id = 'tenant_a'", ("KH-SENT", "KH-OTHER"))
    (failure,) = check("raw_in").failures
    assert (failure.check.name, failure.row_count) == ("expect_merged_profiles_to_have_survivor", 3)


def test_a_refusal_after_the_message_left_is_no_offence(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    admin_conn.execute(
        "insert into consent (tenant_id, profile_id, channel, decision, source, recorded_at)"
        " values ('tenant_a', %s, 'email', 'refused', 'unsubscribe', %s)",
        (campaign.members["KH-SENT"].profile_id, campaign.now + timedelta(seconds=1)),
    )
    assert _failed(check("ledger_out", snapshot_id=campaign.snapshot_id)) == set()


def test_an_audit_leaves_young_work_alone_and_a_finished_run_does_not(
    check: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    admin_conn.execute("set session_replication_role = replica")
    admin_conn.execute(
        "update agent_task set status = 'pending' where task_id = %(sent_task)s", _names(campaign)
    )
    assert _failed(check("ledger_out", days=0.5)) == set()
    overdue = {"expect_tasks_to_be_decided"}
    assert _failed(check("ledger_out", days=3)) == overdue
    assert _failed(check("ledger_out", days=0.5, snapshot_id=campaign.snapshot_id)) == overdue


def _message_key(admin_conn: Connection, campaign: BuiltCampaign) -> object:
    """Return the message key of the sent delivery."""
    row = admin_conn.execute(
        "select message_key from delivery_log where delivery_id = %(sent_delivery)s",
        _names(campaign),
    ).fetchone()
    assert row is not None
    return row["message_key"]
