"""What a model gave, as it is written and counted."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.protocols import Score
from burnish.types import Artifact, Completion, Demonstration, DemonstrationSource


def rows_and_tokens(batch: Sequence[Score | Completion]) -> dict[str, int]:
    """Count a batch's rows and tokens."""
    return {"rows": len(batch), "tokens": sum(item.tokens for item in batch)}


def demonstration_of(answer: Completion, source: DemonstrationSource, model: Artifact, round_: int) -> Demonstration:
    """Turn what a model wrote into a demonstration that names the model and the round."""
    return Demonstration(
        example_id=answer.id,
        completion=answer.text,
        source=source,
        producer=model.fingerprint,
        round=round_,
        finished=answer.finished,
        sample=answer.sample,
    )
