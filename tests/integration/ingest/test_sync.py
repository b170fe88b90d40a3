"""The sync between a CDP (the stand-in, over the real client) and PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from leo_activation.database import Connection, connect, tenant_transaction
from leo_activation.errors import ConfigurationError, SourceError, UnknownTenantError
from leo_activation.ingest import sync
from leo_activation.paths import PROJECT_ROOT
from sandbox.cdnow import changes
from sandbox.cdnow.documents import WOMEN
from tests.conftest import DatabaseUrls
from tests.integration.ingest.conftest import ANCHOR, CUSTOMERS, Cdp, NewCdp
from tests.support.arangodb import PASSWORD

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
MERGED = 1
UNUSABLE = 3


def some(cdp: Cdp, count: int, **conditions: Any) -> list[str]:
    return changes.some_keys(cdp.database, count, **conditions)


def give_settings(connection: Connection, tenant_id: str, settings: str) -> None:
    with tenant_transaction(connection, tenant_id) as cursor:
        cursor.execute("update tenant set settings = %s", (settings,))


# -- what comes in ----------------------------------------------------------------------------


def test_the_first_sync_brings_every_profile_with_its_purchases_and_consent(cdp: Cdp) -> None:
    report = cdp.sync()
    events = cdp.database.collection("cdp_trackingevent").count()
    assert report.mode == "full"
    assert report.read == CUSTOMERS + MERGED + UNUSABLE
    assert (report.inserted, report.rejected) == (CUSTOMERS + MERGED, UNUSABLE)
    assert (report.events, report.merged) == (events, MERGED)
    assert cdp.rows("select count(*) as n from marketing_event")[0]["n"] == events
    assert cdp.rows("select count(*) as n from consent")[0]["n"] == report.consents > CUSTOMERS


def test_a_second_sync_writes_no_row(synced: Cdp) -> None:
    before, content = synced.versions(), synced.content()
    for mode in ("delta", "full", "delta"):
        report = synced.sync(mode)
        assert (report.changed, report.events, report.consents) == (0, 0, 0)
    assert synced.versions() == before
    assert synced.content() == content


def test_no_secret_of_the_cdp_reaches_the_database(synced: Cdp) -> None:
    for table in ("cdp_profiles", "ingest_reject", "marketing_event", "sync_state"):
        [found] = synced.rows(
            f"select count(*) as n from {table} as t where t::text like '%%never-read%%'"  # noqa: S608
        )
        assert found["n"] == 0


@pytest.mark.invariant(8)
def test_every_unusable_value_is_kept_with_its_reason_and_its_document(synced: Cdp) -> None:
    rejects = synced.rows("select * from ingest_reject where scope = 'field'")
    assert {"email", "mobile"} <= {row["field"] for row in rejects}
    for row in rejects:
        assert row["reason"]
        assert row["value"]
        assert row["raw_document"]["_key"] == row["ext_id"]
        assert synced.profile(row["ext_id"])["lifecycle"] == "active"


def test_a_document_that_is_no_profile_is_refused_with_its_reason(synced: Cdp) -> None:
    rejects = synced.rows("select * from ingest_reject where scope = 'document'")
    assert {(row["field"], row["reason"]) for row in rejects} == {("status", "no status code")}
    assert len(rejects) == UNUSABLE


def test_an_email_that_is_none_becomes_null_and_stays_in_the_raw_attributes(synced: Cdp) -> None:
    [key] = some(synced, 1)
    changes.touch(
        synced.database, [key], synced.now, primaryEmail="không có hộp thư", secondaryEmails=[]
    )
    synced.sync()
    stored = synced.profile(key)
    assert stored["email"] is None
    assert stored["raw_attributes"]["primaryEmail"] == "không có hộp thư"
    [reject] = synced.rows("select * from ingest_reject where value = 'không có hộp thư'")
    assert (reject["ext_id"], reject["field"]) == (key, "email")


def test_text_that_jsonb_cannot_hold_comes_in_without_it(synced: Cdp) -> None:
    [key] = some(synced, 1)
    changes.touch(
        synced.database, [key], synced.now, firstName="Lan\u0000Anh", jobTitles=["a\u0000"]
    )
    synced.sync()
    stored = synced.profile(key)
    assert stored["first_name"] == "LanAnh"
    assert stored["raw_attributes"]["jobTitles"] == ["a"]


# -- what changes -----------------------------------------------------------------------------


def test_a_delta_writes_the_changed_profiles_and_no_other(synced: Cdp) -> None:
    before = {row["ext_id"]: row["version"] for row in synced.versions()}
    keys = some(synced, 100)
    changes.touch(synced.database, keys, synced.now, livingCity="Hội An")
    report = synced.sync()
    after = {row["ext_id"]: row["version"] for row in synced.versions()}
    assert (report.mode, report.updated, report.inserted) == ("delta", 100, 0)
    assert {key for key in after if after[key] != before[key]} == set(keys)
    assert {synced.profile(key)["city"] for key in keys[:3]} == {"Hội An"}


def test_a_save_that_changed_nothing_touches_no_row(synced: Cdp) -> None:
    before = synced.versions()
    changes.touch(synced.database, some(synced, 20), synced.now)
    report = synced.sync()
    assert (report.changed, report.unchanged >= 20) == (0, True)
    assert synced.versions() == before


def test_many_profiles_saved_in_one_moment_are_all_read(synced: Cdp) -> None:
    keys = some(synced, 90)
    changes.touch(synced.database, keys, synced.now, livingCity="Hội An")
    assert synced.sync(page_size=7).updated == 90


def test_leaving_a_segment_is_noticed_though_updated_at_stands_still(synced: Cdp) -> None:
    leavers = some(synced, 5, segment=WOMEN)
    changes.leave_segment(synced.database, leavers, WOMEN)
    report = synced.sync()
    assert (report.mode, report.left, report.updated) == ("delta", 5, 5)
    for key in leavers:
        assert WOMEN.key not in {item["id"] for item in synced.profile(key)["segments"]}


def test_a_merge_is_noticed_and_the_survivor_keeps_devices_and_refusals(synced: Cdp) -> None:
    source, survivor = some(synced, 2)
    now, token = synced.now, "token-of-the-old-phone"
    changes.touch(synced.database, [survivor], now, receiveEmail=1, receiveAds=1)
    changes.touch(
        synced.database, [source], now, receiveEmail=-1, notificationUserIds={"fcm": [token]}
    )
    synced.sync()
    changes.merge(synced.database, source, survivor)
    report = synced.sync("full")
    merged, kept = synced.profile(source), synced.profile(survivor)
    assert report.merged == 1
    assert (merged["lifecycle"], merged["merged_into_ext_id"]) == ("merged", survivor)
    assert token in kept["fcm_tokens"]
    [consent] = synced.rows(
        "select decision, evidence from consent where profile_id = %(id)s and channel = 'email'"
        " order by consent_id desc limit 1",
        id=kept["profile_id"],
    )
    assert consent == {"decision": "refused", "evidence": {"merged_from": source}}


def test_a_no_given_by_link_before_a_merge_is_the_survivors_no(synced: Cdp) -> None:
    source, survivor = some(synced, 2)
    synced.rows(
        "insert into consent (tenant_id, profile_id, channel, decision, source)"
        " select tenant_id, profile_id, 'zalo', 'refused', 'unsubscribe' from cdp_profiles"
        " where ext_id = %(ext_id)s returning consent_id",
        ext_id=source,
    )
    changes.merge(synced.database, source, survivor)
    synced.sync("full")
    decisions = synced.rows(
        "select decision from current_consent where profile_id = %(id)s and channel = 'zalo'",
        id=synced.profile(survivor)["profile_id"],
    )
    assert decisions == [{"decision": "refused"}]


def test_what_a_survivor_inherited_outlives_its_next_save(synced: Cdp) -> None:
    survivor, source = some(synced, 2)
    changes.touch(synced.database, [source], synced.now, receiveEmail=-1,
                  notificationUserIds={"fcm": ["token-of-the-old-phone"]})  # fmt: skip
    synced.sync()
    changes.merge(synced.database, source, survivor)
    synced.sync("full")
    changes.touch(synced.database, [survivor], synced.now, livingCity="Hội An", receiveEmail=1)
    synced.sync()
    kept = synced.profile(survivor)
    assert (kept["city"], "token-of-the-old-phone" in kept["fcm_tokens"]) == ("Hội An", True)
    decisions = synced.rows(
        "select decision from consent where profile_id = %(id)s and channel = 'email'"
        " order by consent_id desc limit 1",
        id=kept["profile_id"],
    )
    assert decisions == [{"decision": "refused"}]


def test_a_purchase_that_moved_in_a_merge_is_no_second_purchase_of_the_source(synced: Cdp) -> None:
    source, survivor = some(synced, 2)
    changes.merge(synced.database, source, survivor)
    changes.touch(synced.database, [survivor], synced.now, totalCLV=1)
    synced.sync("full")
    keys = synced.database.collection("cdp_trackingevent").count()
    [found] = synced.rows("select count(distinct source_key) as n from marketing_event")
    assert found["n"] == keys


def test_a_removed_profile_is_erased_when_the_removal_is_noticed(synced: Cdp) -> None:
    soft, hard = some(synced, 2)
    changes.touch(synced.database, [soft], synced.now, primaryEmail="sai@")
    synced.sync()
    changes.remove_softly(synced.database, [soft])
    changes.delete(synced.database, [hard])
    report = synced.sync("full")
    assert report.deleted == 2
    for key in (soft, hard):
        stored = synced.profile(key)
        assert (stored["lifecycle"], stored["raw_attributes"]) == ("deleted", {})
        assert not any(stored[name] for name in ("full_name", "email", "mobile", "fcm_tokens"))
    rejects = synced.rows("select value, raw_document from ingest_reject where ext_id = %(key)s",
                          key=soft)  # fmt: skip
    assert rejects
    assert all((row["value"], row["raw_document"]) == (None, {}) for row in rejects)
    assert synced.sync("full").changed == 0


def test_a_deleted_member_of_a_segment_is_noticed_by_the_next_delta(synced: Cdp) -> None:
    [key] = some(synced, 1, segment=WOMEN)
    changes.delete(synced.database, [key])
    assert synced.sync("delta").deleted == 1
    assert synced.profile(key)["lifecycle"] == "deleted"


def test_a_profile_that_comes_back_is_there_again(synced: Cdp) -> None:
    [key] = some(synced, 1)
    document = synced.database.collection("cdp_profile").get(key)
    changes.delete(synced.database, [key])
    synced.sync("full")
    synced.database.collection("cdp_profile").insert(document)
    synced.sync("full")
    assert synced.profile(key)["lifecycle"] == "active"
    assert synced.profile(key)["full_name"]


def test_the_full_manifest_is_read_once_a_day_by_itself(synced: Cdp) -> None:
    [key] = [k for k in some(synced, 50) if not synced.profile(k)["segments"]][:1]
    changes.delete(synced.database, [key])
    synced.now += DAY - timedelta(seconds=1)
    assert synced.sync().mode == "delta"
    assert synced.profile(key)["lifecycle"] == "active"
    synced.now += timedelta(seconds=1)
    assert (synced.sync().mode, synced.profile(key)["lifecycle"]) == ("full", "deleted")


def test_consent_is_appended_only_when_the_flag_says_something_new(synced: Cdp) -> None:
    [key] = some(synced, 1)

    def says(flag: int) -> list[str]:
        changes.touch(synced.database, [key], synced.now, receiveEmail=flag, receiveAds=1,
                      totalCLV=synced.now.timestamp())  # fmt: skip
        synced.sync()
        synced.now += timedelta(minutes=1)
        rows = synced.rows(
            "select c.decision from consent as c join cdp_profiles as p using (profile_id)"
            " where p.ext_id = %(key)s and c.channel = 'email' and c.source = 'cdp'"
            " order by c.consent_id",
            key=key,
        )
        return [row["decision"] for row in rows][-2:]

    says(1)
    assert says(-1) == ["granted", "refused"]
    assert says(-1) == ["granted", "refused"]
    assert says(0) == ["granted", "refused"]
    assert says(1) == ["refused", "granted"]


def test_a_profile_dated_in_the_future_does_not_hide_later_saves(synced: Cdp) -> None:
    first, second = some(synced, 2)
    changes.touch(synced.database, [first], synced.now + 400 * DAY, livingCity="Huế")
    synced.sync()
    synced.now += timedelta(hours=1)
    changes.touch(synced.database, [second], synced.now, livingCity="Hội An")
    synced.sync()
    assert synced.profile(first)["city"] == "Huế"
    assert synced.profile(second)["city"] == "Hội An"


@pytest.mark.parametrize(
    "moment",
    ["2026-02-31T10:00:00.000Z", "2026-11-23T09:61:00.000Z", "2026-11-23T09:09:5 hỏng", [2026]],
)
def test_a_profile_with_an_impossible_time_of_save_stops_nobody(synced: Cdp, moment: Any) -> None:
    broken, sound = some(synced, 2)
    synced.now += 10 * MINUTE
    changes.touch(synced.database, [sound], synced.now - MINUTE, livingCity="Hội An")
    synced.database.collection("cdp_profile").update(
        {"_key": broken, "updatedAt": moment, "livingCity": "Huế"}
    )
    synced.sync()
    synced.sync()
    synced.sync("full")
    synced.sync()
    assert synced.profile(sound)["city"] == "Hội An"
    assert synced.profile(broken)["city"] == "Huế"
    assert synced.profile(broken)["source_updated_at"] is None


def test_another_mapping_is_applied_to_what_was_read_before(
    synced: Cdp, owner_conn: Connection
) -> None:
    give_settings(owner_conn, "tenant_a", '{"mapping": {"city": "livingCountry"}}')
    report = synced.sync()
    assert (report.mode, report.updated > CUSTOMERS / 2) == ("full", True)
    [found] = synced.rows("select count(*) as n from cdp_profiles where city = 'Vietnam'")
    assert found["n"] >= CUSTOMERS
    assert synced.sync().changed == 0


def test_unusable_settings_of_a_tenant_stop_the_sync(cdp: Cdp, owner_conn: Connection) -> None:
    give_settings(owner_conn, "tenant_a", '{"mapping": {"city": "password"}}')
    with pytest.raises(ConfigurationError, match="may never be read"):
        cdp.sync()
    assert cdp.rows("select count(*) as n from cdp_profiles") == [{"n": 0}]


# -- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["unavailable", "drop", "drop_reply", "expire_cursors"])
@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_failing_source_costs_a_page_and_not_the_run(cdp: Cdp, kind: str, after: int) -> None:
    cdp.server.fault(kind, path="/_api/cursor", after=after, times=4)
    cdp.sync()
    cdp.server.clear_faults()
    content = cdp.content()
    assert len(content) == CUSTOMERS + MERGED
    assert cdp.sync("full").changed == 0
    assert cdp.content() == content


def test_a_source_that_stays_away_is_given_up_after_bounded_tries(cdp: Cdp) -> None:
    cdp.server.fault("unavailable", path="/_api/cursor", times=None)
    with pytest.raises(SourceError, match="could not be read in 5 tries"):
        cdp.sync()
    assert cdp.sleeps == [0.2, 0.4, 0.8, 1.6]


def test_what_was_read_before_a_failure_is_kept_and_the_next_run_goes_on(cdp: Cdp) -> None:
    cdp.server.fault("unavailable", path="/_api/cursor", after=5, times=None)
    with pytest.raises(SourceError):
        cdp.sync()
    [kept] = cdp.rows("select count(*) as n from cdp_profiles")
    cdp.server.clear_faults()
    report = cdp.sync()
    assert 0 < kept["n"] < CUSTOMERS
    assert report.inserted == CUSTOMERS + MERGED - kept["n"]


def test_a_wrong_password_is_refused_at_once_with_what_to_check(cdp: Cdp) -> None:
    source = cdp.source(password="wrong")
    with pytest.raises(SourceError, match="Check the connection's database, user and password"):
        sync(source, cdp.connection, tenant_id="tenant_a")
    source.close()
    assert cdp.sleeps == []


def test_a_source_that_lost_its_profiles_erases_nobody(synced: Cdp) -> None:
    synced.database.collection("cdp_profile").truncate()
    with pytest.raises(SourceError, match="121 of 121 profiles of tenant 'tenant_a' are gone"):
        synced.sync("full")
    assert {row["lifecycle"] for row in synced.content()} == {"active", "merged"}
    assert synced.sync("full", max_removed_share=1).deleted == CUSTOMERS + MERGED


KILLED = """
import os, signal, sys
from datetime import datetime
from leo_activation.database import connect
from leo_activation.ingest import ArangoSource, sync

database_url, arango_url, database, pages = sys.argv[1:]
left = int(pages)

def progress(report):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

source = ArangoSource(url=arango_url, database=database, username="root", password=sys.stdin.read())
sync(source, connect(database_url), tenant_id="tenant_a", page_size=40, progress=progress,
     clock=lambda: datetime.fromisoformat("2026-11-23T09:00:00+00:00"))
"""


@pytest.mark.parametrize("pages", [1, 2])
def test_a_killed_sync_goes_on_where_it_stopped(
    new_cdp: NewCdp, database_urls: DatabaseUrls, tmp_path: Path, pages: int
) -> None:
    cdp = new_cdp("tenant_a")
    script = tmp_path / "killed.py"
    script.write_text(KILLED, encoding="utf-8")
    command = [sys.executable, str(script), database_urls.runtime, cdp.server.url,
               cdp.database.name, str(pages)]  # fmt: skip
    killed = subprocess.run(
        command, cwd=PROJECT_ROOT, check=False, input=PASSWORD, text=True,
        env={**os.environ, "PYTHONPATH": f"{PROJECT_ROOT / 'plugins'}"},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    [kept] = cdp.rows("select count(*) as n from cdp_profiles")
    assert 0 < kept["n"] <= 40 * pages
    report = cdp.sync()
    assert report.inserted == CUSTOMERS + MERGED - kept["n"]
    interrupted = cdp.content()
    other = new_cdp("tenant_b")
    other.sync()
    assert [(row["ext_id"], row["events"]) for row in interrupted] == [
        (row["ext_id"], row["events"]) for row in other.content()
    ]


def test_two_syncs_of_one_tenant_do_not_run_at_once(
    synced: Cdp, database_urls: DatabaseUrls
) -> None:
    other = connect(database_urls.runtime)
    source = synced.source()

    def second(report: Any) -> None:
        with pytest.raises(SourceError, match="another sync of tenant 'tenant_a' is running"):
            sync(source, other, tenant_id="tenant_a", patience=timedelta(milliseconds=50))

    synced.sync("full", progress=second)
    other.close()
    source.close()


# -- tenants ----------------------------------------------------------------------------------


def test_tenants_with_the_same_customers_never_meet(new_cdp: NewCdp) -> None:
    first, second = new_cdp("tenant_a"), new_cdp("tenant_b")
    first.sync()
    second.sync()
    before = second.versions(), second.content()
    keys = some(first, 30)
    assert keys == some(second, 30)
    changes.touch(first.database, keys[:20], first.now, livingCity="Hội An", receiveEmail=-1)
    changes.delete(first.database, keys[20:])
    assert first.sync("full").changed == 30
    assert (second.versions(), second.content()) == before
    assert second.sync().changed == 0


def test_a_tenant_that_does_not_exist_is_named(cdp: Cdp) -> None:
    cdp.tenant_id = "nobody"
    with pytest.raises(UnknownTenantError, match="'nobody' does not exist"):
        cdp.sync()


def test_the_last_report_is_kept_beside_the_watermark(synced: Cdp) -> None:
    [state] = synced.rows("select watermark, last_report from sync_state where stream = 'profiles'")
    assert state["last_report"]["inserted"] == CUSTOMERS + MERGED
    assert state["watermark"]["updated_at"] <= f"{ANCHOR}T09:00:00.000Z"
