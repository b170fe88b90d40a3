"""One Vietnamese sentence that tells a marketer why a customer gets what they get."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from leo_activation.decision.catalogue import Attribute, Catalogue
from leo_activation.decision.interpreter import Outcome, Send
from leo_activation.decision.parser import Call

_CHANNELS = {
    "email": "email", "telegram": "Telegram", "zalo": "Zalo", "push": "thông báo đẩy", "sms": "SMS",
}  # fmt: skip
_OPERATORS = {
    "eq": "bằng", "ne": "khác", "gt": "trên", "gte": "từ", "lt": "dưới", "lte": "không quá",
}  # fmt: skip
_UNITS = {"vnd": " ₫", "days": " ngày", "years": " tuổi", "count": "", "month": "", "any": ""}
NO_ANSWER = "Không gửi: chưa có quyết định vì cổng AI không trả lời."
NO_CALL = "Không gửi: chỉ dẫn không yêu cầu gửi tin nào cho khách."
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
    """Return how the instruction was understood, one line for each call of the plan."""
    return [_DESCRIBE[call.name](call.arguments, catalogue) for call in plan]


def _describe_check(arguments: Mapping[str, Any], catalogue: Catalogue) -> str:
    attribute = catalogue.attribute(arguments["attribute"]) or Attribute(
        str(arguments["attribute"]), "text"
    )
    label, operator = attribute.label or attribute.name, arguments["operator"]
    if operator == "exists":
        return f"Nếu có {label}:"
    if operator in ("contains", "not_contains"):
        negation = "không " if operator == "not_contains" else ""
        verb = "khách {}thuộc nhóm" if attribute.name == "segments" else label + " {}có"
        return f"Nếu {verb.format(negation)} «{_value(attribute, arguments['value'])}»:"
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
    attribute = catalogue.attribute(arguments["attribute"]) or Attribute(
        str(arguments["attribute"]), "text"
    )
    label = attribute.label or attribute.name
    if step.get("reason") == "missing":
        return f"không rõ {label} của khách"
    if step.get("reason") == "type":
        return f"{label} của khách không so sánh được"
    if attribute.type == "set":
        return _membership(attribute, arguments, actual)
    if arguments["operator"] == "exists":
        return f"{'có' if actual not in (None, '') else 'không có'} {label}"
    if attribute.type == "boolean":
        return f"{label}: {'có' if actual else 'không'}"
    wanted = _wanted(attribute, arguments)
    return f"{label} là {_value(attribute, actual)} ({_passed(step)} {wanted})"


def _passed(step: Mapping[str, Any]) -> str:
    return "đạt" if step["result"] == "true" else "không đạt"


def _membership(attribute: Attribute, arguments: Mapping[str, Any], actual: Any) -> str:
    wanted = arguments["value"] if isinstance(arguments["value"], list) else [arguments["value"]]
    names = " hoặc ".join(f"«{_value(attribute, item)}»" for item in wanted)
    member = isinstance(actual, list) and any(item in actual for item in wanted)
    return f"khách {'thuộc' if member else 'không thuộc'} nhóm {names}"


def _wanted(attribute: Attribute, arguments: Mapping[str, Any]) -> str:
    value = arguments["value"]
    if isinstance(value, list):
        return "một trong " + ", ".join(_value(attribute, item) for item in value)
    return f"{_OPERATORS.get(arguments['operator'], '')} {_value(attribute, value)}".strip()


def _value(attribute: Attribute, value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}".replace(",", ".") + _UNITS[attribute.unit]
    label = next((item.label for item in attribute.values if item.name == value), "")
    return label or str(value)


def duration(minutes: int) -> str:
    """Return minutes in words, in the largest unit that divides them."""
    for size, word in ((1_440, "ngày"), (60, "giờ")):
        if minutes % size == 0:
            return f"{minutes // size} {word}"
    return f"{minutes} phút"
