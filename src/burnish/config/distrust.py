"""The settings of a rule of acceptance that asks the annotator about edits of a proposal: SEAM inside ILR."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from burnish.config.base import MOST_REPEATS, Settings
from burnish.config.perturbations import EditKind

# With 1 nothing would ever be distrusted, although all the edits were asked about.
BelowOne: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class Distrust(Settings):
    """Distrust a comparison if the annotator also prefers edits that make the proposal worse.

    The annotator compares each proposal that it prefers to the label with edits of this proposal. The share of edits
    that it prefers is the proposal's SEAM (variant `count`), with the annotator in the reward model's place. A tie is
    half of an edit. An abstention does not count."""

    worse: Annotated[int, Field(ge=1, le=MOST_REPEATS, strict=True)] = 4
    """The number of edits of each proposal. Each of them costs a comparison. With a limit on a round's comparisons,
    so many fewer rows are compared that all edits fit into it."""
    edits: EditKind | Literal["auto"] = "auto"
    """What is edited: numbers, sql, words or characters. `auto` takes sql for queries, numbers for tasks with numbers
    as answers, and else words. An edit that leaves the final answer as it was is not taken."""
    most: BelowOne = 0.25
    """A proposal is turned down (`distrusted`) if the annotator prefers a larger share of its edits than this. A
    proposal of which no edit could be made or judged is not turned down."""
