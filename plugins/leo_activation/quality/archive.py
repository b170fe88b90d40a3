"""Where the pages of many runs lie: one folder each, the newest under a fixed name.

``<docs>/<tenant>/<suite>/<time>/`` holds the pages of one run and ``latest`` points to the newest.
Great Expectations adds four megabytes of pictures and fonts to each site, the same every time;
they are kept once.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

RUNS_KEPT = 200
_LATEST = "latest"


def new_run_folder(suite_folder: Path, checked_at: datetime) -> Path:
    """Make and return the folder of one run; two of the same moment get one each."""
    for number in count():
        folder = suite_folder / f"{checked_at:%Y%m%dT%H%M%S%fZ}-{number:02}"
        with suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def publish(folder: Path, *, keep: int = RUNS_KEPT) -> None:
    """Point ``latest`` to a run's folder, and remove the oldest folders beside it.

    :param folder: of one run; names of folders sort by time.
    :param keep: how many runs stay.
    """
    runs = sorted(
        entry for entry in folder.parent.iterdir() if entry.is_dir() and not entry.is_symlink()
    )
    for old in runs[:-keep]:
        # Another run may be removing the same folder.
        shutil.rmtree(old, ignore_errors=True)
    _point(folder.parent / _LATEST, Path(runs[-1].name))


def share_static_files(site: Path, docs_folder: Path) -> None:
    """Replace a site's own pictures, fonts and styles by those that all sites share.

    :param site: of Great Expectations; must lie inside ``docs_folder``.
    """
    own, shared = site / "static", docs_folder / "static"
    try:
        own.rename(shared)
    except OSError:
        # They are there already.
        shutil.rmtree(own)
    _point(own, Path(os.path.relpath(shared, site)))


def _point(link: Path, target: Path) -> None:
    """Make a link, or move it, so that a reader always finds the old or the new target."""
    draft = link.with_name(f".{link.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)
