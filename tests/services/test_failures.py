"""The words of errors about servers."""

from __future__ import annotations

from burnish.services.failures import after_retries


def test_retries_that_were_in_vain_are_counted() -> None:
    assert [after_retries(count) for count in (0, 1, 2)] == ["", ", also after 1 retry", ", also after 2 retries"]
