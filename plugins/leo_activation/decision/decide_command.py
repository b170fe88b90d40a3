"""``leo decide``: decisions for a file of lines, without a database.

Exit status: 0 when every line got its line, 3 when every line got one but some got no decision
because the backend gave none (run those again), 1 when the work could not begin or end (message
on stderr), 2 when the command was not understood.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Annotated, Any, BinaryIO
from uuid import UUID

import orjson
import typer

from leo_activation.decision.backends.base import BackendUnavailableError, Question
from leo_activation.decision.backends.selection import open_backend
from leo_activation.decision.choose_prompt import REACHABLE, choose_prompt
from leo_activation.decision.decide_lines import (
    AskedLine,
    LineError,
    LineReader,
    RawLine,
    error_document,
    read_lines,
)
from leo_activation.decision.desk import Answer, Desk
from leo_activation.decision.interpreter import run_plan
from leo_activation.errors import ConfigurationError, DecisionError

app = typer.Typer(add_completion=False)
LOG = logging.getLogger(__name__)
# Lines that are read, answered and written together: enough to find lines with one catalogue.
WINDOW_LINES = 256
WINDOW_BYTES = 8 * 1024 * 1024
PROGRESS_SECONDS = 2.0
SOME_WITHOUT_DECISION = 3

Say = Callable[[str], None]


@app.command()
def decide(
    input_file: Annotated[str, typer.Option("--input", help="JSON lines; - reads stdin.")],
    output_file: Annotated[str, typer.Option("--output", help="JSON lines; - writes stdout.")],
) -> None:
    """Decide for every line of a file; no database and no network needed.

    A line in: {"id", "instruction", "mode": "plan" or "choose", "templates": [{"template_id",
    "channel", "description"}], "attributes": [names, or {"name", "type", "values"}],
    "profile": {facts} (optional)}. A line out, in the same order: {"id", "plan", "run", "valid",
    "reason", "latency_ms", "model"}. A broken line gets a line that says what is wrong with it.
    """
    with ExitStack() as files:
        source = files.enter_context(_open_input(input_file))
        _refuse_same(input_file, output_file)
        backend = open_backend(os.environ, fetch=False, report=_say)
        target = files.enter_context(_open_output(output_file))
        tally = decide_stream(source, target, Desk(backend), _say)
    _say(tally.text("done"))
    if tally.without_decision:
        raise typer.Exit(SOME_WITHOUT_DECISION)


@dataclass
class Tally:
    """What has been done so far.

    :param without_decision: lines whose backend did not answer.
    """

    started: float
    clock: Callable[[], float]
    lines: int = 0
    without_decision: int = 0
    memo: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)

    def text(self, when: str) -> str:
        """Return the progress as a line for people."""
        seconds = max(self.clock() - self.started, 1e-9)
        return (
            f"{when}: {self.lines:,} lines in {seconds:.1f} s ({self.lines / seconds:.1f}/s), "
            f"{self.verdicts['accepted']:,} plans, {self.verdicts['no_call']:,} without a call, "
            f"{self.verdicts['rejected']:,} rejected, {self.verdicts['broken']:,} broken lines, "
            f"{self.without_decision:,} without an answer, {self.memo:,} answered from memory"
        )


def decide_stream(
    source: BinaryIO,
    target: BinaryIO,
    desk: Desk,
    say: Say,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    """Answer the lines of a stream, a window at a time.

    :param say: told how far it is, every two seconds at most.
    :param clock: monotonic seconds.
    """
    tally = Tally(clock(), clock)
    told = tally.started
    reader = LineReader()
    for window in _windows(read_lines(source)):
        for document in _answer_window(window, reader, desk, tally):
            _write(target, orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
        _write(target, None)
        tally.lines += len(window)
        if clock() - told >= PROGRESS_SECONDS:
            told = clock()
            say(tally.text("so far"))
    return tally


def _windows(lines: Iterator[RawLine]) -> Iterator[list[RawLine]]:
    window: list[RawLine] = []
    size = 0
    for line in lines:
        window.append(line)
        size += len(line.content)
        if len(window) >= WINDOW_LINES or size >= WINDOW_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _answer_window(
    window: Sequence[RawLine], reader: LineReader, desk: Desk, tally: Tally
) -> Iterator[dict[str, Any]]:
    read = [_read(line, reader) for line in window]
    questions = [item[1] for item in read if not isinstance(item, LineError)]
    answers = iter(_answers(questions, desk))
    for item in read:
        if isinstance(item, LineError):
            tally.verdicts["broken"] += 1
            yield error_document(item, desk.model)
            continue
        asked, _ = item
        answer = next(answers)
        if isinstance(answer, BackendUnavailableError):
            tally.without_decision += 1
            yield error_document(LineError(str(answer), asked.line_id), desk.model)
            continue
        tally.verdicts[answer.decision.verdict] += 1
        tally.memo += answer.memo
        yield _document(asked, answer)


def _read(line: RawLine, reader: LineReader) -> tuple[AskedLine, Question] | LineError:
    """Return what a line asks, as a question for the model, or what is wrong with the line."""
    try:
        asked = reader.read(line)
    except LineError as error:
        return error
    try:
        question = Question(asked.spec, asked.instruction, _user_turn(asked))
        # Refuses an instruction that cannot be put into a prompt.
        _ = question.prompt
    except DecisionError as error:
        return LineError(f"line {line.number}: {error}", asked.line_id)
    except Exception as error:
        # Nothing that a line holds may stop the lines after it.
        LOG.exception("line %d could not be read", line.number)
        return LineError(
            f"line {line.number} could not be read ({type(error).__name__}: {error}): report it",
            asked.line_id,
        )
    return asked, question


def _user_turn(asked: AskedLine) -> str:
    if asked.mode == "plan" or asked.profile is None:
        return asked.instruction
    # It brings all channels with it, which most files do not need.
    from leo_activation.decision.choose import FactReader

    catalogue = asked.spec.catalogue
    facts = FactReader(catalogue, asked.instruction, providers={}).read(UUID(int=0), asked.profile)
    if "consent" not in asked.profile:
        # Without a register of consent nothing is known about who may be reached.
        facts.pop(REACHABLE, None)
    return choose_prompt(asked.instruction, catalogue, facts)


def _answers(
    questions: Sequence[Question], desk: Desk
) -> Sequence[Answer | BackendUnavailableError]:
    try:
        return desk.answer(questions)
    except BackendUnavailableError as error:
        # What was answered before the backend failed is kept.
        return [desk.known(question) or error for question in questions]


def _document(asked: AskedLine, answer: Answer) -> dict[str, Any]:
    decision = answer.decision
    plan = decision.plan or []
    run, reason = None, decision.reason
    if asked.profile is not None:
        outcome = run_plan(plan, asked.profile)
        run = [call.to_document() for call in outcome.calls]
        reason = reason or outcome.reason
    return {
        "id": asked.line_id,
        "plan": [call.to_document() for call in plan],
        "run": run,
        "valid": decision.verdict != "rejected",
        "reason": reason,
        "latency_ms": decision.latency_ms,
        "model": decision.model,
    }


def _open_input(name: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return open(name, "rb")
    except OSError as error:
        raise ConfigurationError(f"--input {name!r} cannot be read: {error.strerror}") from error


def _open_output(name: str) -> AbstractContextManager[BinaryIO]:
    if name == "-":
        return nullcontext(sys.stdout.buffer)
    try:
        return open(name, "wb")
    except OSError as error:
        raise ConfigurationError(
            f"--output {name!r} cannot be written: {error.strerror}"
        ) from error


def _refuse_same(source: str, target: str) -> None:
    if source != "-" and os.path.exists(target) and os.path.samefile(source, target):
        raise ConfigurationError(f"--input and --output are both {source!r}: name another file")


def _write(target: BinaryIO, line: bytes | None) -> None:
    """Write a line, or with none let everything written so far be seen."""
    try:
        if line is None:
            target.flush()
        else:
            target.write(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigurationError(f"the output cannot be written: {error.strerror}") from error


def _say(text: str) -> None:
    typer.echo(text, err=True)
