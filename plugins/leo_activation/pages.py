"""HTML pages for people who follow a link from Airflow. Every value is escaped by the template."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leo_activation.campaign_report import CampaignReport, describe_outcome, number
from leo_activation.journey import Journey, describe_step
from leo_activation.paths import PAGES_FOLDER

_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


def when(moment: datetime | None) -> str:
    """Return a time as people in Vietnam read it, ``–`` for none."""
    return "–" if moment is None else f"{moment.astimezone(_VIETNAM):%d/%m/%Y %H:%M:%S}"


def pretty(value: Any) -> str:
    """Return JSON with line breaks, for a person to read."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


@cache
def _environment() -> Environment:
    """Return the template engine: everything is escaped, a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader(PAGES_FOLDER), autoescape=True, undefined=StrictUndefined
    )
    environment.globals.update(number=number, when=when, pretty=pretty, outcome=describe_outcome)
    return environment


def snapshot_page(report: CampaignReport, samples: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of one snapshot.

    :param samples: rows of the query ``sample_members``, each a link to a journey.
    """
    return (
        _environment()
        .get_template("snapshot.html")
        .render(
            head=report.header,
            understood=report.understood(),
            outcomes=report.outcomes,
            reported=report.reported(),
            notices=report.notices(),
            samples=samples,
        )
    )


def journey_page(journey: Journey) -> str:
    """Return the page that tells one customer's whole story."""
    return (
        _environment()
        .get_template("journey.html")
        .render(journey=journey, steps=[describe_step(step) for step in journey.steps])
    )


def unsubscribe_page(title: str, lines: Sequence[str], button: str | None) -> tuple[str, str]:
    """Return a page for customers and the Content-Security-Policy under which it works.

    Nothing runs on it and nothing is loaded: its style is allowed by its hash, and its form may
    only be sent to the page's own address.

    :param lines: paragraphs, plain text.
    :param button: label of the button that posts, if there is one.
    """
    content = (
        _environment()
        .get_template("unsubscribe.html")
        .render(title=title, lines=lines, button=button)
    )
    (style,) = re.findall(r"<style>(.*?)</style>", content, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return content, (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
