"""Damaged files in a store: what cannot be used is said, put aside and made anew; nothing wrong is believed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from experiment import Quiet

from burnish.errors import StageError
from burnish.store.explain import explain
from burnish.store.gc import collect
from burnish.store.manifest import MANIFEST
from burnish.store.runners import Executor, Planner
from burnish.store.stages import COSTS, DAMAGED, Stage, Store, Work
from burnish.types import Artifact


def stage(calls: list[Any], name: str = "double", **config: Any) -> Stage:
    def run(work: Work) -> None:
        calls.append(config)
        (work.path / "out.txt").write_text(f"{name} {config}")
        work.count(rows=1)

    return Stage(name=name, version=1, config=config, inputs={}, run=run)


def run_again(root: Path, one: Stage) -> tuple[Artifact, Quiet]:
    talk = Quiet()
    return Executor(Store(root), talk, {}).run(one), talk


def aside(root: Path) -> list[str]:
    return sorted(path.name.rpartition(".")[0] for path in (root / DAMAGED).glob("*"))


def constant(value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda _: value


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: {**manifest, **fields}


def without(field: str) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: {name: value for name, value in manifest.items() if name != field}


def payload(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: {**manifest, "payload": {**manifest["payload"], **fields}}


def output(value: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda manifest: {**manifest, "outputs": {"out.txt": value}}


def these(*values: Any) -> tuple[Any, ...]:
    return values


SHA = "0" * 64
SHAPES: list[Callable[[dict[str, Any]], Any]] = [
    *(constant(value) for value in these(None, True, 3, 1.5, "text", [], [[]], {}, [{"fingerprint": SHA}])),
    *map(without, ("fingerprint", "payload", "outputs", "seconds", "counts")),
    *(changed(fingerprint=value) for value in these(None, 7, "", "abc", SHA, SHA.upper(), [SHA])),
    *(changed(payload=value) for value in these(None, [], "payload", {}, {"name": "double"})),
    *(payload(name=value) for value in these(None, 1, "", "other")),
    *(payload(version=value) for value in these(None, "1", 1.5, True, 2)),
    *(payload(config=value) for value in these(None, [], {"alpha": 0.2})),
    *(payload(inputs=value) for value in these(None, [], {"a": None}, {"a": SHA})),
    *(changed(outputs=value) for value in these(None, [], "out.txt", {}, {"other": {"sha256": SHA, "bytes": 1}})),
    *(output(value) for value in these(None, SHA, {"sha256": SHA}, {"sha256": 1, "bytes": 1}, {"bytes": 1})),
    *(output({"sha256": SHA, "bytes": value}) for value in these(None, -1, "many", 1)),
    *(changed(seconds=value) for value in these(None, "1", -1, [], True)),
    *(changed(counts=value) for value in these(None, [], {"rows": None}, {"rows": "1"}, {"rows": -1}, {"rows": 1.5})),
    *(changed(schema_version=value) for value in these(None, "1", [], {}, True, 1.0)),
]
BYTES = [b"", b"{", b"\xff\xfe", b"null", b'{"a": NaN}', b"[" * 2000, b"{}" * 2, b'"\\ud800"']


def test_every_wrong_shape_of_a_manifest_is_said_put_aside_and_made_anew(tmp_path: Path) -> None:
    calls: list[Any] = []
    one = stage(calls, alpha=0.1)
    place = Path(run_again(tmp_path, one)[0].path)
    manifest, out = orjson.loads((place / MANIFEST).read_bytes()), (place / "out.txt").read_bytes()
    assert len(SHAPES) + len(BYTES) >= 30
    for number, damaged in enumerate([*(orjson.dumps(shape(manifest)) for shape in SHAPES), *BYTES], 1):
        (place / MANIFEST).write_bytes(damaged)
        _, talk = run_again(tmp_path, one)
        assert len(calls) == 1 + number, damaged
        assert talk.said[0] == f"double {one.fingerprint[:8]}: a file is damaged or missing; computing it again"
        assert str(place) in talk.said[1]
        assert str(tmp_path / DAMAGED / "double-") in talk.said[1]
        assert len(talk.said[1]) < 600
        assert (place / "out.txt").read_bytes() == out
        made = orjson.loads((place / MANIFEST).read_bytes())
        assert {**made, "seconds": 0} == {**manifest, "seconds": 0}
    kept = list((tmp_path / DAMAGED).glob("*/out.txt"))
    assert len(kept) == len(calls) - 1  # nothing was deleted
    assert {path.read_bytes() for path in kept} == {out}


def test_a_damaged_manifest_is_not_planned_as_done_and_not_compared_with(tmp_path: Path) -> None:
    calls: list[Any] = []
    place = Path(run_again(tmp_path, stage(calls, alpha=0.1))[0].path)
    (place / MANIFEST).write_bytes(b"[]")
    planner = Planner(Store(tmp_path))
    for alpha in (0.1, 0.2):
        planner.run(stage(calls, alpha=alpha))
    assert [record.reused for record in planner.records] == [False, False]
    assert [one.state for one in explain(planner.records, planner.store)] == ["new", "new"]
    assert list(Store(tmp_path).every()) == []


def test_two_stages_that_changed_places_are_both_computed_again(tmp_path: Path) -> None:
    calls: list[Any] = []
    first, second = stage(calls, alpha=0.1), stage(calls, alpha=0.2)
    one, two = (Path(run_again(tmp_path, each)[0].path) for each in (first, second))
    texts = [(place / "out.txt").read_text() for place in (one, two)]
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    for each in (first, second):
        assert (
            f"it belongs to double {(first, second)[each is first].fingerprint[:8]}"
            in run_again(tmp_path, each)[1].said[1]
        )
    assert [(place / "out.txt").read_text() for place in (one, two)] == texts
    assert len(calls) == 4


def test_two_manifests_that_changed_places_are_noticed(tmp_path: Path) -> None:
    calls: list[Any] = []
    first, second = stage(calls, alpha=0.1), stage(calls, alpha=0.2)
    one, two = (Path(run_again(tmp_path, each)[0].path) for each in (first, second))
    both = [(place / MANIFEST).read_bytes() for place in (two, one)]
    for place, data in zip((one, two), both, strict=True):
        (place / MANIFEST).write_bytes(data)
    for each in (first, second):
        run_again(tmp_path, each)
    assert len(calls) == 4


@pytest.mark.parametrize("how", ["gone", "a folder", "a pipe", "the place is a file"])
def test_a_finished_stage_without_a_manifest_is_computed_again(tmp_path: Path, how: str) -> None:
    calls: list[Any] = []
    place = Path(run_again(tmp_path, stage(calls))[0].path)
    if how == "the place is a file":
        shutil.rmtree(place)
        place.write_text("a file")
    else:
        (place / MANIFEST).unlink()
    if how == "a folder":
        (place / MANIFEST).mkdir()
    if how == "a pipe":
        os.mkfifo(place / MANIFEST)  # reading it would wait for ever
    _, talk = run_again(tmp_path, stage(calls))
    assert "damaged or missing" in talk.said[0]
    assert len(calls) == 2
    assert aside(tmp_path) == [f"double-{place.name}"]
    assert run_again(tmp_path, stage(calls))[1].said == []


def test_an_output_that_was_added_or_changed_is_put_aside_not_deleted(tmp_path: Path) -> None:
    calls: list[Any] = []
    place = Path(run_again(tmp_path, stage(calls))[0].path)
    (place / "more.txt").write_text("mine")
    _, talk = run_again(tmp_path, stage(calls))
    assert f"{place / 'more.txt'} is damaged" in talk.said[1]
    assert [path.read_text() for path in (tmp_path / DAMAGED).glob("*/more.txt")] == ["mine"]


def test_a_finished_stage_that_was_killed_before_its_rename_and_damaged_is_computed_again(tmp_path: Path) -> None:
    calls: list[Any] = []
    one = stage(calls)
    place = Path(run_again(tmp_path, one)[0].path)
    work = Store(tmp_path).work_place("double", one.fingerprint)
    for number, (name, data) in enumerate([(MANIFEST, b"{}"), ("out.txt", b"changed")], 2):
        place.rename(work)
        (work / name).write_bytes(data)
        _, talk = run_again(tmp_path, one)
        assert "damaged or missing" in talk.said[0]
        assert len(calls) == number
        assert (place / "out.txt").read_text() == "double {}"


# --- work under way


COSTS_SHAPES: list[Any] = [
    *(None, [], 1, "x", {}, {"counts": {}}, {"seconds": 1.0}, {"counts": [], "seconds": 1.0}),
    *({"counts": {"rows": value}, "seconds": 1.0} for value in these(None, "1", -1, 1.5, [])),
    *({"counts": {}, "seconds": value} for value in these(None, "1", -1, True)),
]


def test_damaged_costs_begin_anew_and_are_put_aside(tmp_path: Path) -> None:
    one = Stage(
        name="answer",
        version=1,
        config={},
        inputs={},
        run=lambda work: work.count(rows=2),
        resumable=True,
    )
    work = Store(tmp_path).work_place("answer", one.fingerprint)
    for number, damaged in enumerate([*map(orjson.dumps, COSTS_SHAPES), b"", b"{", b"\xff"], 1):
        work.mkdir(parents=True)
        (work / COSTS).write_bytes(damaged)
        artifact, talk = run_again(tmp_path, one)
        assert "counting begins anew" in talk.said[0]
        done = Store(tmp_path).read(Path(artifact.path))
        assert done is not None
        assert done.counts == {"rows": 2}
        assert len(aside(tmp_path)) == number
        shutil.rmtree(artifact.path)


def test_damaged_rows_of_unfinished_work_are_left_out_and_the_others_kept(tmp_path: Path) -> None:
    seen: list[list[bytes]] = []

    def run(work: Work) -> None:
        seen.append((work.path / "rows.jsonl").read_bytes().splitlines())

    one = Stage(name="answer", version=1, config={}, inputs={}, run=run, resumable=True)
    work = Store(tmp_path).work_place("answer", one.fingerprint)
    work.mkdir(parents=True)
    damaged = b'{"id":1}\n\x00\xff\n{"id":2}\n[3]\n{"id":4}\n{"id":5'
    (work / "rows.jsonl").write_bytes(damaged)
    _, talk = run_again(tmp_path, one)
    assert seen == [[b'{"id":1}', b'{"id":2}', b'{"id":4}']]
    assert "is damaged in 2 lines; these rows are computed again" in talk.said[0]
    (kept,) = (tmp_path / DAMAGED).glob("rows.jsonl.*")
    assert kept.read_bytes() == damaged


# --- records of runs, and gc


RECORDS: list[Any] = [
    *(None, [], 1, "x", {}, {"out": "x"}, {"stages": []}, {"out": "", "stages": []}, {"out": 1, "stages": []}),
    *({"out": "x", "stages": value} for value in these(None, "x", {}, [None], ["abc"], [["0" * 64]])),
    {"schema_version": "1", "out": "x", "stages": []},
]


def test_gc_frees_nothing_where_the_record_of_a_run_is_damaged(tmp_path: Path) -> None:
    calls: list[Any] = []
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    out.mkdir()
    kept = run_again(store.root, stage(calls))[0]
    store.refer(out, [kept.fingerprint])
    (record,) = (store.root / "runs").glob("*.json")
    for damaged in [*map(orjson.dumps, RECORDS), b"", b"{", b"\xff"]:
        record.write_bytes(damaged)
        with pytest.raises(StageError, match=r"runs/.*json is damaged .*nothing is freed.*run its command again"):
            collect(store)
        assert Path(kept.path).is_dir()
    store.refer(out, [kept.fingerprint])  # what the run's own command does
    assert collect(store) == []


def test_gc_keeps_a_needed_stage_with_a_damaged_manifest_and_frees_another(tmp_path: Path) -> None:
    calls: list[Any] = []
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    out.mkdir()
    kept, freed = (run_again(store.root, stage(calls, alpha=alpha))[0] for alpha in (0.1, 0.2))
    store.refer(out, [kept.fingerprint])
    for one in (kept, freed):
        (Path(one.path) / MANIFEST).write_bytes(b"[]")
    assert [str(item.path) for item in collect(store)] == [freed.path]
    assert Path(kept.path).is_dir()


def test_gc_frees_what_was_put_aside(tmp_path: Path) -> None:
    calls: list[Any] = []
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    out.mkdir()
    one = run_again(store.root, stage(calls))[0]
    store.refer(out, [one.fingerprint])
    (Path(one.path) / MANIFEST).unlink()
    run_again(store.root, stage(calls))
    (store.root / DAMAGED / "costs.json.1").write_text("{")
    found = collect(store, dry_run=True)
    assert [(item.name, item.size) for item in found] == [("damaged", 1), ("damaged", len("double {}"))]
    collect(store)
    assert aside(store.root) == []
    assert Path(one.path).is_dir()


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "x.json").write_bytes(orjson.dumps({"schema_version": 2, "runs": []}))
    with pytest.raises(StageError, match="schema_version 2 found, this burnish reads 1"):
        collect(Store(tmp_path))


def test_who_holds_a_lock_is_read_from_a_damaged_file_too(tmp_path: Path) -> None:
    from burnish.store.locking import owner_of

    assert owner_of(tmp_path / "none") == "another process"
    (tmp_path / "holder").write_bytes(b"process \xff 7" + b"x" * 1000)
    assert owner_of(tmp_path / "holder").startswith("process � 7xxx")
    assert len(owner_of(tmp_path / "holder")) == 200
