"""Why a stage runs again: the nearest earlier stage of its name, and the fields in which they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.store.runners import StageRecord
from burnish.store.stages import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field with its earlier and its present value; `cause` names the stage that changed for an input."""

    field: str
    before: Any
    now: Any
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What becomes of one planned stage: `done`, `new` (nothing like it is there) or `changed`."""

    label: str
    name: str
    fingerprint: str
    state: str
    differences: tuple[Difference, ...] = ()


def explain(records: Sequence[StageRecord], store: Store) -> list[Explanation]:
    """Compare each planned stage that is not done with the most similar finished one of its name."""
    labels = {record.fingerprint: record.stage.label or record.stage.name for record in records}
    return [_one(record, store, labels) for record in records]


def _one(record: StageRecord, store: Store, labels: Mapping[str, str]) -> Explanation:
    name, label = record.stage.name, labels[record.fingerprint]
    if record.reused:
        return Explanation(label=label, name=name, fingerprint=record.fingerprint, state="done")
    now = flat(record.stage.payload)
    candidates = [_differences(flat(done.payload), now, labels) for done in store.every(name)]
    if not candidates:
        return Explanation(label=label, name=name, fingerprint=record.fingerprint, state="new")
    nearest = min(candidates, key=len)  # ties: the latest, since `every` yields it first
    return Explanation(
        label=label, name=name, fingerprint=record.fingerprint, state="changed", differences=tuple(nearest)
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], labels: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(
            field=key,
            before=before.get(key),
            now=now.get(key),
            cause=labels.get(str(now.get(key))) if key.startswith("inputs.") else None,
        )
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def flat(payload: object, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names: {"a": {"b": 1}} -> {"a.b": 1}; lists stay values."""
    return dict(_leaves(payload, prefix))


def _leaves(value: object, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield prefix, value
