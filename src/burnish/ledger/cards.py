"""Cards for a refined dataset and its model. They say what was done, by whom, and how good it is, and hold no text of
the dataset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from jinja2 import Environment
from markupsafe import Markup

from burnish import __version__
from burnish.config import RefineSettings
from burnish.ledger.folder import LEDGER, Folder
from burnish.ledger.holdout import holdout_words
from burnish.ledger.naming import annotator_words, is_hub_id, method_words, proposals_words, public_name
from burnish.ledger.notes import taken_back
from burnish.ledger.page import harm_table, reasons_table, rounds_table, selftest_table
from burnish.ledger.summary import ModelSummary, State, Summary, reference_doubt
from burnish.report.facts import Fact
from burnish.report.page import environment
from burnish.report.tables import Table, markdown
from burnish.report.text import percent, percent_range, plural, terminal
from burnish.results import Metric
from burnish.store.files import write_atomic

README = "README.md"
TAG = "label-refinement"
"""The tag on the hub of everything that burnish pushes. `push` also knows its own folders by it."""
_LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
"""The name of the loader of the `datasets` library for each suffix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The hub ids of dataset and model. They are None if dataset and model go to a folder."""

    dataset: str | None = None
    model: str | None = None


def write_cards(folder: Folder, dataset: Path, model: Path | None, names: Names) -> None:
    """Write `README.md` into the dataset's folder and, if there is a model, into the model's folder."""
    summary = folder.summary
    write_atomic(dataset / README, dataset_card(folder, summary, names).encode("utf-8", errors="backslashreplace"))
    if model is not None and summary.model is not None:
        # LoRA weights alone are loaded by another class than a whole model.
        adapter = (model / "adapter_config.json").is_file()
        card = model_card(summary, summary.model, adapter, names)
        write_atomic(model / README, card.encode("utf-8", errors="backslashreplace"))


def dataset_card(folder: Folder, summary: Summary, names: Names) -> str:
    """Return the card of the refined dataset, as Markdown."""
    # The source goes into the header only if it is a dataset on the hub. A local path must not become public.
    source = summary.config.data.source
    front = {
        "pretty_name": summary.config.name,
        "tags": ["burnish", TAG, "synthetic"],
        **({"source_datasets": [source]} if is_hub_id(source) else {}),
        # Without this the hub takes the ledger for more rows of the dataset.
        "configs": [
            {"config_name": "default", "data_files": summary.data.file, "default": True},
            {"config_name": "ledger", "data_files": LEDGER},
        ],
    }
    return _rendered(
        "dataset_card.md.j2",
        summary,
        front=_front(front),
        changed=f"{len(folder.standing()):,}",
        data_file=_code(summary.data.file),
        ledger=_code(LEDGER),
        load=_loading(_code(summary.data.file), None if names.dataset is None else _code(names.dataset)),
    )


def model_card(summary: Summary, model: ModelSummary, adapter: bool, names: Names) -> str:
    """Return the card of the finetuned model, as Markdown."""
    # The same for the base model: only a hub id is a link that others can follow.
    assert summary.config.model is not None, summary.config
    base = summary.config.model.source
    front = {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["burnish", TAG],
        **({"base_model": base} if is_hub_id(base) else {}),
        # The hub links the two pages with this field.
        **({"datasets": [names.dataset]} if names.dataset else {}),
    }
    return _rendered(
        "model_card.md.j2",
        summary,
        front=_front(front),
        base=public_name(base),
        adapter=adapter,
        current=model.current,
        training=_training(summary.config),
        loader=_code("AutoPeftModelForCausalLM" if adapter else "AutoModelForCausalLM"),
        name=_code(names.model or "model"),
        dataset=names.dataset,
    )


def _rendered(template: str, summary: Summary, **more: object) -> str:
    """Return a card from its template and the summary."""
    return (
        _markdown_environment()
        .get_template(template)
        .render(
            title=summary.config.name,
            summary=summary,
            done=summary.state is State.DONE,
            facts=_facts(summary),
            accuracy=_accuracies(summary),
            holdout=Markup(holdout_words(summary) or ""),  # noqa: S704 our own words and numbers
            taken_back=Markup(taken_back(summary) or ""),  # noqa: S704 our own words and numbers
            rounds=_table(rounds_table(summary)),
            reasons=_table(reasons_table(summary)),
            harm=_table(harm_table(summary)),
            selftest=_table(selftest_table(summary)),
            burnish_version=__version__,
            **more,
        )
        + "\n"
    )


@cache
def _markdown_environment() -> Environment:
    """Return the templates for Markdown. Text that others wrote cannot add formatting, links or HTML to a card."""
    # HTML escapes would show as text in Markdown, so `finalize` escapes in their place. It sees every value that a
    # template inserts.
    return environment().overlay(autoescape=False, finalize=_escaped)


def _escaped(value: object) -> object:
    """Put a backslash before every character that Markdown or HTML could read as a mark."""
    # Markup is text of our own, which is escaped already.
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~&!" else char for char in terminal(value))


def _front(values: Mapping[str, object]) -> Markup:
    """Return the YAML header of a card, which the hub reads."""
    # allow_unicode=False: YAML writes characters outside ASCII as escapes.
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=False)  # pyright: ignore[reportUnknownMemberType] its stub
    return Markup(text)  # noqa: S704 YAML quotes what needs it


def _code(word: str) -> Markup:
    """Return the name of a file or a hub id without escapes. Such a name has no character that could be a mark."""
    # ASCII: `\w` alone also accepts letters of other scripts.
    assert re.fullmatch(r"[\w./-]+", word, re.ASCII), word
    return Markup(word)  # noqa: S704 checked above


def _table(table: Table | None) -> Markup | None:
    """Return a table in Markdown, or None if it has no rows."""
    return Markup(markdown(table)) if table is not None and table.rows else None  # noqa: S704 `markdown` escapes the cells


def _facts(summary: Summary) -> list[Fact]:
    """Return what was refined, by whom and how, as rows of a table. Empty ones are left out."""
    config, data = summary.config, summary.data
    audit = config.audit
    rows = [
        Fact("Dataset", f"{public_name(config.data.source)}, {plural(data.rows, 'row')}, {data.form}"),
        Fact("Left as they are", f"{plural(data.skipped, 'row')} that cannot be used" if data.skipped else ""),
        Fact("Proposals by", proposals_words(config)),
        Fact("Method", method_words(config.method)),
        Fact("Annotator", annotator_words(config.annotator)),
        Fact("Answers differ by", config.differs.kind),
        Fact("Audit by", annotator_words(audit.by) if audit else ""),
        Fact("Seed", str(config.seed)),
    ]
    return [row for row in rows if row.value]


def _accuracies(summary: Summary) -> str:
    """Return a sentence about right labels before and after, or an empty text if they were not measured."""
    # Without a reference column nothing is known about right labels, so the card says nothing about them.
    if summary.right_labels is None:
        return ""
    before, after = map(_share, summary.right_labels)
    words = f"Right labels by the reference column: {before} at first, {after} after the last round."
    doubt = reference_doubt(summary)
    return words if doubt is None else f"{words} {doubt}"


def _share(metric: Metric) -> str:
    """Return a share in percent with its count and interval."""
    assert metric.value is not None, metric
    interval = f", 95 % interval {percent_range(metric.ci95)}" if metric.ci95 else ""
    return f"{percent(metric.value)} (n {metric.n:,}{interval})"


def _training(config: RefineSettings) -> str:
    """Return the settings of training as a sentence."""
    train, template = config.train, None if config.model is None else config.model.template
    adapted = f", LoRA of rank {train.lora.r}" if train.lora else ", all weights"
    return (
        f"{train.epochs:g} epochs, learning rate {train.learning_rate:g}, {train.batch_size} rows a step, "
        f"{train.optimizer}{adapted}; prompts rendered as {template}"
    )


def _loading(file: Markup, repo: Markup | None) -> Markup:
    """Return the Python call that loads the dataset."""
    if repo is not None:
        # `Markup.format` escapes what it inserts, unless that is Markup itself.
        return Markup('load_dataset("{}", split="train")').format(repo)
    # A file may be compressed: the loader goes by the suffix before `.gz`.
    suffix = next(suffix for suffix in _LOADERS if file.removesuffix(".gz").endswith(suffix))
    # The loader for CSV also reads TSV, if it is told the separator.
    more = Markup(', sep="\\t"') if suffix == ".tsv" else Markup("")
    return Markup('load_dataset("{}", data_files="{}"{}, split="train")').format(_LOADERS[suffix], file, more)
