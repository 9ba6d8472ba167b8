"""Explains why a stage runs again: finds the most similar finished stage of its name, and the fields that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burnish.store.runners import StageRecord
from burnish.store.stages import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that differs, with its earlier value and its present value.

    If the field is an input that another planned stage makes, `cause` is the label of that stage.
    """

    field: str
    before: Any
    now: Any
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What happens to one planned stage.

    `state` is `done` (it is reused), `new` (the store has no stage of its name) or `changed` (a similar stage is
    finished, and `differences` says how the planned one differs from the most similar one).
    """

    label: str
    name: str
    fingerprint: str
    state: str
    differences: tuple[Difference, ...] = ()


def explain(records: Sequence[StageRecord], store: Store) -> list[Explanation]:
    """Explain each planned stage.

    A stage that is not done is compared with the most similar finished stage of its name.
    """
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
    nearest = min(candidates, key=len)  # of several equally near ones the latest, because `every` yields it first
    return Explanation(
        label=label, name=name, fingerprint=record.fingerprint, state="changed", differences=tuple(nearest)
    )


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], labels: Mapping[str, str]) -> list[Difference]:
    return [
        Difference(
            field=key,
            before=before.get(key),
            now=now.get(key),
            # The value of an input is the fingerprint of the stage that makes it.
            cause=labels.get(str(now.get(key))) if key.startswith("inputs.") else None,
        )
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def flat(payload: object, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to dotted names: {"a": {"b": 1}} becomes {"a.b": 1}. Lists are kept as values."""
    return dict(_leaves(payload, prefix))


def _leaves(value: object, prefix: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _leaves(item, f"{prefix}.{key}" if prefix else str(key))  # pyright: ignore[reportUnknownArgumentType]
    else:
        yield prefix, value
