"""The checks: what each promises, how bad a break is, and what to do about it.

The SQL of a check is the query of the same name in ``include/sql/quality.sql``; a row it returns is
a row that breaks the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warning", "critical"]
SuiteName = Literal["raw_in", "ledger_out"]


@dataclass(frozen=True, slots=True)
class Check:
    """One rule over the data.

    :param name: of the check and of its query.
    :param meaning_vi: the rule, for the marketer who reads the report.
    :param remedy: what an engineer does when rows break it.
    :param severity: a critical failure stops the run, a warning is only shown.
    """

    name: str
    meaning: str
    meaning_vi: str
    remedy: str
    severity: Severity = "critical"


RAW_IN = (
    Check(
        "expect_profile_ids_to_be_derived",
        "Every profile has an ext_id, and its profile_id is the hash of tenant and ext_id",
        "Mỗi khách hàng có đúng một mã định danh",
        "Somebody wrote around the ingest; delete the rows and ingest them again.",
    ),
    Check(
        "expect_profiles_to_be_unique",
        "No customer has two profiles",
        "Không khách hàng nào có hai hồ sơ",
        "Restore cdp_profiles_tenant_id_ext_id_uq (`leo db init`) after removing the extra rows.",
    ),
    Check(
        "expect_profile_lifecycles_to_be_known",
        "Every profile is active, merged, inactive or deleted",
        "Trạng thái của mọi hồ sơ đều hợp lệ",
        "Map the source's status in the ingest mapping, then ingest again.",
    ),
    Check(
        "expect_profile_mobiles_to_be_valid",
        "Every phone number is 84 and the nine digits of a mobile",
        "Mọi số điện thoại đều đúng định dạng 84…",
        "The number has to become a reject: fix the normaliser, then ingest again.",
    ),
    Check(
        "expect_profile_emails_to_be_valid",
        "Every e-mail address can be one",
        "Mọi địa chỉ e-mail đều đúng định dạng",
        "The address has to become a reject: fix the normaliser, then ingest again.",
    ),
    Check(
        "expect_merged_profiles_to_have_survivor",
        "A merged profile leads to a profile that is there and not merged itself",
        "Hồ sơ đã gộp luôn trỏ đến hồ sơ còn lại",
        "Run profiles_ingest with a full manifest; if the survivor was refused, see ingest_reject.",
    ),
    Check(
        "expect_reject_share_to_be_bounded",
        "Few documents of the source are refused",
        "Tỷ lệ hồ sơ bị từ chối ở mức chấp nhận được",
        "Read the reasons in ingest_reject; adapt the tenant's mapping in tenant.settings.",
    ),
    Check(
        "expect_watermark_to_exist",
        "A tenant with profiles has a watermark",
        "Đã ghi lại mốc đồng bộ với CDP",
        "Run profiles_ingest with a full manifest: it writes data and watermark together.",
    ),
    Check(
        "expect_source_to_be_fresh",
        "The source was read not long ago",
        "Dữ liệu khách hàng vừa được cập nhật",
        "See why profiles_ingest did not run; decisions made now rest on old facts.",
        severity="warning",
    ),
)

LEDGER_OUT = (
    Check(
        "expect_delivery_tasks_to_exist",
        "Every delivery belongs to a decision",
        "Mọi tin nhắn đều gắn với một quyết định",
        "Orphaned rows were written around the ledger; keep them, find the writer.",
    ),
    Check(
        "expect_delivery_events_to_exist",
        "Every delivery belongs to an event",
        "Mọi tin nhắn đều gắn với một sự kiện",
        "Orphaned rows were written around the ledger; keep them, find the writer.",
    ),
    Check(
        "expect_delivery_members_to_exist",
        "Every delivery of a snapshot goes to one of its members",
        "Tin nhắn chỉ đến với khách hàng trong danh sách đã chốt",
        "Rows were written around the ledger; keep them, find the writer.",
    ),
    Check(
        "expect_deliveries_to_agree_with_tasks",
        "A delivery and its decision name the same event, customer, campaign and snapshot",
        "Tin nhắn và quyết định nói về cùng một khách hàng và chiến dịch",
        "Rows were written around the ledger; keep them, find the writer.",
    ),
    Check(
        "expect_delivery_ids_to_be_derived",
        "Delivery and message ids are the hashes that the schema defines",
        "Mã tin nhắn được tạo đúng quy tắc",
        "Stop dispatching for the tenant: a changed id can send a message twice.",
    ),
    Check(
        "expect_decided_tasks_to_have_trace",
        "Every decision has its plan, trace and summary",
        "Mọi quyết định đều kèm lý do",
        "The decision engine lost its trace: fix it before the next run.",
    ),
    Check(
        "expect_decided_tasks_to_follow_plan_of_run",
        "Every decision points to the plan that the model made for its run",
        "Mọi quyết định đều theo kế hoạch của lần chạy này",
        "The decision engine lost the plan's id: fix it before the next run.",
    ),
    Check(
        "expect_tasks_to_be_decided",
        "When the run ends, every task has been decided",
        "Không còn khách hàng nào đang chờ quyết định",
        "Clear the decide tasks of the run in Airflow: deciding again is safe.",
    ),
    Check(
        "expect_events_to_set_off_their_tasks",
        "Every event that a rule waited for has its task",
        "Mọi sự kiện có quy tắc đều dẫn đến một quyết định",
        "An event was stored around the intake, or the rule was not read: post it again (safe).",
    ),
    Check(
        "expect_arrived_tasks_to_be_decided_soon",
        "What an event set off is decided within a quarter of an hour",
        "Sự kiện được xử lý ngay, không tồn đọng quá 15 phút",
        "See why events_process does not run or what its log says; `leo events process` helps out.",
    ),
    Check(
        "expect_triggered_tasks_to_have_outcome",
        "Every customer whom an event chose has an outcome",
        "Mọi khách hàng có sự kiện đều có kết quả",
        "A writer went around the ledger: find it. A task that is only not completed is completed "
        "by the next worker.",
    ),
    Check(
        "expect_fallbacks_to_be_rare",
        "The model decided, and seldom a fallback or nobody",
        "AI quyết định cho hầu hết khách hàng, hiếm khi phải dùng dự phòng",
        "See `leo fallback sources` and the plan's verdict_reason: the gateway was away, or its "
        "output broke the rules.",
        severity="warning",
    ),
    Check(
        "expect_tasks_to_have_planned_outcomes",
        "A decision has one delivery per planned send, or one skipped row when nothing was planned",
        "Mỗi tin theo kế hoạch có đúng một kết quả",
        "Clear the decide tasks of the run in Airflow: what is missing is added, nothing doubled.",
    ),
    Check(
        "expect_members_to_have_outcome",
        "Every member of the snapshot has an outcome",
        "Mọi khách hàng trong danh sách đều có kết quả",
        "Clear the decide tasks of the run in Airflow: what is missing is added, nothing doubled.",
    ),
    Check(
        "expect_outcome_counts_to_match_snapshots",
        "As many customers were decided and have an outcome as the snapshot has members",
        "Số kết quả bằng số khách hàng trong danh sách",
        "Too few: clear the decide tasks of the run. Too many: find who wrote around the ledger.",
    ),
    Check(
        "expect_manifests_to_match_members",
        "The members of a snapshot still give its manifest",
        "Danh sách đã chốt không bị thay đổi",
        "Somebody changed a frozen audience: compare with a backup before using the snapshot.",
    ),
    Check(
        "expect_profiles_to_list_their_snapshots",
        "The profile of every member lists the snapshot",
        "Hồ sơ khách hàng ghi lại mọi danh sách đã tham gia",
        "Append the snapshot's id to segment_snapshots of the profile.",
    ),
    Check(
        "expect_deliveries_to_be_settled",
        "Every delivery is sent, failed, unknown, skipped or waiting for a time to come",
        "Không còn tin nhắn nào dang dở",
        "Dispatch the channel again (safe), or resume it if it is paused in channel_credential.",
    ),
    Check(
        "expect_sending_leases_to_be_alive",
        "Nothing is in sending past its lease",
        "Không tin nhắn nào kẹt ở trạng thái đang gửi",
        "Run deliveries_reconcile: it makes them unknown and looks for the outcome.",
    ),
    Check(
        "expect_messages_to_be_live_once",
        "No customer has two live messages of one campaign, channel and step",
        "Không khách hàng nào nhận trùng một tin",
        "Pause the channel and restore delivery_log_message_key_uq (`leo db init`).",
    ),
    Check(
        "expect_sent_deliveries_to_have_time_and_attempt",
        "Every sent message has its time and its attempt",
        "Mọi tin đã gửi đều có thời điểm gửi",
        "A writer skipped the dispatcher; find it, the message may have left or not.",
    ),
    Check(
        "expect_skipped_deliveries_to_have_reason",
        "Every skipped message has its reason",
        "Mọi tin bị bỏ qua đều có lý do",
        "The policy that skipped it has to give its reason code: fix it before the next run.",
    ),
    Check(
        "expect_refusals_to_be_respected",
        "No advertising left on a channel that the customer had refused",
        "Không gửi quảng cáo cho người đã từ chối",
        "Pause the channel at once: this breaks the law. Then find why the policy let it through.",
    ),
    Check(
        "expect_suppressions_to_be_respected",
        "Nothing left to an address after it was stopped",
        "Không gửi đến địa chỉ đã bị chặn",
        "Pause the channel at once. Then find why the policy let it through: message_policy().",
    ),
    Check(
        "expect_sends_to_keep_hours",
        "Advertising left in the permitted hours only",
        "Quảng cáo chỉ được gửi trong giờ cho phép",
        "Pause the channel at once: this breaks the law. Then look at quiet_until() and the hours "
        "in tenant.settings.",
    ),
    Check(
        "expect_sends_to_leave_before_expiry",
        "Nothing left after its time was over",
        "Không gửi tin đã quá hạn",
        "The claim has to skip it as expired: look at claim_batch and the dispatcher's clock.",
    ),
    Check(
        "expect_caps_to_hold",
        "No address got more advertising in 24 hours than its cap",
        "Không địa chỉ nào nhận quá số tin quảng cáo trong 24 giờ",
        "Pause the channel at once: this breaks the law. Then look at message_policy() and at the "
        "lock that the claim takes on the address.",
    ),
    Check(
        "expect_receipts_to_be_merged",
        "What providers reported stands in the ledger",
        "Mọi báo cáo của nhà cung cấp đã được ghi vào sổ",
        "Run deliveries_reconcile; a fact that stays missing was stored around the feedback.",
    ),
    Check(
        "expect_settled_unknowns_to_name_who",
        "Every lost outcome that was settled says by whom",
        "Mọi tin chưa rõ kết quả khi được xác nhận đều ghi người xác nhận",
        "Somebody settled it around the ledger; find out who, and whether the message arrived.",
    ),
    Check(
        "expect_unknown_deliveries_to_be_resolved",
        "Outcomes that were lost have been looked for",
        "Các tin chưa rõ kết quả đã được đối soát",
        "Run deliveries_reconcile; what is left is settled by a person (`leo campaign unknown`, "
        "`settle-unknown`).",
        severity="warning",
    ),
)

SUITES: dict[SuiteName, tuple[Check, ...]] = {"raw_in": RAW_IN, "ledger_out": LEDGER_OUT}
SUBJECT_TABLE: dict[SuiteName, str] = {"raw_in": "cdp_profiles", "ledger_out": "delivery_log"}
