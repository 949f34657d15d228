"""The figures as a table, as ratios, and as JSON."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .figures import Stopwatch, Summary

Name = tuple[str, ...]

# Heading, figure, decimals. A column that no row of a table has is left out.
_COLUMNS = (
    ("p50 ms", "p50_ms", 2),
    ("p95 ms", "p95_ms", 2),
    ("p99 ms", "p99_ms", 2),
    ("a second", "per_second", 1),
    ("requests", "requests", 0),
    ("whole", "whole", 2),
    ("web CPU ms", "web_cpu_ms", 2),
    ("jobs CPU ms", "worker_cpu_ms", 2),
    ("PostgreSQL ms", "postgres_cpu_ms", 2),
    ("Redis ms", "redis_cpu_ms", 2),
    ("sandbox ms", "sandbox_cpu_ms", 2),
    ("SQL", "sql", 1),
    ("EHR calls", "ehr_calls", 2),
    ("kB", "kbytes", 1),
)
_SPECIAL = ("bytes", "memory", "crowd")


def machine() -> dict[str, str]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    packages = ("django", "granian", "psycopg", "redis", "celery")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory_gb": str(round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)),
        "system": platform.platform(),
        "python": platform.python_version(),
        **versions,
    }


def as_json(watch: Stopwatch, options: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    found = watch.summaries()
    return {
        "machine": machine(),
        "options": options,
        "calibration_best_ms": watch.best_ms,
        "discarded_runs": sum(each.discarded for each in found.values()),
        "noisy_rows": sum(each.is_noisy for each in found.values()),
        "notes": notes,
        "ratios": ratios(found),
        "rows": [
            dict(zip(("workload", "clinicians", "what", "condition"), name, strict=True)) | asdict(each)
            for name, each in found.items()
        ],
    }


def table(watch: Stopwatch, notes: list[str]) -> str:
    found = watch.summaries()
    lines: list[str] = []
    for workload in dict.fromkeys(name[0] for name in found):
        rows = {name: each for name, each in found.items() if name[0] == workload}
        lines += ["", f"## {workload}", ""]
        lines += _special(rows) if workload in _SPECIAL else _plain(rows)
    lines += ["", "## ratios, of medians", ""]
    lines += [f"* {what}: **{value}**" for what, value in ratios(found).items()]
    dropped = sum(each.discarded for each in found.values())
    runs = sum(each.runs for each in found.values())
    noisy = sum(each.is_noisy for each in found.values())
    lines += [
        "",
        f"Calibration at best {watch.best_ms:.1f} ms; of {runs + dropped} runs {dropped} were discarded as noisy; "
        f"{noisy} rows of {len(found)} stand on noisy runs for want of quiet ones (marked ~).",
        *notes,
    ]
    return "\n".join(lines)


def _plain(rows: dict[Name, Summary]) -> list[str]:
    columns = [each for each in _COLUMNS if any(each[1] in row.median for row in rows.values())]
    heads = ["clinicians", "what", "condition", *(head for head, _, _ in columns), "runs"]
    body = []
    for (_, size, what, condition), row in rows.items():
        cells = [size, what, condition]
        for _, figure, decimals in columns:
            cells.append(_cell(row, figure, decimals))
        body.append([*cells, f"{'~' if row.is_noisy else ''}{row.runs}"])
    return _grid([heads, *body])


def _cell(row: Summary, figure: str, decimals: int) -> str:
    if figure not in row.median:
        return ""
    text = f"{row.median[figure]:,.{decimals}f}"
    if figure in ("p50_ms", "per_second") and row.runs > 1:
        text += f" ({row.least[figure]:,.{decimals}f}-{row.most[figure]:,.{decimals}f})"
    return text


def _special(rows: dict[Name, Summary]) -> list[str]:
    """Rows with figures of their own, each a column."""
    figures = list(dict.fromkeys(figure for row in rows.values() for figure in row.median))
    heads = ["clinicians", "what", "condition", *(figure.replace("_", " ") for figure in figures), "runs"]
    body = [
        [
            *name[1:],
            *(
                f"{row.median[each]:,.1f}".removesuffix(".0") if each in row.median else ""
                for each in figures
            ),
            f"{'~' if row.is_noisy else ''}{row.runs}",
        ]
        for name, row in rows.items()
    ]
    return _grid([heads, *body])


def _grid(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def ratios(found: dict[Name, Summary]) -> dict[str, str]:
    """What the benchmark is for, as far as its rows were run."""
    answer: dict[str, str] = {}
    rows = {name: each.median for name, each in found.items()}

    def row(*name: str) -> dict[str, float] | None:
        return rows.get(name)

    for (workload, size, what, condition), ours in rows.items():
        if workload == "every time" and what.startswith("ours") and not what.endswith("parts"):
            peers = next(
                (
                    each
                    for name, each in rows.items()
                    if name[:2] == (workload, size) and name[2].startswith("peer")
                ),
                None,
            )
            if peers:
                answer[f"every time of {size}: server CPU, peer : ours"] = _ratio(
                    _server(peers), _server(ours)
                )
                answer[f"every time of {size}: wall time, peer : ours"] = _ratio(
                    peers["p50_ms"], ours["p50_ms"]
                )
                answer[f"every time of {size}: statements, peer : ours"] = _ratio(peers["sql"], ours["sql"])
        if (
            workload == "warm"
            and what == "page as first seen"
            and (peers := row("warm", size, "peer: its page", condition))
        ):
            answer[f"page as first seen at {size}, {condition}: requests a second, ours : peer"] = _ratio(
                ours["per_second"], peers["per_second"]
            )
        if workload == "warm" and what == "page, 7 days":
            if peers := row("warm", size, "peer: its page", condition):
                answer[f"page at {size}, {condition}: requests a second, ours : peer"] = _ratio(
                    ours["per_second"], peers["per_second"]
                )
            if floor := row("warm", size, "floor: page as a file", condition):
                answer[f"page at {size}, {condition}: p50, ours : file"] = _ratio(
                    ours["p50_ms"], floor["p50_ms"]
                )
                answer[f"page at {size}, {condition}: web CPU, ours : file"] = _ratio(
                    ours["web_cpu_ms"], floor["web_cpu_ms"]
                )
            if empty := row("warm", size, "floor: empty view", condition):
                answer[f"page at {size}, {condition}: p50, ours : empty view"] = _ratio(
                    ours["p50_ms"], empty["p50_ms"]
                )
    few, many = row("warm", "20", "page, 7 days", "c=1"), row("warm", "2,000", "page, 7 days", "c=1")
    if few and many:
        answer["warm page, 2,000 : 20 clinicians: p50"] = _ratio(many["p50_ms"], few["p50_ms"])
        answer["warm page, 2,000 : 20 clinicians: web CPU"] = _ratio(many["web_cpu_ms"], few["web_cpu_ms"])
    return answer


def _server(row: dict[str, float]) -> float:
    """CPU of all that serves, the EHR and the client left out."""
    return sum(row.get(f"{part}_cpu_ms", 0) for part in ("web", "worker", "beat", "postgres", "redis"))


def _ratio(above: float, below: float) -> str:
    return f"{above / below:,.2f}" if below else f"{above:,.2f} : 0"
