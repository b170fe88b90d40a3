"""docs/channels.md names what the code knows: every setting, every code, every reason."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from leo_activation.channels import registry
from leo_activation.channels.fcm_channel import FcmSettings
from leo_activation.channels.pushalert_channel import PushAlertSettings
from leo_activation.channels.sendgrid_channel import SendGridSettings
from leo_activation.channels.smtp_channel import SmtpSettings
from leo_activation.channels.telegram_channel import TelegramSettings
from leo_activation.channels.zalo_channel import ZaloSettings
from leo_activation.channels.zalo_codes import CODES
from leo_activation.paths import PROJECT_ROOT
from tests.support.reasons import PACKAGE, reasons_in_python

TEXT = (PROJECT_ROOT / "docs" / "channels.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
SETTINGS = {
    "Zalo (`zbs`)": ZaloSettings,
    "E-mail over SMTP (`smtp`)": SmtpSettings,
    "E-mail over SendGrid (`sendgrid`)": SendGridSettings,
    "Push over Firebase (`fcm`)": FcmSettings,
    "Push over PushAlert (`pushalert`)": PushAlertSettings,
    "Telegram (`bot_api`)": TelegramSettings,
}
# Said of all providers at once, or of a message before it leaves.
ELSEWHERE = {"no_address"}


def test_every_provider_has_a_section() -> None:
    named = {name for providers in registry.PROVIDERS.values() for name in providers}
    assert named == {title.partition("(`")[2].rstrip("`)") for title in SETTINGS}
    assert SECTIONS.keys() >= SETTINGS.keys()
    for setting in registry.DISPATCH_SETTINGS:
        assert f"`{setting}`" in SECTIONS["What an answer becomes"]


@pytest.mark.parametrize("title", SETTINGS)
def test_every_setting_of_a_provider_is_explained(title: str) -> None:
    known = {field.name for field in fields(SETTINGS[title])}
    assert known == {name for name in known if f"`{name}`" in SECTIONS[title]}


def test_every_code_of_zalo_stands_in_the_table_with_its_reason() -> None:
    rows = re.findall(r"^\| (-[-0-9, ]+) \| (.+?) \| `(\w+)` \|$", TEXT, re.MULTILINE)
    told = {int(code): reason for codes, _, reason in rows for code in codes.split(", ")}
    assert told == {code: meaning.reason for code, meaning in CODES.items()}


def test_every_reason_that_a_channel_gives_is_explained() -> None:
    senders = sorted((PACKAGE / "channels").glob("*_channel.py"))
    reasons = reasons_in_python(senders).reasons - ELSEWHERE
    assert len(reasons) > 40
    assert {reason for reason in reasons if f"`{reason}`" not in TEXT} == set()
