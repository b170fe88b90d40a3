"""What the demonstration remembers between two runs: chosen ports and generated secrets."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from leo_activation.paths import state_folder
from leo_activation.secret_store import ensure_secret

# The port a person expects first; a busy one is replaced by any free port.
PREFERRED_PORTS = {
    "arangodb": 8529,
    "smtp": 8025,
    "smtp_http": 8026,
    "telegram": 8081,
    "zalo": 8082,
    "fcm": 8083,
    "gateway": 8600,
    "airflow": 8080,
    "reports": 8090,
}


def home() -> Path:
    """Return the absolute state folder, made if it is missing."""
    folder = state_folder().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock of this installation, so that two commands never change the same thing.

    :param name: what is being changed.
    """
    with (home() / f".{name}.lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file, empty when there is no file."""
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)
    draft.replace(path)


def fernet_key() -> str:
    """Return Airflow's Fernet key: 32 bytes in URL-safe base64, derived from a kept secret."""
    seed = ensure_secret("LEO_AIRFLOW_SECRET").encode()
    return base64.urlsafe_b64encode(hashlib.sha256(b"fernet:" + seed).digest()).decode()


def jwt_secret() -> str:
    """Return the secret that Airflow's components sign their tokens with."""
    seed = ensure_secret("LEO_AIRFLOW_SECRET").encode()
    return hashlib.sha512(b"jwt:" + seed).hexdigest()


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this local port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_listening(port: int) -> bool:
    """Tell whether something accepts connections on this local port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def any_free_port() -> int:
    """Return a port that the system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ports(*, keep: bool) -> dict[str, int]:
    """Return the port of every service, remembered in ``services.json``.

    :param keep: True while the services run: their ports are theirs. False lets a port that a
        stranger has taken since be replaced.
    """
    path = home() / "services.json"
    remembered: dict[str, int] = read_json(path).get("ports", {})
    chosen: dict[str, int] = {}
    for name, preferred in PREFERRED_PORTS.items():
        port = remembered.get(name, preferred)
        if not (keep and name in remembered) and (port in chosen.values() or not is_free(port)):
            port = any_free_port()
        chosen[name] = port
    if chosen != remembered:
        write_private(path, json.dumps({"ports": chosen}, indent=2, sort_keys=True))
    return chosen
