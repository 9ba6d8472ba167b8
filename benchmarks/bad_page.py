"""The table on the page about robustness: the counts of bad inputs, of kills and of hostile SQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bad_counts import Section

PAGE_START, PAGE_END = "<!-- counts -->", "<!-- end of counts -->"
COLUMNS = "| what was tried | in the trial before | now | what went wrong now | command |"
COMMAND = "`python benchmarks/bad_inputs.py`"


def page_table(result: dict[str, Any], results: Path) -> str:
    """Return the table of the page: the counts of the trial before, and those of these results."""
    found = {name: Section(**values) for name, values in result["sections"].items()}
    lines = [COLUMNS, "|---|---|---|---|---|"]
    lines += [
        f"| {words} | {before} | {found[name].inputs:,} | {found[name].wrong()} | {COMMAND} |"
        for name, words, before in (
            ("rows", "files of rows, all kinds and forms", "about 60,000 bad inputs of all kinds"),
            ("grades", "predictions to grade", "among these; 5,276 GSM8K solutions without a disagreement"),
            ("configs", "configs as YAML, mappings and options", "among these; several tracebacks"),
            ("replies", "replies of judges: texts, log-probabilities, bodies", "5,216 texts, 0 invented verdicts"),
            ("store", "stores with a damaged file", "30 shapes of a manifest, all of them tracebacks"),
        )
        if name in found
    ]
    kills, sql = (json.loads((results / name).read_text()) for name in ("kills.json", "hostile-sql.json"))
    same = "0 results changed" if kills["results_identical"] else "results changed"
    changed = sql["changed_something"]
    lines += [
        f"| SIGKILLs of a run | 26, no result changed | {kills['kills']} | {same} | "
        "`python benchmarks/kills.py --kills 30` |",
        f"| SQL statements against the sandbox | 161, none broke it | {sql['statements']} | "
        f"{len(changed) if isinstance(changed, list) else changed} changed something | "
        "`python benchmarks/hostile_sql.py` |",
    ]
    return "\n".join(lines)


def write_page(page: Path, table: str) -> None:
    """Put the table between the marks of the page."""
    head, _, rest = page.read_text(encoding="utf-8").partition(PAGE_START)
    tail = rest.partition(PAGE_END)[2]
    page.write_text(f"{head}{PAGE_START}\n\n{table}\n\n{PAGE_END}{tail}", encoding="utf-8")
