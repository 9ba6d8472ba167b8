"""A store in a bucket. A local folder, the cache, has the work under way and copies of the stages that this host uses.

A finished stage is a manifest, `manifests/NAME/FINGERPRINT.json`. It names the attempt whose files are the result, and
they lie below `files/NAME/FINGERPRINT/ATTEMPT/`. The manifest is written last, and only if there is none.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Generator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from burnish.errors import StageError
from burnish.store.attempts import LEASE, Attempt, Doing, machine, owner, read_words
from burnish.store.bucket import Bucket
from burnish.store.files import checksum, explained_write_errors, pretty, remove_tree, unique, write_atomic
from burnish.store.finished import Done
from burnish.store.garbage import Garbage
from burnish.store.locking import cache_lock
from burnish.store.manifest import MANIFEST, Damage, RunRecord, parse_record
from burnish.store.stages import RUNS, Alter, Store, inode_of, record_of
from burnish.store.under_way import UnderWay, under_way

MANIFESTS, FILES, LEASES, SPENDING = "manifests", "files", "leases", "spending"
UPLOAD_SECONDS = 24 * 3600.0
"""How long an upload may take, in seconds. `gc` keeps the files of one for so long that did not end."""

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")


def _is_upload(lease: str) -> bool:
    """Say whether a lease is that of an upload, and not that of an attempt."""
    return lease.startswith(f"{LEASES}/{FILES}/")


def _content(path: Path) -> bytes | None:
    """Return the bytes of a file, or None if there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _are_weights(name: str) -> bool:
    """Say whether a file has the weights of a model. Such files are large, and few stages read them."""
    return name.endswith(_WEIGHTS)


class ObjectStore(Store):
    """A store in a bucket, used through a cache folder."""

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        super().__init__(cache)
        self.bucket = bucket
        # Manifests never change. Only `gc` removes them.
        self._known: set[Path] = set()

    @property
    def address(self) -> str:
        """The URL of the store."""
        return self.bucket.url

    # --- finished stages

    def look(self, place: Path) -> Done | Damage | None:
        """Return the finished stage, as `Store.look` does. Its files need not be in the cache yet; see `fetch`."""
        if place not in self._known or not (place / MANIFEST).is_file():
            data = self.bucket.read(self._manifest_key(place))
            if data is None and (copy := inode_of(place)) is not None:
                # It is a copy of what was removed from the bucket, or another process of this host has just finished
                # the stage. That process wrote the manifest before the copy, so a second look finds it.
                data = self.bucket.read(self._manifest_key(place))
                with cache_lock(self.root):
                    # After the second look, another process may have put a new result there.
                    if data is None and inode_of(place) == copy:
                        remove_tree(place)
            if data is None:
                return None
            self._cache_manifest(place, data)
        return super().look(place)

    def _cache_manifest(self, place: Path, data: bytes) -> None:
        """Keep a copy of a manifest. The copies of another attempt's files are removed."""
        # Without the lock, two processes of this host that want the same stage remove each other's copies.
        with cache_lock(self.root), explained_write_errors(place):
            if _content(place / MANIFEST) != data:
                remove_tree(place)
                write_atomic(place / MANIFEST, data)
        self._known.add(place)

    def places(self, name: str = "*") -> list[Path]:
        """Return the places of the finished stages (of one name) in the cache, the latest first. Their files need not
        be there."""
        keys = self._manifests("" if name == "*" else f"/{name}")
        return [self._place_of(key) for key in sorted(keys, key=lambda key: keys[key][1], reverse=True)]

    def _manifests(self, below: str = "") -> dict[str, tuple[int, datetime]]:
        return self.bucket.listed(f"{MANIFESTS}{below}/")

    def _place_of(self, key: str) -> Path:
        _, name, digits = key.removesuffix(".json").split("/")
        return self.root / "stages" / name / digits

    def damage(self, done: Done) -> Damage | None:
        """Return the first output that differs from the manifest, as `Store.damage` does.

        Weights that are not in the cache are not loaded for this: it is only checked that their objects are there.
        """
        found = self._damage_of_copies(done)
        if found is not None:
            # The copy may be damaged, and the object not.
            with cache_lock(self.root):
                remove_tree(done.path)
            self._known.discard(done.path)
            again = self.look(done.path)
            return self._damage_of_copies(again) if isinstance(again, Done) else again or found
        return None

    def _damage_of_copies(self, done: Done) -> Damage | None:
        found = self._load(done, [name for name in done.outputs if not _are_weights(name)])
        absent = {name for name in done.outputs if not (done.path / name).is_file()}
        return found or self._missing(done, absent) or self.wrong_file(done, absent)

    def _missing(self, done: Done, names: AbstractSet[str]) -> Damage | None:
        prefix = self._prefix(done.path)
        sizes = self.bucket.listed(f"{prefix}/") if names else {}
        for name in sorted(names):
            if sizes.get(f"{prefix}/{name}", (-1,))[0] != done.outputs[name].bytes:
                return Damage(path=done.path / name, why="its object is missing or has another size")
        return None

    def fetch(self, path: Path, weights: bool = True) -> None:
        """Copy the files of a finished stage into the cache, unless they are there. `path` is its folder, or a path in
        it. Other paths are left alone. Without `weights`, the weights of models are left out.

        Raises StageError if a file is not in the bucket, or has another checksum.
        """
        stages = self.root / "stages"
        if not path.is_relative_to(stages) or len(path.relative_to(stages).parts) < 2:
            return
        place = stages.joinpath(*path.relative_to(stages).parts[:2])
        done = self.look(place)
        if isinstance(done, Done):
            damage = self._load(done, [name for name in done.outputs if weights or not _are_weights(name)])
            if damage is not None:
                raise StageError(
                    f"{damage}; remove {self._manifest_key(place)} from {self.address}, and run the same command "
                    "again: the stage is then computed again"
                )

    def _load(self, done: Done, names: Sequence[str]) -> Damage | None:
        """Copy files into the cache that are not there yet. Return the first one that is damaged in the bucket."""
        prefix = self._prefix(done.path)
        for name in names:
            output, file = done.outputs[name], done.path / name
            if file.is_file() and file.stat().st_size == output.bytes:
                continue
            if not self.bucket.download(f"{prefix}/{name}", file, self.root / "loading" / unique()):
                return Damage(path=file, why="its object is missing")
            if checksum(file) != output.sha256:
                file.unlink()
                return Damage(path=file, why="its object has another checksum")
        return None

    def _prefix(self, place: Path) -> str:
        attempt = orjson.loads((place / MANIFEST).read_bytes()).get("attempt", "")
        return f"{FILES}/{place.parent.name}/{place.name}/{attempt}"

    def _manifest_key(self, place: Path) -> str:
        return f"{MANIFESTS}/{place.parent.name}/{place.name}.json"

    def put_aside(self, path: Path, inode: int | None = None) -> Path | None:
        """Move a damaged stage out of the way, as `Store.put_aside` does. Its files stay in the bucket until `gc`."""
        if path.parent.parent != self.root / "stages":
            return super().put_aside(path, inode)
        # Another host may have put the stage aside before, or may have put a new result there.
        manifest = path / MANIFEST
        if manifest.is_file() and self.bucket.read(self._manifest_key(path)) == manifest.read_bytes():
            self.bucket.delete([self._manifest_key(path)])
        self._known.discard(path)
        return super().put_aside(path)

    def commit(self, work: Path, name: str, fingerprint: str) -> bool:
        """Upload complete work, and make it the result unless there is one. Raises as `Store.commit` does."""
        place, attempt = self.place(name, fingerprint), unique()
        manifest: dict[str, Any] = orjson.loads((work / MANIFEST).read_bytes())
        data = pretty(manifest | {"attempt": attempt})
        prefix = f"{FILES}/{name}/{place.name}/{attempt}"
        self.bucket.write(f"{LEASES}/{prefix}", b"")
        for file in manifest["outputs"]:
            self.bucket.upload(work / file, f"{prefix}/{file}")
        won = self.bucket.create(self._manifest_key(place), data)
        if won:
            write_atomic(work / MANIFEST, data)
            with cache_lock(self.root):
                # Another process of this host may be fetching this result already. Its copies stay.
                if _content(place / MANIFEST) == data:
                    remove_tree(work)
                else:
                    remove_tree(place)
                    super().commit(work, name, fingerprint)
            self._known.add(place)
        else:
            self.bucket.delete(f"{prefix}/{file}" for file in manifest["outputs"])
        self.bucket.delete([f"{LEASES}/{prefix}"])
        return won

    # --- attempts on other hosts

    @contextmanager
    def attempting(self, key: str, doing: Doing | None = None) -> Generator[Attempt]:
        """Begin an attempt, as `Store.attempting` does. Its signs of life are written into the bucket, too."""
        name = f"{LEASES}/{key}/{unique()}"

        def sign() -> None:
            about = read_words(attempt.words()) | {"cache": self._here()}
            self.bucket.write(name, orjson.dumps(about))

        with super().attempting(key, doing) as attempt:
            attempt.sign = sign
            attempt.sign()
            try:
                yield attempt
            finally:
                with suppress(StageError):  # it gets too old by itself
                    self.bucket.delete([name])

    def under_way(self) -> Iterator[UnderWay]:
        """Yield the attempts of all hosts, as `Store.under_way` does."""
        signs = self.bucket.listed(f"{LEASES}/")
        now = self._now() if signs else None
        for key, (_, beat) in sorted(signs.items()):
            # The stage of an upload is still being attempted.
            if now is not None and not _is_upload(key) and (data := self.bucket.read(key)) is not None:
                yield under_way(key.split("/")[1], read_words(data), (now - beat).total_seconds())

    def elsewhere(self, key: str) -> str | None:
        """Return which process on another host computes a stage now, or None if none gives signs of life.

        `Others` sees the attempts with the same cache on this machine. So the lease of one that was killed here is not
        waited for.
        """
        leases = self.bucket.listed(f"{LEASES}/{key}/")
        if not leases:
            return None
        now = self._now()
        for name, (_, beat) in leases.items():
            if (now - beat).total_seconds() <= LEASE:
                about = read_words(self.bucket.read(name) or b"")
                if about.get("cache") != self._here():
                    return owner(about)
        return None

    def _here(self) -> str:
        """Identify the cache and the machine, without their names."""
        return hashlib.sha256(f"{machine()} {self.root.resolve()}".encode()).hexdigest()[:16]

    def _now(self) -> datetime:
        """Return the time by the clock of the bucket, which is the same for all hosts."""
        key = f"clock/{unique()}"
        self.bucket.write(key, b"")
        try:
            return self.bucket.listed("clock/")[key][1]
        finally:
            self.bucket.delete([key])

    # --- runs and garbage

    def tally(self, account: str) -> Alter:
        """Return what changes the object in which all hosts count the calls of an account."""
        return functools.partial(self.bucket.alter, f"{SPENDING}/{account}.json")

    def refer(self, out: Path, fingerprints: Sequence[str]) -> None:
        """Record from which stages the results in `out` came, as `Store.refer` does."""
        name, record = record_of(out, fingerprints)
        # Results folders are local. Two hosts, such as two containers, may use the same path for different runs.
        host = hashlib.sha256(record["host"].encode()).hexdigest()[:8]
        self.bucket.write(f"{RUNS}/{name}-{host}.json", pretty(record))

    def run_records(self) -> Iterator[tuple[str, RunRecord | Damage]]:
        """Yield the names and the records of all runs."""
        for key in sorted(self.bucket.listed(f"{RUNS}/")):
            if (data := self.bucket.read(key)) is not None:
                yield key, parse_record(data, Path(key))

    def forget_run(self, name: str) -> None:
        """Remove the record of a run."""
        self.bucket.delete([name])

    def forget_silent(self) -> None:
        """Remove the leases of attempts that gave no sign of life for too long. One that was only suspended writes its
        lease again."""
        signs = {key: beat for key, (_, beat) in self.bucket.listed(f"{LEASES}/").items() if not _is_upload(key)}
        if signs:
            now = self._now()
            self.bucket.delete(key for key, beat in signs.items() if (now - beat).total_seconds() > LEASE)

    def unneeded(self, wanted: AbstractSet[str]) -> Iterator[Garbage]:
        """Yield the stages of the bucket that no run needs, and the files of attempts that did not become a result."""
        # In this order: files have a lease until their manifest is there. So files without one are in the third list.
        files, leases = self._files(), self.bucket.listed(f"{LEASES}/{FILES}/")
        results: set[str] = set()
        for place in self.places():
            prefix = self._prefix(place) if isinstance(self.look(place), Done) else ""
            results.add(prefix)
            if place.name not in wanted:
                yield Garbage(path=place, name=place.parent.name, size=files.get(prefix, 0), objects=prefix)
        for prefix in sorted(files.keys() - results):
            lease = leases.get(f"{LEASES}/{prefix}")
            if lease is None or (self._now() - lease[1]).total_seconds() > UPLOAD_SECONDS:
                name = prefix.split("/")[1]
                yield Garbage(path=self.root / prefix, name=name, size=files[prefix], objects=prefix)

    def _files(self) -> dict[str, int]:
        """Return the size of all files of each attempt."""
        found: dict[str, int] = {}
        for key, (size, _) in self.bucket.listed(f"{FILES}/").items():
            prefix = "/".join(key.split("/")[:4])
            found[prefix] = found.get(prefix, 0) + size
        return found

    def remove(self, garbage: Garbage) -> None:
        """Remove what `gc` found, from the bucket and from the cache."""
        if garbage.path.parent.parent == self.root / "stages":
            # First of all: without its manifest a stage is not finished, whatever else is there.
            self.bucket.delete([self._manifest_key(garbage.path)])
            self._known.discard(garbage.path)
        if garbage.objects:
            self.bucket.delete([*self.bucket.listed(f"{garbage.objects}/"), f"{LEASES}/{garbage.objects}"])
        super().remove(garbage)
