"""Runners of stages.

The executor computes missing stages and reuses finished ones. The planner only says what would run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from burnish.errors import DataError, StageError, brief
from burnish.store.attempts import Attempt, Doing, Others, discard, lease_lost, stage_key
from burnish.store.canonical import canonical
from burnish.store.course import Course, PlannedStage
from burnish.store.files import PART, explained_write_errors, pretty, tree_checksums, write_atomic
from burnish.store.finished import Done
from burnish.store.locking import stage_lock, wait_for_others
from burnish.store.manifest import MANIFEST, SCHEMA_VERSION, Damage
from burnish.store.mending import mend_lines
from burnish.store.parts import divided, take_parts
from burnish.store.stages import COSTS, Stage, Store, Work, inode_of
from burnish.store.talk import KnowsProgress, Talk
from burnish.types import Artifact

LESS_MEMORY = "lower execution.batch_tokens, execution.micro_batch or execution.workers"
"""What helps against a lack of memory."""
TRIES = 3
"""How often a stage is attempted whose folder another process removes."""
DECISION, GO_ON = "decision.json", "go_on"
"""The file in which a stage says how the plan goes on, and its field that is true or false."""
# What torch says if the memory of a GPU is full, and if the memory of the machine is.
_NO_MEMORY = ("out of memory", "can't allocate memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """What happened to one stage in this run: whether it was reused, and what it cost."""

    stage: Stage
    fingerprint: str
    reused: bool
    seconds: float
    counts: Mapping[str, int]


def planned_stages(records: Iterable[StageRecord]) -> list[PlannedStage]:
    """Return the stages of a plan as a `Course` numbers them."""
    return [
        PlannedStage(
            fingerprint=record.fingerprint,
            name=record.stage.name,
            label=record.stage.label,
            reused=record.reused,
            seconds=record.seconds,
            needs=record.stage.needs,
            outside=record.stage.outside,
        )
        for record in records
    ]


class Runner(Protocol):
    """Runs stages, or only plans them."""

    store: Store
    records: list[StageRecord]

    def run(self, stage: Stage) -> Artifact:
        """Return the artifact of a stage: where its result is, and its fingerprint."""
        ...

    def decided(self, decision: Artifact) -> bool | None:
        """Say whether a stage decided that the work goes on. `decision` is the artifact of that stage.

        Return None if a plan does not know this yet and must end here.
        """
        ...


class Executor:
    """Computes stages that are missing and reuses finished ones."""

    def __init__(
        self,
        store: Store,
        talk: Talk,
        provenance: Mapping[str, Any],
        finished_before: AbstractSet[str] | None = None,
        course: Course | None = None,
        sound: set[str] | None = None,
    ) -> None:
        """`finished_before` has the fingerprints of the stages that were finished when the run began.

        It is needed if the run has several workers. Without it, a stage that another worker of the same run finished
        would count as reused. `course` has the planned stages. Without it, people are not told how many stages there
        are. `sound` has the fingerprints of finished stages whose files were checked or written in this run, so that
        they are not checked again. It grows by the stages that this executor checks or computes.
        """
        self.store, self.talk, self.provenance, self.finished_before = store, talk, provenance, finished_before
        self.course = course or Course([])
        self.sound = set[str]() if sound is None else sound
        self.records: list[StageRecord] = []
        self._seen: set[str] = set()

    def run(self, stage: Stage) -> Artifact:
        """Compute a stage or reuse it. A damaged stage is reported, put aside and computed again.

        Raises StageError if the store cannot be read or written. It also raises whatever the stage's function raises.
        """
        fingerprint = stage.fingerprint
        done = self._reusable(stage, fingerprint)
        reused = isinstance(done, Done)
        if not isinstance(done, Done):
            key = stage_key(stage.name, fingerprint)
            with stage_lock(self.store.root, key, self.talk) as locked:
                others = Others(self.store.root, key, locked)
                wait_for_others(self.store, stage.name, fingerprint, others, self.talk)
                # Another process may have finished the stage while this one waited.
                done = self._reusable(stage, fingerprint)
                reused = isinstance(done, Done)
                if not isinstance(done, Done):
                    done = self._compute(stage, fingerprint, others)
        self.sound.add(fingerprint)
        self.store.fetch(done.path, weights=False)  # a stage that reads weights fetches them
        if fingerprint not in self._seen:
            self._seen.add(fingerprint)
            self.course.finished(fingerprint, done.seconds)
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

    def _progress(self) -> tuple[int, int] | None:
        return self.talk.progress() if isinstance(self.talk, KnowsProgress) else None

    def decided(self, decision: Artifact) -> bool:
        """Read the decision of a finished stage."""
        return _read_decision(Path(decision.path))

    def _reusable(self, stage: Stage, fingerprint: str) -> Done | Damage | None:
        """Return the finished stage, or why it is damaged, or None if there is none.

        The checksums of its files are checked once in a run, because reading large files takes time.
        """
        done = self.store.look(self.store.place(stage.name, fingerprint))
        if isinstance(done, Done) and fingerprint not in self.sound:
            return self.store.damage(done) or done
        return done

    def _put_aside(self, stage: Stage, path: Path, damage: Damage, inode: int | None = None) -> None:
        aside = self.store.put_aside(path, inode)
        if aside is not None:
            self.talk.say(f"{stage.name} {stage.fingerprint[:8]}: a file is damaged or missing; computing it again")
            self.talk.say(f"{damage}; the old files are now in {aside}")

    def _compute(self, stage: Stage, fingerprint: str, others: Others) -> Done:
        """Compute a stage. If another process is faster, discard the work and use that process's result."""
        place = self.store.place(stage.name, fingerprint)
        for _ in range(TRIES):
            inode = inode_of(place)
            found = self._reusable(stage, fingerprint)
            if isinstance(found, Done):
                return found
            if found is not None:
                self._put_aside(stage, place, found, inode)
            doing = Doing(label=stage.label or stage.name, progress=self._progress)
            with self.store.attempting(others.key, doing) as attempt:
                try:
                    self._attempt(stage, fingerprint, attempt, others)
                    attempt.check()
                    committed = self.store.commit(attempt.path, stage.name, fingerprint)
                except Exception:
                    # Whatever broke: without its folder, the attempt could not succeed.
                    if not attempt.lost:
                        raise
                    discard(attempt.path)  # what was written there since it was removed
                    continue
            if committed:
                others.clear()
                done = self.store.read(place)
                assert done, place
                return done
            # Complete work is kept until the other result is known to be whole.
            if isinstance(self._reusable(stage, fingerprint), Done):
                discard(attempt.path)
        raise lease_lost(place)

    def _attempt(self, stage: Stage, fingerprint: str, attempt: Attempt, others: Others) -> None:
        """Do all work of a stage in the folder of an attempt, up to the manifest."""
        work = Work(attempt.path, tell=self.talk.rows, check=attempt.check)
        others.take_over(work.path, stage.resumable)
        # Work that already has a manifest is complete: a run was killed between writing the manifest and the rename.
        if not self._sealed(stage, work):
            self._prepare(work)
            for artifact in (*stage.inputs.values(), *stage.after):
                self.store.fetch(Path(artifact.path))
            take_parts(self.store, stage, work)
            position = self.course.position(fingerprint)
            with self.talk.stage(stage.label or stage.name, position), _explained(stage, work.path):
                stage.run(work)
            self._seal(stage, fingerprint, work)

    def _sealed(self, stage: Stage, work: Work) -> bool:
        """Say whether the work is complete and only has to be moved to its place. Damaged work is put aside."""
        if not (work.path / MANIFEST).exists():
            return False
        found = self.store.sealed(work.path, stage.name, stage.fingerprint)
        damage = self.store.damage(found) if isinstance(found, Done) else found
        if damage is not None:
            self._put_aside(stage, work.path, damage)
        return damage is None

    def _prepare(self, work: Work) -> None:
        """Prepare the folder of the work.

        It is empty, or it has the undamaged rows that a killed run of a resumable stage left.
        """
        with explained_write_errors(work.path):
            work.path.mkdir(parents=True, exist_ok=True)
        if damage := work.take_up():
            aside = self.store.put_aside(damage.path)
            self.talk.say(f"{damage}; the old file is now in {aside}, and counting begins anew")
        for path in sorted(work.path.glob("*.jsonl")):
            # Only damaged lines are lost: the stage computes the rows that are missing in its file.
            if lost := mend_lines(path, lambda path=path: self.store.put_aside(path)):
                self.talk.say(f"{path} is damaged in {lost} lines; these rows are computed again")

    def _seal(self, stage: Stage, fingerprint: str, work: Work) -> None:
        # The costs go into the manifest below. As a file of the result they would change its checksums.
        (work.path / COSTS).unlink(missing_ok=True)
        with explained_write_errors(work.path):
            for path in work.path.rglob("*"):
                if path.name.endswith(PART):  # a kill during an atomic write left this file
                    path.unlink()
                # Every file is on the disk before the manifest says that the stage is complete.
                elif path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
        outputs = {
            name: {"sha256": digest, "bytes": (work.path / name).stat().st_size}
            for name, digest in tree_checksums(work.path).items()
        }
        # Files that were written after the folder was removed are only a part of the result.
        work.check()
        # The manifest is written last. A folder without one is unfinished work, whatever else is in it.
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


@contextmanager
def _explained(stage: Stage, work: Path) -> Generator[None, None, None]:
    """Turn some errors into a StageError that says what to do.

    These are errors of writing, errors of reading the rows that a killed run left, and a lack of memory.
    """
    try:
        with explained_write_errors(work):
            yield
    except DataError as error:
        # An error in another file, such as the user's dataset, is not damage of the store.
        if stage.resumable and str(work) in str(error):
            raise StageError(f"{error}; the file is damaged: remove it and run the same command again") from None
        raise
    except (MemoryError, RuntimeError) as error:
        # torch raises a RuntimeError, also if the memory of a GPU is full. The store does not import torch.
        if not isinstance(error, MemoryError) and not any(words in str(error) for words in _NO_MEMORY):
            raise
        words = brief(str(error) or type(error).__name__)
        raise StageError(
            f"{stage.label or stage.name}: not enough memory ({words}); {LESS_MEMORY}, and run the same command again: "
            "finished work is kept"
        ) from error


def _read_decision(stage: Path) -> bool:
    return bool(json.loads((stage / DECISION).read_bytes())[GO_ON])


class Planner:
    """Says what would run, without running it.

    A plan can depend on decisions of stages that are not computed yet. With `longest`, it assumes that the work goes on
    after each of them. Else it ends there, so it has only stages that are sure to run. It has to be made again as long
    as there are `undecided` stages. Stages that can be cut are cut into so many `parts`, unless they are finished. With
    `every_part`, finished ones are cut, too: when a worker plans, more stages are finished than when its run did.
    """

    def __init__(self, store: Store, longest: bool = True, parts: int = 1, every_part: bool = False) -> None:
        self.store, self.longest, self.parts, self.every_part = store, longest, parts, every_part
        self.undecided: set[str] = set()
        """The fingerprints of the stages whose decisions are not known yet."""
        self.records: list[StageRecord] = []
        self._seen: set[str] = set()

    def run(self, stage: Stage) -> Artifact:
        """Record the stage, and return the place where its result is or would be."""
        fingerprint = stage.fingerprint
        if fingerprint not in self._seen:
            self._seen.add(fingerprint)
            done = self.store.done(stage.name, fingerprint)
            if not done or self.every_part:
                parts = tuple(self.run(part) for part in divided(stage, self.parts))
                stage = replace(stage, after=(*stage.after, *parts))
            seconds, counts = (done.seconds, done.counts) if done else (0.0, dict[str, int]())
            self.records.append(
                StageRecord(stage=stage, fingerprint=fingerprint, reused=bool(done), seconds=seconds, counts=counts)
            )
        path = self.store.place(stage.name, fingerprint)
        return Artifact(path=str(path), kind=stage.name, fingerprint=fingerprint)

    def decided(self, decision: Artifact) -> bool | None:
        """Read the decision of a stage if it is finished. If it is not, go on or end as `longest` says."""
        if self.store.done(decision.kind, decision.fingerprint) is not None:
            self.store.fetch(Path(decision.path))
            return _read_decision(Path(decision.path))
        self.undecided.add(decision.fingerprint)
        return True if self.longest else None
