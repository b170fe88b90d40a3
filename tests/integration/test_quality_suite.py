"""Running a suite: who may, what it leaves behind, and what happens when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from leo_activation.database import Connection, tenant_transaction
from leo_activation.errors import ConfigurationError, QualityError, UnknownTenantError
from leo_activation.quality import QualityReport, run_suite
from tests.conftest import DatabaseUrls
from tests.support.ledger_builder import BuiltCampaign, Customer, build_campaign

HOSTILE_RUN = "run <script>alert(1)</script> | **x**"

Run = Callable[..., QualityReport]


@pytest.fixture
def campaign(runtime_conn: Connection) -> BuiltCampaign:
    """Build a sound campaign whose run id tries to be markup."""
    return build_campaign(runtime_conn, "tenant_a", (Customer("KH-1"),), run_id=HOSTILE_RUN)


@pytest.fixture
def run(database_urls: DatabaseUrls, tmp_path: Path) -> Run:
    """Run the ledger suite as the application."""

    def run(tenant_id: str = "tenant_a", **scope: object) -> QualityReport:
        return run_suite(
            database_urls.runtime,
            tenant_id,
            **{"suite": "ledger_out", "docs_folder": tmp_path, **scope},
        )

    return run


def test_the_verdict_is_kept_for_the_tenant_only(
    run: Run, campaign: BuiltCampaign, runtime_conn: Connection
) -> None:
    report = run(snapshot_id=campaign.snapshot_id)

    with tenant_transaction(runtime_conn, "tenant_a") as cursor:
        (row,) = cursor.execute("select * from quality_run").fetchall()
    assert (row["suite"], row["run_id"], row["snapshot_id"], row["is_success"]) == (
        "ledger_out",
        HOSTILE_RUN,
        campaign.snapshot_id,
        True,
    )
    assert row["results"]["report_page"] == str(report.report_page)
    assert [entry["name"] for entry in row["results"]["checks"]] == [
        result.check.name for result in report.results
    ]
    with tenant_transaction(runtime_conn, "tenant_b") as cursor:
        assert cursor.execute("select * from quality_run").fetchall() == []


def test_pages_are_written_for_people_and_for_engineers(
    run: Run, campaign: BuiltCampaign, admin_conn: Connection, tmp_path: Path
) -> None:
    admin_conn.execute("set session_replication_role = replica")
    admin_conn.execute("delete from delivery_log")

    report = run(snapshot_id=campaign.snapshot_id)

    page = report.report_page.read_text(encoding="utf-8")
    assert "Mọi khách hàng trong danh sách đều có kết quả" in page
    assert "expect_members_to_have_outcome" in page
    assert "ext_id=KH-1" in page
    assert "run &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "https://" not in page
    markdown = report.report_page.with_suffix(".md").read_text(encoding="utf-8")
    assert r"run \<script\>alert(1)\</script\> \| \*\*x\*\*" in markdown
    validations = list((report.report_page.parent / "data_docs/validations").rglob("*.html"))
    assert "expect_members_to_have_outcome" in validations[0].read_text(encoding="utf-8")
    assert report.data_docs_page.is_file()
    assert (tmp_path / "tenant_a/ledger_out/latest/report.html").read_text("utf-8") == page


def test_pages_of_earlier_runs_stay_and_latest_is_the_newest(
    run: Run, campaign: BuiltCampaign, tmp_path: Path
) -> None:
    first, second = run(), run()
    for report in (first, second):
        assert report.report_page.is_file()
        assert len(list((report.data_docs_page.parent / "validations").rglob("*.html"))) == 1
        assert (report.data_docs_page.parent / "static/styles").is_dir()
    latest = tmp_path / "tenant_a/ledger_out/latest"
    assert latest.resolve() == second.report_page.parent.resolve()


def test_no_page_holds_the_password_or_contact_data(
    run: Run, campaign: BuiltCampaign, database_urls: DatabaseUrls, tmp_path: Path
) -> None:
    run()
    run(suite="raw_in")
    password = urlsplit(database_urls.runtime).password
    assert password
    for page in (*tmp_path.rglob("*.html"), *tmp_path.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert password not in text
        assert "kh-1@example.com" not in text


def test_a_role_that_sees_every_tenant_is_refused(
    database_urls: DatabaseUrls, campaign: BuiltCampaign, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="'postgres' is not subject to row level security"):
        run_suite(database_urls.admin, "tenant_a", suite="ledger_out", docs_folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tenant", ["tenant_c", "", "a b -c leo.tenant_id=tenant_b"])
def test_a_tenant_that_does_not_exist_is_refused_instead_of_passing(run: Run, tenant: str) -> None:
    with pytest.raises(UnknownTenantError, match="tenant"):
        run(tenant)


def test_a_snapshot_that_does_not_exist_is_refused_instead_of_passing(
    run: Run, campaign: BuiltCampaign
) -> None:
    unknown = uuid4()
    with pytest.raises(QualityError, match=f"'tenant_a' has no snapshot {unknown}"):
        run(snapshot_id=unknown)
    with pytest.raises(QualityError, match="of run 'no-such-run'"):
        run(run_id="no-such-run")
    with pytest.raises(QualityError, match="'tenant_b' has no snapshot"):
        run("tenant_b", snapshot_id=campaign.snapshot_id)


def test_an_unknown_suite_is_refused_with_those_that_exist(run: Run) -> None:
    with pytest.raises(ConfigurationError, match="the suites are: raw_in, ledger_out"):
        run(suite="ledger_in")


def test_a_check_that_cannot_run_is_a_critical_failure(
    run: Run, campaign: BuiltCampaign, admin_conn: Connection
) -> None:
    admin_conn.execute("revoke select on consent from leo_runtime")

    report = run()

    (failure,) = report.failures
    assert failure.check.name == "expect_refusals_to_be_respected"
    assert failure.row_count is None
    with pytest.raises(
        QualityError, match="expect_refusals_to_be_respected: could not run: .*permission denied"
    ):
        report.raise_for_failure()


def test_settings_come_before_the_clock_of_the_server(run: Run, campaign: BuiltCampaign) -> None:
    report = run(suite="raw_in", clock=lambda: campaign.now + timedelta(days=2))
    assert [result.check.name for result in report.failures] == ["expect_source_to_be_fresh"]
    assert (
        run(
            suite="raw_in",
            clock=lambda: campaign.now + timedelta(days=2),
            max_source_age=timedelta(days=3),
        ).failures
        == ()
    )
