"""One Vietnamese sentence that tells a marketer why a customer gets what they get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.interpreter import Outcome, Send, day_of, split_branches
from leo_activation.decision.parser import Call

_CHANNELS = {
    "email": "email", "telegram": "Telegram", "zalo": "Zalo", "push": "thông báo đẩy", "sms": "SMS",
}  # fmt: skip
_OPERATORS = {
    "eq": "bằng", "ne": "khác", "gt": "trên", "gte": "từ", "lt": "dưới", "lte": "không quá",
}  # fmt: skip
_DAY_OPERATORS = {
    "eq": "vào", "ne": "khác", "gt": "sau", "gte": "từ", "lt": "trước", "lte": "không sau",
}  # fmt: skip
_UNITS = {"vnd": " ₫", "days": " ngày", "years": " tuổi"}
# What a choice is shown for a fact that the customer does not have.
UNKNOWN = "unknown"
NO_ANSWER = "Không gửi: chưa có quyết định vì cổng AI không trả lời."
NO_CALL = "Không gửi: chỉ dẫn không yêu cầu gửi tin nào cho khách."
NOTHING_CHOSEN = "Không gửi: AI không chọn tin nào cho khách này."
GONE = "Không gửi: hồ sơ của khách đã bị gộp hoặc xóa."
REJECTED = "Không gửi: kết quả của AI không hợp lệ nên không được dùng."


def summarise(outcome: Outcome, catalogue: Catalogue) -> str:
    """Return the sentence for an evaluated plan."""
    if outcome.reason == "no_decision":
        return NO_CALL
    told = [step for step in outcome.steps if step["name"] == "check_condition"]
    if outcome.sends:
        held = (step for step in told if step["branch"] == outcome.branch)
        because = _joined(_fact(step, catalogue) for step in held)
        what = _joined(_message(send, catalogue) for send in outcome.sends)
        return f"Gửi {what} vì {because}." if because else f"Gửi {what}."
    failed = [step for step in told if step["result"] == "false"]
    return f"Không gửi: {_joined(_fact(step, catalogue) for step in failed)}."


def describe_plan(plan: Iterable[Call], catalogue: Catalogue) -> list[str]:
    """Return how the instruction was understood, one line for each call of the plan.

    The first condition of a later branch begins with "else", since a branch runs only where none
    before it did; what stands behind a branch without conditions can never run, and says so.
    """
    lines: list[str] = []
    for_everyone = False
    for number, branch in enumerate(split_branches(list(plan))):
        for place, (_, call) in enumerate(branch):
            line = _DESCRIBE[call.name](call.arguments, catalogue)
            if number and place == 0:
                line = f"Còn không, {line[:1].lower()}{line[1:]}"
            lines.append(f"(Không bao giờ chạy) {line}" if for_everyone else line)
        for_everyone = for_everyone or all(call.name != "check_condition" for _, call in branch)
    return lines


def describe_choice(shown: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return the facts by which the model chose for a customer, in words."""
    parts = []
    for name, value in shown.items():
        if value == UNKNOWN:
            continue
        attribute = _attribute(name, catalogue)
        found = value if isinstance(value, list) else [value]
        told = ", ".join(_value(attribute, item) for item in found)
        parts.append(f"{_label(attribute)}: {told or 'không có'}")
    return "; ".join(parts)


def _attribute(name: Any, catalogue: Catalogue) -> Attribute:
    return catalogue.attribute(name) or Attribute(str(name), "text", _LABELS.get(name, ""))


# Facts that a choice is shown besides those of the catalogue.
_LABELS = {"reachable": "kênh liên lạc được", "preferred_channel": "kênh ưa thích"}


def _label(attribute: Attribute) -> str:
    return attribute.label or attribute.name


def _describe_check(arguments: Mapping[str, Any], catalogue: Catalogue) -> str:
    attribute = _attribute(arguments["attribute"], catalogue)
    label, operator, value = _label(attribute), arguments["operator"], arguments["value"]
    if operator == "exists":
        return f"Nếu {'có' if value is not False else 'chưa có'} {label}:"
    if attribute.name == "segments":
        no = "không " if operator == "not_contains" else ""
        return f"Nếu khách {no}thuộc nhóm {_names(attribute, value)}:"
    if operator in ("contains", "not_contains"):
        no = "không " if operator == "not_contains" else ""
        return f"Nếu {label} {no}có {_names(attribute, value)}:"
    if isinstance(value, bool):
        return f"Nếu {label}: {_yes(value is (operator == 'eq'))}:"
    return f"Nếu {label} {_wanted(attribute, arguments)}:"


def _describe_send(arguments: Mapping[str, Any], catalogue: Catalogue) -> str:
    send = Send(0, arguments["channel"], arguments["template_id"], {}, 0)
    return f"Gửi {_message(send, catalogue)}."


def _describe_wait(arguments: Mapping[str, Any], _catalogue: Catalogue) -> str:
    return f"Chờ {duration(arguments['minutes'])}."


_DESCRIBE = {
    "check_condition": _describe_check,
    "send_notification": _describe_send,
    "wait_duration": _describe_wait,
}


def _joined(parts: Iterable[str]) -> str:
    found = list(dict.fromkeys(parts))
    return ", ".join(found[:-1]) + " và " + found[-1] if len(found) > 1 else "".join(found)


def _message(send: Send, catalogue: Catalogue) -> str:
    template = catalogue.template(send.template_id)
    name = template.label if template and template.label else send.template_id
    text = f"{_CHANNELS.get(send.channel, send.channel)} «{name}»"
    return f"{text} sau {duration(send.after_minutes)}" if send.after_minutes else text


def _fact(step: Mapping[str, Any], catalogue: Catalogue) -> str:
    """Return what was found about a condition, in words."""
    arguments, actual = step["arguments"], step.get("actual")
    attribute = _attribute(arguments["attribute"], catalogue)
    label = _label(attribute)
    if step.get("reason") == "missing":
        return f"không rõ {label} của khách"
    if step.get("reason") == "type":
        return f"{label} của khách không so sánh được"
    if arguments["operator"] == "exists":
        return f"{'có' if actual not in (None, '', [], {}) else 'không có'} {label}"
    if isinstance(actual, list):
        return _membership(attribute, step)
    if isinstance(actual, bool):
        return f"{label}: {_yes(actual)}"
    if arguments["operator"] in ("contains", "not_contains"):
        has = (step["result"] == "true") is (arguments["operator"] == "contains")
        return f"{label} {'có' if has else 'không có'} {_names(attribute, arguments['value'])}"
    found, wanted = _value(attribute, actual), _wanted(attribute, arguments)
    if arguments["operator"] == "eq" and step["result"] == "true":
        return f"{label} là {found}"
    return f"{label} là {found} ({_passed(step)} {wanted})"


def _yes(value: bool) -> str:
    return "có" if value else "không"


def _passed(step: Mapping[str, Any]) -> str:
    return "đạt" if step["result"] == "true" else "không đạt"


def _membership(attribute: Attribute, step: Mapping[str, Any]) -> str:
    """Say whether a list has what was asked for, whatever the question was."""
    arguments = step["arguments"]
    has = (step["result"] == "true") is (arguments["operator"] != "not_contains")
    names = _names(attribute, arguments["value"])
    if attribute.name == "segments":
        return f"khách {'thuộc' if has else 'không thuộc'} nhóm {names}"
    return f"{_label(attribute)} {'có' if has else 'không có'} {names}"


def _names(attribute: Attribute, wanted: Any) -> str:
    names = wanted if isinstance(wanted, list) else [wanted]
    return " hoặc ".join(f"«{_value(attribute, item)}»" for item in names)


def _wanted(attribute: Attribute, arguments: Mapping[str, Any]) -> str:
    value, operator = arguments["value"], arguments["operator"]
    if isinstance(value, list):
        return "một trong " + ", ".join(_value(attribute, item) for item in value)
    words = _DAY_OPERATORS if day_of(value) else _OPERATORS
    tail = " trở lên" if operator == "gte" and not isinstance(value, str) else ""
    return f"{words.get(operator, '')} {_value(attribute, value)}{tail}".strip()


def _value(attribute: Attribute, value: Any) -> str:
    if isinstance(value, bool):
        return _yes(value)
    if isinstance(value, int | float):
        if attribute.unit == "month":
            return f"tháng {value}"
        # Vietnamese writes 1.234,5 where Python writes 1,234.5.
        grouped = f"{value:,}".translate(str.maketrans(",.", ".,"))
        return grouped + _UNITS.get(attribute.unit, "")
    label = next((item.label for item in attribute.values if item.name == value), "")
    day = day_of(value)
    return label or (f"{day:%d/%m/%Y}" if day else str(value))


def duration(minutes: int) -> str:
    """Return minutes in words, in days, hours and minutes."""
    parts = []
    for size, word in ((1_440, "ngày"), (60, "giờ"), (1, "phút")):
        count, minutes = divmod(minutes, size)
        if count:
            parts.append(f"{count} {word}")
    return " ".join(parts) or "0 phút"
