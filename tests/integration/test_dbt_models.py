"""The dbt project, built on a real database over two tenants."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from leo_activation import modelling
from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.modelling import (
    BuildSummary,
    ModellingError,
    build_models,
    connection_settings,
    publish_docs,
)
from leo_activation.paths import DBT_PROJECT
from tests.conftest import DatabaseUrls, NewDatabase
from tests.support.customers import add_customer

# The first test of the module pays for a whole build, on however busy a machine.
pytestmark = pytest.mark.timeout(400)

MARTS = (
    "campaign_results",
    "dim_customers",
    "fct_customer_journey",
    "fct_deliveries",
    "segment_catalogue",
    "segment_membership",
)
# Who is in which segment; those who are in none stand here too.
EXPECTED = {
    ("tenant_a", "an"): {"vip", "active_customers", "reachable_email"},
    ("tenant_a", "binh"): {"at_risk"},
    ("tenant_a", "chi"): {"lapsed_high_value"},
    ("tenant_a", "dung"): {"new_buyers", "one_time_buyers", "active_customers", "big_baskets"},
    ("tenant_a", "em"): set(),
    # Its own purchase, and the four of the profile that was merged into it.
    ("tenant_a", "giang"): {"vip", "active_customers"},
    # The same keys as in the other shop, with another past.
    ("tenant_b", "an"): {"one_time_buyers"},
    ("tenant_b", "binh"): {"reachable_email"},
}


@dataclass
class Built:
    """A database with models, and how they came to be."""

    urls: DatabaseUrls
    folder: Path
    summary: BuildSummary = field(default_factory=lambda: BuildSummary(()))

    def build(self, *arguments: str) -> BuildSummary:
        """Run ``dbt build`` over the test's database."""
        with self.workplace():
            return build_models(connection_settings(self.urls.dbt), arguments)

    @contextlib.contextmanager
    def workplace(self) -> Iterator[None]:
        """Keep dbt's artifacts in a folder of this test."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(modelling, "work_folder", lambda: self.folder)
            # dbt leaves its log file open when it runs again in the same process.
            patch.setenv("DBT_LOG_LEVEL_FILE", "none")
            yield

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """Read as the builder, who sees all tenants."""
        with contextlib.closing(connect(self.urls.dbt)) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]


def seed(admin: Connection) -> None:
    """Two shops, one of which has nearly every kind of customer."""
    often = (89, 120, 150, 200, 300)
    add_customer(admin, "tenant_a", "an", days_ago=often, consent="granted")
    add_customer(admin, "tenant_a", "binh", days_ago=(91, 100, 101, 102), consent="refused")
    add_customer(admin, "tenant_a", "chi", days_ago=(271, 300, 301, 302))
    add_customer(admin, "tenant_a", "dung", days_ago=(3,), value_vnd=2_500_000)
    add_customer(admin, "tenant_a", "em")
    add_customer(admin, "tenant_a", "giang", days_ago=(1,))
    add_customer(admin, "tenant_a", "giang-cu", days_ago=(5, 6, 7, 95), survivor="giang")
    add_customer(admin, "tenant_a", "gone", days_ago=often, lifecycle="deleted")
    add_customer(admin, "tenant_b", "an", days_ago=(400,))
    add_customer(admin, "tenant_b", "binh", consent="granted")


@pytest.fixture(scope="module")
def built(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with new_database() as urls:
        with contextlib.closing(connect(urls.admin)) as admin:
            seed(admin)
        result = Built(urls, tmp_path_factory.mktemp("dbt"))
        result.summary = result.build()
        yield result


@dataclass
class Rebuild:
    """What a second build left, and what a reader saw meanwhile."""

    before: dict[str, Any]
    after: dict[str, Any]
    seen: set[tuple[int, int, int]]


@pytest.fixture(scope="module")
def rebuilt(built: Built) -> Rebuild:
    before = structure(built)
    with reading(built.urls) as seen:
        built.build().raise_if_bad()
    return Rebuild(before, structure(built), seen)


@contextlib.contextmanager
def reading(urls: DatabaseUrls) -> Iterator[set[tuple[int, int, int]]]:
    """Count the marts of a tenant over and over, as a campaign might at any moment."""
    seen: set[tuple[int, int, int]] = set()
    failures: list[BaseException] = []
    stop = threading.Event()

    def read() -> None:
        try:
            with contextlib.closing(connect(urls.runtime)) as connection:
                while not stop.is_set():
                    counts = []
                    for mart in ("dim_customers", "segment_membership", "segment_catalogue"):
                        with tenant_transaction(connection, "tenant_a") as cursor:
                            cursor.execute(f"select count(*) as n from analytics.{mart}")  # noqa: S608
                            counts.append(cursor.fetchone()["n"])  # type: ignore[index]
                    seen.add((counts[0], counts[1], counts[2]))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()
    assert failures == []


def structure(built: Built) -> dict[str, Any]:
    """Read what protects and serves the relations, save the generated names of indexes."""
    return {
        "row security": built.rows(
            "select oid::regclass::text as relation, relkind, relrowsecurity, relforcerowsecurity,"
            " reloptions, relacl::text, obj_description(oid) from pg_class"
            " where relnamespace::regnamespace::text like 'analytics%' and relkind in ('r', 'v')"
            " order by 1"
        ),
        "policies": built.rows(
            "select schemaname, tablename, policyname, roles::text, cmd, qual, with_check"
            " from pg_policies where schemaname like 'analytics%' order by 1, 2, 3"
        ),
        "indexes": built.rows(
            "select schemaname, tablename, split_part(indexdef, ' USING ', 2) as definition"
            " from pg_indexes where schemaname like 'analytics%' order by 1, 2, 3"
        ),
    }


def relations(built: Built) -> list[str]:
    rows = built.rows(
        "select oid::regclass::text as name from pg_class"
        " where relnamespace::regnamespace::text like 'analytics%' and relkind in ('r', 'v')"
        " order by 1"
    )
    return [row["name"] for row in rows]


def tenants_in(connection: Connection, relation: str) -> set[str]:
    statement = f"select distinct tenant_id from {relation}"  # noqa: S608
    return {row["tenant_id"] for row in connection.execute(statement).fetchall()}  # type: ignore[arg-type]


def hashes(built: Built) -> dict[str, str]:
    rows = built.rows(
        "select distinct segment_key, definition_hash from analytics.segment_catalogue"
    )
    return {row["segment_key"]: row["definition_hash"] for row in rows}


def test_one_build_makes_every_model_and_runs_every_test(built: Built) -> None:
    built.summary.raise_if_bad()
    kinds = {result.kind for result in built.summary.results}
    assert {"model", "test", "unit_test"} <= kinds
    assert all(result.seconds >= 0 for result in built.summary.results)


def test_each_customer_is_in_the_segments_of_their_past(built: Built) -> None:
    found: dict[tuple[str, str], set[str]] = {
        (row["tenant_id"], row["ext_id"]): set()
        for row in built.rows("select tenant_id, ext_id from analytics.dim_customers")
    }
    this_month = {"birthday_this_month"}
    for row in built.rows("select * from analytics.segment_membership"):
        found[row["tenant_id"], row["ext_id"]].add(row["segment_key"])
    assert {who: keys - this_month for who, keys in found.items()} == EXPECTED


def test_the_catalogue_lists_every_segment_for_every_tenant_with_its_size(built: Built) -> None:
    rows = built.rows("select * from analytics.segment_catalogue")
    keys = {path.stem.removeprefix("seg_") for path in DBT_PROJECT.glob("models/segments/*.sql")}
    assert len(keys) >= 11
    assert {(row["tenant_id"], row["segment_key"]) for row in rows} == {
        (tenant, key) for tenant in ("tenant_a", "tenant_b") for key in keys
    }
    sizes = {(row["tenant_id"], row["segment_key"]): row["size"] for row in rows}
    assert sizes["tenant_a", "vip"] == 2
    assert sizes["tenant_b", "vip"] == 0
    assert all(row["source_watermark"] and row["name"] and row["description_vi"] for row in rows)


def test_the_description_names_the_present_threshold(built: Built) -> None:
    (row,) = built.rows(
        "select description_vi from analytics.segment_catalogue"
        " where tenant_id = 'tenant_a' and segment_key = 'vip'"
    )
    assert "từ 5.000.000 đ" in row["description_vi"]


@pytest.mark.invariant(6)
@pytest.mark.parametrize("mart", MARTS)
def test_the_application_sees_its_own_tenant_only(built: Built, mart: str) -> None:
    with contextlib.closing(connect(built.urls.runtime)) as connection:
        for tenant in ("tenant_a", "tenant_b"):
            with tenant_transaction(connection, tenant):
                assert tenants_in(connection, f"analytics.{mart}") <= {tenant}
        with tenant_transaction(connection, "tenant_c"):
            assert tenants_in(connection, f"analytics.{mart}") == set()
        assert tenants_in(connection, f"analytics.{mart}") == set()


def test_the_application_sees_all_of_its_own_tenant(built: Built) -> None:
    with contextlib.closing(connect(built.urls.runtime)) as connection:
        with tenant_transaction(connection, "tenant_b"):
            found = connection.execute("select ext_id from analytics.dim_customers").fetchall()
    assert {row["ext_id"] for row in found} == {"an", "binh"}


@pytest.mark.parametrize("schema", ["analytics_staging", "analytics_intermediate"])
def test_the_application_has_no_way_into_the_workshop(built: Built, schema: str) -> None:
    relation = next(name for name in relations(built) if name.startswith(schema))
    with (
        contextlib.closing(connect(built.urls.runtime)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
    ):
        tenants_in(connection, relation)


@pytest.mark.invariant(6)
@pytest.mark.parametrize(
    "granted",
    [set(), {"tenant_a"}, {"tenant_b"}, {"tenant_a", "tenant_b"}],
    ids=["nobody", "one", "other", "both"],
)
def test_an_analyst_sees_granted_tenants_only_in_every_relation(
    built: Built, granted: set[str]
) -> None:
    with (
        contextlib.closing(connect(built.urls.admin)) as admin,
        contextlib.closing(connect(built.urls.analyst)) as analyst,
    ):
        admin.execute("delete from analyst_grant")
        for tenant in granted:
            admin.execute("insert into analyst_grant values ('leo_analyst', %s)", (tenant,))
        # A setting is anybody's to change, so it must open nothing.
        analyst.execute("select set_config('leo.tenant_id', 'tenant_a', false)")
        names = relations(built)
        assert len(names) > 30
        for name in names:
            assert tenants_in(analyst, name) <= granted, name
        assert tenants_in(analyst, "analytics.dim_customers") == granted
        assert tenants_in(analyst, "analytics_staging.stg_activation__profiles") == granted


def test_readers_can_only_read(built: Built) -> None:
    for url in (built.urls.runtime, built.urls.analyst):
        with (
            contextlib.closing(connect(url)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied"),
        ):
            connection.execute("delete from analytics.segment_membership")


def test_every_column_of_every_relation_is_explained(built: Built) -> None:
    silent = built.rows(
        "select attrelid::regclass::text || '.' || attname as name from pg_attribute"
        " inner join pg_class as c on c.oid = attrelid"
        " where c.relnamespace::regnamespace::text like 'analytics%' and c.relkind in ('r', 'v')"
        " and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null"
    )
    assert silent == []


def test_a_second_build_leaves_policies_indexes_and_grants_in_place(rebuilt: Rebuild) -> None:
    assert rebuilt.after == rebuilt.before
    assert len(rebuilt.after["policies"]) == 3 * sum(
        row["relkind"] == "r" for row in rebuilt.after["row security"]
    )
    assert rebuilt.after["indexes"]


def test_readers_never_see_an_empty_or_half_built_mart(rebuilt: Rebuild) -> None:
    assert len(rebuilt.seen) == 1
    assert min(next(iter(rebuilt.seen))) > 0


def test_a_changed_threshold_changes_the_hash_of_its_segments_only(built: Built) -> None:
    before = hashes(built)
    chosen = ("--select", "segments", "segment_membership", "segment_catalogue")
    built.build(*chosen).raise_if_bad()
    assert hashes(built) == before

    built.build(*chosen, "--vars", "{vip_min_spent_vnd: 4999999}").raise_if_bad()
    changed = {key for key, value in hashes(built).items() if value != before[key]}
    assert changed == {"vip"}

    built.build(*chosen).raise_if_bad()
    assert hashes(built) == before


def test_a_changed_feature_changes_the_hash_of_every_segment_on_it(built: Built) -> None:
    before = hashes(built)
    built.build(
        *("--select", "dim_customers", "segments", "segment_membership", "segment_catalogue"),
        *("--vars", "{channel_order: [email, zalo]}"),
    ).raise_if_bad()
    after = hashes(built)
    assert after.keys() == before.keys()
    assert all(after[key] != before[key] for key in after)


def test_a_broken_purchase_warns_and_stops_nobody(built: Built) -> None:
    with contextlib.closing(connect(built.urls.admin)) as admin:
        add_customer(admin, "tenant_b", "hỏng", days_ago=(1, 2), value_vnd='"nhiều"')
    summary = built.build("--select", "stg_activation__marketing_events")
    summary.raise_if_bad()
    (warning,) = [result for result in summary.results if result.status == "warn"]
    assert warning.name == "assert_purchases_have_a_value"
    assert warning.message.startswith("Got 2 results")


@pytest.fixture
def unprotected_table(built: Built) -> Iterator[None]:
    with contextlib.closing(connect(built.urls.dbt)) as builder:
        builder.execute("create table analytics.copy_of_customers (tenant_id text)")
        yield
        builder.execute("drop table analytics.copy_of_customers")


@pytest.mark.invariant(8)
@pytest.mark.usefixtures("unprotected_table")
def test_a_failed_data_test_is_named_and_fails_the_build(built: Built) -> None:
    summary = built.build("--select", "segment_catalogue")
    with pytest.raises(ModellingError, match="test assert_every_relation_is_protected: Got 1 res"):
        summary.raise_if_bad()


@pytest.fixture
def copied_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project that a test may change."""
    project = tmp_path / "dbt_project"
    shutil.copytree(DBT_PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    monkeypatch.setattr(modelling, "DBT_PROJECT", project)
    return project


def add_segment(project: Path, meta: str) -> None:
    text = (project / "models/segments/seg_vip.sql").read_text(encoding="utf-8")
    body = text.partition("}}\n")[2]
    config = "{{ config(contract={'enforced': false}, meta=" + meta + ") }}"
    (project / "models/segments/seg_hanoi.sql").write_text(config + body, encoding="utf-8")


def add_line(project: Path) -> None:
    membership = project / "models/marts/segments/segment_membership.sql"
    line = "-- depends_on: {{ ref('seg_hanoi') }}\n"
    membership.write_text(line + membership.read_text(encoding="utf-8"), encoding="utf-8")


GOOD_META = "{'name': 'Khách Hà Nội', 'description_vi': 'Ở Hà Nội.'}"


def drop_name(project: Path) -> None:
    add_segment(project, "{'description_vi': 'Ở Hà Nội.'}")
    add_line(project)


def drop_line(project: Path) -> None:
    add_segment(project, GOOD_META)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(drop_line, r"depends_on: \{\{ ref\('seg_hanoi'\)", id="no_line"),
        pytest.param(drop_name, r"seg_hanoi: its config needs meta\.name", id="no_name"),
    ],
)
def test_a_segment_that_is_half_added_stops_the_build_with_what_to_do(
    built: Built, copied_project: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(copied_project)
    chosen = ("--select", "seg_hanoi", "segment_membership", "segment_catalogue")
    with pytest.raises(ModellingError, match=message):
        built.build(*chosen).raise_if_bad()


def test_a_new_segment_is_offered_by_the_next_build(built: Built, copied_project: Path) -> None:
    add_segment(copied_project, GOOD_META)
    add_line(copied_project)
    chosen = ("--select", "seg_hanoi", "segment_membership", "segment_catalogue")
    built.build(*chosen).raise_if_bad()
    rows = built.rows(
        "select name, size from analytics.segment_catalogue where segment_key = 'hanoi'"
        " order by size"
    )
    assert rows == [{"name": "Khách Hà Nội", "size": 0}, {"name": "Khách Hà Nội", "size": 2}]


def test_the_docs_are_one_page_that_names_every_model(built: Built, tmp_path: Path) -> None:
    with built.workplace():
        page = publish_docs(connection_settings(built.urls.dbt), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert all(path.stem in text for path in DBT_PROJECT.glob("models/**/*.sql"))


def test_a_server_that_is_away_is_said_so(built: Built) -> None:
    nowhere = make_conninfo(built.urls.dbt, port=1)
    away = Built(dataclasses.replace(built.urls, dbt=nowhere), built.folder)
    with pytest.raises(ModellingError, match="did not start|refused"):
        away.build().raise_if_bad()
