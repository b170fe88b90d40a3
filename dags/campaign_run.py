"""The marketer's campaign: compile, freeze, decide, approve, send, verify, report."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import TriggerRule, dag, task

from operators.campaign_form import REALTIME_CHANNELS, campaign_form
from operators.compile_plan_operator import CompilePlanOperator
from operators.decide_batch_operator import DecideBatchOperator
from operators.dispatch_channel_operator import DispatchChannelOperator
from operators.freeze_segment_operator import FreezeSegmentOperator
from operators.plan_batches_operator import PlanBatchesOperator
from operators.report_campaign_operator import ReportCampaignOperator
from operators.run_suite_operator import RunSuiteOperator
from operators.settle_campaign_operator import SettleCampaignOperator

DOC = """
### Chạy một chiến dịch
AI đọc chỉ dẫn; danh sách khách của phân khúc được chốt; mỗi khách có một quyết định; bạn duyệt;
tin được gửi; cuối cùng kiểm tra rằng mỗi khách có đúng một kết quả.

**Đầu vào.** Cửa hàng, phân khúc, chỉ dẫn, mã chiến dịch, kênh. **Đầu ra.** Danh sách đã chốt (không
bao giờ đổi), kết quả của từng khách, báo cáo. Các nút trên mỗi bước mở trang chi tiết.

**Chạy lại.** Luôn an toàn: một mã chiến dịch không gửi cho một khách hai lần. Bước lỗi thì *Clear*.

**Khi có lỗi.** `compile_plan`: viết lại chỉ dẫn. `freeze_segment`: chạy `segments_build`.
`dispatch_*`: xem nhật ký của nhà cung cấp. `verify_campaign`: chuyển cho kỹ sư dữ liệu.
"""
TENANT = "{{ params.tenant }}"
RUN = dict(tenant_id=TENANT, for_run="{{ params.run_key or run_id }}")  # finds what is frozen
WITHDRAW_REASON = """{%- set answer = ti.xcom_pull(task_ids='approve_campaign') or {} -%}
{{ 'dry_run' if params.dry_run else 'not_approved' if 'Reject' in answer.chosen_options|d([]) }}"""


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=16,  # one that waits for an answer or a later message holds no worker
    tags=["campaign", "marketing"],
    default_args={"owner": "marketing", "retries": 4, "retry_delay": timedelta(seconds=10)},
    params=campaign_form(),
    doc_md=DOC,
)
def campaign_run() -> None:
    """Wire the steps."""
    compile_plan = CompilePlanOperator(
        task_id="compile_plan",
        **RUN,
        campaign_code="{{ params.campaign_code }}",
        instruction="{{ params.instruction }}",
        mode="{{ params.mode }}",
        channels="{{ params.channels|join(',') }}",
        quiet_hours="{{ params.quiet_hours }}",
    )
    freeze_segment = FreezeSegmentOperator(
        task_id="freeze_segment",
        **RUN,
        segment_key="{{ params.segment }}",
        campaign_id=compile_plan.output["campaign_id"],
    )
    snapshot = dict(tenant_id=TENANT, snapshot_id=freeze_segment.output["snapshot_id"])
    plan_batches = PlanBatchesOperator(task_id="plan_batches", **snapshot)
    decide_batch = DecideBatchOperator.partial(
        task_id="decide_batch", plan_id=compile_plan.output["plan_id"], **snapshot
    ).expand_kwargs(plan_batches.output)
    preview_campaign = ReportCampaignOperator(task_id="preview_campaign", **snapshot)
    approve_campaign = ApprovalOperator(
        task_id="approve_campaign",
        subject="Duyệt gửi chiến dịch {{ params.campaign_code }} của {{ params.tenant }}?",
        body="{{ ti.xcom_pull(task_ids='preview_campaign') }}",
        response_timeout=timedelta(hours=24),
        defaults="Reject",
        retries=1,
    )

    @task.branch
    def choose_path(params: dict[str, Any]) -> str:
        """Go on to the approval, straight to sending, or past both for a dry run."""
        if params["dry_run"]:
            return "settle_campaign"
        return "approve_campaign" if params["needs_approval"] else "release_campaign"

    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    def release_campaign() -> None:
        """Mark the point from which messages may leave."""

    @task
    def list_channels(realtime: bool, params: dict[str, Any]) -> list[str]:
        """Return the chosen channels that must not wait behind bulk mail, or the others."""
        return [name for name in params["channels"] if (name in REALTIME_CHANNELS) == realtime]

    path, release = choose_path(), release_campaign()
    bulk = list_channels.override(task_id="bulk_channels")(realtime=False)
    realtime = list_channels.override(task_id="realtime_channels")(realtime=True)
    dispatch_bulk = DispatchChannelOperator.partial(task_id="dispatch_bulk", **snapshot).expand(
        channel=bulk
    )
    dispatch_realtime = DispatchChannelOperator.partial(
        task_id="dispatch_realtime", pool="priority_high", queue="priority_high", **snapshot
    ).expand(channel=realtime)
    settle_campaign = SettleCampaignOperator(
        task_id="settle_campaign",
        withdraw_reason=WITHDRAW_REASON,
        trigger_rule=TriggerRule.NONE_FAILED,
        **snapshot,
    )
    verify_campaign = RunSuiteOperator(task_id="verify_campaign", suite="ledger_out", **snapshot)
    report_campaign = ReportCampaignOperator(task_id="report_campaign", **snapshot)

    decide_batch >> preview_campaign >> path >> [approve_campaign, release, settle_campaign]
    approve_campaign >> release >> [bulk, realtime]
    [dispatch_bulk, dispatch_realtime] >> settle_campaign >> verify_campaign >> report_campaign


campaign_run()
