"""The judge on a real server, llama.cpp with SmolLM2-135M-Instruct, where a fifth of the calls fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import Fault, FaultServer, judge_config, llama_server

from burnish.annotators.llm.judge import ServerJudge
from burnish.config import ReferenceJudgeConfig
from burnish.services import endpoint
from burnish.services.calls import CallBudget, Calls
from burnish.types import Comparison, Demonstration, DemonstrationSource, Example, Message, Preference, Role, Verdict

pytest.importorskip("openai")
pytestmark = pytest.mark.slow
COUNT = 12


@pytest.fixture(scope="module")
def llama() -> Iterator[str]:
    with llama_server() as address:
        yield address


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.01)


def answer(id_: str, text: str) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)


EXAMPLES = {
    str(i): Example(id=str(i), group=str(i), prompt=(Message(role=Role.USER, content=f"What is {i} + {i + 3}?"),))
    for i in range(COUNT)
}
COMPARISONS = [
    Comparison(example_id=str(i), a=answer(str(i), "I like turtles."), b=answer(str(i), f"It is {2 * i + 3}."))
    for i in range(COUNT)
]


def sitting(address: str, folder: Path, **settings: Any) -> tuple[list[Preference], ServerJudge, list[str]]:
    said: list[str] = []
    config = judge_config(address, timeout=8.0, concurrency=2, **settings)
    judge = ServerJudge(config, EXAMPLES, Calls(folder / "calls.sqlite"), "run", CallBudget(), said.append)
    return [preference for unit in judge.judge(COMPARISONS, set()) for preference in unit], judge, said


@pytest.mark.parametrize("read", ["logprobs", "text"])
def test_a_fifth_of_the_calls_fails(llama: str, read: str, tmp_path: Path):
    with FaultServer(upstream=llama, faults=0.2, seed=30) as proxy:
        preferences, judge, _ = sitting(proxy.address, tmp_path, read=read, retries=1)
        assert len(preferences) == COUNT
        assert proxy.faulty[Fault.TIMEOUT] >= 1
        lost = sum(not proxy.answered[key] for key in proxy.asked)
        assert lost > 0
        spent = judge.spent()
        assert (spent.calls, spent.failed) == (2 * COUNT - lost, lost)
        assert sum(2 - len(p.raw) for p in preferences) == lost
        assert spent.prompt_tokens > 100 * spent.calls
        assert spent.calls <= spent.completion_tokens <= 8 * spent.calls
        values = {p for preference in preferences for p in preference.raw}
        assert values <= {0.0, 0.5, 1.0} if read == "text" else any(0.01 < p < 0.99 for p in values)

        again, judge, _ = sitting(proxy.address, tmp_path, read=read, retries=5)
        assert Verdict.ABSTAIN not in {preference.verdict for preference in again}
        assert judge.spent().calls == 2 * COUNT
        assert set(proxy.answered.values()) == {1}


def test_an_over_long_prompt_is_one_abstention(llama: str, tmp_path: Path):
    too_long = Comparison(example_id="0", a=answer("0", "x " * 5000), b=answer("0", "It is 3."))
    calls = Calls(tmp_path / "calls.sqlite")
    judge = ServerJudge(judge_config(llama, timeout=60.0), EXAMPLES, calls, "run", CallBudget(), lambda text: None)
    units = judge.judge([too_long, *COMPARISONS[:2]], set())
    verdicts = {preference.comparison_id: preference.verdict for unit in units for preference in unit}
    assert verdicts[too_long.id] is Verdict.ABSTAIN
    assert Counter(verdicts.values())[Verdict.ABSTAIN] == 1
    assert judge.spent().failed == 2


@pytest.mark.parametrize("explain", [False, True])
def test_the_prompts_of_win_rates_get_verdicts_from_a_real_model(llama: str, explain: bool, tmp_path: Path):
    config = ReferenceJudgeConfig(
        kind="judge",
        base_url=llama,
        model="smollm2",
        api_key_env=None,
        explain=explain,
        max_tokens=80 if explain else None,
    )
    calls = Calls(tmp_path / "calls.sqlite")
    judge = ServerJudge(config, EXAMPLES, calls, "run", CallBudget(), lambda text: None)
    found = [preference for unit in judge.judge(COMPARISONS[:3], set()) for preference in unit]
    assert len(found) == 3
    assert judge.spent().calls == 6
    if explain:  # a model this small often forgets the form; that is an abstention, and no guess
        assert all(preference.verdict is Verdict.ABSTAIN or preference.raw for preference in found)
    else:
        assert all(len(preference.raw) == 2 and all(0 < p < 1 for p in preference.raw) for preference in found)
