"""The practitioner's job: a noisy dataset goes in, a better one comes out, with a reason for every changed row."""

from __future__ import annotations

from burnish.refinery.refining import FinishedRefinement, RunOptions, refine_data

__all__ = ["FinishedRefinement", "RunOptions", "refine_data"]
