"""A command that a user has to correct: what every such refusal has in common."""

from __future__ import annotations

from click.testing import Result


def check_refused(result: Result, *words: str) -> None:
    """Check that a command ended with exit code 2 and no traceback, and said these words."""
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert "Traceback" not in result.output
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr, (word, result.stderr)
