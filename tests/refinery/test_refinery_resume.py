"""A refinement that is stopped anywhere goes on to the same bytes; more rounds later; other settings; reverts."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from refinement import (
    CAP,
    COUNT,
    WRONG_LABELS,
    Refined,
    bytes_of,
    fake,
    label,
    refine,
    rows,
    settings,
    trained_on,
    written,
)
from stops import STOP, StopError, one_unit_then_stop, stop_once_before_each_manifest, until_done

from burnish.errors import ConfigError, DataError, StageError
from burnish.ledger.reverting import revert
from burnish.ledger.summary import State
from burnish.people.mailbox import ANNOTATIONS
from burnish.results import Metric
from burnish.types import Reason

CLASSIFIER = {"kind": "classifier", "model": "builtin:judge-1"}


# --- a kill at any unit of work


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ilr", "majority", "clear"])
def test_stopped_at_every_unit_the_folder_is_the_same_bytes(tmp_path: Path, method: str) -> None:
    asked = None if method == "majority" else CLASSIFIER
    gate = ("method.gate=0.6",) if method == "clear" else ()
    config = settings(written(tmp_path), *gate, method=method, annotator=asked, no_selftest=True)
    units: list[str] = []
    whole = refine(config, tmp_path / "whole", fake(units.append))
    assert whole.reasons(2)[Reason.ACCEPTED] > 0
    done: list[str] = []
    _, stops = until_done(lambda: refine(config, tmp_path / "pieces", fake(one_unit_then_stop(done))))
    assert stops >= len(units) // 2 > 5
    assert Counter(done) - Counter({STOP: stops}) == Counter(units)  # no finished unit is there twice
    assert bytes_of(tmp_path / "pieces") == bytes_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("tear", [False, True])
def test_stopped_before_every_manifest_the_folder_is_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tear: bool
) -> None:
    audit = {"audit": 4, "audit_by": "oracle:gold", "max_harm": 0.9}
    config = settings(written(tmp_path), annotator=CLASSIFIER, **audit)
    whole = refine(config, tmp_path / "whole")
    stopped = stop_once_before_each_manifest(monkeypatch, tear)
    _, stops = until_done(lambda: refine(config, tmp_path / "pieces"))
    assert stops == len(stopped)
    assert {"given", "selftest", "train", "answer", "compare", "judge", "refine", "audit_sample", "bound"} <= set(
        stopped.values()
    )
    assert bytes_of(tmp_path / "pieces" / "out") == bytes_of(whole.out)


# --- a kill between any two files of the folder


def file_operations(patch: pytest.MonkeyPatch, out: Path, stop_at: int | None = None, last: int = 0) -> list[str]:
    """Note every file that takes or leaves its place in `out`; end the run before number `stop_at`, or after `last`."""
    seen: list[str] = []
    for name in ("replace", "rename", "unlink"):
        real = getattr(Path, name)

        def operation(self: Path, *target: Path, real: Any = real, **more: Any) -> Any:
            place = target[0] if target else self
            if out not in Path(place).parents or ".part" in Path(place).name:
                return real(self, *target, **more)
            seen.append(Path(place).name)
            if len(seen) == stop_at:
                raise StopError
            result = real(self, *target, **more)
            if len(seen) == last:
                raise StopError
            return result

        patch.setattr(Path, name, operation)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("more_rounds", [False, True])
def test_stopped_between_any_two_files_the_folder_is_the_same_bytes(tmp_path: Path, more_rounds: bool) -> None:
    source = written(tmp_path)
    config, first = settings(source), settings(source, rounds=1)
    out = tmp_path / "out"
    if more_rounds:
        refine(first, tmp_path)
    start = tmp_path / "start"
    shutil.copytree(out, start) if more_rounds else start.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        operations = file_operations(patch, out)
        refine(config, tmp_path)
    whole = bytes_of(out)
    assert {"ledger.jsonl", "answers.jsonl", "refined.jsonl", "model", "report.html", "refinement.json"} <= set(
        operations
    )
    for number in range(1, len(operations) + 2):
        shutil.rmtree(out)
        shutil.copytree(start, out)
        with pytest.MonkeyPatch.context() as patch:
            file_operations(patch, out, number, last=len(operations))
            with pytest.raises(StopError):
                refine(config, tmp_path)
        refine(config, tmp_path)
        assert bytes_of(out) == whole, (number, operations[number - 1 :])


@pytest.mark.slow
def test_a_kill_in_the_first_write_leaves_a_folder_that_goes_on(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".config.yaml.4711.part").write_text("dat")
    assert refine(settings(written(tmp_path)), tmp_path).summary.state is State.DONE


# --- the same call again, and more rounds


@pytest.mark.slow
def test_the_same_call_again_computes_and_changes_nothing(tmp_path: Path) -> None:
    config, units = settings(written(tmp_path)), list[str]()
    before = bytes_of(refine(config, tmp_path).out)
    assert bytes_of(refine(config, tmp_path, fake(units.append)).out) == before
    assert units == []


@pytest.mark.slow
def test_a_round_more_goes_on_behind_the_first_one_s_lines(tmp_path: Path) -> None:
    source = written(tmp_path)
    refine(settings(source, rounds=1), tmp_path)
    first = {name: (tmp_path / "out" / name).read_bytes() for name in ("ledger.jsonl", "answers.jsonl")}
    units: list[str] = []
    found = refine(settings(source), tmp_path, fake(units.append))
    for name, data in first.items():
        assert (found.out / name).read_bytes().startswith(data)
    assert units.count("train") == 3  # two halves and the last model: nothing of round 1
    assert bytes_of(found.out) == bytes_of(refine(settings(source), tmp_path / "whole").out)


@pytest.mark.slow
def test_a_round_less_is_another_refinement(tmp_path: Path) -> None:
    source = written(tmp_path)
    before = bytes_of(refine(settings(source), tmp_path).out)
    with pytest.raises(ConfigError, match=r"(?s)holds 2 rounds of another refinement.*method.rounds: 2 there, 1 now$"):
        refine(settings(source, rounds=1), tmp_path)
    assert bytes_of(tmp_path / "out") == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"alpha": 0.05}, ["method.alpha: 0.1 there, 0.05 now"]),
        ({"differs": "text"}, ["differs.kind: 'number' there, 'text' now", "differs.marked: False there, None now"]),
        ({"annotator": CLASSIFIER}, ["annotator.kind: 'oracle' there, 'classifier' now"]),
        ({"seed": 1}, ["seed: 0 there, 1 now"]),
        ({"comparisons": 5}, ["comparisons: None there, 5 now"]),
    ],
)
def test_the_same_out_with_other_settings_is_refused_and_nothing_changed(
    tmp_path: Path, other: dict[str, Any], named: list[str]
) -> None:
    source = written(tmp_path)
    before = bytes_of(refine(settings(source, rounds=1), tmp_path).out)
    seed = [f"seed={other['seed']}"] if "seed" in other else []
    more = {name: value for name, value in other.items() if name != "seed"}
    config, units = settings(source, *seed, rounds=1, **more), list[str]()
    with pytest.raises(ConfigError, match=r"out: '.*out' holds 1 rounds of another refinement; .*--overwrite") as stop:
        refine(config, tmp_path, fake(units.append))
    # The settings that are the same are not in the message.
    lines = str(stop.value).splitlines()
    assert lines[1] == "these settings differ:"
    assert [line for line in lines[2:] if line in named] == named
    assert len(lines) == 2 + len(named) or "annotator" in other
    assert bytes_of(tmp_path / "out") == before
    assert units == []
    replaced = refine(config, tmp_path, overwrite=True)
    shutil.rmtree(replaced.out)
    assert bytes_of(refine(config, tmp_path).out) == bytes_of(refine(config, tmp_path, overwrite=True).out)


@pytest.mark.slow
def test_overwrite_replaces_everything_but_what_people_said(tmp_path: Path) -> None:
    refine(settings(written(tmp_path)), tmp_path)
    (tmp_path / "out" / ANNOTATIONS).write_text("")
    config = settings(written(tmp_path / "other", rows("text"), ".csv"), rounds=1)
    found = refine(config, tmp_path, overwrite=True)
    assert (found.out / ANNOTATIONS).exists()
    (found.out / ANNOTATIONS).unlink()
    assert bytes_of(found.out) == bytes_of(refine(config, tmp_path / "fresh").out)
    assert not (found.out / "refined.jsonl").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds other files \(thesis\.tex\); .*--overwrite"):
        refine(settings(written(tmp_path)), tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    refine(settings(written(tmp_path)), tmp_path, overwrite=True)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


def test_an_out_that_is_a_file_or_lies_below_one(tmp_path: Path) -> None:
    source, units = written(tmp_path), list[str]()
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConfigError, match=r"out: .* is a file; name a folder"):
        refine(settings(source), tmp_path, fake(units.append))
    assert (tmp_path / "out").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StageError, match="cannot be written"):
        refine(settings(source), tmp_path / "file", fake(units.append))
    assert units == []


# --- the source changed


def test_a_changed_source_is_another_dataset(tmp_path: Path) -> None:
    source = written(tmp_path)
    before = bytes_of(refine(settings(source), tmp_path).out)
    written(tmp_path, [row | {"topic": "new"} for row in rows()])
    with pytest.raises(ConfigError, match=r"(?s)another refinement.*the settings are the same; the dataset, a model"):
        refine(settings(source), tmp_path)
    assert bytes_of(tmp_path / "out") == before


def test_a_source_that_moved_is_the_same_dataset(tmp_path: Path) -> None:
    config = settings(written(tmp_path))
    before = bytes_of(refine(config, tmp_path).out)
    moved, units = tmp_path / "moved" / "data.jsonl", list[str]()
    moved.parent.mkdir()
    Path(config.data.source).rename(moved)
    found = refine(settings(moved), tmp_path, fake(units.append))
    assert units == []
    after = bytes_of(found.out)
    assert {name for name in before if before[name] != after[name]} == {"config.yaml", "refinement.json"}


def test_a_source_that_shrinks_while_it_is_refined_is_noticed(tmp_path: Path) -> None:
    source = written(tmp_path)

    def shrink(unit: str) -> None:
        source.write_text("".join(source.read_text().splitlines(keepends=True)[:10]))

    with pytest.raises((DataError, ConfigError), match="data"):
        refine(settings(source), tmp_path, fake(shrink))


# --- what the user took back


@pytest.mark.slow
def test_after_a_revert_the_same_call_trains_on_what_stands(tmp_path: Path) -> None:
    config = settings(written(tmp_path))
    found = refine(config, tmp_path)
    first = found.summary.model
    undone = next(line.example_id for line in found.of_round(1) if line.reason is Reason.ACCEPTED)
    revert(found.out, None, [undone])
    ledger = (found.out / "ledger.jsonl").read_bytes()
    again = refine(config, tmp_path)
    assert (again.out / "ledger.jsonl").read_bytes() == ledger
    assert _labels(again)[undone] == label(int(undone[-2:]))
    assert again.summary.reverted == 1
    model = again.summary.model
    assert model is not None
    assert first is not None
    assert model.current
    assert model.fingerprint != first.fingerprint
    assert len(trained_on(again.store)[model.fingerprint]) == len(rows())
    third = refine(settings(Path(config.data.source), rounds=3), tmp_path)
    assert (third.out / "ledger.jsonl").read_bytes().startswith(ledger)
    assert third.reasons(3)[Reason.ACCEPTED] == CAP


@pytest.mark.slow
def test_what_is_right_after_a_revert_is_measured_and_new_rounds_warn_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = settings(written(tmp_path), reference="gold")
    found = refine(config, tmp_path)
    given = COUNT - WRONG_LABELS
    assert found.summary.present_accuracy is None
    revert(found.out, 2, [])
    summary = refine(config, tmp_path).summary
    assert summary.present_accuracy == Metric.share(given + CAP, COUNT)
    assert summary.rounds[1].label_accuracy == Metric.share(given + 2 * CAP, COUNT)
    assert "taken back" not in capsys.readouterr().err
    # Round 3 is computed from the labels of round 2, with the six changes that do not stand.
    summary = refine(settings(Path(config.data.source), reference="gold", rounds=3), tmp_path).summary
    assert summary.rounds[2].label_accuracy == Metric.share(given + 3 * CAP, COUNT)
    assert summary.present_accuracy == Metric.share(given + 2 * CAP, COUNT)
    assert (
        "warning: 6 rows were taken back with `burnish revert`. The next rounds go on from the labels of the earlier "
        "rounds, with the changes that were taken back. In the dataset, a row that was taken back keeps the label that "
        "it has now, unless one of the next rounds changes it again"
    ) in capsys.readouterr().err
    undone = {line.example_id for line in found.ledger if line.reason is Reason.REVERTED}
    assert len(undone) == CAP
    assert all(_labels(found)[id_] == label(int(id_[-2:])) for id_ in undone)
    revert(found.out, None, [next(line.example_id for line in found.of_round(1) if line.reason is Reason.ACCEPTED)])
    assert found.summary.present_accuracy is None


@pytest.mark.slow
def test_a_row_that_is_taken_back_twice_is_one_row(tmp_path: Path) -> None:
    config = settings(written(tmp_path), annotator=None, method="naive", alpha=0.5)
    found = refine(config, tmp_path)
    first, second = ({line.example_id for line in found.of_round(n) if line.reason is Reason.ACCEPTED} for n in (1, 2))
    twice = min(first & second)
    revert(found.out, 2, [])
    revert(found.out, None, [twice])
    assert found.summary.reverted == len(second) == 30
    assert refine(config, tmp_path).summary.reverted == 30


def _labels(found: Refined) -> dict[str, str]:
    return {row["id"]: row["answer"] for row in found.rows}
