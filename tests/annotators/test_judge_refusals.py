"""A prompt that is refused is an abstention at any time; a wrong key or model is an error at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import FaultServer, Reaction, Refuse, Sitting, pairs

from burnish.errors import AnnotatorError
from burnish.services import endpoint
from burnish.services.calls import CallBudget
from burnish.types import Verdict

pytest.importorskip("openai")

AZURE = (
    400,
    '{"error": {"code": "content_filter", "message": "The response was filtered due to the prompt triggering '
    "Azure OpenAI's content management policy.\"}}",
)
OPENROUTER = (403, '{"error": {"message": "Your chosen model requires moderation and your input was flagged"}}')
FIREWALL = (403, "<html>Forbidden</html>")
UNKNOWN = (400, '{"error": {"message": "cannot do this"}}')
REFUSALS = {"azure": AZURE, "openrouter": OPENROUTER, "firewall": FIREWALL, "unknown": UNKNOWN}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)


def refusing(reaction: Reaction, when: Callable[[str], bool]) -> Refuse:
    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        return reaction if when(body["messages"][0]["content"]) else None

    return refuse


def about(*numbers: int) -> Callable[[str], bool]:
    return lambda prompt: any(f"Question {number}\n" in prompt for number in numbers)


def abstained(sitting: Sitting, count: int) -> list[str]:
    found = sitting.go(pairs(count))
    of = {comparison.id: comparison.example_id for comparison in pairs(count)}
    return sorted(of[id_] for id_, preference in found.items() if preference.verdict is Verdict.ABSTAIN)


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("where", [0, 2, 5])
def test_one_refused_prompt_is_an_abstention_first_and_again(name: str, where: int, tmp_path: Path) -> None:
    with FaultServer(refuse=refusing(REFUSALS[name], about(where))) as running:
        sittings = [Sitting(running.address, tmp_path, concurrency=1) for _ in range(3)]
        for sitting in sittings:  # the second and third one find all other answers in the cache
            assert abstained(sitting, 6) == [str(where)]
        assert set(running.answered.values()) <= {0, 1, 2, 3}  # the question that no server minds comes again
        assert sittings[0].judge.spent().failed == 6


@pytest.mark.parametrize("name", REFUSALS)
def test_many_refused_prompts_alone_on_resume_are_abstentions(name: str, tmp_path: Path) -> None:
    with FaultServer(refuse=refusing(REFUSALS[name], about(*range(15)))) as running:
        Sitting(running.address, tmp_path).go(pairs(20)[15:])
        assert len(abstained(Sitting(running.address, tmp_path, concurrency=1), 15)) == 15  # nothing else is asked


@pytest.mark.parametrize("name", REFUSALS)
def test_a_server_that_refuses_everything_stops_also_where_the_cache_has_answers(name: str, tmp_path: Path) -> None:
    with FaultServer() as running:
        Sitting(running.address, tmp_path).go(pairs(5))
        running.refuse = refusing(REFUSALS[name], lambda prompt: True)
        with pytest.raises(AnnotatorError, match="the answers so far are kept"):
            Sitting(running.address, tmp_path, concurrency=1).go(pairs(30))
        # A refusal that says what it is about may be about ten prompts in a row; another one is asked about at once.
        assert sum(running.asked.values()) - 10 == (11 if name in {"azure", "openrouter"} else 2)


@pytest.mark.parametrize(
    ("reaction", "words"),
    [
        ((401, "no"), r"annotator\.api_key_env: .* correct the key"),
        ((403, "no"), r"annotator\.api_key_env: .* correct the key"),
        ((404, "no model"), r"annotator\.model: .* does not know 'test'"),
        ((400, "model test does not exist"), "correct model, max_tokens or extra"),
    ],
)
def test_a_wrong_key_or_model_is_an_error_at_once_also_on_resume(
    reaction: Reaction, words: str, tmp_path: Path
) -> None:
    with FaultServer() as running:
        Sitting(running.address, tmp_path).go(pairs(5))
        running.refuse = refusing(reaction, lambda prompt: True)
        with pytest.raises(AnnotatorError, match=words):
            Sitting(running.address, tmp_path, concurrency=1).go(pairs(30))
        assert sum(running.asked.values()) <= 12


@pytest.mark.slow
def test_refusals_in_a_row_by_403_are_told_from_a_key_that_was_taken_away(tmp_path: Path) -> None:
    with FaultServer(refuse=refusing(FIREWALL, about(*range(5, 40)))) as running:
        sitting = Sitting(running.address, tmp_path, concurrency=1)
        assert len(abstained(sitting, 40)) == 35  # a neutral question was answered each time
    assert sitting.judge.spent().failed == 70
    with FaultServer(refuse=refusing(FIREWALL, lambda prompt: not about(*range(5))(prompt))) as running:
        with pytest.raises(AnnotatorError, match="refuses access"):
            Sitting(running.address, tmp_path / "b", concurrency=1).go(pairs(40))
        assert sum(running.asked.values()) == 10 + 10 + 1


def test_the_question_that_no_server_minds_is_within_the_budget(tmp_path: Path) -> None:
    with FaultServer(refuse=refusing(UNKNOWN, about(0))) as running:
        sitting = Sitting(running.address, tmp_path, CallBudget(max_calls=5), concurrency=1)
        assert abstained(sitting, 3) == ["0"]
        assert sitting.judge.spent().calls == sum(running.answered.values()) == 5  # four and the neutral one
        assert any("What is 2 + 2?" in body["messages"][0]["content"] for body in running.bodies.values())


def test_over_long_prompts_alone_on_resume_are_abstentions(tmp_path: Path) -> None:
    too_long = (400, '{"error": {"message": "request exceeds the available context size"}}')
    with FaultServer(refuse=refusing(too_long, about(*range(15)))) as running:
        Sitting(running.address, tmp_path).go(pairs(20)[15:])
        assert len(abstained(Sitting(running.address, tmp_path, concurrency=1), 15)) == 15
