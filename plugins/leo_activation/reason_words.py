"""What the ledger's statuses and reasons are called in the pages that marketers read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STATUS_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "queued": "chờ gửi",
        "sending": "đang gửi",
        "sent": "đã gửi",
        "failed": "thất bại",
        "unknown": "chưa rõ kết quả",
        "retry": "sẽ thử lại",
        "skipped": "không gửi",
    }
)

_POLICY = {
    "condition_false": "không thỏa điều kiện",
    "no_decision": "không có quyết định",
    "no_consent": "khách không đồng ý nhận",
    "profile_gone": "khách đã bị gộp hoặc xóa",
    "suppressed": "địa chỉ bị chặn",
    "frequency_cap": "đã nhận đủ số tin",
    "quiet_hours": "ngoài giờ được gửi",
    "holdout": "nhóm đối chứng",
    "no_address": "không có địa chỉ",
    "already_sent": "đã nhận chiến dịch này",
    "dry_run": "chạy thử",
    "not_approved": "không được duyệt",
    "campaign_cancelled": "chiến dịch đã hủy",
    "expired": "quá hạn, không còn phù hợp để gửi",
}
_RECIPIENT = {
    "invalid_address": "địa chỉ sai",
    "hard_bounce": "hộp thư không tồn tại",
    "no_live_device": "không còn thiết bị nào nhận được",
    "unregistered": "thiết bị đã gỡ ứng dụng",
    "sender_id_mismatch": "thiết bị thuộc ứng dụng khác",
    "chat_not_found": "không tìm thấy cuộc trò chuyện",
    "blocked": "khách đã chặn, hoặc hộp thư từ chối tin này",
    "deactivated": "tài khoản của khách đã bị khóa",
    "kicked": "bot đã bị đưa ra khỏi nhóm",
    "never_started": "khách chưa bắt đầu trò chuyện với bot",
    "not_a_member": "bot không ở trong nhóm",
    "no_account": "số này không có Zalo",
    "cannot_receive": "tài khoản Zalo không nhận được tin",
    "app_too_old": "Zalo của khách quá cũ hoặc chưa có Zalo",
    "inactive": "khách lâu không dùng Zalo",
    "no_opt_in": "khách chưa đồng ý nhận tin Zalo",
    "refused": "bị từ chối",
    "refused_type": "khách từ chối loại tin này",
    "refused_promotion": "khách không nhận tin khuyến mại",
    "out_of_reach": "khách chưa quan tâm hoặc đã lâu không tương tác",
    "complaint": "khách báo là thư rác",
    "unsubscribed": "khách đã hủy đăng ký",
    "resubscribed": "khách đăng ký lại",
    "stop_command": "khách yêu cầu dừng",
    "start_command": "khách bắt đầu trò chuyện",
    "unblocked": "khách bỏ chặn",
}
_MESSAGE = {
    "invalid_message": "nội dung tin không hợp lệ",
    "invalid_argument": "nhà cung cấp không hiểu nội dung tin",
    "invalid_request": "yêu cầu gửi không hợp lệ",
    "too_large": "tin quá lớn",
    "encryption": "lỗi mã hóa tin",
    "journey_token": "thiếu mã hành trình của Zalo",
    "upload": "lỗi tệp đính kèm",
    "policy_refusal": "máy chủ thư từ chối nội dung",
    "dropped": "nhà cung cấp bỏ tin",
}
_TEMPLATE = {
    "template_error": "mẫu tin không điền được",
    "template_data": "dữ liệu không khớp mẫu tin",
    "template_data_in_a_row": "nhiều tin liên tiếp không khớp mẫu",
    "template_unknown": "nhà cung cấp không có mẫu tin này",
    "template_unreadable": "không đọc được mô tả mẫu tin",
    "template_disabled": "mẫu tin đã bị tắt",
    "template_not_approved": "mẫu tin chưa được duyệt",
    "template_not_permitted": "không được phép dùng mẫu tin này",
    "template_refused": "nhà cung cấp từ chối mẫu tin",
    "content_not_permitted": "không được phép gửi loại nội dung này",
    "invalid_template": "mã mẫu tin sai",
    "test_template": "mẫu thử chỉ gửi được cho quản trị viên",
}
_ACCOUNT = {
    "app_refused": "ứng dụng Zalo không hợp lệ",
    "oa_refused": "tài khoản OA không hợp lệ",
    "oa_blocked": "tài khoản OA bị khóa hoặc chưa xác thực",
    "feature_missing": "tài khoản OA chưa có tính năng này",
    "permission_missing": "ứng dụng chưa được cấp quyền",
    "permission_denied": "tài khoản dịch vụ chưa được cấp quyền",
    "proof_refused": "chữ ký của ứng dụng bị từ chối",
    "no_money": "tài khoản hết tiền",
    "credits_exhausted": "đã dùng hết hạn mức trả trước",
    "token_refused": "mã truy cập bị từ chối",
    "grant_lost": "mất quyền truy cập, cần cấp lại",
    "renewal_failed": "chưa gia hạn được mã truy cập",
    "key_refused": "khóa API bị từ chối",
    "forbidden": "người gửi chưa được xác minh hoặc thiếu quyền",
    "credential_refused": "tài khoản dịch vụ bị từ chối",
    "third_party_auth": "khóa APNs hoặc web bị từ chối",
    "wrong_project": "sai dự án Firebase",
    "wrong_address": "sai địa chỉ dịch vụ",
    "conflict": "bot đang được dùng ở nơi khác",
    "auth_refused": "máy chủ thư từ chối đăng nhập",
    "auth_required": "máy chủ thư đòi đăng nhập hoặc mã hóa",
    "sender_refused": "máy chủ thư từ chối người gửi",
    "server_incapable": "máy chủ không hỗ trợ cách kết nối này",
    "tls_refused": "không lập được kết nối mã hóa",
    "unexpected_answer": "dịch vụ trả lời lạ, cần kiểm tra địa chỉ",
}
_LATER = {
    "throttled": "nhà cung cấp yêu cầu gửi chậm lại",
    "night": "giờ đêm của Zalo",
    "oa_quota": "hết hạn mức của OA",
    "oa_daily_quota": "hết hạn mức ngày của OA",
    "oa_monthly_promotion_quota": "hết hạn mức khuyến mại tháng của OA",
    "template_daily_quota": "hết hạn mức ngày của mẫu tin",
    "recipient_limit": "khách đã nhận đủ tin từ OA",
    "recipient_daily_limit": "khách đã nhận đủ tin khuyến mại trong ngày",
    "recipient_monthly_limit": "khách đã nhận đủ tin khuyến mại trong tháng",
    "released": "chưa gửi, trả lại hàng chờ",
    "temporary_refusal": "máy chủ thư bận, hẹn lại",
    "auth_unavailable": "máy chủ thư chưa cho đăng nhập",
    "provider_error": "lỗi phía nhà cung cấp",
    "connection_lost": "không kết nối được",
    "deferred": "nhà cung cấp đang gửi lại",
    "attempts_exhausted": "đã thử đủ số lần",
}
_UNKNOWN = {
    "no_answer": "đã gửi đi nhưng không có trả lời",
    "bad_answer": "trả lời của nhà cung cấp không đọc được",
    "lease_expired": "tiến trình gửi dừng giữa chừng",
    "channel_defect": "lỗi phần mềm trong lúc gửi",
    "unlisted_code": "mã lỗi chưa có trong bảng",
    "status_lookup": "theo tra cứu trạng thái",
    "unspecified": "không rõ lý do",
}

REASON_WORDS: Mapping[str, str] = MappingProxyType(
    _POLICY | _RECIPIENT | _MESSAGE | _TEMPLATE | _ACCOUNT | _LATER | _UNKNOWN
)
