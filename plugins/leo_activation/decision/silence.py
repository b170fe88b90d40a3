"""Why a sentence became no plan, in the marketer's language, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from leo_activation.decision.draft import Drafter

NOTHING_ASKED = "Chỉ dẫn này không phải là yêu cầu gửi tin cho khách."
_MOST_NAMES = 5


def silence_reason(draft: Drafter) -> str:
    """Return why nothing is sent, as far as the words of a sentence tell.

    :param draft: of the sentence, with what was not understood of it.
    """
    catalogue = draft.sentence.catalogue
    named = {name for name, _, _ in draft.sentence.channel_mentions}
    if named and not named & set(catalogue.channels):
        return (
            f"Kênh {_listed(sorted(named))} chưa được thiết lập; "
            f"hãy dùng một trong các kênh: {_listed(catalogue.channels)}."
        )
    if strange := draft.audience.unexplained():
        told = " và ".join(f"“{text}”" for text in dict.fromkeys(strange))
        return (
            f"Không thuộc tính nào của khách kiểm tra được {told}, nên chưa gửi cho ai; "
            "hãy viết lại phần này bằng các thuộc tính đang có, hoặc bỏ nó đi."
        )
    if draft.names_unknown_message:
        labels = [item.label or item.template_id for item in catalogue.templates]
        return (
            "Không mẫu tin nào nói về nội dung này; "
            f"hãy gọi tên một mẫu đang có ({_listed(labels)}) hoặc tạo mẫu mới."
        )
    return NOTHING_ASKED


def _listed(names: Iterable[str]) -> str:
    """Return a few names, and a sign that there are more."""
    known = list(dict.fromkeys(names))
    return ", ".join(known[:_MOST_NAMES]) + (", …" if len(known) > _MOST_NAMES else "")
