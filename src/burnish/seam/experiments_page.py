"""The page of one or more experiments on SEAM. It needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from burnish import __version__
from burnish.report.page import environment
from burnish.report.text import NONE
from burnish.seam.arm_page import ArmsPart, arms_part
from burnish.seam.arm_results import ArmResults
from burnish.seam.study_claims import ClaimVerdict, JudgedClaim
from burnish.seam.study_page import MismatchPart, mismatch_part
from burnish.seam.study_results import StudyResults

REPORT_FILE = "report.html"
"""The file with the page."""
AnyResults: TypeAlias = StudyResults | ArmResults
"""The results of an experiment on SEAM."""
StudyPart: TypeAlias = MismatchPart | ArmsPart
"""What a page shows of one experiment."""
VERDICT_WORDS = {
    ClaimVerdict.HOLDS: "held",
    ClaimVerdict.FAILS: "not held",
    ClaimVerdict.OPEN: "cannot be told apart",
}
"""What people read of a verdict."""


def part_of(results: AnyResults, folder: Path, verdicts: Sequence[JudgedClaim] = ()) -> StudyPart:
    """Return what a page shows of an experiment. `folder` is that of its work."""
    if isinstance(results, StudyResults):
        return mismatch_part(results, folder, verdicts)
    return arms_part(results, verdicts)


def render(title: str, parts: Sequence[StudyPart]) -> str:
    """Return the page as HTML. Every string in it is escaped."""
    page = environment()
    page.filters["measured"] = measured_words
    page.filters["verdict"] = VERDICT_WORDS.__getitem__
    template = page.get_template("seam_experiments.html.j2")
    return template.render(title=title, parts=parts, burnish_version=__version__)


def measured_words(one: JudgedClaim) -> str:
    """Return the measured value of a claim with its interval, as text."""
    found = one.measured
    if found.value is None:
        return NONE
    return f"{found.value:.3f}" + ("" if found.ci95 is None else f" ({found.ci95[0]:.3f} to {found.ci95[1]:.3f})")
