"""Runners: the executor computes what is missing and reuses what is there; the planner only says what would run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol

from burnish.store.canonical import canonical
from burnish.store.files import (
    PART,
    explained_write_errors,
    pretty,
    remove_tree,
    sync_directory,
    tree_checksums,
    write_atomic,
)
from burnish.store.stages import COSTS, MANIFEST, SCHEMA_VERSION, Done, Stage, Store, Talk, Work
from burnish.types import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What became of one stage in this run."""

    stage: Stage
    fingerprint: str
    reused: bool
    seconds: float
    counts: Mapping[str, int]


class Runner(Protocol):
    """Runs stages, or only plans them."""

    store: Store
    records: list[StageRecord]

    def run(self, stage: Stage) -> Artifact:
        """Return the stage's artifact."""
        ...


class Executor:
    """Runs what is not there, reuses what is."""

    def __init__(
        self, store: Store, talk: Talk, provenance: Mapping[str, Any], finished_before: AbstractSet[str] | None = None
    ) -> None:
        """`finished_before`: the fingerprints of the stages that were finished when the run began.

        It is needed where workers of the same run finish stages too: without it their stages would count as reused.
        """
        self.store, self.talk, self.provenance, self.finished_before = store, talk, provenance, finished_before
        self.records: list[StageRecord] = []
        self._seen: set[str] = set()

    def run(self, stage: Stage) -> Artifact:
        """Compute or reuse; a damaged result is said and computed again."""
        fingerprint = stage.fingerprint
        done = self.store.done(stage.name, fingerprint)
        if done and fingerprint not in self._seen and not self.store.sound(done):
            self.talk.say(f"{stage.name} {fingerprint[:8]}: a file is damaged or missing; computing it again")
            remove_tree(done.path)
            done = None
        reused = done is not None
        if done is None:
            with self.store.lock(stage.name, fingerprint, self.talk):
                done = self.store.done(stage.name, fingerprint)  # somebody else may have finished it meanwhile
                reused = done is not None
                done = done or self._compute(stage, fingerprint)
        if fingerprint not in self._seen:
            self._seen.add(fingerprint)
            self.records.append(
                StageRecord(
                    stage=stage,
                    fingerprint=fingerprint,
                    reused=reused and (self.finished_before is None or fingerprint in self.finished_before),
                    seconds=done.seconds,
                    counts=done.counts,
                )
            )
        return Artifact(path=str(done.path), kind=stage.name, fingerprint=fingerprint)

    def _compute(self, stage: Stage, fingerprint: str) -> Done:
        work = Work(self.store.work_place(stage.name, fingerprint))
        if not (work.path / MANIFEST).exists():  # else: killed between the manifest and the rename
            if not stage.resumable:
                remove_tree(work.path)
            with explained_write_errors(work.path):
                work.path.mkdir(parents=True, exist_ok=True)
            work.take_up()
            with self.talk.stage(stage.label or stage.name), explained_write_errors(work.path):
                stage.run(work)
            self._seal(stage, fingerprint, work)
        place = self.store.place(stage.name, fingerprint)
        place.parent.mkdir(parents=True, exist_ok=True)
        work.path.rename(place)
        sync_directory(place.parent)
        done = self.store.read(place)
        assert done, place
        return done

    def _seal(self, stage: Stage, fingerprint: str, work: Work) -> None:
        (work.path / COSTS).unlink(missing_ok=True)
        with explained_write_errors(work.path):
            for path in work.path.rglob("*"):
                if path.name.endswith(PART):  # a kill within an atomic write left it
                    path.unlink()
                elif path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
        outputs = {
            name: {"sha256": digest, "bytes": (work.path / name).stat().st_size}
            for name, digest in tree_checksums(work.path).items()
        }
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": fingerprint,
            "payload": json.loads(canonical(stage.payload)),
            "label": stage.label,
            "outputs": outputs,
            "seconds": work.seconds,
            "counts": work.counts,
            "provenance": dict(self.provenance),
        }
        write_atomic(work.path / MANIFEST, pretty(manifest))


class Planner:
    """Says what would run, without running it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.records: list[StageRecord] = []
        self._seen: set[str] = set()

    def run(self, stage: Stage) -> Artifact:
        """StageRecord the stage and return where its result would lie."""
        fingerprint = stage.fingerprint
        if fingerprint not in self._seen:
            self._seen.add(fingerprint)
            done = self.store.done(stage.name, fingerprint)
            seconds, counts = (done.seconds, done.counts) if done else (0.0, dict[str, int]())
            self.records.append(
                StageRecord(stage=stage, fingerprint=fingerprint, reused=bool(done), seconds=seconds, counts=counts)
            )
        path = self.store.place(stage.name, fingerprint)
        return Artifact(path=str(path), kind=stage.name, fingerprint=fingerprint)
