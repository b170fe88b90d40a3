"""Decide 10,000 customers of a real campaign, the database included, in both modes.

Run: ``python -m benchmarks.bench_orchestration``. The customers are those of the CDNOW log who can
be reached by e-mail, synced and modelled as in production, with their own segments, consents and
preferred channels: as many look alike as really do. Each row decides another run of the campaign,
from frozen members to tasks, traces and rows of the ledger. In choose mode once with a stand-in
that answers at once, which leaves the orchestration, and once with the model, cold and then warm:
the second time its memo knows every look.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from benchmarks.scratch import TENANTS, scratch_database
from leo_activation.commands.replay import started_gateway
from leo_activation.database import Connection, connect
from leo_activation.decision.choose import ChoiceGateway, HttpChoices
from leo_activation.decision.client import DecisionGateway, GatewayClient
from leo_activation.decision.orchestrator import compile_plan, decide_batch
from leo_activation.decision.tasks import DecideReport
from leo_activation.decision.weights import default_folder, prepare
from leo_activation.delivery.seeds import seed_templates
from leo_activation.ingest import ArangoSource, sync
from leo_activation.modelling import build_models, connection_settings
from leo_activation.paths import state_folder
from leo_activation.settings import role_url
from leo_activation.snapshot import ensure_campaign, freeze_segment
from sandbox.cdnow.load import load
from sandbox.cdnow.log import fetch_package
from tests.integration.decision.conftest import free_port
from tests.support.arangodb import PASSWORD, running_arango
from tests.support.choice_gateway import ChoiceGatewayProcess

TENANT = TENANTS[0]
BASE = "cua-hang-lon"
SEGMENT = "reachable_email"
MEMBERS = 10_000
# As plan_batches splits a campaign.
BATCH = 2_000
CHANNELS = ["email", "telegram", "zalo"]
CONDITION = "Gửi email tri ân nếu là khách VIP"
LIKED = "Gửi tri ân qua kênh mà từng khách thích nhất"
OPEN = "Chọn kênh và tin phù hợp với từng khách"


@contextlib.contextmanager
def shop() -> Iterator[Connection]:
    """Fill a database with the customers, as the first sync and the first build do."""
    datasets = fetch_package(state_folder() / "data" / "lifetimes")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_arango(Path(folder)) as server,
        server.database(BASE) as database,
        scratch_database() as name,
        contextlib.closing(connect(role_url("runtime", database=name))) as connection,
    ):
        load(database, datasets, say=lambda line: None)
        source = ArangoSource(url=server.url, database=BASE, username="root", password=PASSWORD)
        sync(source, connection, tenant_id=TENANT)
        source.close()
        build_models(
            connection_settings(role_url("dbt", database=name)), ["--quiet"]
        ).raise_if_bad()
        seed_templates(connection, TENANT)
        yield connection


def decide(
    connection: Connection,
    name: str,
    instruction: str,
    mode: str,
    plans: DecisionGateway,
    choices: ChoiceGateway,
) -> None:
    """Freeze, compile and decide a new run, and print how long deciding took."""
    run_id = name.replace(" ", "-")
    campaign: UUID = ensure_campaign(
        connection, tenant_id=TENANT, code=run_id, instruction=instruction, channels=CHANNELS
    )
    frozen = freeze_segment(
        connection, tenant_id=TENANT, segment_key=SEGMENT, campaign_id=campaign, run_id=run_id
    )
    started, cpu = time.perf_counter(), time.process_time()
    plan_id = compile_plan(
        connection, plans, tenant_id=TENANT, campaign_id=campaign, run_id=run_id,
        instruction=instruction, channels=CHANNELS, mode=mode,
    )  # fmt: skip
    compiled = time.perf_counter() - started
    total = DecideReport()
    for first in range(1, MEMBERS + 1, BATCH):
        total += decide_batch(
            connection, tenant_id=TENANT, snapshot_id=frozen.snapshot_id, plan_id=plan_id,
            first_ordinal=first, last_ordinal=first + BATCH - 1, choices=choices,
        )  # fmt: skip
    wall, spent = time.perf_counter() - started, time.process_time() - cpu
    if total.decided != MEMBERS:
        raise SystemExit(f"expected {MEMBERS} decisions, found {total}")
    skipped = sum(total.skipped.values())
    print(f"{name:<28} {wall:>7.1f} {compiled:>8.1f} {spent:>7.1f} {total.distinct:>9,} "
          f"{total.queued:>8,} {skipped:>8,}")  # fmt: skip


def main() -> None:
    """Print the table."""
    model = prepare(print, folder=default_folder())
    with (
        tempfile.TemporaryDirectory() as folder,
        shop() as connection,
        started_gateway(model.folder) as url,
        HttpChoices(url) as choices,
    ):
        plans = GatewayClient(url)
        stand_in = ChoiceGatewayProcess(free_port(), Path(folder))
        stand_in.start()
        print(f"{MEMBERS:,} members of {SEGMENT} ({os.getloadavg()[0]:.1f} processes busy), "
              f"{model.name}\n")  # fmt: skip
        print(f"{'seconds':<28} {'all':>7} {'compile':>8} {'own CPU':>7} {'distinct':>9} "
              f"{'queued':>8} {'skipped':>8}")  # fmt: skip
        decide(connection, "plan", CONDITION, "plan", plans, choices)
        with HttpChoices(stand_in.url) as instant:
            decide(connection, "choose stand-in liked", LIKED, "choose", plans, instant)
            decide(connection, "choose stand-in open", OPEN, "choose", plans, instant)
        stand_in.kill()
        for name, sentence in (("open", OPEN), ("liked", LIKED)):
            decide(connection, f"choose model {name}", sentence, "choose", plans, choices)
            decide(connection, f"choose model {name} again", sentence, "choose", plans, choices)


if __name__ == "__main__":
    main()
