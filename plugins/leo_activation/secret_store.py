"""Generated secrets of one installation.

Values live in ``secrets.json`` of the state folder, readable by its owner only. Every key is the
name of an environment variable, and the variable wins: a deployment sets variables and never has
the file. :func:`leo_activation.settings.setting` reads them.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from pathlib import Path

from leo_activation.paths import state_folder
from leo_activation.settings import kept_secrets


def ensure_secret(name: str) -> str:
    """Return a secret, generating and keeping one when there is none.

    Concurrent callers all get the same value.

    :param name: name of the environment variable that overrides it.
    """
    if value := os.environ.get(name) or kept_secrets().get(name):
        return value
    path = state_folder() / "secrets.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        values = kept_secrets()
        if name not in values:
            values[name] = secrets.token_urlsafe(24)
            _write(path, values)
        return values[name]


def _write(path: Path, values: dict[str, str]) -> None:
    """Replace the file in one step, so that no reader sees half of it."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if os.geteuid() == 0:
        # Root working in somebody's checkout must not lock the owner out of it.
        owner = path.parent.stat()
        os.chown(draft, owner.st_uid, owner.st_gid)
    draft.replace(path)
