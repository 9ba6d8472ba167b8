"""From what a user writes, on the command line or in Python, to the config of a refinement."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from burnish.config import METHODS, RefineConfig, Template
from burnish.config.columns import columns_from
from burnish.config.method_settings import Rounds
from burnish.config.reading import checked, read_annotator, read_proposals, refine_config, words_of
from burnish.errors import ConfigError, brief


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `burnish refine`. An option that is None or empty keeps its default.

    `annotator`, `proposals`, `differs` and `columns` may also be mappings of settings, and `extra_columns` a list of
    names.
    """

    data: str
    model: str | None = None
    annotator: Any = None
    proposals: str | Mapping[str, Any] | None = None
    rounds: Rounds | None = None
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
    holdout: int | None = None
    audit: int | None = None
    audit_by: str | None = None
    max_harm: float | None = None
    on_bad_row: str | None = None
    no_selftest: bool = False
    go_on: bool = False
    merge: bool = False
    changes: Sequence[str] = ()


# pydantic trusts an instance of the class and does not look at its fields. Python callers may have put anything there,
# so each field is checked again.
Options.__pydantic_config__ = ConfigDict(revalidate_instances="always")  # pyright: ignore[reportAttributeAccessIssue]
OPTIONS = TypeAdapter(Options)


def config_of(options: Options) -> RefineConfig:
    """Check all options at once and return the config. Raises ConfigError naming the field, the value and the fix."""
    # Strict: a text such as "3" is no number of rounds. Else a caller's mistake would be repaired silently.
    checked(OPTIONS, options, "refine", strict=True)
    values: dict[str, Any] = {
        "data": _data(options),
        "method": {"kind": options.method, **_method(options)},
    }
    if options.model is not None or options.template is not None:
        # A template without a model is an error, which names the missing source.
        values["model"] = _given(source=options.model) | _template(options.template)
    if options.proposals is not None:
        values["proposals"] = read_proposals(options.proposals)
    if options.annotator is not None:
        values["annotator"] = _annotator(options.annotator)
    if options.differs is not None:
        values["differs"] = _differs(options.differs)
    if options.comparisons is not None:
        values["comparisons"] = options.comparisons
    if options.holdout is not None:
        values["holdout"] = options.holdout
    if options.audit is not None or options.max_harm is not None or options.audit_by is not None:
        # One of the three options is enough to ask for an audit. The others then have their defaults.
        auditor = None if options.audit_by is None else _annotator(options.audit_by, "audit.by")
        values["audit"] = _given(size=options.audit, by=auditor, max_harm=options.max_harm)
    if options.no_selftest or options.go_on:
        values["selftest"] = {"skip": options.no_selftest, "go_on": options.go_on}
    if options.merge:
        values["merge"] = True
    return refine_config(values, options.changes)


_COMMA = "a name with a comma goes into --set data.columns.prompt=NAME"


def _data(options: Options) -> dict[str, Any]:
    """Return the fields of `data`."""
    columns, extras = options.columns, options.extra_columns
    return _given(
        source=options.data,
        reference_column=options.reference,
        columns=columns_from(columns, _COMMA) if isinstance(columns, str) else columns,
        extra_columns=_names(extras) if isinstance(extras, str) else extras,
        on_bad_row=options.on_bad_row,
    )


def _names(text: str) -> list[str]:
    """Read names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None, so that the others keep their defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def _annotator(annotator: Any, field: str = "annotator") -> dict[str, Any]:
    """Return an annotator's fields as a mapping, so that `--set annotator.x=y` can still change them."""
    if not isinstance(annotator, str | Path):
        return annotator
    return read_annotator(str(annotator), field).model_dump(mode="json")


def _method(options: Options) -> dict[str, Any]:
    """Return the fields of `method`. Raises ConfigError if an option is given that the method does not use."""
    fields = _given(rounds=options.rounds, alpha=options.alpha, accept=options.accept, gate=options.gate)
    settings = METHODS.get(options.method)
    if settings is not None:
        for name, value in fields.items():
            # Another message says that a method does not refine.
            if settings.refines and name not in settings.model_fields:
                raise ConfigError(f"--{name}: {brief(value)} is not used by --method {options.method}; leave it out")
        # Proposals from elsewhere are compared in one round.
        fields = {**settings.refine_defaults, **({"rounds": 1} if options.proposals is not None else {}), **fields}
    if options.checker is not None:
        if settings is None or "checker" not in settings.model_fields:
            raise ConfigError(
                f"--checker: {brief(options.checker)} is not used by {options.method}; use --method verified"
            )
        fields["checker"] = words_of(options.checker, "--checker")
    return fields


def _differs(differs: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `differs` from its short form. Raises ConfigError for an unknown form."""
    if not isinstance(differs, str):
        return dict(differs)
    kind, _, rest = differs.partition(":")
    match kind:
        case "text" | "number":
            return {"kind": kind}
        case "embedding" | "embedding_server":
            return {"kind": kind, "model": rest}
        case "command":
            return {"kind": kind, "command": words_of(rest, "--differs")}
        case _:
            raise ConfigError(
                f"--differs: {brief(differs)} found; write text, number, embedding:MODEL, embedding_server:MODEL or "
                "command:PROGRAM"
            )


def _template(text: str | None) -> dict[str, Any]:
    """Return the model's fields that say how rows become text. A file is replaced by its text, since only the text
    changes results.

    Raises ConfigError if the file cannot be read.
    """
    if text is None:
        return {}
    # A built-in template comes before a file of the same name.
    if text in set(Template):
        return {"template": text}
    try:
        if os.path.exists(text) and not os.path.isfile(text):  # reading a pipe would wait forever
            raise OSError("it is no ordinary file")
        return {"template": "chat", "chat_template": Path(text).read_text(encoding="utf-8")}
    except (OSError, ValueError) as error:  # ValueError: the text is not UTF-8, or the name has a null character
        # `strerror` is the system's own short text. Without it the message would repeat the path.
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"--template: {brief(text)} cannot be read ({why}); write paper, chat, or a file with a Jinja chat template"
        ) from None
