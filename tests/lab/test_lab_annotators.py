"""Experiments take the annotators of a refinement: programs, reward models, judges on servers, people, and votes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from experiment import gold, run_small, small
from pydantic import ValidationError
from servers import FaultServer

from burnish.config import Config
from burnish.errors import ConfigError, Paused
from burnish.lab.inputs import resolve
from burnish.lab.running import plan, planned
from burnish.people.mailbox import Annotation, Mailbox, Said
from burnish.results import Results
from burnish.steps.artifacts import LEDGER
from burnish.store.files import read_rows
from burnish.store.stages import Store
from burnish.types import Order, Reason, Refinement, short_hash

ILR: list[dict[str, Any]] = [{"kind": "ilr", "rounds": 1}]


def experiment(annotator: dict[str, Any], **changes: Any) -> Config:
    return small(supervision={"annotator": annotator}, methods=ILR, **changes)


def accuracy(results: Results) -> float:
    """Return how often the annotator named the right one of two answers in round 1."""
    (run,) = (run for run in results.runs if (run.method, run.round) == ("ilr", 1))
    found = run.metrics["annotator_accuracy"]
    assert found.n > 3
    assert found.value is not None
    return found.value


def right_answers(folder: Path) -> list[str]:
    """Write a program that knows the right answers; returns its command."""
    path = folder / "judge.py"
    path.write_text(
        "import json, sys\n"
        f"GOLD = {gold()!r}\n"
        "for line in sys.stdin:\n"
        "    row = json.loads(line)\n"
        "    right = '#### ' + GOLD[row['prompt']]\n"
        "    first, second = row['first'] == right, row['second'] == right\n"
        "    verdict = 'tie' if first == second else 'first' if first else 'second'\n"
        "    print(json.dumps({'id': row['id'], 'verdict': verdict}), flush=True)\n"
    )
    return [sys.executable, str(path)]


@pytest.mark.slow
def test_a_program_judges(tmp_path: Path) -> None:
    config = experiment({"kind": "command", "command": right_answers(tmp_path)})
    assert accuracy(run_small(config, tmp_path).results) == 1.0


@pytest.mark.slow
def test_a_reward_model_judges(tmp_path: Path) -> None:
    """The fake backend rewards right answers."""
    config = experiment({"kind": "reward_model", "model": "builtin:judge-3"})
    assert accuracy(run_small(config, tmp_path).results) == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["likelihood", "classifier"])
def test_a_model_is_used_as_it_is_if_the_config_says_so(tmp_path: Path, kind: str) -> None:
    """Without `learns: nothing` the experiment trains it on ground truth first."""
    settings = {"kind": kind, "model": "builtin:judge-3"}

    def stages(config: Config) -> int:
        # `plan` would refuse the classifier, because this built-in model has no head.
        return len(planned(config, resolve(config, offline_ok=False), Store(tmp_path / "planned")))

    assert stages(experiment(settings | {"learns": "nothing"})) < stages(experiment(settings))
    assert accuracy(run_small(experiment(settings | {"learns": "nothing"}), tmp_path).results) > 0.5


@pytest.mark.slow
def test_a_vote_judges(tmp_path: Path) -> None:
    """Two voters of three know the right answers."""
    program = {"kind": "command", "command": right_answers(tmp_path)}
    of = [{"kind": "oracle"}, program, {"kind": "reward_model", "model": "builtin:judge-3"}]
    assert accuracy(run_small(experiment({"kind": "majority", "of": of}), tmp_path).results) == 1.0


@pytest.mark.slow
def test_ground_truth_and_a_program_share_the_rows(tmp_path: Path) -> None:
    program = {"kind": "command", "command": right_answers(tmp_path)}
    config = experiment({"kind": "mixed", "oracle_share": 0.5, "other": program})
    assert accuracy(run_small(config, tmp_path).results) == 1.0


@pytest.mark.slow
def test_a_judge_on_a_server_is_asked_and_counted(tmp_path: Path) -> None:
    with FaultServer(rule=lambda _: {"A": 1.0}) as server:
        annotator = {"kind": "judge", "base_url": server.address, "model": "m", "api_key_env": None}
        config = experiment(annotator, execution={"max_calls": 10_000})
        ahead = plan(config, tmp_path / "store")
        assert ahead.judge is not None
        assert ahead.judge.calls == 2 * 40  # both orders of a pair for each of 40 rows at most
        results = run_small(config, tmp_path).results
        (run,) = (run for run in results.runs if (run.method, run.round) == ("ilr", 1))
        assert 0 < len(server.bodies) <= ahead.judge.calls
        assert run.counts["tie"] > 3  # it always names the first one: the mean of both orders is one half
        assert "accepted" not in run.counts


@pytest.mark.slow
def test_people_judge_an_experiment_through_its_folder(tmp_path: Path) -> None:
    config = experiment({"kind": "people"})
    with pytest.raises(Paused, match="pairs wait for people"):
        run_small(config, tmp_path)
    mailbox, right = Mailbox(tmp_path / "out"), gold()
    answers: list[Annotation] = []
    for ask in mailbox.asked():
        first, second = (text == f"#### {right[ask.request]}" for text in (ask.first, ask.second))
        said = Said.TIE if first == second else Said.FIRST if first else Said.SECOND
        answers.append(Annotation(id=ask.id, said=said, by="ada", shown=ask.shown))
    assert {one.shown for one in answers} == set(Order)
    mailbox.answer(answers)
    assert accuracy(run_small(config, tmp_path).results) == 1.0


@pytest.mark.parametrize(
    ("annotator", "told"),
    [
        ({"kind": "own", "name": "f"}, "supervision.annotator.kind|kind: 'own' found"),
        ({"kind": "oracle", "column": "gold"}, "column: 'gold' found"),
        ({"kind": "likelihood", "model": "m", "learns": "nothing", "train": {"epochs": 1}}, "train: .* is not read"),
        ({"kind": "classifier", "learns": "nothing"}, "model: none is given"),
    ],
)
def test_what_does_not_fit_an_experiment(annotator: dict[str, Any], told: str) -> None:
    with pytest.raises((ValidationError, ConfigError), match=told):
        experiment(annotator)


@pytest.mark.slow
def test_a_route_asks_an_oracle_where_a_judge_is_not_sure(tmp_path: Path) -> None:
    """An oracle takes the place of people. The judge of this experiment abstains on one of three questions."""
    program = tmp_path / "judge.py"
    program.write_text(
        "import json, sys\n"
        f"NUMBER = {{question: n for n, question in enumerate({list(gold())!r})}}\n"
        "for line in sys.stdin:\n"
        "    row = json.loads(line)\n"
        "    sure = NUMBER[row['prompt']] % 3\n"
        "    first = row['first'] < row['second']\n"
        "    verdict = ('first' if first else 'second') if sure else 'abstain'\n"
        "    print(json.dumps({'id': row['id'], 'verdict': verdict}), flush=True)\n"
    )
    first = {"kind": "command", "command": [sys.executable, str(program)]}
    route = {"kind": "route", "first": first, "then": {"kind": "oracle"}, "control": 0.0}
    alone, helped = (
        accuracy(run_small(experiment(annotator), tmp_path / name).results)
        for name, annotator in (("alone", first), ("helped", route))
    )
    assert alone < helped <= 1.0
    results = run_small(experiment({**route, "control": 1.0}), tmp_path / "everything").results
    assert accuracy(results) == 1.0
    (run,) = (run for run in results.runs if (run.method, run.round) == ("ilr", 1))
    asked = run.counts["oracle:abstained"], run.counts["oracle:control"]
    assert sum(asked) == run.counts["compared"]
    # The judge looks at the first character that differs, and ground truth says how often this is wrong.
    wrong = run.metrics["wrong_when_sure"]
    assert wrong.value is not None
    assert 0 < wrong.value < 1
    assert wrong.n <= asked[1]
    assert run.metrics["wrong"] == wrong  # where the judge abstains, it names no winner


@pytest.mark.slow
def test_dpo_trains_on_one_pair_a_prompt_and_the_most_confident_answers_of_people(tmp_path: Path) -> None:
    """Two people judge each pair. They are equally sure on average, but agree on every second pair only."""
    method = {"kind": "dpo", "rounds": 1, "samples": 2, "keep": 0.3, "of": "compared"}
    config = small(supervision={"annotator": {"kind": "people"}}, methods=[method])
    with pytest.raises(Paused):
        run_small(config, tmp_path)
    mailbox = Mailbox(tmp_path / "out")
    asked = sorted(mailbox.asked(), key=lambda ask: ask.example_id)
    # On a scale from -3 to 3: 1 and 1, or 3 and -1.
    agree = {ask.comparison_id: number % 2 == 0 for number, ask in enumerate(asked)}
    sides = {True: ((Said.FIRST, 1), (Said.FIRST, 1)), False: ((Said.FIRST, 3), (Said.SECOND, 1))}
    mailbox.answer(
        [
            Annotation(id=ask.id, said=said, by=by, shown=ask.shown, confidence=value / 3)
            for ask in asked
            for by, (said, value) in zip(("ann", "bob"), sides[agree[ask.comparison_id]], strict=True)
        ]
    )
    run_small(config, tmp_path)
    (preferred,) = Store(tmp_path / "store").every("prefer")
    lines = read_rows(Path(preferred.path) / LEDGER, Refinement)
    assert len({line.example_id for line in lines}) == len(lines)
    trained = [line for line in lines if line.reason is Reason.ACCEPTED]
    assert len(trained) == int(0.3 * len(asked)) > 1
    assert len(trained) < sum(agree.values())
    assert {agree[short_hash(line.kept, line.proposed)] for line in trained} == {True}
    # The ids of the pairs do not decide.
    ids = sorted(line.example_id for line in lines if agree.get(short_hash(line.kept, line.proposed)))
    assert sorted(line.example_id for line in trained) != ids[: len(trained)]
