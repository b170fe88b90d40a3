"""The embedded server survives what happens to servers on developers' machines."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from leo_activation.paths import PROJECT_ROOT
from sandbox.postgres import EmbeddedPostgres, PostgresError

INSTALLED = EmbeddedPostgres.of_project().program
NOBODY = 65534


def prepared_home(folder: Path) -> Path:
    """Return a state folder that shares the installed programs, to save the download."""
    (folder / "postgres").mkdir(parents=True)
    (folder / "postgres" / INSTALLED.name).symlink_to(INSTALLED)
    return folder


@pytest.fixture
def server(database_server: None) -> Iterator[EmbeddedPostgres]:
    """Give a server of its own, stopped afterwards."""
    # Not tmp_path: its parents are closed to the system user that runs the server under root.
    folder = Path(tempfile.mkdtemp(prefix="leo-test-"))
    folder.chmod(0o755)
    embedded = EmbeddedPostgres(prepared_home(folder / "home"))
    yield embedded
    embedded.stop()
    shutil.rmtree(folder)


def answer(url: str, statement: str) -> object:
    """Return the first value of the first row."""
    with psycopg.connect(url) as connection:
        row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0]


def postmaster(server: EmbeddedPostgres) -> int:
    """Return the number of the main process."""
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def lives(process: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def kill_postmaster(server: EmbeddedPostgres) -> None:
    """Kill the main process and wait for its end."""
    process = postmaster(server)
    os.kill(process, signal.SIGKILL)
    while lives(process):
        time.sleep(0.01)


def test_it_is_postgresql_16_with_the_extensions_and_safe_settings(
    server: EmbeddedPostgres,
) -> None:
    server.start()
    with psycopg.connect(server.url()) as connection:
        for extension in ("vector", "pgcrypto", "citext"):
            connection.execute(f"create extension {extension}")
        settings = dict(
            connection.execute(
                "select name, setting from pg_settings where name in ('server_version', 'fsync',"
                " 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'TimeZone',"
                " 'password_encryption', 'unix_socket_directories', 'server_encoding')"
            ).fetchall()
        )
    assert settings.pop("server_version").startswith("16.")
    assert settings == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "listen_addresses": "127.0.0.1",
        "TimeZone": "UTC",
        "password_encryption": "scram-sha-256",
        "unix_socket_directories": "",
        "server_encoding": "UTF8",
    }


def test_text_sorts_by_code_point_and_knows_vietnamese_capitals(server: EmbeddedPostgres) -> None:
    server.start()
    url = server.url()
    assert answer(url, "select lower('ĐẶNG THỊ ỨNG')") == "đặng thị ứng"
    assert answer(
        url, "select string_agg(x, '' order by x) from unnest('{b,A,a,Đ,z}'::text[]) x"
    ) == "".join(sorted("bAaĐz"))


def test_both_databases_exist_and_a_wrong_password_is_refused(server: EmbeddedPostgres) -> None:
    server.start()
    assert answer(server.url("airflow"), "select current_database()") == "airflow"
    password = server.secrets.read()["LEO_DB_PASSWORD_ADMIN"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url().replace(password, "wrong"))


def test_secrets_are_readable_by_their_owner_only(server: EmbeddedPostgres) -> None:
    server.start()
    assert (server.home / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_concurrent_starts_give_one_server(server: EmbeddedPostgres) -> None:
    ports: list[int] = []
    threads = [
        threading.Thread(target=lambda: ports.append(EmbeddedPostgres(server.home).start()))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ports) == 4
    assert len(set(ports)) == 1


def test_starting_again_keeps_the_process_and_the_port(server: EmbeddedPostgres) -> None:
    port = server.start()
    before = postmaster(server)
    assert server.start() == port
    assert postmaster(server) == before


def test_committed_rows_survive_a_killed_postmaster_with_a_busy_backend(
    server: EmbeddedPostgres,
) -> None:
    port = server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as one")
    busy = psycopg.connect(server.url())
    outcome: list[BaseException] = []

    def count_for_ever() -> None:
        try:
            busy.execute("select count(*) from generate_series(1, 100000000000)")
        except psycopg.OperationalError as error:
            outcome.append(error)

    thread = threading.Thread(target=count_for_ever)
    thread.start()
    kill_postmaster(server)
    assert server.start() == port
    thread.join(timeout=20)
    busy.close()
    assert outcome, "the orphaned backend must be ended, it holds the old shared memory"
    assert answer(server.url(), "select one from kept") == 1


def test_a_process_number_given_to_a_stranger_does_not_stop_the_start(
    server: EmbeddedPostgres,
) -> None:
    server.start()
    lines = (server.data / "postmaster.pid").read_text().splitlines()
    kill_postmaster(server)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        (server.data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]))
        assert not server.is_running()
        server.start()
        assert stranger.poll() is None
        stranger.kill()
    assert answer(server.url(), "select 1") == 1


def test_a_taken_port_is_replaced_and_remembered(server: EmbeddedPostgres) -> None:
    port = server.start()
    server.stop()
    with socket.create_server(("127.0.0.1", port)):
        other = server.start()
        assert other != port
        assert answer(server.url(), "select 1") == 1
    server.stop()
    assert server.start() == other


def test_a_lost_password_is_replaced_without_losing_data(server: EmbeddedPostgres) -> None:
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("create table kept as select 1 as one")
    (server.home / "secrets.json").unlink()
    server.start()
    assert answer(server.url(), "select one from kept") == 1


def test_stop_is_repeatable_and_leaves_no_process(server: EmbeddedPostgres) -> None:
    server.start()
    process = postmaster(server)
    assert server.stop() is True
    assert not lives(process)
    assert server.stop() is False


def test_the_url_before_any_start_says_what_to_do(server: EmbeddedPostgres) -> None:
    with pytest.raises(PostgresError, match="make db"):
        server.url()


def command(home: Path, word: str, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on a state folder, as another user when ``prefix`` says so."""
    return subprocess.run(
        [*prefix, sys.executable, "-m", "sandbox.postgres", word],
        cwd=PROJECT_ROOT,
        env=os.environ | {"LEO_HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_tells_its_state(server: EmbeddedPostgres) -> None:
    assert command(server.home, "status").returncode == 3
    assert command(server.home, "start").returncode == 0
    status = command(server.home, "status")
    assert status.returncode == 0
    assert f"127.0.0.1:{server.port()}" in status.stdout
    assert command(server.home, "url").stdout.strip() == server.url()
    assert command(server.home, "stop").returncode == 0


if os.geteuid() == 0:
    # What only root can arrange; a normal user is the second user of these tests already.

    AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")

    def test_root_starts_it_below_a_folder_closed_to_the_system_user(
        database_server: None,
    ) -> None:
        folder = Path(tempfile.mkdtemp(prefix="leo-test-"))  # mode 0700, like root's home
        server = EmbeddedPostgres(prepared_home(folder / "home"))
        try:
            server.start()
            assert answer(server.url(), "select 1") == 1
            kill_postmaster(server)
            server.start()
            assert answer(server.url(), "select 1") == 1
        finally:
            server.stop()
            shutil.rmtree(folder)

    def test_a_normal_user_starts_his_own_and_root_may_take_over(
        server: EmbeddedPostgres,
    ) -> None:
        for path in (server.home, server.folder):
            os.chown(path, NOBODY, NOBODY)
        started = command(server.home, "start", *AS_NOBODY)
        assert started.returncode == 0, started.stderr
        assert server.data.stat().st_uid == NOBODY
        kill_postmaster(server)
        server.start()
        assert answer(server.url(), "select 1") == 1
        assert server.data.stat().st_uid == NOBODY
        assert command(server.home, "status", *AS_NOBODY).returncode == 0
        assert command(server.home, "stop", *AS_NOBODY).returncode == 0

    def test_a_normal_user_is_told_whose_server_it_is(server: EmbeddedPostgres) -> None:
        server.start()
        refused = command(server.home, "start", *AS_NOBODY)
        assert refused.returncode == 1
        assert "belongs to user" in refused.stderr
