"""The report of a load test: one HTML file with its figures and plots, nothing fetched.

Run by the environment of ``requirements-load.txt``:
``python -m benchmarks.load.report FOLDER OUTPUT.html``.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # noqa: E402 - the backend has to be chosen before

Table = tuple[Sequence[str], Iterable[Sequence[object]]]
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2rem auto; padding: 0 1rem;
  color: #222 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .8rem; text-align: right }
th:first-child, td:first-child { text-align: left }
.good { color: #137333 } .bad { color: #b3261e; font-weight: 600 }
svg { max-width: 100%; height: auto }
"""


def percentile(values: Sequence[float], rank: int) -> float:
    """Return a percentile of at least one value."""
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[rank - 1]


def stage_rows(data: dict[str, Any], requests: dict[str, Any]) -> list[dict[str, Any]]:
    """Return for each stage what was offered, what was acknowledged, and how fast."""
    by_stage: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in requests["requests"]:
        by_stage[row["stage"]].append(row)
    rows = []
    for stage in data["stages"]:
        seconds = by_stage.get(stage["name"], [])
        statuses: Counter[str] = Counter()
        for row in seconds:
            statuses.update(row["statuses"])
        times = sorted(value for row in seconds for value in row["times"])
        good = statuses["ok"]
        errors = sum(statuses.values()) - good
        span = max(len({row["second"] for row in seconds}), 1)
        rows.append(
            {
                **stage,
                "requests": sum(statuses.values()),
                "errors": errors,
                "error_rate": errors / max(sum(statuses.values()), 1),
                "achieved": good * stage["size"] / min(span, stage["seconds"]),
                "p50": percentile(times, 50) if times else 0.0,
                "p95": percentile(times, 95) if times else 0.0,
                "p99": percentile(times, 99) if times else 0.0,
                "max": times[-1] if times else 0.0,
                "from": min((row["second"] for row in seconds), default=0),
                "to": max((row["second"] for row in seconds), default=0) + 1,
            }
        )
    return rows


def mean_cores(samples: Sequence[dict[str, Any]], first: float, last: float) -> dict[str, float]:
    """Return how many cores each group of processes used between two moments."""
    inside = [s["cores"] for s in samples if first <= s["at"] <= last]
    names = inside[0] if inside else {}
    return {name: statistics.fmean(cores[name] for cores in inside) for name in names}


def knee(rows: Sequence[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    """Return the highest step that was still served whole: 97 of 100 offered, no errors."""
    held = [
        row for row in rows
        if row["kind"] == kind and not row["errors"] and row["achieved"] >= 0.97 * row["per_second"]
    ]  # fmt: skip
    return max(held, key=lambda row: row["achieved"], default=None)


def table(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    """Return an HTML table; everything in it is text."""
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>"
        for row in body
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"


def plot(title: str, unit: str, series: dict[str, tuple[list[float], list[float]]]) -> str:
    """Return lines over time as SVG."""
    figure, axes = plt.subplots(figsize=(10, 3.2))
    for name, (at, values) in series.items():
        axes.plot(at, values, label=name, linewidth=1.2)
    axes.set_title(title, loc="left")
    axes.set_xlabel("seconds from the start")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
    axes.set_ylim(bottom=0)
    if len(series) > 1:
        axes.legend(loc="upper left", fontsize=8, ncols=3)
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight")
    plt.close(figure)
    return text.getvalue().partition("<!DOCTYPE")[2].partition(">")[2]


def plots(data: dict[str, Any], requests: dict[str, Any]) -> str:
    """Return all plots."""
    start = data["started_at"]
    seconds: dict[int, list[float]] = defaultdict(list)
    counts: dict[int, int] = defaultdict(int)
    size = {stage["name"]: stage["size"] for stage in data["stages"]}
    for row in requests["requests"]:
        seconds[row["second"]] += row["times"]
        counts[row["second"]] += row["statuses"].get("ok", 0) * size[row["stage"]]
    moments = sorted(seconds)
    at = [moment - start for moment in moments]
    ranks = {
        f"p{rank}": (at, [percentile(seconds[moment], rank) * 1000 for moment in moments])
        for rank in (50, 95, 99)
    }
    samples = data["samples"]
    when = [sample["at"] - start for sample in samples]
    wal = [
        (after["wal_bytes"] - before["wal_bytes"]) / (after["at"] - before["at"]) / 1e6
        for before, after in zip(samples, samples[1:], strict=False)
    ]
    reached: dict[int, list[float]] = defaultdict(list)
    for posted, latency in data["latencies"]:
        reached[int(posted)].append(latency)
    pushes = sorted(reached)
    return "".join(
        [
            plot("Events acknowledged", "events a second",
                 {"events": (at, [float(counts[moment]) for moment in moments])}),
            plot("Time to the answer", "milliseconds", ranks),
            plot("From the answer to the push at the provider", "seconds", {
                "median": ([p - start for p in pushes],
                           [statistics.median(reached[p]) for p in pushes]),
                "longest": ([p - start for p in pushes], [max(reached[p]) for p in pushes]),
            }),
            plot("Processor", "cores", {
                name: (when, [sample["cores"][name] for sample in samples])
                for name in (samples[0]["cores"] if samples else {})
            }),
            plot("Behind: events not decided, messages not sent", "rows", {
                "not decided": (when, [float(sample["undecided"]) for sample in samples]),
                "not sent": (when, [float(sample["queued"]) for sample in samples]),
            }),
            plot("Write-ahead log", "MB a second", {"wal": (when[1:], wal)}),
        ]
    )  # fmt: skip


def verdicts(data: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """Return what was asked for beside what was measured."""
    proof, floor = data["proof"], rows[0]
    single, batch = knee(rows, "single"), knee(rows, "batch")
    latencies = [latency for posted, latency in data["latencies"] if posted < floor["to"]]
    long_waits = [wait for wait in data["lock_waits_logged"] if wait["on_delivery_log"]]
    limits = ", ".join(f"{name} {cores:.2f}" for name, cores in data.get("knee_cores", {}).items())
    lines = [
        ("events acknowledged", f"{proof['acknowledged']:,}", True),
        ("acknowledged and lost", proof["lost"], not proof["lost"]),
        ("acknowledged as new twice", proof["doubled"], not proof["doubled"]),
        (f"error rate in {floor['seconds'] / 60:g} min of 5,000 events a minute",
         f"{floor['error_rate']:.4%}", floor["error_rate"] < 0.01),
        ("lock waits on delivery_log above 100 ms (the server's log)", len(long_waits),
         not long_waits),
        ("answer in the floor stage: p50 / p99",
         f"{floor['p50'] * 1000:.1f} / {floor['p99'] * 1000:.1f} ms", True),
        ("event acknowledged to push at the provider, floor stage: p50 / p95",
         f"{percentile(latencies, 50):.2f} / {percentile(latencies, 95):.2f} s"
         if latencies else "none", bool(latencies)),
        ("messages received twice", proof["received_twice"], not proof["received_twice"]),
        ("single posts: highest step held / most acknowledged",
         _rates(rows, "single", single), True),
        ("batches: highest step held / most acknowledged", _rates(rows, "batch", batch), True),
        ("cores used at the highest single step held", limits or "not measured", True),
    ]  # fmt: skip
    return "<table>" + "".join(
        f"<tr><td>{html.escape(what)}</td>"
        f"<td class='{'good' if is_good else 'bad'}'>{html.escape(str(value))}</td></tr>"
        for what, value, is_good in lines
    ) + "</table>"  # fmt: skip


def _rates(rows: Sequence[dict[str, Any]], kind: str, held: dict[str, Any] | None) -> str:
    most = max((row["achieved"] for row in rows if row["kind"] == kind), default=0.0)
    return f"{held['achieved'] if held else 0:,.0f} / {most:,.0f} events/s"


def build(folder: Path) -> tuple[str, str]:
    """Return the report as HTML, and its figures as lines for a terminal."""
    data = json.loads((folder / "load.json").read_text(encoding="utf-8"))
    requests = json.loads((folder / "requests.json").read_text(encoding="utf-8"))
    rows = stage_rows(data, requests)
    best = knee(rows, "single")
    if best:
        data["knee_cores"] = mean_cores(data["samples"], best["from"], best["to"])
    head = ("stage", "set off a push", "offered /s", "acknowledged /s", "requests", "errors",
            "p50 ms", "p95 ms", "p99 ms", "max ms", "cores")  # fmt: skip
    body = [
        (row["name"], f"{row['triggers_percent']} %", f"{row['per_second']:,.0f}",
         f"{row['achieved']:,.0f}", f"{row['requests']:,}", row["errors"],
         *(f"{row[name] * 1000:.1f}" for name in ("p50", "p95", "p99", "max")),
         " ".join(f"{name} {cores:.2f}" for name, cores in
                  mean_cores(data["samples"], row["from"], row["to"]).items()))
        for row in rows
    ]  # fmt: skip
    partitions = data["database"]["partitions"]
    indexes = data["database"]["indexes"]
    page = "".join(
        [
            "<!doctype html><html lang='en'><meta charset='utf-8'><title>Load test</title>",
            f"<style>{_STYLE}</style><h1>Load test</h1><p>{html.escape(data['about'])}</p>",
            verdicts(data, rows),
            "<h2>Stages</h2>", table(head, body),
            "<h2>Over time</h2>", plots(data, requests),
            "<h2>Ledger</h2>",
            table(("state", "rows"), sorted(data["proof"]["deliveries"].items())),
            table(("task", "rows"), sorted(data["proof"]["triggered"].items())),
            f"<p>Settled {data['settled_seconds']:.1f} s after the last event.</p>",
            "<h2>Partitions of marketing_event</h2>",
            table(("partition", "rows", "table MB", "index MB"), (
                (p["partition"], f"{max(p['estimated_rows'], 0):,}",
                 f"{p['table_bytes'] / 1e6:.1f}", f"{p['index_bytes'] / 1e6:.1f}")
                for p in partitions)),
            "<h2>Indexes of the ledgers</h2>",
            table(("index", "MB", "scans"),
                  ((i["index"], f"{i['bytes'] / 1e6:.2f}", f"{i['scans']:,}") for i in indexes)),
            "<h2>Waits for locks</h2>",
            f"<p>{data['lock_looks']:,} looks, every 50 ms; {len(data['lock_waits']):,} saw "
            f"somebody wait; the server logged {len(data['lock_waits_logged'])} waits longer than "
            "100 ms.</p>",
            table(("mode", "what", "ms", "delivery_log"),
                  ((w["mode"], w["what"], f"{w['milliseconds']:.0f}", w["on_delivery_log"])
                   for w in data["lock_waits_logged"][:50])),
            "<h2>What went wrong</h2>",
            table(("answer", "times"), requests["problems"].items()),
            table(("watch",), ([line] for line in data["watch_failures"])),
        ]
    )  # fmt: skip
    lines = ["  ".join(f"{value!s:>14}" for value in line) for line in [head, *body]]
    return page, "\n".join(lines)


def main() -> None:
    """Write the report and print the table of its stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    page, text = build(arguments.folder)
    arguments.output.write_text(page, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
