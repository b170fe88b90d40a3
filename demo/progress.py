"""Visible progress: one line a step, with the time it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

Say = Callable[[str], None]


class Steps:
    """Shows steps that may run side by side.

    On a terminal every running step is a line with a spinner; elsewhere a line is printed when a
    step starts and when it ends.

    :param console: where to print.
    """

    def __init__(self, console: Console) -> None:
        """Start the clock."""
        self.console = console
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", justify="left"),
            TextColumn("{task.fields[detail]}", style="dim", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    @property
    def elapsed(self) -> float:
        """Return the seconds since the first step."""
        return time.monotonic() - self._began

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the spinners while the block runs."""
        with self._progress:
            yield

    @contextmanager
    def step(self, title: str) -> Iterator[Say]:
        """Show one step; the block may say what it is doing now.

        :param title: what happens, in a few words.
        """
        started = time.monotonic()
        line = self._progress.add_task(title, total=None, detail="")
        last = ""

        def say(detail: str) -> None:
            nonlocal last
            last = detail
            self._progress.update(line, detail=detail)

        if not self.console.is_terminal:
            self.console.print(f"  … {title}")
        try:
            yield say
        except BaseException:
            self.console.print(f"[red]  ✗ {title}[/] {time.monotonic() - started:.1f} s")
            raise
        finally:
            self._progress.remove_task(line)
        seconds = time.monotonic() - started
        with self._lock:
            self.seconds[title] = seconds
        self.console.print(
            Text.assemble(("  ✓ ", "green"), f"{title:<50} {seconds:6.1f} s  ", (last, "dim")),
            no_wrap=True,
            overflow="ellipsis",
        )


def open_console() -> Console:
    """Return a console for a person, wide enough for a journey where there is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
