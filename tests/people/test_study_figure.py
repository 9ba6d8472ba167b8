"""Figure 6 from small studies: what is counted, what is drawn, what is missing, and what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from people_at_work import person, worked
from study_pages import COMPARISONS, DEMONSTRATIONS, made_study

from burnish.algorithms.choices import ChoiceCounts, LabelWriter, Strength
from burnish.cli import main as cli
from burnish.config.study import StudyKind
from burnish.errors import ConfigError, DataError
from burnish.people.study.clock import simulated_clock
from burnish.people.study.figure import StudyFigure, figure_lines, study_figure, write_study_figure
from burnish.people.study.folder import StudyFolder
from burnish.people.study.managing import renew
from burnish.people.study.model import SentReply, ShownQuestion
from burnish.people.study.schema import opened
from burnish.people.study.sittings import arrive, consent
from burnish.report.gaps import Held

RESULTS = Path(__file__).parents[1] / "fixtures" / "results-v1"


def answered(
    folder: Path,
    kind: StudyKind,
    items: list[dict[str, str]],
    reply: Callable[[ShownQuestion], SentReply],
    people: int = 1,
) -> StudyFolder:
    """Make a study without checks, and let people answer all of it."""
    study = made_study(folder, kind, f"per_sitting: {len(items)}\nwanted: {people}\n", items)
    (study.path / "questions.yaml").write_text("[]")
    rules = study.rules()
    with closing(opened(study.file)) as db:
        renew(db, rules, [], 0.0)
        for number in range(people):
            session = arrive(db, person(f"p{number}"), 0.0).session
            assert session is not None
            assert consent(db, rules, session, 0.0) is None
            worked(db, rules, session, 0.0, reply)
    return study


def pairs(sources: str, second: str = "proposal") -> list[dict[str, str]]:
    """Return pairs r0, r1 and so on. A letter of `sources` says who wrote the label: o(riginal) or p(roposal)."""
    return [
        {
            "id": f"r{number}",
            "prompt": f"q{number}",
            "first": "label",
            "second": "new",
            "first_source": {"o": "human", "p": "proposal round 1"}[letter],
            "second_source": second,
        }
        for number, letter in enumerate(sources)
    ]


def choosing(*leans: int) -> Callable[[ShownQuestion], SentReply]:
    """Return people who lean so much towards the proposal in the pairs q0, q1 and so on, whatever is shown first."""

    def reply(question: ShownQuestion) -> SentReply:
        lean = leans[int(question.prompt.removeprefix("q"))]
        return SentReply(value=lean if question.first == "label" else -lean)

    return reply


def rounds(tmp_path: Path) -> tuple[Path, Path]:
    first = answered(tmp_path / "one", COMPARISONS, pairs("oooo"), choosing(3, 2, 1, -3))
    second = answered(tmp_path / "two", COMPARISONS, pairs("ppoo"), choosing(-2, 0, 2, -1))
    return first.path, second.path


def texts(tmp_path: Path) -> Path:
    words = {"q0": "one two", "q1": "one two three", "q2": "one"}
    items = [{"id": prompt, "prompt": prompt} for prompt in words]
    return answered(tmp_path, DEMONSTRATIONS, items, lambda question: SentReply(text=words[question.prompt])).path


def reference(path: Path) -> Path:
    rows = [{"prompt": f"q{number}", "completion": "a b c"} for number in (0, 1, 7)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def counted(row: ChoiceCounts) -> dict[Strength, int]:
    return {strength: count for strength, count in row.counts.items() if count}


def test_choices_are_counted_by_round_and_by_who_wrote_the_label(tmp_path: Path) -> None:
    found = study_figure(rounds(tmp_path)).counts
    assert [(row.round, row.writer, row.n) for row in found] == [
        (1, None, 4),
        (2, None, 4),
        (2, LabelWriter.ORIGINAL, 2),
        (2, LabelWriter.PROPOSAL, 2),
    ]
    assert counted(found[0]) == {
        Strength.LABEL_SURE: 1,
        Strength.PROPOSAL_SLIGHT: 1,
        Strength.PROPOSAL_MODERATE: 1,
        Strength.PROPOSAL_SURE: 1,
    }
    assert counted(found[2]) == {Strength.LABEL_SLIGHT: 1, Strength.PROPOSAL_MODERATE: 1}
    assert counted(found[3]) == {Strength.LABEL_MODERATE: 1, Strength.ALIKE: 1}
    assert [row.preferred.value for row in found] == [0.5, 0.25, 0.5, 0.0]


def test_the_mean_counts_where_several_people_judge_a_pair(tmp_path: Path) -> None:
    people = iter([choosing(3), choosing(0)])

    def reply(question: ShownQuestion) -> SentReply:
        return next(people)(question)

    study = answered(tmp_path, COMPARISONS, pairs("o"), reply, people=2)
    (row,) = study_figure([study.path]).counts
    assert (row.n, counted(row)) == (1, {Strength.PROPOSAL_SLIGHT: 1})


def test_lengths_are_those_of_the_prompts_that_people_answered(tmp_path: Path) -> None:
    figure = study_figure([texts(tmp_path)], reference=reference(tmp_path / "r.jsonl"), reference_name="a model")
    assert [(one.name, dict(one.words)) for one in figure.lengths] == [
        ("people", {"q0": 2, "q1": 3, "q2": 1}),
        ("a model", {"q0": 3, "q1": 3}),
    ]
    numbers = figure.as_json()
    assert numbers["people_shorter"].value == 0.5
    assert numbers["lengths"][0]["quartiles"] == [1.5, 2.5]


def test_of_two_studies_with_the_same_prompt_the_first_answer_counts(tmp_path: Path) -> None:
    items = [{"id": prompt, "prompt": prompt} for prompt in ("q0", "q9")]
    later = answered(tmp_path / "later", DEMONSTRATIONS, items, lambda _: SentReply(text="six words in each of them"))
    (found,) = study_figure([texts(tmp_path / "first"), later.path]).lengths
    assert found.words == {"q0": 2, "q1": 3, "q2": 1, "q9": 6}


def test_the_claims_are_decided_by_the_intervals(tmp_path: Path) -> None:
    most = answered(tmp_path / "most", COMPARISONS, pairs("o" * 12), choosing(*[3] * 12)).path
    none = answered(tmp_path / "none", COMPARISONS, pairs("o" * 24), choosing(*[-3] * 24)).path
    verdicts = [
        [claim.verdict for claim in study_figure(studies).claims()]
        for studies in ((most, none), (none, most), (most,), rounds(tmp_path))
    ]
    assert verdicts == [
        [Held.NOT_HELD, Held.HELD],
        [Held.NOT_HELD, Held.NOT_HELD],
        [Held.HELD, Held.NOT_TOLD_APART],
        [Held.NOT_TOLD_APART, Held.NOT_TOLD_APART],
    ]
    over, fewer = study_figure((most, none)).claims()
    assert over.detail == "round 1: 100.0\u00a0% (75.8 to 100.0); round 2: 0.0\u00a0% (0.0 to 13.8)."
    assert "−100.0 points" in fewer.detail
    assert "12 prompts of both rounds" in fewer.detail


def test_an_audit_and_a_pair_without_a_label_are_no_round(tmp_path: Path) -> None:
    audited = [row | {"why": "audit"} for row in pairs("oo")]
    audit = answered(tmp_path / "audit", COMPARISONS, audited, choosing(3, 3)).path
    samples = answered(tmp_path / "samples", COMPARISONS, pairs("oo", "sample"), choosing(3, 3)).path
    figure = study_figure([audit, samples])
    assert (figure.rounds, figure.claims()[0].verdict) == ((), Held.NOT_TOLD_APART)
    assert figure.missing["figure-6b"] == "no study of comparisons with a label and a proposal; name one"
    with pytest.raises(ConfigError, match=r"nothing can be drawn: .*no answered study of demonstrations"):
        write_study_figure(figure, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_refused(tmp_path: Path) -> None:
    study = texts(tmp_path)
    other = tmp_path / "other.jsonl"
    other.write_text('{"prompt": "nobody asked this", "completion": "a"}\n')
    with pytest.raises(ConfigError, match="is named twice"):
        study_figure([study, study.parent / "." / study.name])
    with pytest.raises(DataError, match="answer to none of the 3 prompts"):
        study_figure([study], reference=other)
    with pytest.raises(ConfigError, match="no study with demonstrations is named"):
        study_figure(rounds(tmp_path)[:1], reference=other)
    with pytest.raises(DataError, match="no such file"):
        study_figure([tmp_path / "nowhere"])
    nobody = made_study(tmp_path / "nobody", COMPARISONS, items=pairs("oo")).path
    result = CliRunner().invoke(cli, ["study", "figure", str(nobody), "--out", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "nothing can be drawn" in result.stderr
    without_wins = study_figure([study], run=RESULTS).missing["figure-6c"]
    assert without_wins.endswith("has no win rates of ILR or DPO; run a config of instructions with a judge")


def words_in(svg: str) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


# Drawing two figures takes a second.
@pytest.mark.slow
def test_the_command_draws_what_is_there_and_says_what_is_missing(tmp_path: Path) -> None:
    first, second = rounds(tmp_path)
    with closing(opened((study := texts(tmp_path / "texts")) / "study.sqlite")) as db:
        # As if the people had been simulated from the beginning.
        db.execute("UPDATE study SET frozen = NULL")
        simulated_clock(db, 20)
    out = tmp_path / "out"
    out.mkdir()
    (out / "figure-6c.svg").write_text("of an earlier call")
    names = ["--reference", str(reference(tmp_path / "r.jsonl")), "--reference-name", "a <model>"]
    arguments = [str(study), str(first), str(second), "--out", str(out), *names]
    result = CliRunner().invoke(cli, ["study", "figure", *arguments])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == ["figure-6.json", "figure-6a.svg", "figure-6b.svg"]
    lines = result.stdout.splitlines()
    assert lines[:3] == [str(out / name) for name in ("figure-6a.svg", "figure-6b.svg", "figure-6.json")]
    assert lines[3].startswith("In each round, more than 20 % of the proposals are at least moderately preferred.")
    assert lines[5:] == ["missing: figure-6c: not measured: no results of a run; give --run FOLDER"]
    lengths, choices = (words_in((out / f"figure-6{part}.svg").read_text()) for part in "ab")
    assert "Lengths of answers by simulated people" in lengths
    assert "a &lt;model&gt;: n 2, median 3 words" in lengths
    assert "people: n 3, median 2 words" in lengths
    assert "What simulated people chose" in choices
    assert "round 2, proposal" in choices
    numbers = json.loads((out / "figure-6.json").read_text())
    assert numbers["simulated"] is True
    assert [row["preferred"]["value"] for row in numbers["choices"]] == [0.5, 0.25, 0.5, 0.0]
    assert figure_lines(StudyFigure(simulated=False, missing={"a": "b"})) == ["missing: a: b"]


@pytest.mark.slow
def test_win_rates_of_a_run_have_the_betas(tmp_path: Path) -> None:
    results = json.loads((RESULTS / "results.json").read_text())
    for run in results["runs"]:
        run["metrics"]["reference_win_rate"] = {"value": 0.25 + 0.1 * run["round"], "n": 40, "ci95": None}
    for beta in (0.1, 0.5):
        name = f"dpo-{beta}"
        results["config"]["methods"].append({"kind": "dpo", "name": name, "beta": beta})
        results["runs"] += [run | {"method": name, "kind": "dpo"} for run in results["runs"] if run["method"] == "ilr"]
    (tmp_path / "results.json").write_text(json.dumps(results))
    figure = study_figure([texts(tmp_path / "texts")], run=tmp_path)
    labels = [label for label, _ in figure.win_rates]
    assert labels == ["ILR", "DPO, beta 0.1", "DPO, beta 0.5"]
    written = write_study_figure(figure, tmp_path / "out")
    assert [path.name for path in written] == ["figure-6a.svg", "figure-6c.svg", "figure-6.json"]
    assert "DPO, beta" in words_in(written[1].read_text())
    # A run alone is enough for this part.
    result = CliRunner().invoke(cli, ["study", "figure", "--run", str(tmp_path), "--out", str(tmp_path / "alone")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "alone" / "figure-6c.svg").read_bytes() == written[1].read_bytes()
