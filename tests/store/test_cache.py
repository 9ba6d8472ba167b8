"""The cache of a bucket: processes of one host use it at the same time, while others change the bucket."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from buckets import Hosts, compute, stage

from burnish.errors import StageError
from burnish.store.bucket import Bucket
from burnish.store.files import remove_tree
from burnish.store.finished import Done
from burnish.store.object_store import ObjectStore


@pytest.fixture
def host(tmp_path: Path) -> Hosts:
    return Hosts(tmp_path)


class Between(Bucket):
    """Lets something happen after the first read of a manifest, before its answer arrives."""

    happens: Callable[[], object] | None = None

    def read(self, key: str) -> bytes | None:
        data = super().read(key)
        if key.startswith("manifests/") and self.happens:
            happens, self.happens = self.happens, None
            happens()
        return data


def between(host: Hosts, happens: Callable[[], object], name: str) -> ObjectStore:
    """Return the view of a host for which this happens after its first read of a manifest."""
    bucket = Between(host.bucket._objects, host.bucket.url)
    bucket.happens = happens
    return ObjectStore(bucket, host.folder / name)


def test_a_result_that_appears_while_another_process_of_the_host_looks_is_kept(host: Hosts) -> None:
    one = stage(list[str]())
    late = between(host, lambda: compute(host("one"), one), "one")
    place = late.place("train", one.fingerprint)
    assert isinstance(late.look(place), Done)
    # The first process still reads its result.
    assert (place / "sub" / "out.txt").read_text() == "0.1"


def test_two_hosts_that_find_the_same_damage_both_go_on(host: Hosts) -> None:
    one, two = stage(list[str]()), host("two")
    compute(host("one"), one)
    (key,) = (key for key in host.keys("files/") if key.endswith("out.txt"))
    host.bucket.write(key, b"9.9")
    found = two.done("train", one.fingerprint)
    assert found is not None
    # The other host puts the stage aside before this one has looked at its files.
    host.bucket.delete(host.keys("manifests/"))
    assert two.damage(found) is not None
    assert two.put_aside(found.path) is None
    assert (compute(two, one)[0] / "sub" / "out.txt").read_text() == "0.1"


def test_processes_of_a_host_that_fetch_the_same_stage_leave_each_other_their_copies(
    host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stage(list[str]())
    compute(host("one"), one)
    threads: list[Thread] = []

    def fetch() -> None:
        other = host("two")
        other.fetch(other.place("train", one.fingerprint))

    def late(path: Path) -> None:
        # Between the look at the cache and the removal of old copies, another process has time to fetch all.
        if not threads:
            threads.append(Thread(target=fetch))
            threads[0].start()
            threads[0].join(0.2)
        remove_tree(path)

    monkeypatch.setattr("burnish.store.object_store.remove_tree", late)
    done = host("two").done("train", one.fingerprint)
    threads[0].join()
    assert done is not None
    assert (done.path / "model.safetensors").read_bytes() == b"weights"


def test_copies_that_another_process_fetches_while_a_stage_is_committed_stay(
    host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, create = stage(list[str]()), Bucket.create

    def and_fetch(self: Bucket, key: str, data: bytes) -> bool:
        won = create(self, key, data)
        # The manifest is there, so another process of this host can use the stage.
        other = host("one")
        done = other.done("train", one.fingerprint)
        assert done is not None
        other.fetch(done.path)
        copies.append((done.path / "model.safetensors").stat().st_ino)
        return won

    copies: list[int] = []
    monkeypatch.setattr(Bucket, "create", and_fetch)
    place, _ = compute(host("one"), one)
    assert [(place / "model.safetensors").stat().st_ino] == copies
    assert list((place.parents[2] / "work").iterdir()) == []


def test_a_full_disk_of_a_cache_is_a_named_error(host: Hosts, tmp_path: Path) -> None:
    host.bucket.write("key", b"data")
    copy, part = tmp_path / "copy", tmp_path / "part"
    part.symlink_to("/dev/full")  # a file on a disk that has no room
    with pytest.raises(StageError, match="no space left on the device"):
        host.bucket.download("key", copy, part)
    assert not copy.exists()
    assert host.bucket.download("key", copy, part)
    assert copy.read_bytes() == b"data"
