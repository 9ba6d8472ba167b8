"""`burnish refine --rounds auto`: the refinement ends when too few of the preferred proposals hold in both orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from refinement import ALPHA, RIGHT, Refined, bytes_of, fake, rows, settings, trained_on, written

import burnish
from burnish.algorithms.stopping import evidence
from burnish.errors import ConfigError
from burnish.ledger.folder import REPORT
from burnish.refinery.refining import FinishedRefinement
from burnish.refinery.words import closing
from burnish.report.text import plural
from burnish.store.gc import collect
from burnish.store.stages import Store
from burnish.types import Reason


def biased(request: str, first: str, second: str) -> float:
    """Know a right answer from one that is two too high. Of others prefer the second, and an even one a little more."""
    a, b = (int(answer.removeprefix("#### ")) for answer in (first, second))
    if abs(a - b) == 2:
        return 0.9 if b == int(RIGHT[request]) else 0.1
    return 0.8 if b % 2 else 0.95


def refined(where: Path, rounds: Any = "auto", **options: Any) -> Refined:
    """Refine the noisy dataset into `where` with the biased annotator."""
    changes = ["decode.beams=1", "decode.max_new_tokens=8", "train.lora=null", "selftest.skip=true"]
    given: dict[str, Any] = {"annotator": biased, "rounds": rounds, "alpha": 2 * ALPHA, "differs": "number"}
    burnish.refine(
        rows(),
        model="builtin:strong",
        out=where / "out",
        store=where / "store",
        backend=fake(),
        changes=[*changes, *options.pop("changes", [])],
        **given | options,
    )
    return Refined(where / "out", where / "store")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Refined:
    return refined(tmp_path_factory.mktemp("auto"))


def test_rounds_change_labels_as_long_as_a_quarter_of_the_preferred_proposals_holds(ended: Refined) -> None:
    *changing, last = ended.summary.rounds
    assert 1 <= len(changing) < 6  # it ended by its rule, and not at `max_rounds`
    for round_ in changing:
        assert round_.held is not None
        assert round_.preferred
        assert round_.held / round_.preferred >= 0.2
        assert round_.counts[Reason.ACCEPTED] > 0
    assert last.held is not None
    assert last.preferred
    assert last.held / last.preferred < 0.2
    assert (last.counts.get(Reason.STOPPED, 0), last.counts.get(Reason.ACCEPTED, 0)) == (last.held, 0)
    # The figures of the summary are those of the ledger.
    for round_ in ended.summary.rounds:
        found = evidence(ended.of_round(round_.round))
        assert (found.preferred, found.held) == (round_.preferred, round_.held)


def test_held_out_prompts_are_answered_by_the_model_of_the_round_before(tmp_path: Path) -> None:
    found = refined(tmp_path, reference="gold", holdout=10)
    ended_in, held, model = len(found.summary.rounds), found.summary.holdout, found.summary.model
    assert sum(found.reasons(ended_in).values()) == 50
    assert found.reasons(ended_in)[Reason.ACCEPTED] == 0
    assert held is not None
    assert model is not None
    assert held.model == model.fingerprint
    assert collect(Store(found.store), dry_run=True) == []


def test_the_labels_and_the_model_are_those_of_the_round_before(ended: Refined, tmp_path: Path) -> None:
    changing = len(ended.summary.rounds) - 1
    fixed = refined(tmp_path, changing)
    assert ended.rows == fixed.rows
    assert ended.summary.model is not None
    assert fixed.summary.model is not None
    assert ended.summary.model.fingerprint == fixed.summary.model.fingerprint
    assert ended.ledger[: len(fixed.ledger)] == fixed.ledger
    # The rounds that go on are the same stages, so a store of one refinement serves the other.
    assert trained_on(fixed.store).items() <= trained_on(ended.store).items()


def test_the_same_command_again_computes_nothing_and_changes_nothing(ended: Refined) -> None:
    before, models = bytes_of(ended.out), trained_on(ended.store)
    refined(ended.out.parent)
    assert bytes_of(ended.out) == before
    assert trained_on(ended.store) == models


def test_a_lost_store_is_filled_again_for_the_same_folder(ended: Refined, tmp_path: Path) -> None:
    where = tmp_path / "copy"
    first = refined(where)
    before = bytes_of(first.out)
    first.store.rename(tmp_path / "lost")
    refined(where)
    assert bytes_of(first.out) == before


def test_the_end_and_the_report_say_why_it_ended(ended: Refined) -> None:
    summary = ended.summary
    last = summary.rounds[-1]
    proposals = plural(last.preferred or 0, "preferred proposal")
    words = f"{last.held} of {proposals} held, less than 20.0\N{NO-BREAK SPACE}%"
    said = list(closing(FinishedRefinement(out=ended.out, summary=summary)))
    assert f"the refinement ended before round {last.round} changed labels: {words}" in said
    page = (ended.out / REPORT).read_text()
    assert f"The refinement ended before round {last.round} changed labels: {words}." in page
    assert "<th" in page
    assert "held" in page


def test_gc_keeps_every_stage_of_the_folder(ended: Refined) -> None:
    """Which stages belong to it was not known when it began."""
    assert collect(Store(ended.store), dry_run=True) == []


def test_max_rounds_is_the_last_round(tmp_path: Path) -> None:
    found = refined(tmp_path, changes=["method.max_rounds=1"])
    assert [round_.round for round_ in found.summary.rounds] == [1]
    assert found.summary.rounds[0].counts[Reason.ACCEPTED] > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"accept": "mean"},
            r"with accept: mean every preferred proposal .* set gate above 0\.5 .*accept: both-orders",
        ),
        ({"annotator": "oracle:gold"}, r"the annotator \(oracle\) has no order of the answers.* set gate above 0\.5"),
    ],
)
def test_a_rule_without_evidence_is_refused_before_anything_is_spent(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=f"rounds: auto found, but {words}"):
        refined(tmp_path, **options)
    assert not list((tmp_path / "store").glob("stages/*"))


def test_other_methods_have_no_stopping_rule(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"method\.rounds: 'auto' found"):
        settings(written(tmp_path), method="naive", annotator=None, rounds="auto")
