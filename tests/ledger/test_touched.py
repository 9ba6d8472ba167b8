"""Changed rows read from the disk: what a ledger in memory would say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import DataError
from burnish.ledger.folder import ANSWERS, EXAMPLES, LEDGER, answer_line
from burnish.ledger.replay import ChangedRow, replayed
from burnish.ledger.touched import has_reverts, texts_at, touched_rows
from burnish.store.files import write_rows
from burnish.types import Demonstration, DemonstrationSource, Example, Reason, Refinement

REASONS = st.sampled_from([Reason.ACCEPTED, Reason.REVERTED, Reason.AGREED, Reason.OVER_CAP])
STEPS = st.lists(st.tuples(st.sampled_from(["a", 'b "reason":"accepted"', "é"]), REASONS, st.integers(0, 3)))


def line(number: int, id_: str, reason: Reason, chosen: int) -> Refinement:
    return Refinement(
        example_id=id_,
        round=number,
        kept="0",
        proposed=f"{chosen}",
        chosen=f"{chosen}",
        score=None,
        p_b_ab=None,
        p_b_ba=None,
        annotator="",
        model="",
        reason=reason,
    )


@given(STEPS)
def test_rows_are_replayed_one_by_one_as_all_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Reason, int]]
):
    lines = [line(number, *step) for number, step in enumerate(steps)]
    path = tmp_path_factory.mktemp("ledger") / LEDGER
    write_rows(path, lines)
    assert list(touched_rows(path)) == list(replayed(lines).rows.items())
    assert has_reverts(path) == any(one.reason is Reason.REVERTED for one in lines)


def test_a_folder_without_a_ledger_has_no_changed_rows(tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("ledger") / LEDGER
    assert (list[tuple[str, ChangedRow]](touched_rows(path)), has_reverts(path)) == ([], False)


@pytest.mark.slow
def test_texts_are_found_by_position(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("folder")
    answers = [
        Demonstration(example_id=f"r{number}", completion=f"text {number}\n\u00e9", source=DemonstrationSource.PROPOSAL)
        for number in range(9000)
    ]
    # The order of the dataset is not that of the ids, and some of its rows cannot be used.
    examples = [
        Example(id=f"r{number}", group="", prompt=(), metadata={"position": 2 * place})
        for place, number in enumerate(range(8999, -1, -1))
    ]
    write_rows(folder / EXAMPLES, examples)
    write_rows(folder / ANSWERS, map(answer_line, answers))
    wanted = [(f"r{number}", answers[number + 1].id) for number in (8998, 5, 4095, 4096, 17)]
    texts = texts_at(folder / EXAMPLES, folder / ANSWERS, wanted)
    found = {position: text for position in range(20_000) if (text := texts.at(position)) is not None}
    expected = {2 * (8999 - number): answers[number + 1].completion for number in (8998, 5, 4095, 4096, 17)}
    assert found == expected
    assert texts_at(folder / EXAMPLES, folder / ANSWERS, []).at(0) is None
    with pytest.raises(DataError, match="the answer 0000000000000000 is missing"):
        texts_at(folder / EXAMPLES, folder / ANSWERS, [("r1", "0" * 16)])
