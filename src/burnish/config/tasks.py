"""What is learned."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from burnish.config.base import Count, Settings


class SumsTask(Settings):
    """Generated word problems, for the embedded experiment."""

    kind: Literal["sums"]
    train: Count = 3000
    """Training rows; half of them become the supervisor's ground truth (appendix B)."""
    test: Count = 500
    """Held-out test prompts."""
    world: int = 0
    """Which world: the seed of the generated rows, the same for all seeds of an experiment."""


class Gsm8kTask(Settings):
    """Grade-school mathematics (appendix A.1)."""

    kind: Literal["gsm8k"]
    source: str = "openai/gsm8k"
    """A hub id, or a folder with `train.jsonl` and `test.jsonl` (also .gz)."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""


class WordProblemsTask(Settings):
    """Easier word problems in the form of MAWPS (one file with `split`) or SVAMP."""

    kind: Literal["word_problems"]
    source: str
    """A JSONL file (also .gz)."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""


TaskConfig: TypeAlias = Annotated[SumsTask | Gsm8kTask | WordProblemsTask, Field(discriminator="kind")]
