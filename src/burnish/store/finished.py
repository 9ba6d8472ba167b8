"""Finished stages: where they lie, what their manifests say, and whether their files are whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.errors import StageError
from burnish.store.files import tree_checksums
from burnish.store.manifest import MANIFEST, PLACE_DIGITS, Damage, Output, read_manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A finished stage, as its manifest describes it."""

    path: Path
    name: str
    fingerprint: str
    payload: Mapping[str, Any]
    seconds: float
    counts: Mapping[str, int]
    outputs: Mapping[str, Output]

    @property
    def size(self) -> int:
        """The size of all output files in bytes."""
        return sum(output.bytes for output in self.outputs.values())


class FinishedStages:
    """The finished stages of a store, in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def place(self, name: str, fingerprint: str) -> Path:
        """Return the folder for the result of a stage. It need not exist."""
        return self.root / "stages" / name / fingerprint[:PLACE_DIGITS]

    def done(self, name: str, fingerprint: str) -> Done | None:
        """Return a finished stage, or None if there is none or its manifest is damaged.

        Raises StageError as `look` does.
        """
        return self.read(self.place(name, fingerprint))

    def read(self, place: Path) -> Done | None:
        """Return the finished stage in a folder, or None if there is none or its manifest is damaged.

        Raises StageError as `look` does.
        """
        stage = self.look(place)
        return None if isinstance(stage, Damage) else stage

    def look(self, place: Path) -> Done | Damage | None:
        """Return the finished stage in a folder, or why it cannot be used, or None if the folder does not exist.

        The manifest must be valid and belong to this folder. The outputs are not read; see `damage`. Raises StageError
        if another version of burnish wrote the manifest, or if it cannot be read.
        """
        return self._look(place, place.parent.name, place.name)

    def sealed(self, work: Path, name: str, fingerprint: str) -> Done | Damage | None:
        """Return finished work that was not moved to its place yet. The result is as in `look`."""
        return self._look(work, name, fingerprint[:PLACE_DIGITS])

    def _look(self, place: Path, name: str, digits: str) -> Done | Damage | None:
        found = read_manifest(place, name, digits)
        if found is None or isinstance(found, Damage):
            return found
        manifest, payload = found
        return Done(
            path=place,
            name=manifest.payload.name,
            fingerprint=manifest.fingerprint,
            payload=payload,
            seconds=manifest.seconds,
            counts=manifest.counts,
            outputs=manifest.outputs,
        )

    def every(self, name: str = "*") -> Iterator[Done]:
        """Yield the finished stages (of one name) whose manifests can be read, the latest first."""
        for place in self.places(name):
            if done := self.read(place):
                yield done

    def places(self, name: str = "*") -> list[Path]:
        """Return the folders of finished stages (of one name), the latest first.

        Their manifests need not be readable.
        """
        # Names that begin with a dot are folders that are being removed (see `remove_tree`).
        folders = [place for place in self.root.glob(f"stages/{name}/*") if not place.name.startswith(".")]
        return sorted(folders, key=lambda place: -place.lstat().st_mtime)

    def damage(self, done: Done) -> Damage | None:
        """Return the first output whose checksum differs from the one in the manifest, or None if all are whole.

        A missing file and a file that the manifest does not name are damage, too. Raises StageError if the system does
        not allow a file to be read.
        """
        return self.wrong_file(done)

    def wrong_file(self, done: Done, absent: AbstractSet[str] = frozenset()) -> Damage | None:
        """Return the first file that differs from the manifest. The outputs that are `absent` need not be there.

        Raises StageError as `damage` does.
        """
        try:
            checksums = tree_checksums(done.path)
        except OSError as error:
            raise StageError(
                f"{error.filename}: cannot be read ({error.strerror}); check its permissions and the disk"
            ) from error
        checksums.pop(MANIFEST, None)  # the manifest cannot hold its own checksum
        for name in sorted({*checksums, *done.outputs} - absent):
            if name not in done.outputs or checksums.get(name) != done.outputs[name].sha256:
                return Damage(path=done.path / name, why="a file is changed, missing or not of this stage")
        return None

    def fetch(self, path: Path, weights: bool = True) -> None:
        """Make sure that the files of a finished stage can be read. `path` is its folder, or a path in it.

        In a local folder they always can. Without `weights`, the weights of models are left out.
        """
