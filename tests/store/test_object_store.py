"""A store in a bucket: several hosts share it, each with a cache of its own. The bucket is in memory here."""

from __future__ import annotations

import errno
import re
import shutil
import time
from pathlib import Path

import pytest
from buckets import Hosts, compute, stage
from experiment import Quiet, fake, small
from hosts import not_at_all

from burnish.errors import StageError
from burnish.lab import running
from burnish.lab.running import plan, run
from burnish.store.attempts import LeaseError, Life
from burnish.store.explain import explain
from burnish.store.finished import Done
from burnish.store.gc import collect
from burnish.store.object_store import LEASES, ObjectStore
from burnish.store.runners import Executor, Planner
from burnish.store.stages import Work


@pytest.fixture
def host(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


def test_another_host_reuses_a_stage_and_loads_weights_only_for_who_reads_them(host: Hosts) -> None:
    calls: list[str] = []
    first = Executor(host("one"), Quiet(), {}).run(stage(calls))
    second = Executor(host("two"), Quiet(), {}).run(stage(calls))
    there = Path(second.path)
    assert calls == ["run"]
    assert (there / "sub" / "out.txt").read_text() == "0.1"
    assert not (there / "model.safetensors").exists()
    assert (Path(first.path) / "manifest.json").read_bytes() == (there / "manifest.json").read_bytes()
    read: list[str] = []
    compute(
        host("two"),
        stage([], lambda work: read.append((there / "model.safetensors").read_text()), alpha=0.2, model=second),
    )
    assert read == ["weights"]
    assert host.keys("leases/") == host.keys("clock/") == []


def test_the_first_manifest_counts_and_the_loser_takes_its_files(host: Hosts) -> None:
    one, two = host("one"), host("two")

    def fast(work: Work) -> None:
        (work.path / "out").write_text("winner")

    def slow(work: Work) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ObjectStore, "elsewhere", not_at_all)
            compute(two, stage([], fast))
        (work.path / "out").write_text("loser")

    place, _ = compute(one, stage([], slow))
    assert (place / "out").read_text() == "winner"
    assert len(host.keys("files/")) == 1
    assert host.keys("leases/") == []


def test_a_host_waits_for_another_one(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.store.locking.POLL", 0.01)
    one, calls, looks = stage(list[str]()), list[str](), list[int]()
    key = f"train-{one.fingerprint[:32]}"
    with host("one").attempting(key):

        class Impatient(ObjectStore):
            def elsewhere(self, key: str) -> str | None:
                looks.append(1)
                return super().elsewhere(key) if len(looks) < 4 else None

        _, talk = compute(Impatient(host.bucket, host.folder / "two"), stage(calls))
    assert "is being computed by process" in talk.said[0]
    assert len(looks) == 4
    assert calls == ["run"]


def test_an_old_lease_is_not_waited_for(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    with host("one").attempting("train-x"):
        assert host("two").elsewhere("train-x") is not None
        monkeypatch.setattr("burnish.store.object_store.LEASE", -1.0)
        assert host("two").elsewhere("train-x") is None


def test_a_clock_that_jumps_ends_no_lease(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages are taken from the clock of the bucket, and never from that of a host."""
    with host("one").attempting("train-x"):
        monkeypatch.setattr(time, "time", lambda: 1e11)
        monkeypatch.setattr(time, "time_ns", lambda: 10**20)
        two = host("two")
        assert two.elsewhere("train-x") is not None
        assert [one.life for one in two.under_way()] == [Life.ALIVE]
        two.forget_silent()
        assert len(host.keys("leases/")) == 1


def test_a_full_disk_of_one_host_commits_nothing_and_another_host_computes_the_stage(host: Hosts) -> None:
    def full(work: Work) -> None:
        (work.path / "out").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    calls: list[str] = []
    with pytest.raises(StageError, match="no space left on the device"):
        compute(host("one"), stage([], full))
    assert host.keys("") == []
    place, _ = compute(host("two"), stage(calls))
    assert (calls, (place / "sub" / "out.txt").read_text()) == (["run"], "0.1")


def test_the_lease_of_a_process_that_was_killed_on_this_machine_is_not_waited_for(host: Hosts) -> None:
    # The attempt goes on in this process. Another process with the same cache sees its note and its lock.
    with host("one").attempting("train-x"):
        assert host("one").elsewhere("train-x") is None
        owner = host("two").elsewhere("train-x")
        assert owner is not None
        assert re.fullmatch(r"process \d+ on .+", owner)


def test_a_damaged_copy_is_loaded_again_and_a_damaged_object_is_computed_again(host: Hosts) -> None:
    calls: list[str] = []
    place, _ = compute(host("one"), stage(calls))
    (place / "sub" / "out.txt").write_text("9.9")
    _, talk = compute(host("one"), stage(calls))
    assert (place / "sub" / "out.txt").read_text() == "0.1"
    assert (calls, talk.said) == (["run"], [])
    (key,) = (key for key in host.keys("files/") if key.endswith("out.txt"))
    host.bucket.write(key, b"9.9")
    again, talk = compute(host("two"), stage(calls))
    assert "damaged or missing" in talk.said[0]
    assert (again / "sub" / "out.txt").read_text() == "0.1"
    assert calls == ["run", "run"]


@pytest.mark.parametrize("damaged", [b"{", b"[]", b"{}"])
def test_a_damaged_manifest_in_the_bucket_is_computed_again(host: Hosts, damaged: bytes) -> None:
    calls: list[str] = []
    compute(host("one"), stage(calls))
    (key,) = host.keys("manifests/")
    host.bucket.write(key, damaged)
    _, talk = compute(host("two"), stage(calls))
    assert "damaged or missing" in talk.said[0]
    assert len(calls) == 2
    compute(host("three"), stage(calls))
    assert len(calls) == 2


def test_weights_that_are_missing_in_the_bucket_are_noticed(host: Hosts) -> None:
    calls: list[str] = []
    place, _ = compute(host("one"), stage(calls))
    (key,) = (key for key in host.keys("files/") if key.endswith("model.safetensors"))
    two = host("two")
    artifact = Executor(two, Quiet(), {}).run(stage(calls))
    host.bucket.delete([key])
    with pytest.raises(StageError, match=r"its object is missing.*remove manifests/train/.*the same command again"):
        two.fetch(Path(artifact.path))
    shutil.rmtree(place.parents[2])
    compute(host("one"), stage(calls))
    assert len(calls) == 2


def test_gc_frees_the_bucket_and_keeps_what_runs_of_other_hosts_need(
    host: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    kept, freed = (Executor(host("one"), Quiet(), {}).run(stage(calls, alpha=alpha)) for alpha in (0.1, 0.2))
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "other")
        host("two").refer(tmp_path / "nowhere", [kept.fingerprint])
    before = host.keys("")
    found = collect(host("one"), dry_run=True)
    assert [(item.name, item.size) for item in found] == [("train", len("0.2weights"))]
    assert host.keys("") == before
    collect(host("three"))
    assert {key.split("/")[2][:32] for key in host.keys("files/")} == {kept.fingerprint[:32]}
    assert host("one").done("train", freed.fingerprint) is None
    assert not Path(freed.path).exists()  # the copy goes when it is next asked for
    # The same path on this host is another folder.
    host("one").refer(tmp_path / "nowhere", [])
    collect(host("one"))
    assert host.keys("manifests/") != []
    host.bucket.delete(host.keys("runs/"))
    collect(host("one"))
    assert host.keys("") == []


def test_gc_removes_the_lease_of_an_attempt_that_was_killed(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    host.bucket.write(f"{LEASES}/train-x/7.abc", b"{}")
    collect(host("one"))
    assert host.keys("leases/") == [f"{LEASES}/train-x/7.abc"]
    monkeypatch.setattr("burnish.store.object_store.LEASE", -1.0)
    collect(host("one"))
    assert host.keys("") == []


def test_gc_keeps_an_upload_under_way_and_frees_an_old_one(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = f"files/train/{'a' * 32}/7.abc"
    host.bucket.write(f"{LEASES}/{prefix}", b"")
    host.bucket.write(f"{prefix}/model.safetensors", b"half")
    assert collect(host("one")) == []
    monkeypatch.setattr("burnish.store.object_store.UPLOAD_SECONDS", -1.0)
    assert [item.objects for item in collect(host("one"))] == [prefix]
    assert host.keys("") == []


def test_explain_and_a_plan_read_the_bucket(host: Hosts) -> None:
    calls: list[str] = []
    compute(host("one"), stage(calls))
    planner = Planner(host("two"))
    for alpha in (0.1, 0.2):
        planner.run(stage(calls, alpha=alpha))
    done, changed = explain(planner.records, planner.store)
    assert (done.state, changed.state) == ("done", "changed")
    assert [one.field for one in changed.differences] == ["config.alpha"]
    assert [type(one) for one in host("two").every("other")] == []
    assert isinstance(next(host("two").every()), Done)


def test_a_lost_attempt_is_not_uploaded(host: Hosts) -> None:
    store = host("one")

    def run_(work: Work) -> None:
        for note in (store.root / "locks").glob("*.json"):
            note.unlink()
        (work.path / "out").write_text("x")

    with pytest.raises(LeaseError):
        compute(store, stage([], run_))
    assert host.keys("") == []


@pytest.mark.slow
def test_an_experiment_on_another_host_computes_nothing_again(
    host: Hosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(("one", "two", "three"))

    def opened(_: object) -> ObjectStore:
        return host(next(names))

    monkeypatch.setattr(running, "open_store", opened)
    first = run(small(), tmp_path / "first", backend=fake)
    trained: list[str] = []
    again = run(small(), tmp_path / "again", backend=lambda: fake(trained.append))
    assert trained == []
    assert (first.out / "results.json").read_bytes() == (again.out / "results.json").read_bytes()
    assert {one.state for one in plan(small()).stages} == {"done"}
