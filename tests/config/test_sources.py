"""What a source may be: one rule says everywhere which text has the form of a hub id."""

from __future__ import annotations

import pytest

from burnish.config import looks_like_hub_id


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("openai/gsm8k", True),
        ("HuggingFaceTB/SmolLM2-135M", True),
        ("a.b-c/_x.y", True),
        ("gsm8k", False),
        ("me/", False),
        ("/me", False),
        ("me/a/b", False),
        ("../x", False),
        ("me/.hidden", False),  # a path: no repository of the hub begins so
        ("models/..", False),
        ("me/a\n", False),
        ("mé/a", False),
        ("me/a b", False),
    ],
)
def test_what_has_the_form_of_a_hub_id(source: str, is_one: bool) -> None:
    assert looks_like_hub_id(source) is is_one
