"""The report as pages for people: HTML and Markdown, complete without a network.

Great Expectations' own pages need files from the internet to look right; these do not.
"""

from __future__ import annotations

import os
from zoneinfo import ZoneInfo

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from leo_activation.paths import PAGES_FOLDER
from leo_activation.quality.report import QualityReport

_VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
_SUITE_TITLES = {"raw_in": "Dữ liệu vào", "ledger_out": "Sổ gửi tin"}


def write_pages(report: QualityReport) -> None:
    """Write :attr:`QualityReport.report_page`, and the same as Markdown beside it."""
    report.report_page.write_text(render_html(report), encoding="utf-8")
    report.report_page.with_suffix(".md").write_text(render_markdown(report), encoding="utf-8")


def render_html(report: QualityReport) -> str:
    """Return the report as one HTML page without outside parts."""
    return _render("quality_report.html", report, autoescape=True)


def render_markdown(report: QualityReport) -> str:
    """Return the report as Markdown, for a task's log or note."""
    return _render("quality_report.md", report, autoescape=False)


def _render(template: str, report: QualityReport, *, autoescape: bool) -> str:
    """Fill one of the two templates."""
    environment = Environment(
        loader=FileSystemLoader(PAGES_FOLDER),
        autoescape=autoescape,  # noqa: S701 - on for HTML; Markdown has its own filter
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _markdown_cell
    return environment.get_template(template).render(
        report=report,
        title=_SUITE_TITLES[report.suite],
        checked_at=f"{report.checked_at.astimezone(_VIETNAM):%H:%M:%S %d/%m/%Y}",
        data_docs=os.path.relpath(report.data_docs_page, report.report_page.parent),
    )


def _markdown_cell(value: object) -> str:
    """Keep a value inside its cell and free of markup."""
    text = " ".join(str(value).split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#&" else sign for sign in text)
