"""Cards for a refined dataset and its model: what was done, by whom, how good. No text of the dataset is in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment
from markupsafe import Markup

from burnish import __version__
from burnish.config import RefineSettings
from burnish.ledger.folder import LEDGER, Folder
from burnish.ledger.naming import annotator_words, is_hub_id, method_words, public_name
from burnish.ledger.page import harm_table, reasons_table, rounds_table, selftest_table
from burnish.ledger.summary import ModelSummary, State, Summary, reference_doubt
from burnish.report.page import Fact, environment
from burnish.report.tables import Table, markdown
from burnish.report.text import percent, percent_range, plural, terminal
from burnish.results import Metric
from burnish.store.files import write_atomic

README = "README.md"
TAG = "label-refinement"
_LOADERS = {".jsonl": "json", ".json": "json", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the two are called where they go: hub ids, None where they go to a folder."""

    dataset: str | None = None
    model: str | None = None


def write_cards(folder: Folder, dataset: Path, model: Path | None, names: Names) -> None:
    """Write `README.md` into the dataset's folder and, where there is one, into the model's."""
    summary = folder.summary
    write_atomic(dataset / README, dataset_card(folder, summary, names).encode("utf-8", errors="backslashreplace"))
    if model is not None and summary.model is not None:
        adapter = (model / "adapter_config.json").is_file()
        card = model_card(summary, summary.model, adapter, names)
        write_atomic(model / README, card.encode("utf-8", errors="backslashreplace"))


def dataset_card(folder: Folder, summary: Summary, names: Names) -> str:
    """Return the card of the refined dataset."""
    source = summary.config.data.source
    front = {
        "pretty_name": summary.config.name,
        "tags": ["burnish", TAG, "synthetic"],
        **({"source_datasets": [source]} if is_hub_id(source) else {}),
        # Without this the hub reads the ledger as rows of the dataset.
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
    """Return the card of the finetuned model."""
    base = summary.config.model.source
    front = {
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["burnish", TAG],
        **({"base_model": base} if is_hub_id(base) else {}),
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
    return (
        _markdown_environment()
        .get_template(template)
        .render(
            title=summary.config.name,
            summary=summary,
            done=summary.state is State.DONE,
            facts=_facts(summary),
            accuracy=_accuracies(summary),
            rounds=_table(rounds_table(summary)),
            reasons=_table(reasons_table(summary)),
            harm=_table(harm_table(summary)),
            selftest=_table(selftest_table(summary)),
            burnish_version=__version__,
            **more,
        )
        + "\n"
    )


def _markdown_environment() -> Environment:
    """Return the templates for Markdown: a stranger's string can neither format nor link nor hold HTML."""
    return environment().overlay(autoescape=False, finalize=_escaped)


def _escaped(value: object) -> object:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|~&!" else char for char in terminal(value))


def _front(values: Mapping[str, object]) -> Markup:
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=False)  # pyright: ignore[reportUnknownMemberType] its stub
    return Markup(text)  # noqa: S704 YAML quotes it


def _code(word: str) -> Markup:
    """Return a file's name or a hub id as it stands: such words hold nothing that could format."""
    assert re.fullmatch(r"[\w./-]+", word, re.ASCII), word
    return Markup(word)  # noqa: S704 checked


def _table(table: Table | None) -> Markup | None:
    return Markup(markdown(table)) if table is not None and table.rows else None  # noqa: S704 it escapes its words


def _facts(summary: Summary) -> list[Fact]:
    config, data = summary.config, summary.data
    audit = config.audit
    rows = [
        Fact("Dataset", f"{public_name(config.data.source)}, {plural(data.rows, 'row')}, {data.form}"),
        Fact("Left as they are", f"{plural(data.skipped, 'row')} that cannot be used" if data.skipped else ""),
        Fact("Proposals by", public_name(config.model.source)),
        Fact("Method", method_words(config.method)),
        Fact("Annotator", annotator_words(config.annotator)),
        Fact("Answers differ by", config.differs.kind),
        Fact("Audit by", annotator_words(audit.by) if audit else ""),
        Fact("Seed", str(config.seed)),
    ]
    return [row for row in rows if row.value]


def _accuracies(summary: Summary) -> str:
    if summary.right_labels is None:
        return ""
    before, after = map(_share, summary.right_labels)
    words = f"Right labels by the reference column: {before} at first, {after} after the last round."
    doubt = reference_doubt(summary)
    return words if doubt is None else f"{words} {doubt}"


def _share(metric: Metric) -> str:
    assert metric.value is not None, metric
    interval = f", 95 % interval {percent_range(metric.ci95)}" if metric.ci95 else ""
    return f"{percent(metric.value)} (n {metric.n:,}{interval})"


def _training(config: RefineSettings) -> str:
    train = config.train
    adapted = f", LoRA of rank {train.lora.r}" if train.lora else ", all weights"
    return (
        f"{train.epochs:g} epochs, learning rate {train.learning_rate:g}, {train.batch_size} rows a step, "
        f"{train.optimizer}{adapted}; prompts rendered as {config.model.template}"
    )


def _loading(file: Markup, repo: Markup | None) -> Markup:
    if repo is not None:
        return Markup('load_dataset("{}", split="train")').format(repo)
    suffix = next(suffix for suffix in _LOADERS if file.removesuffix(".gz").endswith(suffix))
    more = Markup(', sep="\\t"') if suffix == ".tsv" else Markup("")
    return Markup('load_dataset("{}", data_files="{}"{}, split="train")').format(_LOADERS[suffix], file, more)
