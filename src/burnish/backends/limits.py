"""How many tokens go through a model together. It depends on the size of the model and on the device."""

from __future__ import annotations

from dataclasses import dataclass

from burnish.config import Execution

SMALL_MODEL = 10_000_000
"""Number of parameters. In smaller models Python's work in a step takes longer than the arithmetic, so answers are
faster in large batches."""
REAL_MODEL_TOKENS = {"cpu": 1_024, "mps": 4_096, "cuda": 16_384}
"""{device: padded tokens in one forward pass} for training a model of 100M parameters or more."""

LOGITS = 2**26
"""The most logits at once in scoring. They take 256 MB in float32, and their log-probabilities as much again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLimits:
    """Tokens, padding included: in a pass of training, in the cache of a batch of answers with all its beams, and in a
    batch that is scored. `logits` is how many logits there are at once in scoring."""

    passed: int
    cached: int
    scored: int
    logits: int


def pass_tokens(builtin: bool, device: str) -> int:
    """Return the most padded tokens that go through a model in one pass of training."""
    # The built-in models have less than 1M parameters. For them, Python's work in each pass takes longer than the
    # arithmetic.
    return 65_536 if builtin else REAL_MODEL_TOKENS[device]


def batch_tokens(execution: Execution, device: str, small: bool) -> int:
    """Return how many tokens a batch may have that is read at once."""
    return _tokens(execution, device, small, 4_096, 4_096)


def cached_tokens(execution: Execution, device: str, small: bool) -> int:
    """Return how many tokens the cache of a batch of answers may have, all beams included."""
    return _tokens(execution, device, small, 16_384, 8_192)


def _tokens(execution: Execution, device: str, small: bool, small_on_cpu: int, on_cpu: int) -> int:
    # The defaults for CPUs were the fastest in measurements on two cores, or near it with less memory.
    if execution.batch_tokens != "auto":
        return execution.batch_tokens
    if device == "cpu":
        return small_on_cpu if small else on_cpu
    return 32_768 if small else 65_536
