"""A thin client of supervisord: write its configuration, bring it up, apply a change, end it.

Processes carry the environment variable :data:`MARKER`, so that they can be found and ended even
when supervisord itself was killed and its socket and pid file tell nothing.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, Fault, ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from demo.state import home, write_private

MARKER = "LEO_SERVICES_HOME"
STOP_SECONDS = 25
_UNIX_PATH_LIMIT = 100
_UP = {"RUNNING", "STARTING", "BACKOFF"}


@dataclass(frozen=True)
class Service:
    """One process to keep running.

    :param name: how people call it.
    :param command: program and arguments.
    :param environment: what it gets beyond the environment of supervisord.
    :param is_healthy: tells whether it answers; gets the time its process started.
    :param ready_seconds: how long it may take to answer.
    """

    name: str
    command: tuple[str, ...]
    is_healthy: Callable[[float], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: int = 60


def folder() -> Path:
    """Return the folder of supervisord's own files."""
    path = home() / "supervisor"
    path.mkdir(parents=True, exist_ok=True)
    return path


def log_file(name: str) -> Path:
    """Return the log of one service."""
    path = home() / "logs"
    path.mkdir(parents=True, exist_ok=True)
    return path / f"{name}.log"


def socket_path() -> Path:
    """Return supervisord's socket; a deep project folder moves it, as socket paths are short."""
    path = folder() / "supervisor.sock"
    if len(str(path)) < _UNIX_PATH_LIMIT:
        return path
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"leo-{os.getuid()}-{digest}.sock"


def _quoted(value: str) -> str:
    """Return a value as supervisord's configuration wants it.

    :raises ValueError: for a quote or a line break, which the format cannot hold.
    """
    if "'" in value or "\n" in value:
        raise ValueError("a service's environment may not hold single quotes or line breaks")
    return "'" + value.replace("%", "%%") + "'"


def _section(service: Service) -> str:
    """Return the configuration of one service."""
    pairs = {**service.environment, MARKER: str(home())}
    environment = ",".join(f"{key}={_quoted(value)}" for key, value in sorted(pairs.items()))
    command = " ".join(f'"{part}"' if " " in part else part for part in service.command)
    return "\n".join(
        (
            f"[program:{service.name}]",
            f"command={command.replace('%', '%%')}",
            f"environment={environment}",
            "autostart=false",
            "autorestart=true",
            "startsecs=1",
            "startretries=20",
            f"stopwaitsecs={STOP_SECONDS - 5}",
            "stopasgroup=true",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={log_file(service.name)}",
            "stdout_logfile_maxbytes=20MB",
            "stdout_logfile_backups=1",
            "",
        )
    )


def write_configuration(services: Iterable[Service]) -> Path:
    """Write supervisord's configuration; it holds secrets, so only its owner may read it."""
    path = folder() / "supervisord.conf"
    head = "\n".join(
        (
            "[unix_http_server]",
            f"file={socket_path()}",
            "chmod=0700",
            "",
            "[supervisord]",
            f"pidfile={folder() / 'supervisord.pid'}",
            f"logfile={log_file('supervisord')}",
            f"childlogdir={log_file('supervisord').parent}",
            *(("user=root",) if os.getuid() == 0 else ()),
            "",
            "[rpcinterface:supervisor]",
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
            "",
        )
    )
    write_private(path, head + "\n" + "\n".join(_section(service) for service in services))
    return path


class Supervisor:
    """The running supervisord of this installation."""

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Open a connection; one that was refused once stays unusable, so none is kept."""
        transport = SupervisorTransport(None, None, serverurl=f"unix://{socket_path()}")
        try:
            yield ServerProxy("http://127.0.0.1", transport=transport).supervisor
        finally:
            transport.close()

    def is_alive(self) -> bool:
        """Tell whether supervisord answers."""
        try:
            with self._connected() as rpc:
                return bool(rpc.getState()["statename"] == "RUNNING")
        except (OSError, Error, HTTPException):
            return False

    def launch(self, configuration: Path) -> None:
        """Start supervisord as a daemon.

        :raises RuntimeError: when it does not answer within 15 seconds.
        """
        socket_path().unlink(missing_ok=True)
        subprocess.run(  # noqa: S603 - our own supervisord
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            check=True,
            env={**os.environ, MARKER: str(home())},
            cwd=home(),
        )
        deadline = time.monotonic() + 15
        while not self.is_alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f"supervisord does not answer; see {log_file('supervisord')}")
            time.sleep(0.1)

    def apply(self) -> list[str]:
        """Take over a changed configuration, and end the services that changed.

        :returns: the names of the services that were added or changed.
        """
        with self._connected() as rpc:
            added, changed, removed = rpc.reloadConfig()[0]
            for name in (*removed, *changed):
                rpc.stopProcessGroup(name)
                rpc.removeProcessGroup(name)
            for name in (*added, *changed):
                rpc.addProcessGroup(name)
        return [*added, *changed]

    def start(self, names: Iterable[str]) -> None:
        """Start those of the named services that do not run."""
        with self._connected() as rpc:
            for name in names:
                if rpc.getProcessInfo(name)["statename"] not in _UP:
                    rpc.startProcess(name, False)

    def restart(self, name: str) -> None:
        """Stop one service if it runs, and start it again."""
        with self._connected() as rpc:
            if rpc.getProcessInfo(name)["statename"] in _UP:
                rpc.stopProcess(name)
            rpc.startProcess(name, False)

    def info(self, name: str) -> dict[str, Any]:
        """Return what supervisord knows of one service (``statename``, ``pid``, ``start``)."""
        with self._connected() as rpc:
            answer: dict[str, Any] = rpc.getProcessInfo(name)
        return answer

    def runs(self, name: str) -> bool:
        """Tell whether supervisord knows this service and keeps it up."""
        try:
            return self.info(name)["statename"] in _UP
        except Fault:
            return False

    def shutdown(self) -> None:
        """Ask supervisord to end all services and itself, and wait until it has."""
        with self._connected() as rpc:
            pid = int(rpc.getPID())
            rpc.shutdown()
        deadline = time.monotonic() + STOP_SECONDS
        while psutil.pid_exists(pid) and time.monotonic() < deadline:
            time.sleep(0.1)


def marked_processes() -> list[psutil.Process]:
    """Return every process, other than this one, that carries this installation's marker."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARKER) == str(home()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def end_marked_processes() -> int:
    """End all marked processes: politely, then by force.

    :returns: how many there were.
    """
    count = 0
    while processes := marked_processes():
        count += len(processes)
        for process in processes:
            _ignore_gone(process.terminate)
        _, alive = psutil.wait_procs(processes, timeout=8)
        for process in alive:
            _ignore_gone(process.kill)
        psutil.wait_procs(alive, timeout=5)
    return count


def _ignore_gone(action: Callable[[], None]) -> None:
    """Signal a process that may have ended by itself."""
    try:
        action()
    except psutil.NoSuchProcess:
        return
