"""Write docs/findings.md and docs/one-rate.md from committed results: python scripts/write_findings.py.

The prose of docs/findings.md is scripts/findings.md. There, a line `{{claims: ID ID}}` stands for a table of these
registered claims with their verdicts, and `{{seam: NAME}}` for a table of the claims on an experiment of `make seam`.
docs/one-rate.md goes through the paper's figures, as `make paper` computed them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from make_seam import CLAIMS_FILE, registered
from pydantic import TypeAdapter

from burnish.evidence.page import short_table
from burnish.evidence.registry import read_registry
from burnish.evidence.verdicts import Decided, decide
from burnish.report.claims import CLAIMS
from burnish.report.paper import PAPER_FIGURES
from burnish.seam.experiments_page import VERDICT_WORDS, measured_words
from burnish.seam.study_claims import JudgedClaim

SCRIPTS = Path(__file__).parent
DOCS = SCRIPTS.parent / "docs"
RESULTS = DOCS / "results"
TABLE = re.compile(r"^\{\{claims: ([a-z0-9 -]+)\}\}\n", re.MULTILINE)
SEAM = re.compile(r"^\{\{seam: ([a-z0-9-]+)\}\}\n", re.MULTILINE)
NOTE = (
    "<!-- Written by scripts/write_findings.py from scripts/findings.md and docs/results; a test compares them. -->\n"
)
ONE_RATE = """<!-- Written by scripts/write_findings.py from docs/results/paper-embedded; a test compares them. -->
# The paper's figures at one learning rate

What became of the paper's claims (arXiv 2501.07886) in the embedded world: generated word problems, models of 0.04M
to 0.3M parameters, 800 rows to refine, 500 test prompts, five seeds. **Read these verdicts as a description of old
runs.** All models were trained at one rate. It suits models of half the rows, and it is too high for SFT, so gains
over SFT are too large here. The built-in models were others than today's, too. What this project claims stands in
[findings.md](findings.md) and [claims.md](claims.md).

Every line is computed from [results](results/paper-embedded) by `make paper`. How it was run and how rates were chosen
is in [paper.md](paper.md). A difference is in percentage points of test accuracy unless the claim says otherwise, with
its 95 % interval: a bootstrap paired by seed and prompt, or a t interval over seeds where two settings or other metrics
are compared. A claim is *held* where the interval excludes zero on its side, *not held* where it excludes zero on the
other. Where the claim is that nothing is gained or that two things end alike, it is *held* where the interval excludes
a difference of two points. In all other cases the two *cannot be told apart*. These verdicts are not corrected for
their number.
"""
MARKS = {"held": "held", "not held": "**not held**", "cannot be told apart": "*cannot be told apart*"}


def findings(source: str, decided: Sequence[Decided]) -> str:
    """Return the page of findings: the prose with a table of claims in each of its places.

    Raises SystemExit if the prose names a claim that is not registered, or leaves a registered one out.
    """
    by_id = {one.weighed.claim.id: one for one in decided}
    named = [id_ for ids in TABLE.findall(source) for id_ in ids.split()]
    if wrong := sorted(set(named) ^ by_id.keys()):
        raise SystemExit(f"scripts/findings.md and docs/claims.yaml do not name the same claims: {', '.join(wrong)}")
    tables = TABLE.sub(lambda match: short_table([by_id[id_] for id_ in match[1].split()]), source)
    return NOTE + SEAM.sub(lambda match: seam_table(match[1]), tables)


def seam_table(experiment: str) -> str:
    """Return a table of the claims on an experiment of `make seam`, with their verdicts if it has results."""
    file = RESULTS / "seam-embedded" / experiment / CLAIMS_FILE
    if not file.exists():
        words = [claim.words for claim in registered() if claim.experiment == experiment]
        assert words, experiment
        return "Registered, and without results so far:\n\n" + "".join(f"- {one}\n" for one in words)
    rows = "".join(
        f"| {_cell(one.words)} | {MARKS[VERDICT_WORDS[one.verdict]]} | {measured_words(one)} |\n"
        for one in TypeAdapter(list[JudgedClaim]).validate_json(file.read_bytes())
    )
    return f"| claim | verdict | measured |\n| --- | --- | --- |\n{rows}"


def one_rate(claims: dict[str, list[dict[str, str]]], suite: dict[str, Any]) -> str:
    """Return the page about the paper's figures: counts, then a section for each figure that has claims."""
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
    return "\n".join(part for part in (ONE_RATE, intro, absent, *sections) if part)


def _section(name: str, claims: list[dict[str, str]]) -> str:
    figure = PAPER_FIGURES[name]
    paper = f"The paper: {figure.paper}\n\n" if figure.paper else ""
    rows = "\n".join(f"| {_cell(c['claim'])} | {MARKS[c['verdict']]} | {_cell(c['detail'])} |" for c in claims)
    return f"## {figure.title}\n\n{paper}| claim | here | |\n| --- | --- | --- |\n{rows}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").rstrip(":")


def written() -> dict[str, str]:
    """Return {name of a page: what the committed results give}."""
    folder = RESULTS / "paper-embedded"
    claims, suite = (json.loads((folder / name).read_text()) for name in ("claims.json", "suite.json"))
    source = (SCRIPTS / "findings.md").read_text(encoding="utf-8")
    decided = decide(read_registry(DOCS / "claims.yaml"), RESULTS)
    return {"findings.md": findings(source, decided), "one-rate.md": one_rate(claims, suite)}


def main() -> None:
    """Write both pages."""
    for name, text in written().items():
        (DOCS / name).write_text(text, encoding="utf-8")
        print(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
