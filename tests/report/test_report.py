"""The report: true sentences, a page that needs nothing else, and strangers' text that stays text."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar, Literal
from xml.etree import ElementTree

import pytest

from burnish.config import METHODS, TASKS, MethodRole, MethodSettings, TaskSettings
from burnish.errors import DataError
from burnish.report.facts import facts
from burnish.report.figures import draw_figures, write_figures
from burnish.report.page import render, write_report
from burnish.report.series import Relation, contrast, curve, main_metric, methods
from burnish.report.tables import effects_table
from burnish.report.text import duration, percent, shortened, signed_points, terminal, visible
from burnish.report.words import basis, found_here, headline
from burnish.results import REFERENCE_WIN_RATE, Change, Metric, Results, read_changes, read_results, read_timings
from burnish.types import Effect

FIXTURE = Path(__file__).parents[1] / "fixtures" / "results-v1"
EVIL = "</style></svg><script>alert('1')</script>\"><img src=x onerror=alert(2)>&amp;'\x1b[31m\u202e{{ 7*7 }}"


@pytest.fixture
def results() -> Results:
    return read_results(FIXTURE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURE, tmp_path / "results"))


def changed(results: Results, **fields: Any) -> Results:
    return Results.model_validate({**results.model_dump(mode="json"), **fields})


def with_difference(results: Results, low: float, high: float) -> Results:
    """The fixture with another interval for ILR against SFT."""
    row = results.paired[0].model_copy(update={"difference": (low + high) / 2, "ci95": (low, high)})
    return results.model_copy(update={"paired": (row, *results.paired[1:])})


class Elements(HTMLParser):
    """Collects tags with their attributes, and the text outside style sheets."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_headline_has_both_numbers_the_difference_its_interval_and_the_ceiling(results: Results) -> None:
    text = " ".join(headline(results)).replace("\u00a0", " ")
    assert text == (
        "After 3 rounds, ILR answers 70.1 % of 500 held-out test prompts right, against 61.7 % for SFT "
        "(difference +8.5 points, 95 % interval +5.4 to +11.6, 3 seeds). "
        "Trained on gold labels, the same model reaches 81.2 %."
    )


def test_headline_says_that_ilr_lost(results: Results) -> None:
    assert "ILR did worse than SFT here." in headline(with_difference(results, -0.05, -0.01))


def test_headline_says_that_an_interval_includes_zero(results: Results) -> None:
    text = " ".join(headline(with_difference(results, -0.01, 0.03)))
    assert "The interval includes zero: this run does not tell ILR from SFT." in text


def test_headline_without_refinement_or_without_measurement(results: Results) -> None:
    alone = results.model_copy(update={"runs": tuple(run for run in results.runs if run.method == "weak")})
    assert headline(alone) == ["The weak supervisor answers 52.3\u00a0% of 500 held-out test prompts right."]
    assert headline(results.model_copy(update={"runs": ()})) == ["No test accuracy was measured."]


def test_a_pair_found_the_other_way_round_is_turned(results: Results) -> None:
    row = results.paired[0]
    turned = {"a": row.b, "a_round": row.b_round, "b": row.a, "b_round": row.a_round}
    other = row.model_copy(update={**turned, "difference": -0.08, "ci95": (-0.12, -0.05)})
    by_name = {method.name: method for method in methods(results)}
    found = contrast(results.model_copy(update={"paired": (other,)}), by_name["ilr"], by_name["sft"])
    assert found is not None
    assert (found.difference, found.relation) == (0.08, Relation.ABOVE)
    assert found.paired is not None
    assert found.paired.ci95 == (0.05, 0.12)


def test_without_a_pair_only_intervals_apart_make_a_claim(results: Results) -> None:
    unpaired = results.model_copy(update={"paired": ()})
    assert "ILR (70.1\u00a0%) is above SFT" in found_here(unpaired, "test-accuracy")
    one_round = tuple(run for run in unpaired.runs if run.round < 2)
    assert "not clearly different" in found_here(unpaired.model_copy(update={"runs": one_round}), "without-feedback")


def test_the_ceiling_is_known_by_its_gold_labels_not_by_its_name(results: Results) -> None:
    runs = [run.model_copy(update={"method": "top"}) if run.method == "ceiling" else run for run in results.runs]
    config = {"methods": [{"kind": "sft", "name": "top", "demonstrations": "gold"}]}
    top = methods(results.model_copy(update={"runs": tuple(runs), "config": config}))[-1]
    assert (top.name, top.role, top.label) == ("top", "ceiling", "top (gold labels)")


def test_a_method_from_outside_states_its_role_and_its_label(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rewritten(MethodSettings):
        """Another refinement, from a package of somebody else."""

        label: ClassVar[str | None] = "Rewriting"
        role: ClassVar[MethodRole] = MethodRole.ILR
        kind: Literal["rewritten"]
        name: str = "rewritten"

    def named(kind: str, name: str) -> Results:
        """Return the results with a method of this kind and name in the place of naive replacement."""
        changed = {"kind": kind, "method": name}
        runs = [run.model_copy(update=changed) if run.kind == "naive" else run for run in results.runs]
        return results.model_copy(update={"runs": tuple(runs), "config": {"methods": [{"kind": kind, "name": name}]}})

    monkeypatch.setattr(METHODS, "_classes", dict(METHODS.all()))  # so that other tests do not know it
    METHODS.add(Rewritten)
    roles = {method.name: (method.role, method.label) for method in methods(named("rewritten", "rewritten"))}
    assert roles["rewritten"] == (MethodRole.ILR, "Rewriting")
    assert roles["ilr"] == (MethodRole.ILR, "ILR")
    labels = {method.label for method in methods(named("rewritten", "mine"))}
    assert "mine" in labels  # a name of its own is its label
    assert "Rewriting" not in labels
    # The package is not installed where the report is written.
    roles = {method.name: (method.role, method.label) for method in methods(named("unheard", "unheard"))}
    assert roles["unheard"] == (MethodRole.OTHER, "unheard")
    assert roles["weak"] == (MethodRole.WEAK, "weak supervisor")


def test_a_task_from_outside_says_that_wins_count(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked(TaskSettings):
        """Another task whose accuracy says little."""

        ranked_by_wins: ClassVar[bool] = True
        kind: Literal["asked"]

    def of_task(kind: str, *, judged: bool) -> Results:
        rate = {REFERENCE_WIN_RATE: Metric(value=0.4, n=10, ci95=(0.2, 0.6))} if judged else {}
        runs = tuple(run.model_copy(update={"metrics": {**run.metrics, **rate}}) for run in results.runs)
        return results.model_copy(update={"runs": runs, "config": {"task": {"kind": kind}}})

    monkeypatch.setattr(TASKS, "_classes", dict(TASKS.all()))  # so that other tests do not know it
    TASKS.add(Asked)
    assert main_metric(of_task("asked", judged=True)) == REFERENCE_WIN_RATE
    assert main_metric(of_task("asked", judged=False)) == "test_accuracy"
    assert main_metric(of_task("instructions", judged=True)) == REFERENCE_WIN_RATE
    assert main_metric(of_task("sums", judged=True)) == "test_accuracy"
    assert main_metric(of_task("unheard", judged=True)) == "test_accuracy"


def test_one_seed_has_wilsons_interval_and_several_the_summarys(results: Results) -> None:
    last = curve(results, "ilr", "test_accuracy")[-1]
    row = next(row for row in results.summary if (row.method, row.round, row.metric) == ("ilr", 3, "test_accuracy"))
    assert (last.value, last.ci95, last.seeds) == (row.mean, row.ci95, 3)
    alone = results.model_copy(update={"runs": tuple(run for run in results.runs if run.seed == 1), "summary": ()})
    run = next(run for run in alone.runs if (run.method, run.round) == ("ilr", 3))
    metric = run.metrics["test_accuracy"]
    assert curve(alone, "ilr", "test_accuracy")[-1].ci95 == metric.ci95


@pytest.mark.slow
def test_figures_are_those_of_the_paper_and_well_formed(results: Results) -> None:
    drawings = draw_figures(results)
    assert [drawing.name for drawing in drawings] == [
        "supervisor-student-ceiling",
        "test-accuracy",
        "without-feedback",
        "label-accuracy",
        "annotator-accuracy",
    ]
    for drawing in drawings:
        ElementTree.fromstring(drawing.svg)
    ids = re.findall(r'\bid="([^"]+)"', "".join(drawing.svg for drawing in drawings))
    assert len(set(ids)) == len(ids)


def with_effects(results: Results) -> Results:
    """The fixture with counts of what the changes did: those of one seed are 3, 1, 2 and 0."""
    counts = dict(zip(Effect, (3, 1, 2, 0), strict=True))
    runs = [
        run.model_copy(update={"counts": {**run.counts, **(counts if "accepted" in run.counts else {})}})
        for run in results.runs
    ]
    return results.model_copy(update={"runs": tuple(runs)})


@pytest.mark.slow
def test_what_the_changes_did_is_a_table_a_figure_and_a_sentence(results: Results) -> None:
    assert effects_table(results) is None  # an earlier version wrote this file
    known = with_effects(results)
    table = effects_table(known)
    assert table is not None
    seeds = len({run.seed for run in known.runs if run.method == "ilr"})
    first = next(row for row in table.rows if (str(row[0]), str(row[1])) == ("ILR", "1"))
    assert [cell.text for cell in first[2:]] == [f"{count * seeds:,}" for count in (3, 1, 2)] + ["–"]
    assert first[2].detail == "50.0\u00a0%"
    drawing = next(drawing for drawing in draw_figures(known) if drawing.name == "changes")
    ElementTree.fromstring(drawing.svg)
    assert "wrong to another wrong one" in drawing.svg
    assert f"ILR, round 1: 50.0\u00a0% of {6 * seeds} changes made a wrong label right." in found_here(known, "changes")
    assert basis(drawing, known).startswith("Means over seeds")


def test_unknown_methods_and_missing_metrics_are_drawn_or_left_out(results: Results) -> None:
    value = {"value": 0.5, "n": 500, "ci95": [0.45, 0.55]}
    runs = [
        {"method": "dpo $x$", "kind": "dpo", "seed": 0, "round": k, "metrics": {"test_accuracy": value}, "counts": {}}
        for k in (1, 2)
    ]
    other = changed(results, runs=runs, summary=[], paired=[])
    drawings = draw_figures(other)
    assert [drawing.name for drawing in drawings] == ["test-accuracy"]
    assert "dpo $x$" in drawings[0].svg
    assert draw_figures(changed(results, runs=[])) == []


def test_figures_are_files_and_the_same_each_time(folder: Path) -> None:
    first = {path.name: path.read_bytes() for path in write_figures(folder)}
    assert len(first) == 5
    assert {path.name: path.read_bytes() for path in write_figures(folder)} == first


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_is_the_same_each_time(folder: Path, drawn_once: dict[str, str]) -> None:
    path = write_report(folder)
    page = path.read_text(encoding="utf-8")
    elements = Elements(page)
    tags = {tag for tag, _ in elements.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "form"}
    for tag, attributes in elements.tags:
        for name in ("src", "href", "xlink:href"):
            value = attributes.get(name)
            assert value is None or value.startswith("#"), (tag, value)
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    first = path.read_bytes()
    drawn_once.clear()
    assert write_report(folder).read_bytes() == first


def test_the_page_holds_each_part(folder: Path) -> None:
    words = " ".join(" ".join(Elements(write_report(folder).read_text(encoding="utf-8")).words).split())
    parts = ("What ran", "Figures", "Results", "Differences", "Example refinements", "Costs", "Resolved config")
    for part in (*parts, "likelihood:", "Paper:", "Here:", "✗ wrong", "✓ right", "over the cap", "912", "torch"):
        assert part.replace("912", "0.9") in words
    assert "q̃" not in words  # the likelihood judge ran, and only the classifier is called so


@pytest.mark.slow
def test_hostile_text_in_every_field_stays_text(results: Results) -> None:
    timings, changes = read_timings(FIXTURE), read_changes(FIXTURE)
    machine = timings.machine.model_copy(update={"platform": EVIL, "device": EVIL})
    stages = tuple(s.model_copy(update={"name": EVIL, "label": EVIL, "fingerprint": EVIL}) for s in timings.stages)
    times = timings.model_copy(update={"machine": machine, "stages": stages, "versions": {EVIL: EVIL}})
    texts = {"method": EVIL, "example_id": EVIL, "prompt": EVIL, "before": EVIL, "after": EVIL}
    rows = [Change.model_validate({**change.model_dump(mode="json"), **texts}) for change in changes]
    page = render(poisoned(results), times, rows, EVIL)
    elements = Elements(page)
    assert not {tag for tag, _ in elements.tags} & {"script", "img"}
    assert [tag for tag, _ in elements.tags].count("style") == page.count("<style")
    assert page.count("</style>") == page.count("<style")
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "␛[31m" in page
    assert "49" not in "".join(word for word in elements.words if "alert" in word)
    assert EVIL.split("\x1b", maxsplit=1)[0] in "".join(elements.words)


def poisoned(results: Results) -> Results:
    """The fixture with hostile names; what each method is stays, so that figures and sentences show them."""
    runs = [run.model_copy(update={"method": EVIL + run.method}) for run in results.runs]
    runs.append(
        runs[0].model_copy(update={"method": EVIL, "kind": EVIL, "metrics": {EVIL: runs[0].metrics["test_accuracy"]}})
    )
    pairs = [row.model_copy(update={"a": EVIL + row.a, "b": EVIL + row.b, "metric": EVIL}) for row in results.paired]
    annotator = {"kind": EVIL, "model": {"source": EVIL}}
    method = {"kind": EVIL, "name": EVIL, EVIL: EVIL}
    config = {
        "name": EVIL,
        "task": {"kind": EVIL},
        "models": {"weak": {"source": EVIL}, "strong": EVIL},
        "supervision": {"annotator": annotator},
        "methods": [method],
        "seeds": [EVIL],
    }
    changes = {"runs": tuple(runs), "paired": tuple(pairs), "config": config, "burnish_version": EVIL}
    return results.model_copy(update=changes)


def test_facts_name_the_annotator_that_ran(results: Results) -> None:
    mixed = {"kind": "mixed", "oracle_share": 0.5, "other": {"kind": "classifier", "model": None}}
    config = {**results.config, "supervision": {"demonstrations": "weak", "annotator": mixed}}
    found = {fact.name: fact.value for fact in facts(results.model_copy(update={"config": config}))}
    assert found["Annotator"].startswith("mixed: ground truth for 50.0\u00a0% of the rows; for the rest classifier q̃")
    assert found["Annotator accuracy"].startswith("74.")
    assert found["Methods"].endswith("ilr (alpha 0.15, rounds 3)")
    assert facts(results.model_copy(update={"config": {}}))  # a config of another shape is no reason to fail


def test_a_folder_without_its_config_is_refused(folder: Path) -> None:
    (folder / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml: no such file"):
        write_report(folder)


def test_text_is_made_harmless() -> None:
    assert terminal("a\x1b[31mred\x1b[0m\nb\x1b]8;;http://x\x1b\\link\x9b1m\rc") == "ared blink␍c"
    assert visible("tab\there\nline\x00\x7f\u2028\ud800") == "tab\there\nline␀\\u007f\\u2028\\ud800"
    assert visible("👩\u200d🔬 naïve 漢字") == "👩\u200d🔬 naïve 漢字"
    assert shortened("x" * 12, 10) == "xxxxxxxxxx … (2 more characters)"


def test_numbers_are_written_with_their_units() -> None:
    assert [percent(0.7), signed_points(-0.051), signed_points(0.00001)] == ["70.0\u00a0%", "−5.1", "0.0"]
    assert [duration(3.21), duration(250), duration(7500)] == [
        "3.2\u00a0s",
        "4\u00a0min 10\u00a0s",
        "2\u00a0h 05\u00a0min",
    ]
