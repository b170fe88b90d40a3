"""Folders of many runs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from leo_activation.quality.archive import new_run_folder, publish, share_static_files


def _run_folder(suite: Path, name: str) -> Path:
    """Make the folder of one run."""
    folder = suite / name
    (folder / "data_docs/static").mkdir(parents=True)
    (folder / "data_docs/static/style.css").write_text("body {}")
    return folder


def test_two_runs_of_the_same_moment_get_a_folder_each(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    names = [new_run_folder(tmp_path / "tenant/suite", moment).name for _ in range(2)]
    assert names == ["20260102T030405000006Z-00", "20260102T030405000006Z-01"]


def test_the_oldest_runs_go_and_latest_points_to_the_newest(tmp_path: Path) -> None:
    for hour in range(5):
        publish(_run_folder(tmp_path, f"2026010{hour}"), keep=3)
    names = sorted(entry.name for entry in tmp_path.iterdir())
    assert names == ["20260102", "20260103", "20260104", "latest"]
    assert (tmp_path / "latest").readlink() == Path("20260104")


def test_a_slower_run_does_not_take_latest_back(tmp_path: Path) -> None:
    publish(_run_folder(tmp_path, "20260102"))
    publish(_run_folder(tmp_path, "20260101"))
    assert (tmp_path / "latest").readlink() == Path("20260102")


@pytest.mark.parametrize("runs", [1, 3])
def test_static_files_are_kept_once(tmp_path: Path, runs: int) -> None:
    for hour in range(runs):
        site = _run_folder(tmp_path / "tenant/suite", f"2026010{hour}") / "data_docs"
        share_static_files(site, tmp_path)
        assert (site / "static").is_symlink()
        assert (site / "static/style.css").read_text() == "body {}"
    assert (tmp_path / "static/style.css").is_file()
