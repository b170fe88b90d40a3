"""`leo decide` as a shop would run it: one process, files in and out, no database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from leo_activation.decision.weights import PreparedModel
from tests.support.completions_server import KEY, MODEL, running

LEO = str(Path(sys.executable).with_name("leo"))
LINE: dict[str, Any] = {
    "id": "1", "instruction": "Gửi Zalo nếu là khách VIP",
    "templates": [
        {"template_id": "tri_an_zalo", "channel": "zalo", "description": "Tri ân khách VIP"},
        {"template_id": "tri_an", "channel": "email", "description": "Thư tri ân"},
    ],
    "attributes": ["segments", {"name": "age", "type": "number"}],
}  # fmt: skip


def run(
    *arguments: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command far from any database."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LEO_DATABASE")}
    return subprocess.run(
        [LEO, "decide", *arguments],
        input=stdin,
        capture_output=True,
        env={**kept, "LEO_DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", **environment},
        check=False,
    )


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def encoded(*documents: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(item, ensure_ascii=False).encode() for item in documents)


def test_a_file_is_answered_line_by_line_without_a_database(
    prepared: PreparedModel, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    asked = [
        LINE, {**LINE, "id": 2, "profile": {"segments": ["vip"]}},
        {**LINE, "id": "3", "mode": "choose", "profile": {"age": 30}}, {**LINE, "id": "4"},
    ]  # fmt: skip
    source.write_bytes(b"\xef\xbb\xbf" + encoded(*asked) + b'\n\n{"id": "5", broken\r\n\xff\n')
    done = run("--input", str(source), "--output", str(target))
    assert done.returncode == 0, done.stderr
    answers = lines(target.read_bytes())
    assert [answer["id"] for answer in answers] == ["1", 2, "3", "4", "5", None]
    assert [answer["valid"] for answer in answers] == [True, True, True, True, False, False]
    assert answers[0]["plan"] == answers[1]["plan"] == answers[3]["plan"]
    assert (answers[0]["run"], answers[3]["latency_ms"]) == (None, 0)
    assert isinstance(answers[1]["run"], list)
    assert all(answer["model"].startswith("gemma-3-270m") for answer in answers)
    assert b"done: 6 lines" in done.stderr
    assert done.stdout == b""


def test_a_stream_with_a_line_of_fifty_megabytes_is_answered(prepared: PreparedModel) -> None:
    big = b'{"id": "big", "instruction": "' + b"a" * 50 * 2**20 + b'"}'
    after = encoded({**LINE, "id": "after"})
    done = run("--input", "-", "--output", "-", stdin=b"\n".join([encoded(LINE), big, after]))
    assert done.returncode == 0, done.stderr
    answers = lines(done.stdout)
    assert [(item["id"], item["valid"]) for item in answers] == [
        ("1", True), ("big", False), ("after", True),
    ]  # fmt: skip
    assert "longer than 1,048,576 bytes" in answers[1]["reason"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "/no/such/file", "--output", "-"], "--input '/no/such/file' cannot be read"),
        (["--input", "-", "--output", "/no/such/file"], "--output '/no/such/file' cannot be"),
    ],
)
def test_work_that_cannot_begin_says_why(
    prepared: PreparedModel, arguments: list[str], told: str
) -> None:
    done = run(*arguments, stdin=encoded(LINE))
    assert (done.returncode, done.stdout) == (1, b"")
    assert told in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_the_input_is_never_overwritten(prepared: PreparedModel, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(encoded(LINE))
    done = run("--input", str(file), "--output", str(file))
    assert done.returncode == 1
    assert b"name another file" in done.stderr
    assert file.read_bytes() == encoded(LINE)


def test_without_a_model_it_says_how_to_get_one(tmp_path: Path) -> None:
    done = run("--input", "-", "--output", "-", LEO_HOME=str(tmp_path))
    assert done.returncode == 1
    assert b"run `leo model prepare`" in done.stderr
    assert run("--input", "-").returncode == 2


def test_lines_that_the_server_did_not_answer_end_with_status_three() -> None:
    with running() as server:
        server.says({"text": "<end_of_turn>"})
        environment = {
            "LEO_DECISION_BACKEND": "completions", "LEO_COMPLETIONS_URL": f"{server.url}/v1",
            "LEO_COMPLETIONS_MODEL": MODEL, "LEO_COMPLETIONS_KEY": KEY,
        }  # fmt: skip
        good = run("--input", "-", "--output", "-", stdin=encoded(LINE), **environment)
        server.says({"status": 503})
        bad = run("--input", "-", "--output", "-", stdin=encoded(LINE), **environment)
    assert (good.returncode, lines(good.stdout)[0]["valid"]) == (0, True)
    assert bad.returncode == 3
    (answer,) = lines(bad.stdout)
    assert (answer["id"], answer["valid"]) == ("1", False)
    assert "gave no usable answer in 2 attempts" in answer["reason"]
    assert KEY.encode() not in good.stderr + bad.stderr + bad.stdout
