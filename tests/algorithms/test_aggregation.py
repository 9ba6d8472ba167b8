"""Aggregation: votes, Dawid and Skene's model, means; on planted labels as good as the reference."""

from __future__ import annotations

import csv
import dataclasses
import math
import os
import random
from pathlib import Path

import pytest
from labels_data import drawn, of_counts

from burnish.algorithms.aggregation import AggregatedLabel, dawid_skene, mean_values, vote
from burnish.algorithms.label_table import GivenLabel, label_table

DATA = Path(os.environ.get("BURNISH_TEST_DATA", "nowhere"))
PLANTED = DATA / "annotators" / "planted.csv"


def one(item: str, worker: str, label: str) -> GivenLabel:
    return GivenLabel(item=item, worker=worker, label=label)


def chosen(labels: tuple[AggregatedLabel, ...]) -> dict[str, str]:
    return {one.item: one.label for one in labels}


# HUMAN-STUDY.md, section 5: the same figures from crowd-kit 1.4.2.
@pytest.mark.skipif(not PLANTED.is_file(), reason="BURNISH_TEST_DATA has no annotators/planted.csv")
def test_planted_labels_are_found_as_often_as_the_reference_finds_them() -> None:
    with PLANTED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    truth = {row["item"]: row["truth"] for row in rows}
    table = label_table(one(row["item"], row["worker"], row["label"]) for row in rows)

    def accuracy(labels: tuple[AggregatedLabel, ...]) -> float:
        return sum(truth[item] == label for item, label in chosen(labels).items()) / len(truth)

    # 115 items are tied. Which of their labels are drawn moves the accuracy by .005 (one standard deviation).
    assert sum(one.tied for one in vote(table)) == 115
    assert accuracy(vote(table)) == pytest.approx(0.800, abs=0.005)
    found = dawid_skene(table)
    assert found.converged
    assert accuracy(found.labels) == pytest.approx(0.891, abs=0.005)
    one_coin = dawid_skene(table, one_coin=True)
    assert accuracy(one_coin.labels) == pytest.approx(0.910, abs=0.005)
    assert sorted(one_coin.accuracies().values()) == pytest.approx(sorted(found.accuracies().values()), abs=0.06)
    # Six workers are right .95 of the time, eight .75 and six .34.
    ranked = sorted(found.accuracies().values())
    assert [sum(part) / len(part) for part in (ranked[:6], ranked[6:14], ranked[14:])] == pytest.approx(
        [0.34, 0.75, 0.95], abs=0.05
    )


def test_a_vote_by_hand() -> None:
    rows = [one("i1", "a", "x"), one("i1", "b", "y"), one("i1", "c", "x"), one("i2", "a", "y")]
    assert vote(label_table(rows)) == (
        AggregatedLabel(item="i1", label="x", p=2 / 3, given=3, tied=False),
        AggregatedLabel(item="i2", label="y", p=1.0, given=1, tied=False),
    )


def test_ties_are_drawn_and_neither_names_nor_order_nor_one_side_decide() -> None:
    rows = [one(f"i{n:03}", worker, label) for n in range(200) for worker, label in (("a", "x"), ("b", "y"))]
    found = vote(label_table(rows))
    assert all(one.tied and one.p == 0.5 for one in found)
    assert 70 < sum(one.label == "x" for one in found) < 130
    assert vote(label_table(rows[::-1])) == found
    swapped = [dataclasses.replace(row, label={"x": "y", "y": "x"}[row.label]) for row in rows]
    assert [one.label == "y" for one in vote(label_table(swapped))] == [one.label == "x" for one in found]
    assert vote(label_table(rows), seed=1) != found


@pytest.mark.parametrize("seed", range(3))
def test_the_order_and_the_names_change_nothing(seed: int) -> None:
    rows = drawn(seed)
    found = dawid_skene(label_table(rows))
    mixed = dawid_skene(label_table(random.Random(seed).sample(rows, len(rows))))
    assert mixed == found
    new = {"A": "z", "B": "m", "C": "a"}
    renamed = dawid_skene(label_table(dataclasses.replace(row, label=new[row.label]) for row in rows))
    assert chosen(renamed.labels) == {item: new[label] for item, label in chosen(found.labels).items()}
    assert renamed.accuracies() == pytest.approx(found.accuracies())


def test_a_worker_who_always_gives_the_opposite_label_helps() -> None:
    draw = random.Random(0)
    rows: list[GivenLabel] = []
    truth: dict[str, str] = {}
    for n in range(300):
        item = f"i{n:03}"
        truth[item] = right = draw.choice("AB")
        wrong = "B" if right == "A" else "A"
        rows += [one(item, f"good{k}", right if draw.random() < 0.8 else wrong) for k in range(3)]
        rows.append(one(item, "liar", wrong))
    found = dawid_skene(label_table(rows))
    right = sum(truth[item] == label for item, label in chosen(found.labels).items())
    assert right >= 297
    assert found.accuracies()["liar"] < 0.05
    assert sum(truth[item] == label for item, label in chosen(vote(label_table(rows))).items()) < 270


def test_one_coin_by_hand() -> None:
    # All agree on each item. Nobody is ever wrong, and every label is as probable as the others for each worker.
    found = dawid_skene(
        label_table([one(f"i{n}", worker, "ABC"[n % 3]) for n in range(6) for worker in "xy"]), one_coin=True
    )
    for confusion in found.confusions.values():
        right = [confusion[label][label] for label in "ABC"]
        wrong = [confusion[label][other] for label in "ABC" for other in "ABC" if other != label]
        # Each worker begins with 1 right and .01 of each wrong label, and gives 2 right labels of each kind.
        assert right == pytest.approx([3 / 3.02] * 3, abs=1e-4)
        assert wrong == pytest.approx([0.01 / 3.02] * 6, abs=1e-4)
    (label,) = dawid_skene(label_table([one("i", "x", "A")]), one_coin=True).labels
    assert (label.label, label.p) == ("A", 1.0)


def test_gold_items_tell_who_is_right_where_most_make_the_same_mistake() -> None:
    # Three of five workers are always wrong in the same way. Without known items, the model believes them.
    rows: list[GivenLabel] = []
    truth = {f"i{n:03}": "AB"[n % 2] for n in range(60)}
    for item, right in truth.items():
        wrong = "B" if right == "A" else "A"
        rows += [one(item, f"good{k}", right) for k in range(2)] + [one(item, f"bad{k}", wrong) for k in range(3)]
    known = {item: label for item, label in truth.items() if item < "i010"}
    table = label_table(rows)
    without, found = dawid_skene(table), dawid_skene(table, known=known)
    assert sum(truth[item] == label for item, label in chosen(without.labels).items()) == 0
    assert chosen(found.labels) == truth
    assert found.accuracies()["bad0"] < 0.1
    assert found.accuracies()["good0"] > 0.9


def test_gold_items_say_nothing_about_how_frequent_a_label_is() -> None:
    """Their right label is A each time. Of the work, half is A, and an even vote stays even."""
    rows = [one(f"i{n}", worker, "AB"[n % 2]) for n in range(10) for worker in ("ann", "bob")]
    gold = [one(f"g{n}", worker, "A") for n in range(200) for worker in ("ann", "bob")]
    split = [one("split", "ann", "A"), one("split", "bob", "B")]
    found = dawid_skene(label_table([*rows, *gold, *split]), known={f"g{n}": "A" for n in range(200)})
    assert found.prior["A"] == pytest.approx(0.5, abs=0.05)


def test_many_labels_on_an_item_neither_underflow_nor_overflow() -> None:
    labels = [f"{900 * (n % 2)} {900 * (1 - n % 2)} 300" for n in range(6)]
    found = dawid_skene(label_table(of_counts("\n" + "\n".join(labels) + "\n")))
    assert all(0 < one.p <= 1 and math.isfinite(one.p) and one.given == 1200 for one in found.labels)
    assert [one.label for one in found.labels] == ["1", "0"] * 3


def test_what_the_model_returns_are_probabilities() -> None:
    found = dawid_skene(label_table(drawn(0)))
    assert math.fsum(found.prior.values()) == pytest.approx(1)
    for confusion in found.confusions.values():
        assert [math.fsum(row.values()) for row in confusion.values()] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("rows", [[], [one("i", "a", "x")], [one("i", "a", "x"), one("i", "b", "x")]])
def test_tiny_tables(rows: list[GivenLabel]) -> None:
    table = label_table(rows)
    assert chosen(dawid_skene(table).labels) == chosen(vote(table)) == dict.fromkeys(table.items, "x")


def test_the_mean_of_graded_values() -> None:
    assert mean_values([("b", 3.0), ("a", -1.0), ("b", 0.0), ("b", -0.6)]) == {"a": -1.0, "b": pytest.approx(0.8)}
    assert mean_values([]) == {}
