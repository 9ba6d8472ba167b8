"""Several sampled answers for each row, and their vote. Each is a stage."""

from __future__ import annotations

from typing import NamedTuple

from burnish.config import Decoding
from burnish.steps.artifacts import Rows
from burnish.steps.setting import Setting
from burnish.types import Artifact, DemonstrationSource


class Sampling(NamedTuple):
    """How many answers are sampled for each row, and at which temperature."""

    samples: int
    temperature: float


def sampled(setting: Setting, model: Artifact, rows: Rows, number: int, sampling: Sampling) -> Artifact:
    """Let a model write several answers for each of these rows."""
    # Sampling needs a temperature and no beams: with greedy decoding all answers would be equal.
    decode = Decoding(beams=1, temperature=sampling.temperature, max_new_tokens=setting.decode.max_new_tokens)
    source = DemonstrationSource.PROPOSAL
    return setting.steps.answer(model, rows, decode, "samples", source, number, sampling.samples)
