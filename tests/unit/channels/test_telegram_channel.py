"""What the Bot API's answers mean, and that the token stays inside."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID

import pytest

from leo_activation.channels.base import Credential, InvalidAddressError, Message, Reaction
from leo_activation.channels.registry import open_channel
from leo_activation.channels.telegram_channel import (
    classify,
    normalise_chat_id,
    visible_length,
)
from leo_activation.errors import ConfigurationError

DELIVERY = UUID("12345678-1234-8234-8234-123456789abc")


@pytest.mark.parametrize(
    ("code", "description", "reaction"),
    [
        (400, "Bad Request: can't parse entities: Can't find end of Bold", Reaction.PERM),
        (400, "Bad Request: chat not found", Reaction.SUPPRESS),
        (400, "Bad Request: PEER_ID_INVALID", Reaction.SUPPRESS),
        (400, "Bad Request: message text is empty", Reaction.PERM),
        (400, "Bad Request: message is too long", Reaction.PERM),
        (403, "Forbidden: bot was blocked by the user", Reaction.SUPPRESS),
        (403, "Forbidden: user is deactivated", Reaction.SUPPRESS),
        (401, "Unauthorized", Reaction.STOP),
        (404, "Not Found", Reaction.STOP),
        (429, "Too Many Requests: retry after 7", Reaction.RETRY),
        (500, "Internal Server Error", Reaction.RETRY),
        (502, "", Reaction.RETRY),
    ],
)
def test_each_error_has_its_reaction(code: int, description: str, reaction: Reaction) -> None:
    body = {"ok": False, "error_code": code, "description": description}
    outcome = classify(code, body)
    assert outcome.reaction is reaction
    assert classify(code, {}).reaction in Reaction


def test_throttling_waits_as_long_as_telegram_asks() -> None:
    body = {"error_code": 429, "description": "", "parameters": {"retry_after": 7}}
    assert classify(429, body).retry_after == 7


@pytest.mark.parametrize("address", ["1", "-1001234567890", "@kenh_tin", " 42 "])
def test_a_chat_id_is_accepted(address: str) -> None:
    assert normalise_chat_id(address) == address.strip()


@pytest.mark.parametrize("address", ["", "0", "abc", "@a", "1; drop", "1\n2", "٣", "9" * 20])
def test_what_is_no_chat_id_is_refused(address: str) -> None:
    with pytest.raises(InvalidAddressError):
        normalise_chat_id(address)


def message(**changes: Any) -> Message:
    values = {"address": "1", "subject": "", "text": "x", "html": "<b>x</b>"}
    return Message(delivery_id=DELIVERY, tenant_id="tenant_a", **{**values, **changes})


def test_length_is_counted_as_telegram_counts() -> None:
    assert visible_length(message(html="<b>a</b>&amp;😀")) == 4
    assert visible_length(message(html=None, text="a<b>")) == 4


def test_the_token_never_reaches_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("httpx")
    # Airflow's configuration of logging, loaded by other tests, switches it off or cuts it off.
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, logger="httpx"):
        logger.info(
            "HTTP Request: %s %s", "POST", "https://api.telegram.org/bot123:SECRET/sendMessage"
        )
    assert "SECRET" not in caplog.text
    assert "/bot***/sendMessage" in caplog.text


def test_a_missing_token_is_named() -> None:
    with pytest.raises(ConfigurationError, match="needs the secret 'bot_token'"):
        open_channel(Credential("tenant_a", "telegram", "bot_api", {}, {}), 1)
