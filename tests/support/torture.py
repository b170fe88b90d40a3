"""The kill test: what the ledger says after 200 kills is what the providers know.

``python -m tests.support.torture`` sends 20,000 messages of two tenants over all channels and
providers, with provider faults on, while dispatchers, PostgreSQL and stand-ins are killed with
SIGKILL at random moments. PostgreSQL is a server of its own. Then it compares the ledger with the
providers' own records, prints the table, and ends with status 1 if a rule is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.types.json import Jsonb
from rich.console import Console

from leo_activation.administration import initialise
from leo_activation.database import connect
from leo_activation.delivery.feedback import FeedbackReport, accept_webhook
from leo_activation.delivery.policy import ALL_DAY
from leo_activation.delivery.reconciliation import reconcile
from leo_activation.settings import role_url
from sandbox.http_server import Request, Response, serve
from sandbox.postgres import EmbeddedPostgres
from sandbox.postgres.install import install_server
from tests.support.campaigns import SECRET_KEY, Campaign, decided_campaign
from tests.support.torture_lanes import (
    SILENT,
    TENANTS,
    UNREACHABLE,
    Lane,
    running_lanes,
    torture_customer,
)
from tests.support.torture_proof import VIOLATIONS, LaneProof, Outage, prove, table_of
from tests.support.torture_worker import Job, work

WORKERS = 3
_CONCURRENCIES = (2, 4, 8)
# One kill in so many is of PostgreSQL, of a stand-in; the others are of dispatchers.
_POSTGRES_EVERY, _STAND_IN_EVERY, _EXPIRY_EVERY = 6, 11, 9
# Kill although nothing was accepted for so long.
_LONGEST_PAUSE = 1.5
_SETTLE_SECONDS = 240.0
_OPEN = "delivery_status in ('queued', 'retry', 'sending')"


@dataclass(frozen=True)
class TortureReport:
    """What came of it.

    :param kills: by what was killed.
    :param seconds: of the sending, from the first worker to the last outcome.
    :param feedback: what the receipts changed.
    :param regrants: lost grants that the "person" of this test gave again.
    """

    seed: int
    kills: Counter[str]
    seconds: float
    proofs: list[LaneProof]
    feedback: FeedbackReport
    regrants: int

    def total(self, name: str) -> int:
        """Return a count over all lanes."""
        return sum(proof.counts[name] for proof in self.proofs)

    def violations(self) -> dict[str, int]:
        """Return the rules that were broken, and how often."""
        return {name: self.total(name) for name in VIOLATIONS if self.total(name)}

    def show(self, console: Console) -> None:
        """Print the table."""
        console.print(table_of(self.proofs))
        killed = ", ".join(f"{count} {what}" for what, count in sorted(self.kills.items()))
        rate = self.total("queued") / self.seconds * 60
        console.print(
            f"killed: {killed} (seed {self.seed}); {self.seconds:.0f} s of sending, "
            f"{rate:,.0f} messages a minute; receipts: {self.feedback}; "
            f"grants lost and given again: {self.regrants}"
        )
        for proof in self.proofs:
            for example in proof.examples[:3]:
                console.print(f"[red]{example}[/red]")
        console.print(
            f"[red]BROKEN: {self.violations()}[/red]" if self.violations() else "no rule broken"
        )


@contextlib.contextmanager
def own_server() -> Iterator[EmbeddedPostgres]:
    """Run a PostgreSQL that may be killed, with the schema and both tenants."""
    program = EmbeddedPostgres.of_project().program
    install_server(program)
    # Not below a folder closed to the system user that runs the server under root.
    folder = Path(tempfile.mkdtemp(prefix="leo-torture-"))
    folder.chmod(0o755)
    (folder / "postgres").mkdir()
    (folder / "postgres" / program.name).symlink_to(program)
    server = EmbeddedPostgres(folder)
    before = dict(os.environ)
    os.environ["LEO_HOME"] = str(folder)
    os.environ.pop("LEO_DATABASE_URL", None)
    try:
        server.start()
        initialise(role_url("admin"))
        with contextlib.closing(connect(role_url("admin"))) as admin:
            for tenant in TENANTS:
                admin.execute(
                    "insert into tenant (tenant_id, name, settings) values (%s, %s, %s)",
                    (tenant, tenant, Jsonb(ALL_DAY)),
                )
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()
        shutil.rmtree(folder)


class Mailroom:
    """Takes what the stand-ins post, and keeps it for later."""

    def __init__(self) -> None:
        """Listen in a thread."""
        self.posts: list[tuple[str, dict[str, str], bytes]] = []
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(serve(self._take, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def _take(self, request: Request) -> Response:
        self.posts.append((request.path, request.headers, request.body))
        return Response({"ok": True})

    def close(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Progress:
    """Counts what providers accepted, from the files that they write."""

    def __init__(self, folder: Path) -> None:
        """Start at nothing."""
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._lines = 0

    def accepted(self) -> int:
        """Return the messages that are on some provider's disk."""
        for path in self._folder.glob("*/*.jsonl"):
            with path.open("rb") as journal:
                journal.seek(self._read.get(path, 0))
                while piece := journal.read(1 << 20):
                    self._lines += piece.count(b"\n")
                self._read[path] = journal.tell()
        return self._lines


class Torturer:
    """Keeps workers alive and kills them, and everything else.

    :param chance: decides whom and when.
    """

    def __init__(
        self,
        server: EmbeddedPostgres,
        lanes: list[Lane],
        campaigns: dict[str, Campaign],
        folder: Path,
        chance: random.Random,
        say: Callable[[str], None],
    ) -> None:
        """Have no workers yet."""
        self._server, self._lanes, self._campaigns = server, lanes, campaigns
        self._folder, self._chance, self._say = folder, chance, say
        self._progress = Progress(folder)
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(["__main__", work.__module__])
        self._workers: list[ForkServerProcess] = []
        self._started = 0
        self.killed: set[str] = set()
        self.kills: Counter[str] = Counter()
        self.regrants = 0
        self.outages: list[Outage] = []

    def run(self, kills: int) -> None:
        """Kill so many, evenly over the messages; then let the rest go out undisturbed."""
        for number in range(1, kills + 1):
            self._employ()
            self._wait_for_messages(self._open_rows() * 0.7 / (kills - number + 1))
            self._kill(number)
            self._act_as_person()
            if number % 20 == 0:
                self._say(f"{number} kills, {self._open_rows():,} messages open")
        longest = max((until - since for since, until in self.outages), default=timedelta())
        self._say(f"PostgreSQL was away for {longest.total_seconds():.1f} s at most")
        for lane in self._lanes:
            lane.fired = lane.count_doubts()
            lane.stand_in.faults()
        self._finish()

    def _finish(self) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._open_rows() and time.monotonic() < deadline:
            self._employ(everything=True)
            self._act_as_person()
            time.sleep(0.2)

    def close(self) -> None:
        """End the workers that are left."""
        for worker in self._workers:
            worker.kill()
            worker.join()

    # -- workers ------------------------------------------------------------------------------

    def _employ(self, *, everything: bool = False) -> None:
        """Have as many workers as there should be.

        :param everything: one more, and new ones dispatch every channel.
        """
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        while len(self._workers) < WORKERS + everything:
            self._started += 1
            lanes = self._lanes
            if not everything:
                lanes = self._chance.sample(lanes, self._chance.randint(2, 6))
            jobs = [
                Job(lane.tenant_id, self._campaigns[lane.tenant_id].snapshot_id, lane.channel)
                for lane in lanes
            ]
            worker = self._forks.Process(
                target=work,
                name=f"worker-{self._started}",
                args=(
                    role_url("runtime"), f"worker-{self._started}", jobs,
                    self._chance.choice(_CONCURRENCIES), self._folder / "workers.log",
                ),
                daemon=True,
            )  # fmt: skip
            worker.start()
            self._workers.append(worker)

    def _wait_for_messages(self, count: float) -> None:
        """Wait until providers accepted about so many more, then a moment longer."""
        wanted = self._progress.accepted() + self._chance.uniform(0.3, 1.7) * count
        deadline = time.monotonic() + _LONGEST_PAUSE
        while self._progress.accepted() < wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(self._chance.uniform(0, 0.05))

    # -- killing ------------------------------------------------------------------------------

    def _kill(self, number: int) -> None:
        mortal = [lane for lane in self._lanes if lane.provider.may_die]
        if number % _EXPIRY_EVERY == 0:
            self._expire_tokens()
        if number % _STAND_IN_EVERY == 0:
            self._chance.choice(mortal).kill()
            self.kills["stand-ins"] += 1
        if number % _POSTGRES_EVERY == 0:
            self._kill_postgres()
            self.kills["PostgreSQL"] += 1
        else:
            self._kill_worker()
            self.kills["dispatchers"] += 1

    def _kill_worker(self) -> None:
        worker = self._chance.choice(self._workers)
        worker.kill()
        worker.join()
        self.killed.add(worker.name)

    def _kill_postgres(self) -> None:
        """Kill the main process, and start the server again: it recovers from its log."""
        process = int((self._server.data / "postmaster.pid").read_text().splitlines()[0])
        began = datetime.now(UTC)
        os.kill(process, signal.SIGKILL)
        while psutil.pid_exists(process) and psutil.Process(process).status() != "zombie":
            time.sleep(0.005)
        self._server.start()
        self.outages.append((began, datetime.now(UTC)))

    def _expire_tokens(self) -> None:
        for lane in self._lanes:
            if lane.provider.expire is not None:
                method, path = lane.provider.expire
                lane.stand_in.call(path, method, {})

    # -- looking ------------------------------------------------------------------------------

    def _open_rows(self) -> int:
        return int(ask(f"select count(*) as n from delivery_log where {_OPEN}")[0]["n"])

    def _act_as_person(self) -> None:
        """Grant again what a killed process lost in the middle of a token exchange."""
        paused = ask("select tenant_id, channel from channel_credential where status = 'paused'")
        for row in paused:
            [lane] = [
                lane for lane in self._lanes
                if (lane.tenant_id, lane.channel) == (row["tenant_id"], row["channel"])
            ]  # fmt: skip
            if lane.provider_name != "zbs":
                continue
            lane.stand_in.call("/oauth", "PUT", [{}])
            with contextlib.closing(connect(role_url("runtime"))) as connection:
                lane.give_credential(connection)
            ask(
                "update channel_credential set status = 'active', status_reason = null"
                " where tenant_id = %s and channel = %s returning channel",
                row["tenant_id"],
                row["channel"],
            )
            self.regrants += 1


def ask(statement: str, *values: Any) -> list[dict[str, Any]]:
    """Ask the database as its administrator, which may have been killed a moment ago."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with contextlib.closing(connect(role_url("admin"))) as admin:
                return admin.execute(statement, values).fetchall()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _prepare(lanes: list[Lane], messages: int) -> dict[str, Campaign]:
    """Decide and queue a campaign for each tenant, with so many messages in all."""
    campaigns = {}
    with (
        contextlib.closing(connect(role_url("admin"))) as admin,
        contextlib.closing(connect(role_url("runtime"))) as runtime,
    ):
        for place, tenant in enumerate(TENANTS):
            numbers = iter(range(400_000 * place + 100_000, 1_000_000))
            members, reachable = [], 0
            while reachable < messages / len(lanes):
                number = next(numbers)
                members.append(torture_customer(number))
                reachable += not str(number).endswith((SILENT, UNREACHABLE))
            campaigns[tenant] = decided_campaign(admin, members, tenant_id=tenant)
        for lane in lanes:
            lane.give_credential(runtime)
            template_id = lane.give_template(runtime)
            campaigns[lane.tenant_id].enqueue(runtime, lane.channel, template_id=template_id)
        admin.execute("analyze")
    return campaigns


def _read_receipts(lanes: list[Lane], mailroom: Mailroom) -> FeedbackReport:
    """Apply what the stand-ins posted, when they have posted everything."""
    told = [lane for lane in lanes if lane.receipts_to is not None]
    deadline = time.monotonic() + 60
    while any(lane.stand_in.call("/webhooks")["waiting"] for lane in told):
        if time.monotonic() > deadline:
            raise TimeoutError("the stand-ins did not post their receipts in 60 s")
        time.sleep(0.1)
    report = FeedbackReport()
    with contextlib.closing(connect(role_url("runtime"))) as connection:
        for path, headers, body in mailroom.posts:
            _, tenant_id, channel = path.split("/")
            report += accept_webhook(
                connection, tenant_id, channel, headers, body, SECRET_KEY, now=datetime.now(UTC)
            )
    for tenant_id in TENANTS:
        reconcile(role_url("runtime"), tenant_id, SECRET_KEY)
    return report


def _unknown(lane: Lane) -> int:
    [row] = ask(
        "select count(*) as n from delivery_log where tenant_id = %s and channel = %s"
        " and delivery_status = 'unknown'",
        lane.tenant_id,
        lane.channel,
    )
    return int(row["n"])


def torture(
    messages: int, kills: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> TortureReport:
    """Send, kill, and compare.

    :param messages: over all lanes.
    :param kills: of dispatchers and PostgreSQL; some stand-ins die besides.
    :param seed: of all that is left to chance.
    :param say: told of the progress.
    """
    chance = random.Random(seed)  # noqa: S311 - whom to kill and when, nothing secret
    with own_server() as server, contextlib.ExitStack() as stack:
        folder = server.home / "providers"
        lanes = stack.enter_context(running_lanes(folder))
        mailroom = Mailroom()
        stack.callback(mailroom.close)
        for lane in lanes:
            if lane.provider.telling is not None:
                lane.receipts_to = (
                    f"http://127.0.0.1:{mailroom.port}/{lane.tenant_id}/{lane.channel}"
                )
        campaigns = _prepare(lanes, messages)
        for lane in lanes:
            lane.arm()
        say(f"{messages:,} messages are queued; seed {seed}")
        torturer = Torturer(server, lanes, campaigns, folder, chance, say)
        stack.callback(torturer.close)
        started = time.monotonic()
        torturer.run(kills)
        seconds = time.monotonic() - started
        before = {str(lane): _unknown(lane) for lane in lanes}
        feedback = _read_receipts(lanes, mailroom)
        with contextlib.closing(connect(role_url("runtime"))) as connection:
            proofs = [
                prove(
                    lane,
                    campaigns[lane.tenant_id].members,
                    campaigns[lane.tenant_id].rows(connection, lane.channel),
                    unknown_before=before[str(lane)],
                    killed=torturer.killed,
                    outages=torturer.outages,
                    most_in_flight=WORKERS * max(_CONCURRENCIES) * 2,
                )
                for lane in lanes
            ]
        if (log := folder / "workers.log").exists():
            say(f"the workers logged {len(log.read_text().splitlines()):,} lines")
        return TortureReport(seed, torturer.kills, seconds, proofs, feedback, torturer.regrants)


def main() -> None:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.torture", description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=220)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    # Whoever ends this process ends the server and the stand-ins too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 140)
    started = time.monotonic()

    def say(words: str) -> None:
        console.print(f"{time.monotonic() - started:6.0f} s  {words}")

    report = torture(arguments.messages, arguments.kills, arguments.seed, say)
    report.show(console)
    sys.exit(1 if report.violations() else 0)


if __name__ == "__main__":
    main()
