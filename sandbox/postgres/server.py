"""Start and stop the embedded server, whatever state the last run left behind."""

from __future__ import annotations

import locale
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from sandbox.postgres.install import SERVER_VERSION, InstallError, install_server
from sandbox.postgres.state import Secrets, locked

DATABASES = ("leo", "airflow")
SUPERUSER = "postgres"
PASSWORD_KEY = "LEO_DB_PASSWORD_ADMIN"  # noqa: S105 - the name of a key, not a password
URL_KEY = "LEO_DATABASE_URL"

# Below the range from which the kernel takes ports for outgoing connections.
PORTS = range(15432, 15532)
START_SECONDS = 300  # recovery after a crash replays the log before it accepts connections
STOP_SECONDS = 60

SETTINGS = """\
# Written at every start by sandbox/postgres/server.py.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 256MB
effective_cache_size = 2GB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 2GB
random_page_cost = 1.1
max_parallel_workers_per_gather = 1
jit = off
# A message counts as logged only once its row is on disk: never relax these three.
fsync = on
full_page_writes = on
synchronous_commit = on
timezone = 'UTC'
log_timezone = 'UTC'
logging_collector = on
log_directory = '{logs}'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] %q%u@%d %a '
log_lock_waits = on
log_min_duration_statement = 2000
# Parameters hold names and phone numbers of customers.
log_parameter_max_length = 0
"""

CLIENT_AUTHENTICATION = """\
# TYPE  DATABASE  USER  ADDRESS       METHOD
host    all       all   127.0.0.1/32  scram-sha-256
"""


class PostgresError(Exception):
    """The embedded server cannot do what was asked; the message says what to do."""


class EmbeddedPostgres:
    """One server of one project folder.

    :param home: the state folder; server, data, log and password live inside.
    """

    def __init__(self, home: Path) -> None:
        """Derive every path from ``home``; nothing is created yet."""
        self.home = home.absolute()
        self.folder = self.home / "postgres"
        self.program = self.folder / f"server-{SERVER_VERSION}"
        self.data = self.folder / "data"
        self.logs = self.home / "logs" / "postgres"
        self.secrets = Secrets(self.home / "secrets.json")

    @classmethod
    def of_project(cls) -> EmbeddedPostgres:
        """Return the server of ``LEO_HOME``, else of ``.leo`` in this project."""
        project = Path(__file__).resolve().parents[2]
        return cls(Path(os.environ.get("LEO_HOME", project / ".leo")))

    # -- what callers use ---------------------------------------------------------------------

    def start(self) -> int:
        """Make sure the server runs and return its port.

        May be called at any time and by several processes at once. A server that was killed is
        cleaned up and recovered.

        :raises PostgresError: when it cannot be installed, started, or belongs to somebody else.
        """
        self._refuse_foreign_data()
        self._make_folders()
        with locked(self.folder / "lock"):
            self._install()
            self._settle()
            if not self.is_running() or PASSWORD_KEY not in self.secrets.read():
                self._stop()
                self._prepare_data()
                self._launch()
            self.secrets.update(**{URL_KEY: self.url()})
            return self.port()

    def stop(self) -> bool:
        """Stop the server and everything it left behind.

        :returns: whether it was running.
        """
        self._refuse_foreign_data()
        if not self.data.exists():
            return False
        with locked(self.folder / "lock"):
            return self._stop()

    def is_running(self) -> bool:
        """Tell whether this folder's server accepts connections."""
        state = self._postmaster()
        # A process that was killed this instant still looks ready; it no longer answers.
        return state is not None and state[1] == "ready" and _answers(self.port())

    def port(self) -> int:
        """Return the port of the last start.

        :raises PostgresError: when the server was never started.
        """
        try:
            return int((self.folder / "port").read_text())
        except FileNotFoundError:
            raise PostgresError("never started here: run `make db` first") from None

    def url(self, database: str = "leo") -> str:
        """Return the superuser's connection URL.

        :raises PostgresError: when the server was never started, or its password is not readable.
        """
        port = self.port()
        try:
            password = self.secrets.read()[PASSWORD_KEY]
        except (KeyError, PermissionError) as error:
            raise PostgresError(
                f"{self.secrets.path} gives no password ({error!r}): run `make db` as its owner"
            ) from error
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}"

    # -- one-time preparation -----------------------------------------------------------------

    def _make_folders(self) -> None:
        """Create the folders, open enough for the system user that runs the server."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(exist_ok=True)
        for folder in (self.home, self.folder, self.logs.parent):
            mode = folder.stat().st_mode
            if folder.owner() == pwd.getpwuid(os.geteuid()).pw_name and mode & 0o055 != 0o055:
                folder.chmod(mode | 0o055)

    def _refuse_foreign_data(self) -> None:
        """Stop a normal user from touching somebody else's server.

        :raises PostgresError: naming the owner.
        """
        if self.data.exists() and os.geteuid() not in (0, self.data.stat().st_uid):
            raise PostgresError(
                f"{self.data} belongs to user {self.data.owner()}: run this as that user or as "
                "root, or set LEO_HOME to a folder of your own"
            )

    def _install(self) -> None:
        """Fetch the server unless it is here."""
        try:
            install_server(self.program)
        except InstallError as error:
            raise PostgresError(str(error)) from error

    def _prepare_data(self) -> None:
        """Create the data folder once, and a password whenever there is none."""
        if not self.data.exists():
            self._create_data()
        if PASSWORD_KEY not in self.secrets.read():
            password = secrets.token_urlsafe(24)
            self._single_user(self.data, f"alter role {SUPERUSER} password '{password}'")
            self.secrets.update(**{PASSWORD_KEY: password})

    def _create_data(self) -> None:
        """Run initdb and create the databases; the folder gets its name when all is done."""
        draft = self.folder / "data.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_to_server(draft)
        self._program(
            *("initdb", f"--pgdata={draft}", f"--username={SUPERUSER}", "--auth=reject"),
            *("--encoding=UTF8", f"--locale={_sort_locale()}", "--data-checksums"),
            *("--no-instructions", "--text-search-config=simple"),
        )
        with (draft / "postgresql.conf").open("a") as settings:
            settings.write("include_if_exists = 'leo.conf'\n")
        (draft / "pg_hba.conf").write_text(CLIENT_AUTHENTICATION)
        self._single_user(draft, *(f"create database {name}" for name in DATABASES))
        # A password of an earlier data folder would not fit this one.
        password = secrets.token_urlsafe(24)
        self._single_user(draft, f"alter role {SUPERUSER} password '{password}'")
        self.secrets.update(**{PASSWORD_KEY: password})
        draft.rename(self.data)

    def _single_user(self, data: Path, *statements: str) -> None:
        """Execute statements without a running server, so that no open door is ever needed."""
        self._program(
            *("postgres", "--single", "-D", str(data), "-c", "exit_on_error=on", "postgres"),
            text="".join(f"{statement}\n" for statement in statements),
        )

    # -- starting -----------------------------------------------------------------------------

    def _launch(self) -> None:
        """Start the server on the remembered port, or on the next free one."""
        self._give_to_server(self.logs)
        for port in self._free_ports():
            (self.folder / "port").write_text(f"{port}\n")
            (self.data / "leo.conf").write_text(SETTINGS.format(port=port, logs=self.logs))
            try:
                self._program(
                    *("pg_ctl", "start", "--wait", f"--timeout={START_SECONDS}"),
                    *(f"--pgdata={self.data}", f"--log={self.logs / 'start.log'}"),
                )
                return
            except PostgresError:
                # Another program may have taken the port between the look and the start.
                if _is_free(port):
                    raise
        raise PostgresError(f"no free port in {PORTS.start}-{PORTS.stop - 1}: stop a server there")

    def _free_ports(self) -> list[int]:
        """Return ports to try, the remembered one first."""
        try:
            remembered = [self.port()]
        except PostgresError:
            remembered = []
        return [port for port in [*remembered, *PORTS] if _is_free(port)]

    # -- stopping and cleaning up -------------------------------------------------------------

    def _stop(self) -> bool:
        """Stop the postmaster, then whatever outlived an earlier one; the lock is held."""
        running = self._postmaster() is not None
        if running:
            self._stop_postmaster()
        self._end_orphans()
        # A number in a stale file may by now belong to a stranger, which PostgreSQL would obey.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        return running

    def _stop_postmaster(self) -> None:
        """Ask for an orderly end, then insist: the log makes both equally safe."""
        for mode in ("fast", "immediate"):
            try:
                self._program(
                    *("pg_ctl", "stop", "--wait", f"--timeout={STOP_SECONDS}"),
                    *(f"--mode={mode}", f"--pgdata={self.data}"),
                )
                return
            except PostgresError:
                if self._postmaster() is None:
                    return

    def _end_orphans(self) -> None:
        """End backends whose postmaster was killed: they hold its shared memory."""
        for end in (signal.SIGQUIT, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while (orphans := self._processes()) and time.monotonic() < deadline:
                for process in orphans:
                    _send(process, end)
                time.sleep(0.05)

    def _processes(self) -> list[int]:
        """Return the processes whose working folder is the data folder: all are the server's."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if (entry / "cwd").readlink() == self.data.resolve():
                        found.append(int(entry.name))
                except OSError:
                    continue  # gone, or another user's
        return found

    def _postmaster(self) -> tuple[int, str] | None:
        """Return number and state of the living postmaster; ``None`` when there is none."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            words = Path(f"/proc/{int(lines[0])}/cmdline").read_bytes().split(b"\0")
        except PermissionError:
            raise PostgresError(f"{self.data} is not yours: use its owner or root") from None
        except (OSError, IndexError, ValueError):
            return None
        if not {os.fsencode(self.data), os.fsencode(self.data.resolve())} & set(words):
            return None  # the number was given to another program since
        return int(lines[0]), lines[7].strip() if len(lines) > 7 else "starting"

    def _settle(self) -> None:
        """Wait while the server is between two states, e.g. recovering after a crash."""
        deadline = time.monotonic() + START_SECONDS
        while (state := self._postmaster()) and state[1] != "ready":
            if time.monotonic() > deadline:
                raise PostgresError(f"the server stays {state[1]!r}: see {self.logs}")
            time.sleep(0.1)

    # -- running PostgreSQL's programs --------------------------------------------------------

    def _account(self) -> pwd.struct_passwd | None:
        """Return the user to run as; ``None`` for the present one.

        PostgreSQL refuses to run as root, so root lends the work to the owner of the data, or to
        a system user without rights.
        """
        if os.geteuid() != 0:
            return None
        if self.data.exists() and (owner := self.data.stat().st_uid):
            return pwd.getpwuid(owner)
        for name in ("postgres", "nobody"):
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        raise PostgresError("PostgreSQL refuses to run as root: create a system user `postgres`")

    def _give_to_server(self, folder: Path) -> None:
        """Make the server's user the owner of ``folder`` and what is in it."""
        if account := self._account():
            for path in [folder, *folder.rglob("*")]:
                os.chown(path, account.pw_uid, account.pw_gid)

    def _program(self, name: str, *arguments: str, text: str = "") -> None:
        """Run one of PostgreSQL's programs as the server's user.

        :param text: what it reads from its standard input.
        :raises PostgresError: with what it printed, when it fails.
        """
        account = self._account()
        command = [str(self.program / "bin" / name), *arguments]
        options: dict[str, object] = {}
        if account and _can_reach(account, self.folder):
            options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        elif account:
            command = [*_with_right_to_reach(account), *command]
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - own programs
            command,
            cwd="/",
            input=text,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            check=False,
            **options,
        )
        said = done.stdout.strip()[-800:]
        if done.returncode:
            raise PostgresError(
                f"{name} failed with status {done.returncode}: {said}. Its log is in {self.logs}"
            )


def _sort_locale() -> str:
    """Return a locale that orders text by code point, the same on every machine."""
    present = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    locale.setlocale(locale.LC_CTYPE, present)
    return "C.UTF-8"


def _is_free(port: int) -> bool:
    """Tell whether a server could listen on ``port`` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _answers(port: int) -> bool:
    """Tell whether something accepts connections on ``port``."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _send(process: int, number: signal.Signals) -> None:
    """Signal a process that may already have ended."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _can_reach(account: pwd.struct_passwd, folder: Path) -> bool:
    """Tell whether ``account`` may pass through every folder down to ``folder``."""
    for step in [folder.resolve(), *folder.resolve().parents]:
        status = step.stat()
        needed = 0o001
        if status.st_uid == account.pw_uid:
            needed = 0o100
        elif status.st_gid == account.pw_gid:
            needed = 0o010
        if not status.st_mode & needed:
            return False
    return True


def _with_right_to_reach(account: pwd.struct_passwd) -> list[str]:
    """Return the prefix that runs a command as ``account`` below a folder closed to it.

    Root's home is such a folder. The one right it keeps is to pass closed folders.

    :raises PostgresError: when the program that does it is missing.
    """
    if not (setpriv := shutil.which("setpriv")):
        raise PostgresError(
            f"user {account.pw_name} cannot enter this folder: move the project, or set LEO_HOME"
        )
    return [
        *(setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"),
        *("--inh-caps=+dac_override", "--ambient-caps=+dac_override"),
        # Without it access(2), with which initdb looks for its siblings, ignores the right.
        *("--securebits=+no_setuid_fixup", "--"),
    ]
