"""The words that training sentences are made of.

Nothing of the evaluation set is written from these tables. A concept has several names, so the
model learns to find a name by its meaning in the catalogue instead of remembering it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """Something that a catalogue may contain and a sentence may mention."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    vi: tuple[str, ...]
    en: tuple[str, ...]


@dataclass(frozen=True)
class Measure:
    """A numeric attribute and the ways to talk about it; ``{}`` takes comparison and amount."""

    names: tuple[str, ...]
    unit: str
    labels: tuple[str, ...]
    vi: tuple[str, ...]
    en: tuple[str, ...]


CHANNELS = {
    "email": (("email", "e-mail", "mail", "thư điện tử"), ("email", "e-mail", "mail")),
    "telegram": (("Telegram", "tin Telegram", "tele"), ("Telegram", "Telegram message")),
    "zalo": (("Zalo", "tin Zalo", "ZNS"), ("Zalo", "Zalo message")),
    "push": (("push", "thông báo đẩy", "thông báo trên app"), ("push", "push notification")),
    "sms": (("SMS", "tin nhắn SMS"), ("SMS", "text message")),
}

TEMPLATES = (
    Concept(
        ("thank_you", "tri_an", "loi_cam_on", "thanks", "appreciation_letter"),
        ("Tri ân khách hàng", "Cảm ơn", "Lời tri ân", "Thư cảm ơn khách hàng"),
        ("tri ân", "cảm ơn", "lời tri ân", "lời cảm ơn"), ("thank-you", "appreciation"),
    ),
    Concept(
        ("win_back", "moi_quay_lai", "come_back", "nhac_mua_lai", "we_miss_you"),
        ("Mời quay lại", "Nhắc mua lại", "Mời khách quay lại mua sắm"),
        ("mời quay lại", "kêu gọi trở lại", "nhắc mua lại"), ("win-back", "we miss you"),
    ),
    Concept(
        ("reminder", "nhac_nho", "nhac_lai", "follow_up", "gentle_reminder"),
        ("Nhắc nhở", "Nhắc lại", "Tin nhắc nhở"),
        ("nhắc nhở", "nhắc lại", "nhắc"), ("reminder", "follow-up"),
    ),
    Concept(
        ("birthday", "sinh_nhat", "chuc_mung_sinh_nhat", "happy_birthday"),
        ("Chúc mừng sinh nhật", "Sinh nhật", "Quà sinh nhật"),
        ("chúc mừng sinh nhật", "mừng sinh nhật", "chúc sinh nhật"), ("birthday greeting",),
    ),
    Concept(
        ("new_arrivals", "hang_moi", "bo_suu_tap_moi", "new_collection"),
        ("Hàng mới về", "Bộ sưu tập mới", "Giới thiệu hàng mới"),
        ("hàng mới về", "giới thiệu bộ sưu tập mới", "hàng mới"), ("new arrivals",),
    ),
    Concept(
        ("voucher", "ma_giam_gia", "uu_dai", "discount_code", "vip_offer"),
        ("Ưu đãi", "Mã giảm giá", "Tặng voucher", "Ưu đãi đặc biệt"),
        ("ưu đãi", "mã giảm giá", "voucher", "khuyến mãi"), ("discount", "special offer"),
    ),
    Concept(
        ("welcome", "chao_mung", "welcome_new", "chao_khach_moi"),
        ("Chào mừng", "Chào mừng khách mới", "Lời chào"),
        ("chào mừng", "lời chào"), ("welcome",),
    ),
    Concept(
        ("cart_reminder", "gio_hang", "abandoned_cart", "gio_hang_bo_quen"),
        ("Giỏ hàng bỏ quên", "Nhắc giỏ hàng"),
        ("về giỏ hàng bỏ quên", "giỏ hàng"), ("abandoned cart",),
    ),
    Concept(
        ("survey", "khao_sat", "feedback", "danh_gia"),
        ("Khảo sát", "Xin ý kiến", "Mời đánh giá"),
        ("khảo sát", "xin ý kiến", "mời đánh giá"), ("survey", "feedback request"),
    ),
    Concept(
        ("event_invite", "moi_su_kien", "invitation"),
        ("Mời sự kiện", "Thư mời sự kiện"),
        ("mời sự kiện", "mời dự sự kiện"), ("event invitation",),
    ),
    Concept(
        ("loyalty_points", "diem_thuong", "points_update"),
        ("Điểm thưởng", "Cập nhật điểm tích lũy"),
        ("về điểm thưởng", "điểm tích lũy"), ("loyalty points update",),
    ),
    Concept(
        ("tet_greeting", "chuc_tet", "holiday"),
        ("Chúc Tết", "Lời chúc năm mới"), ("chúc Tết", "chúc mừng năm mới"), ("new year greeting",),
    ),
    Concept(
        ("apology", "xin_loi"),
        ("Xin lỗi khách hàng", "Thư xin lỗi"), ("xin lỗi", "lời xin lỗi"), ("apology",),
    ),
    Concept(
        ("flash_sale", "giam_gia_soc", "sale_24h"),
        ("Giảm giá sốc", "Flash sale"), ("flash sale", "giảm giá sốc"), ("flash sale",),
    ),
)  # fmt: skip

SEGMENTS = (
    Concept(("vip", "khach_vip", "vip_customers", "VIP"), ("Khách VIP", "VIP", "Hạng VIP"),
            ("khách VIP", "khách hàng VIP", "VIP", "hạng VIP"),
            ("VIP customers", "VIPs", "VIP members")),
    Concept(("at_risk", "sap_roi_bo", "churn_risk"), ("Sắp rời bỏ", "Nguy cơ rời bỏ"),
            ("khách sắp rời bỏ", "khách có nguy cơ rời bỏ", "nhóm nguy cơ"),
            ("at-risk customers", "customers about to churn")),
    Concept(("lapsed_high_value", "ngung_mua_gia_tri_cao"),
            ("Khách giá trị cao đã ngừng mua", "Giá trị cao đã nghỉ"),
            ("khách giá trị cao đã ngừng mua", "khách lớn đã nghỉ mua"),
            ("lapsed high-value customers",)),
    Concept(("new_buyers", "khach_moi", "new_customers"), ("Khách mới", "Mới mua lần đầu"),
            ("khách mới", "khách hàng mới", "người mới mua"), ("new customers", "new buyers")),
    Concept(("one_time_buyers", "mua_mot_lan", "single_order"), ("Mua một lần", "Chỉ mua một lần"),
            ("khách chỉ mua một lần", "khách mua một lần"), ("one-time buyers",)),
    Concept(("big_baskets", "don_lon", "large_orders"), ("Đơn hàng lớn", "Giỏ hàng lớn"),
            ("khách có đơn hàng lớn", "nhóm đơn lớn", "khách giỏ hàng lớn"),
            ("customers with big baskets",)),
    Concept(("birthday_this_month", "sinh_nhat_thang_nay"),
            ("Sinh nhật tháng này", "Có sinh nhật trong tháng"),
            ("khách sinh nhật tháng này", "khách có sinh nhật trong tháng"),
            ("customers with a birthday this month",)),
    Concept(("active_customers", "dang_hoat_dong"), ("Khách đang hoạt động", "Đang mua đều"),
            ("khách đang hoạt động", "khách còn hoạt động"), ("active customers",)),
    Concept(("loyal_customers", "trung_thanh", "loyal"), ("Khách trung thành", "Khách thân thiết"),
            ("khách trung thành", "khách thân thiết", "khách quen"), ("loyal customers",)),
    Concept(("wholesale", "khach_si"), ("Khách sỉ", "Mua sỉ"),
            ("khách sỉ", "khách mua sỉ"), ("wholesale customers",)),
    Concept(("gold", "hang_vang"), ("Hạng vàng", "Thành viên vàng"),
            ("khách hạng vàng", "thành viên vàng"), ("gold members",)),
    Concept(("students", "sinh_vien"), ("Sinh viên",),
            ("sinh viên", "khách là sinh viên"), ("students",)),
    Concept(("app_users", "dung_app"), ("Người dùng app",),
            ("người dùng app", "khách dùng app"), ("app users",)),
    Concept(("cart_abandoners", "bo_gio"), ("Bỏ giỏ hàng",),
            ("khách bỏ giỏ hàng", "người bỏ giỏ"), ("cart abandoners",)),
    Concept(("discount_hunters", "san_sale"), ("Săn khuyến mãi",),
            ("khách săn khuyến mãi", "người săn sale"), ("discount hunters",)),
    Concept(("office_staff", "van_phong"), ("Nhân viên văn phòng",),
            ("dân văn phòng", "nhân viên văn phòng"), ("office workers",)),
    Concept(("reachable_zalo", "co_zalo"), ("Liên hệ được qua Zalo",),
            ("khách liên hệ được qua Zalo",), ("customers reachable on Zalo",)),
    Concept(("reachable_email", "co_email"), ("Liên hệ được qua email",),
            ("khách liên hệ được qua email",), ("customers reachable by email",)),
)  # fmt: skip

# The message that goes without saying: first names of segment and template.
AFFINITIES = {
    "vip": "thank_you", "loyal_customers": "thank_you", "gold": "thank_you",
    "at_risk": "win_back", "lapsed_high_value": "win_back", "new_buyers": "welcome",
    "birthday_this_month": "birthday", "cart_abandoners": "cart_reminder",
    "discount_hunters": "flash_sale",
}  # fmt: skip

MEASURES = (
    Measure(("total_spent_vnd", "tong_chi_tieu", "lifetime_value", "revenue"), "vnd",
            ("tổng chi tiêu", "tổng tiền đã mua", "total spending"),
            ("chi tiêu {}", "tổng chi tiêu {}", "đã chi {}", "đã tiêu {}", "mua tổng cộng {}"),
            ("spent {}", "a total spend of {}", "spending {}")),
    Measure(("average_basket_vnd", "gia_tri_don_tb", "avg_order_value"), "vnd",
            ("giá trị đơn trung bình", "giỏ hàng trung bình"),
            ("giá trị đơn trung bình {}", "đơn trung bình {}", "giỏ hàng trung bình {}"),
            ("an average basket of {}", "an average order value of {}")),
    Measure(("order_count", "so_don", "orders", "purchases"), "count",
            ("số đơn hàng", "số lần mua"),
            ("có {} đơn hàng", "mua {} lần", "đã đặt {} đơn", "số đơn {}"),
            ("{} orders", "bought {} times")),
    Measure(("recency_days", "so_ngay_chua_mua", "days_since_last_order"), "days",
            ("số ngày từ lần mua gần nhất", "số ngày chưa mua"),
            ("chưa mua hàng {}", "không mua gì {}", "lần mua gần nhất cách đây {}",
             "đã ngừng mua {}"),
            ("no purchase for {}", "last order {} ago", "not bought for {}")),
    Measure(("customer_since_days", "tuoi_khach_hang", "tenure_days"), "days",
            ("số ngày là khách hàng", "thâm niên khách hàng"),
            ("là khách hàng {}", "làm khách {}", "gắn bó {}"),
            ("been a customer for {}",)),
    Measure(("age", "tuoi"), "years", ("tuổi",),
            ("{} tuổi", "tuổi {}", "độ tuổi {}"), ("{} years old", "age {}")),
    Measure(("loyalty_points", "diem_tich_luy"), "count", ("điểm tích lũy",),
            ("có {} điểm", "tích được {} điểm"), ("{} points",)),
    Measure(("visits_30d", "luot_truy_cap"), "count", ("số lượt truy cập",),
            ("truy cập {} lượt", "vào web {} lượt"), ("{} visits",)),
    Measure(("debt_vnd", "cong_no"), "vnd", ("công nợ",),
            ("công nợ {}", "còn nợ {}"), ("owing {}",)),
)  # fmt: skip

# Which words are which comparison; {} is the amount.
COMPARISONS = {
    "gt": (("trên {}", "hơn {}", "lớn hơn {}", "nhiều hơn {}", "quá {}", "vượt {}"),
           ("over {}", "above {}", "more than {}")),
    "gte": (("từ {} trở lên", "tối thiểu {}", "ít nhất {}", "không dưới {}"),
            ("at least {}", "{} or more", "a minimum of {}")),
    "lt": (("dưới {}", "ít hơn {}", "chưa tới {}", "nhỏ hơn {}"),
           ("under {}", "below {}", "less than {}")),
    "lte": (("không quá {}", "tối đa {}", "nhiều nhất {}", "từ {} trở xuống"),
            ("at most {}", "no more than {}", "up to {}")),
    "eq": (("đúng {}", "bằng {}"), ("exactly {}",)),
}  # fmt: skip

GENDERS = {
    "female": (("khách nữ", "phụ nữ", "chị em"), ("female customers", "women")),
    "male": (("khách nam", "nam giới", "quý ông"), ("male customers", "men")),
}
CITIES = ("Hà Nội", "TP. Hồ Chí Minh", "Đà Nẵng", "Hải Phòng", "Cần Thơ", "Huế", "Nha Trang",
          "Vinh", "Biên Hòa", "Quy Nhơn", "Đà Lạt", "Thanh Hóa")  # fmt: skip
FLAGS = (
    ("has_app", "đã cài ứng dụng", "khách đã cài app", "khách chưa cài app",
     "customers who have the app", "customers without the app"),
    ("is_member", "là thành viên", "khách là thành viên", "khách chưa là thành viên",
     "members", "non-members"),
    ("newsletter", "đăng ký bản tin", "khách đăng ký bản tin", "khách không đăng ký bản tin",
     "newsletter subscribers", "customers without the newsletter"),
)  # fmt: skip

OUT_OF_SCOPE_VI = (
    "Hôm nay trời có mưa không?", "Dự báo thời tiết ở {city} cuối tuần này",
    "Nhiệt độ ở {city} bao nhiêu độ?", "Kể cho tôi một câu chuyện cười",
    "Có bao nhiêu {segment}?", "Doanh thu tháng trước là bao nhiêu?", "Bạn là ai?",
    "Chào bạn", "Cảm ơn nhé", "Viết giúp tôi một bài thơ về mùa thu",
    "Dịch câu này sang tiếng Anh", "{n} cộng {m} bằng mấy?", "Thủ đô của Pháp là gì?",
    "Xóa hết dữ liệu khách hàng", "Gọi điện cho {segment}", "In báo cáo doanh số quý này",
    "Tạo tài khoản cho nhân viên mới", "Cập nhật giá sản phẩm lên {n} triệu",
    "Đặt bàn ăn tối cho {n} người", "Lịch chiếu phim tối nay", "Đội nào thắng trận hôm qua?",
    "Cho tôi xem danh sách {segment}", "Làm sao để nấu phở?", "Tỷ giá đô la hôm nay",
    "Đổi mật khẩu của tôi", "Mở nhạc đi", "Giải thích RFM là gì", "Máy tính của tôi bị hỏng",
    "Chiến dịch trước hiệu quả thế nào?", "Sửa số điện thoại của anh Nam", "Không gửi gì cả",
    "Đừng gửi tin cho ai hết", "Hủy đơn hàng số {n}", "Giá vàng hôm nay bao nhiêu?",
    "Nghỉ Tết mấy ngày?", "Ai là tổng giám đốc?", "Thêm {n} sản phẩm vào kho",
    "Tính trung bình chi tiêu của {segment}", "Vẽ biểu đồ doanh thu theo tháng", "Mấy giờ rồi?",
    "Tóm tắt bài báo này", "Xuất file Excel khách ở {city}", "Kiểm tra tồn kho",
    "Tuyển thêm {n} nhân viên", "abc xyz", "Tên con mèo của bạn là gì?", "1 2 3 4",
)  # fmt: skip
OUT_OF_SCOPE_EN = (
    "Tell me a joke", "What is the capital of Japan?", "How many {segment} do we have?",
    "Is it raining in {city}?", "Translate this into French", "What is {n} plus {m}?",
    "Delete all customer records", "Call the {segment} by phone", "Show last month's revenue",
    "Who won the match yesterday?", "Write a poem about autumn", "Hello there",
    "Reset my password", "Play some music", "Explain what RFM means", "Book a table for {n}",
    "Don't send anything", "Export the list of {segment}", "Change the price to {n} dollars",
    "What time is it?", "Fix my computer", "Cancel order {n}", "Draw a revenue chart",
    "Hire {n} more people", "How do I cook pho?",
)  # fmt: skip
