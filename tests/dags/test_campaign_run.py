"""The marketer's form, and the path that a campaign takes."""

from __future__ import annotations

import re

import pytest

from leo_activation.channels.registry import PROVIDERS
from leo_activation.paths import DBT_PROJECT


@pytest.fixture
def campaign(bag):
    return bag.dags["campaign_run"]


def test_form_offers_the_configured_tenants(campaign):
    assert campaign.params.get_param("tenant").schema["enum"] == ["tenant_a", "tenant_b"]


def test_form_speaks_vietnamese(campaign):
    titles = {name: campaign.params.get_param(name).schema["title"] for name in campaign.params}
    assert titles == {
        "tenant": "Cửa hàng",
        "segment": "Phân khúc",
        "instruction": "Chỉ dẫn",
        "mode": "Cách quyết định",
        "campaign_code": "Mã chiến dịch",
        "channels": "Kênh được dùng",
        "quiet_hours": "Ngoài giờ được gửi",
        "dry_run": "Chạy thử",
        "needs_approval": "Chờ duyệt",
        "run_key": "Danh sách đã chốt",
    }


def test_form_offers_every_segment_that_dbt_builds_by_its_name(campaign):
    built = {
        path.stem.removeprefix("seg_"): re.search(r"'name': '([^']+)'", path.read_text())[1]
        for path in DBT_PROJECT.glob("models/segments/seg_*.sql")
    }
    schema = campaign.params.get_param("segment").schema
    assert schema["values_display"] == built
    assert set(schema["enum"]) == set(built)


def test_form_offers_the_channels_that_can_send(campaign):
    offered = campaign.params.get_param("channels").schema["items"]["enum"]
    assert set(offered) == set(PROVIDERS)


def test_nothing_leaves_before_the_release(campaign):
    released = campaign.get_task("release_campaign").get_flat_relative_ids(upstream=False)
    assert {"dispatch_bulk", "dispatch_realtime"} <= released
    assert "approve_campaign" in campaign.get_task("release_campaign").upstream_task_ids


def test_realtime_channels_do_not_wait_behind_bulk_mail(campaign):
    realtime, bulk = campaign.get_task("dispatch_realtime"), campaign.get_task("dispatch_bulk")
    assert (realtime.partial_kwargs["pool"], realtime.partial_kwargs["queue"]) == (
        "priority_high",
        "priority_high",
    )
    assert bulk.pool == "default_pool"


def test_approval_can_be_asked_again(campaign):
    assert campaign.get_task("approve_campaign").retries == 1


def test_run_ends_with_checks_and_report(campaign):
    assert "verify_campaign" in campaign.get_task("report_campaign").upstream_task_ids
    assert "settle_campaign" in campaign.get_task("verify_campaign").upstream_task_ids
    assert [task.task_id for task in campaign.leaves] == ["report_campaign"]


@pytest.mark.parametrize(
    ("params", "answer", "reason"),
    [
        ({"dry_run": True}, None, "dry_run"),
        ({"dry_run": False}, None, ""),
        ({"dry_run": False}, {"chosen_options": ["Approve"]}, ""),
        ({"dry_run": False}, {"chosen_options": ["Reject"]}, "not_approved"),
    ],
)
def test_messages_are_withdrawn_when_nobody_released_them(campaign, params, answer, reason):
    class Instance:
        def xcom_pull(self, task_ids):
            return answer if task_ids == "approve_campaign" else None

    task = campaign.get_task("settle_campaign")
    template = campaign.get_template_env().from_string(task.withdraw_reason)
    assert template.render(params=params, ti=Instance()) == reason


@pytest.mark.parametrize(("run_key", "key"), [(None, "manual__1"), ("api:k-1", "api:k-1")])
def test_a_run_works_under_its_own_key_or_that_of_the_run_that_froze_before(campaign, run_key, key):
    for task_id in ("compile_plan", "freeze_segment"):
        template = campaign.get_template_env().from_string(campaign.get_task(task_id).for_run)
        assert template.render(params={"run_key": run_key}, run_id="manual__1") == key
