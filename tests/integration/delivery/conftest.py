"""The stand-ins: one process a module, emptied for every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.sandboxes import Sandbox, mail_server, telegram_server


@pytest.fixture(scope="module")
def mail_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with mail_server(tmp_path_factory.mktemp("smtp")) as sandbox:
        yield sandbox


@pytest.fixture
def mail(mail_process: Sandbox) -> Sandbox:
    """Give the test an empty mail server without faults."""
    mail_process.faults()
    mail_process.call("/messages", "DELETE")
    return mail_process


@pytest.fixture(scope="module")
def telegram_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with telegram_server(tmp_path_factory.mktemp("telegram"), "--token", "123:token") as sandbox:
        yield sandbox


@pytest.fixture
def telegram(telegram_process: Sandbox) -> Sandbox:
    """Give the test an empty Telegram without faults."""
    telegram_process.faults()
    telegram_process.call("/messages", "DELETE")
    return telegram_process
