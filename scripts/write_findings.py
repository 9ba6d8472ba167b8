"""Write docs/findings.md from the committed results of `make paper`: python scripts/write_findings.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from burnish.report.claims import CLAIMS
from burnish.report.paper import PAPER_FIGURES

DOCS = Path(__file__).parent.parent / "docs"
RESULTS = DOCS / "results" / "paper-embedded"
HEAD = """<!-- Written by scripts/write_findings.py from docs/results/paper-embedded; the tests compare them. -->
# Findings

What became of the paper's claims (arXiv 2501.07886) in the embedded world: generated word problems, models of 0.04M
to 0.3M parameters, 800 rows to refine, 500 test prompts, five seeds. They are statements about that world and its
settings; how it was run and how rates were chosen is in [paper.md](paper.md), what else was tried in
[lab-log.md](lab-log.md). Every line is computed from [results](results/paper-embedded) by `make paper`.

A difference is in percentage points of test accuracy unless the claim says otherwise, with its 95 % interval: a
bootstrap paired by seed and prompt, or a t interval over seeds where two settings or other metrics are compared. A
claim is *held* where the interval excludes zero on its side, *not held* where it excludes zero on the other. Where the
claim is that nothing is gained or that two things end alike, it is *held* where the interval excludes a difference of
two points. In all other cases the two *cannot be told apart*.

These verdicts are not corrected for their number, and SFT was trained here at a rate that is too high for it. The
claims that this project makes are in [claims.md](claims.md). Their verdicts are corrected, and they name the rates.
"""
MARKS = {"held": "held", "not held": "**not held**", "cannot be told apart": "*cannot be told apart*"}


def page(claims: dict[str, list[dict[str, str]]], suite: dict[str, Any]) -> str:
    """Return the page: counts, then a section for each figure that has claims."""
    every = [claim["verdict"] for found in claims.values() for claim in found]
    counts = ", ".join(f"{every.count(verdict)} {verdict}" for verdict in MARKS)
    trained, alone = suite["models_trained"], suite["models_alone"]
    share = f"{100 * trained / alone:.0f} %"
    intro = (
        f"Of {len(every)} claims: {counts}. {trained:,} models were trained; each config alone would have needed "
        f"{alone:,} in all ({share}).\n"
    )
    missing = [PAPER_FIGURES[name].title for name in CLAIMS if name not in claims]
    absent = f"Without committed results so far: {'; '.join(missing)}.\n" if missing else ""
    sections = [_section(name, claims[name]) for name in PAPER_FIGURES if claims.get(name)]
    return "\n".join(part for part in (HEAD, intro, absent, *sections) if part)


def _section(name: str, claims: list[dict[str, str]]) -> str:
    figure = PAPER_FIGURES[name]
    paper = f"The paper: {figure.paper}\n\n" if figure.paper else ""
    rows = "\n".join(f"| {_cell(c['claim'])} | {MARKS[c['verdict']]} | {_cell(c['detail'])} |" for c in claims)
    return f"## {figure.title}\n\n{paper}| claim | here | |\n| --- | --- | --- |\n{rows}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").rstrip(":")


def written() -> str:
    """Return the page that the committed results give."""
    return page(json.loads((RESULTS / "claims.json").read_text()), json.loads((RESULTS / "suite.json").read_text()))


def main() -> None:
    """Write the page."""
    (DOCS / "findings.md").write_text(written(), encoding="utf-8")
    print("wrote docs/findings.md")


if __name__ == "__main__":
    main()
