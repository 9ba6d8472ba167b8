"""From what a user writes, on the command line or in Python, to a refinement's config."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.config import RefineConfig, Template
from burnish.config.reading import read_annotator, refine_config
from burnish.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `burnish refine`; what is None or empty keeps its default.

    `annotator`, `differs` and `columns` may be mappings of settings, too, and `extra_columns` a list of names.
    """

    data: str
    model: str
    annotator: Any = None
    rounds: int | None = None
    alpha: float | None = None
    accept: str | None = None
    gate: float | None = None
    method: str = "ilr"
    checker: str | None = None
    differs: str | Mapping[str, Any] | None = None
    reference: str | None = None
    columns: str | Mapping[str, Any] | None = None
    extra_columns: str | Sequence[str] | None = None
    template: str | None = None
    comparisons: int | None = None
    audit: int | None = None
    audit_by: str | None = None
    max_harm: float | None = None
    on_bad_row: str | None = None
    no_selftest: bool = False
    go_on: bool = False
    changes: Sequence[str] = ()


def config_of(options: Options) -> RefineConfig:
    """Check all options at once. Raises ConfigError naming field, value and fix."""
    values: dict[str, Any] = {
        "data": _data(options),
        "model": {"source": options.model, **_template(options.template)},
        "method": {"kind": options.method, **_method(options)},
    }
    if options.annotator is not None:
        values["annotator"] = _annotator(options.annotator)
    if options.differs is not None:
        values["differs"] = _differs(options.differs)
    if options.comparisons is not None:
        values["comparisons"] = options.comparisons
    if options.audit is not None or options.max_harm is not None or options.audit_by is not None:
        auditor = None if options.audit_by is None else _annotator(options.audit_by, "audit.by")
        values["audit"] = _given(size=options.audit, by=auditor, max_harm=options.max_harm)
    if options.no_selftest or options.go_on:
        values["selftest"] = {"skip": options.no_selftest, "go_on": options.go_on}
    return refine_config(values, options.changes)


def _data(options: Options) -> dict[str, Any]:
    columns, extras = options.columns, options.extra_columns
    return _given(
        source=options.data,
        reference_column=options.reference,
        columns=_pairs(columns) if isinstance(columns, str) else columns,
        extra_columns=_names(extras) if isinstance(extras, str) else extras,
        on_bad_row=options.on_bad_row,
    )


def _pairs(text: str) -> dict[str, str]:
    """Read `prompt=query,completion=response`. Raises ConfigError naming what is no pair."""
    found: dict[str, str] = {}
    for pair in text.split(","):
        part, equals, column = (piece.strip() for piece in pair.partition("="))
        if not equals or not part or not column or part in found:
            raise ConfigError(
                f"--columns: {pair!r:.200} found; write each part once, such as prompt=query,completion=response (a "
                "name with a comma goes into --set data.columns.prompt=NAME)"
            )
        found[part] = column
    return found


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _annotator(given: Any, field: str = "annotator") -> dict[str, Any]:
    """Return an annotator's fields, so that `--set annotator.x=y` can still change them."""
    if not isinstance(given, str | Path):
        return given
    return read_annotator(str(given), field).model_dump(mode="json")


def _method(options: Options) -> dict[str, Any]:
    fields = _given(rounds=options.rounds, alpha=options.alpha, accept=options.accept, gate=options.gate)
    if options.method == "ilr":
        fields.setdefault("rounds", 2)
    if options.checker is not None:
        if options.method != "verified":
            raise ConfigError(f"--checker: {options.checker!r} is not read by {options.method}; use --method verified")
        fields["checker"] = shlex.split(options.checker)
    return fields


def _differs(given: str | Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(given, str):
        return dict(given)
    kind, _, rest = given.partition(":")
    match kind:
        case "text" | "number":
            return {"kind": kind}
        case "embedding" | "embedding_server":
            return {"kind": kind, "model": rest}
        case "command":
            return {"kind": kind, "command": shlex.split(rest)}
        case _:
            raise ConfigError(
                f"--differs: {given!r} found; write text, number, embedding:MODEL, embedding_server:MODEL or "
                "command:PROGRAM"
            )


def _template(text: str | None) -> dict[str, Any]:
    """Return the model's fields that say how rows are rendered; a file's text, not its path, is what counts."""
    if text is None:
        return {}
    if text in set(Template):
        return {"template": text}
    try:
        if os.path.exists(text) and not os.path.isfile(text):  # a pipe would be waited for
            raise OSError("no ordinary file")
        return {"template": "chat", "chat_template": Path(text).read_text(encoding="utf-8")}
    except (OSError, ValueError) as error:  # no UTF-8, or a name with a zero byte
        raise ConfigError(
            f"--template: {text!r:.300} cannot be read ({error!s:.300}); write paper, chat, or a file with a Jinja "
            "chat template"
        ) from None
