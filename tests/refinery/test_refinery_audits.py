"""Audits of accepted changes: the sample, the bound on harm, and rounds that are refused."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from refinement import (
    CAP,
    COUNT,
    WRONG_LABELS,
    Refined,
    label,
    refine,
    right,
    right_labels,
    rows,
    script,
    settings,
    written,
)
from scipy.stats import beta, binom
from test_refinery_pauses import Opinion, harmful, paused, through, truth

from burnish.ledger.summary import HarmSummary
from burnish.people.mailbox import Ask, Mailbox, Purpose, Said
from burnish.stats import harm_bound
from burnish.store.files import read_rows
from burnish.store.stages import Store
from burnish.types import Comparison, Reason


def audited(where: Path, opinion: Opinion, **options: Any) -> Refined:
    return through(settings(written(where), **{"audit": 4, **options}), where, opinion)


def harms(found: Refined) -> list[HarmSummary]:
    return [one.harm for one in found.summary.rounds if one.harm is not None]


@pytest.mark.slow
def test_an_audit_by_people_waits_after_the_comparison(tmp_path: Path) -> None:
    config, out = settings(written(tmp_path), audit=4), tmp_path / "out"
    stop = paused(config, tmp_path)
    assert stop.message == "4 of 4 pairs wait for people (audit)"
    assert {ask.purpose for ask in Mailbox(out).asked()} == {Purpose.AUDIT}
    assert Refined(out, tmp_path / "store").rows == rows()  # nothing stands before it is audited
    found = through(config, tmp_path, truth)
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
    accepted = {line.example_id for line in found.of_round(1) if line.reason is Reason.ACCEPTED}
    sampled = {ask.example_id for ask in _sample(found, 1)}
    assert len(sampled) == 4
    assert sampled < accepted


def _sample(found: Refined, number: int) -> list[Comparison]:
    (place,) = [d.path for d in Store(found.store).every("audit_sample") if d.payload["config"]["round"] == number]
    return read_rows(place / "comparisons.jsonl", Comparison)


@pytest.mark.slow
def test_the_sample_is_the_same_whatever_is_said(tmp_path: Path) -> None:
    opinions: list[Opinion] = [truth, harmful, lambda _: Said.ABSTAIN]
    found = [audited(tmp_path / str(i), opinion, rounds=1) for i, opinion in enumerate(opinions)]
    samples = [_sample(one, 1) for one in found]
    assert samples[0] == samples[1] == samples[2]
    assert [harms(one)[0].harmed for one in found] == [0, 4, 0]
    assert [harms(one)[0].undecided for one in found] == [0, 0, 4]


@pytest.mark.slow
def test_the_bound_is_clopper_and_pearson_s_with_the_error_shared_out(tmp_path: Path) -> None:
    asked: list[str] = []

    def one_of_four(ask: Ask) -> Said:
        asked.append(ask.id)
        return harmful(ask) if len(asked) == 1 else Said.TIE if len(asked) == 2 else truth(ask)

    first, second = harms(audited(tmp_path, one_of_four))
    assert (first.changes, first.sampled, first.harmed, first.undecided, first.level) == (CAP, 4, 1, 0, 0.975)
    assert first.bound == pytest.approx(beta.ppf(0.975, 2, 3))
    # what it means: with so large a share, one harmed of four or fewer would be seen in 2.5 % of audits
    assert binom.cdf(1, 4, first.bound) == pytest.approx(0.025)
    assert (second.harmed, second.level, second.accepted) == (0, 0.975, True)
    assert second.bound == pytest.approx(1 - 0.025 ** (1 / 4))


def test_undecided_counts_as_harm(tmp_path: Path) -> None:
    (harm,) = harms(audited(tmp_path, lambda _: Said.ABSTAIN, rounds=1, max_harm=0.99))
    assert (harm.harmed, harm.undecided, harm.bound, harm.level, harm.accepted) == (0, 4, 1.0, 0.95, False)


@pytest.mark.slow
def test_a_census_gives_the_share_itself(tmp_path: Path) -> None:
    (harm,) = harms(audited(tmp_path, harmful, rounds=1, audit=CAP))
    assert (harm.sampled, harm.harmed, harm.bound) == (CAP, CAP, 1.0)
    (harm,) = harms(audited(tmp_path / "oracle", truth, rounds=1, audit=100, audit_by="oracle:gold"))
    assert (harm.sampled, harm.harmed, harm.bound, harm.accepted) == (CAP, 0, 0.0, True)


@pytest.mark.parametrize(
    ("harmed", "sampled", "changes", "bound"),
    [(0, 0, 0, 0.0), (0, 1, 1, 0.0), (1, 2, 2, 0.5), (2, 2, 9, 1.0), (0, 10, 99, 1 - 0.05 ** (1 / 10))],
)
def test_the_bound_by_hand(harmed: int, sampled: int, changes: int, bound: float) -> None:
    assert harm_bound(harmed, sampled, changes, 0.95) == pytest.approx(bound)


@pytest.mark.parametrize(("harmed", "sampled", "changes"), [(1, 0, 5), (3, 2, 5), (0, 6, 5), (0, 0, 5), (-1, 2, 5)])
def test_no_bound_from_impossible_numbers(harmed: int, sampled: int, changes: int) -> None:
    with pytest.raises(ValueError, match="no bound"):
        harm_bound(harmed, sampled, changes, 0.95)


@pytest.mark.slow
def test_too_much_harm_refuses_the_round_and_changes_nothing(tmp_path: Path) -> None:
    found = audited(tmp_path, harmful, max_harm=0.5)
    assert [harm.accepted for harm in harms(found)] == [False, False]
    for number in (1, 2):
        assert found.reasons(number)[Reason.OVER_RISK] == CAP
        assert found.reasons(number)[Reason.ACCEPTED] == 0
        refused = [line for line in found.of_round(number) if line.reason is Reason.OVER_RISK]
        assert all(line.chosen == line.kept != line.proposed for line in refused)
        assert all(line.score is not None for line in refused)
        assert found.summary.rounds[number - 1].replaced.value == 0.0
    assert found.rows == rows()
    assert found.labels() == [label(i) for i in range(COUNT)]
    assert "no" in (found.out / "report.html").read_text()


@pytest.mark.slow
def test_a_refused_round_leaves_the_next_one_where_it_was(tmp_path: Path) -> None:
    seen: list[str] = []

    def first_round_harms(ask: Ask) -> Said:
        seen.append(ask.id)
        return harmful(ask) if len(seen) <= CAP else truth(ask)

    found = audited(tmp_path, first_round_harms, audit=CAP, max_harm=0.5)
    assert [harm.accepted for harm in harms(found)] == [False, True]
    assert (found.reasons(1)[Reason.OVER_RISK], found.reasons(2)[Reason.ACCEPTED]) == (CAP, CAP)
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP


def test_a_round_without_changes_asks_nobody(tmp_path: Path) -> None:
    right_already = [row | {"answer": f"#### {row['gold']}"} for row in rows()]
    found = refine(settings(written(tmp_path, right_already), audit=4, max_harm=0.0, rounds=1), tmp_path)
    (harm,) = harms(found)
    assert (harm.changes, harm.sampled, harm.bound, harm.accepted) == (0, 0, 0.0, True)


def test_a_program_can_audit(tmp_path: Path) -> None:
    body = """
        for row in rows:
            first, second = (row[side] == "#### " + RIGHT[row["prompt"]] for side in ("first", "second"))
            say(row["id"], p_second=(1 + second - first) / 2)
        """
    auditor = "command:" + shlex.join(script(tmp_path, "audit.py", body))
    # So many changes that some are for the worse, whichever rows are drawn.
    changes = COUNT // 2
    options = {"annotator": None, "method": "naive", "rounds": 1, "alpha": 0.5, "audit": 50, "audit_by": auditor}
    found = refine(settings(written(tmp_path), **options), tmp_path)
    (harm,) = harms(found)
    questions = {example.id: example.prompt[0].content for example in found.examples}

    def is_right(id_: str, answer: str) -> bool:
        return right(questions[id_], found.answers[answer].completion)

    accepted = [line for line in found.ledger if line.reason is Reason.ACCEPTED]
    worse = sum(is_right(one.example_id, one.kept) and not is_right(one.example_id, one.proposed) for one in accepted)
    assert worse > 0
    assert (harm.changes, harm.sampled, harm.harmed, harm.bound) == (changes, changes, worse, worse / changes)
