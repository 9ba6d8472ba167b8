"""annotate export and import: pairs go to people in a file, and their verdicts come back."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import BIDI, ESCAPES, FORMULA, SCRIPT, Made, made

from burnish.cli import main as cli
from burnish.errors import ConfigError, DataError
from burnish.people.mailbox import ANNOTATIONS, WAITING, Annotation, Ask, Mailbox, Purpose, Said
from burnish.people.sheet import COLUMNS, Imported, export, import_
from burnish.types import Order

PAIRS = [
    ("compare-1", Purpose.COMPARE, ESCAPES, SCRIPT, "5", Order.AB),
    ("compare-2", Purpose.COMPARE, "two\nlines, and a comma", FORMULA, BIDI, Order.BA),
    ("audit-3", Purpose.AUDIT, "-1 + 2?", "@one", 'say "1"', Order.AB),
]


@pytest.fixture
def there(tmp_path: Path) -> Made:
    folder = made(tmp_path)
    Mailbox(folder.path).ask(
        [
            Ask(
                id=id_,
                purpose=purpose,
                comparison_id=id_,
                example_id="r1",
                request=request,
                first=first,
                second=second,
                shown=shown,
            )
            for id_, purpose, request, first, second, shown in PAIRS
        ]
    )
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def judged(path: Path, *verdicts: str) -> Path:
    """Write a file with verdicts on the first pairs."""
    return write(path, [{"pair": pair[0], "verdict": said} for pair, said in zip(PAIRS, verdicts, strict=False)])


def said(folder: Made) -> dict[tuple[str, str], Annotation]:
    return {(row.id, row.by): row for rows in Mailbox(folder.path).said().values() for row in rows}


# Out


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_what_waits_is_written_and_nothing_tells_which_answer_is_current(there: Made, tmp_path: Path, name: str):
    assert export(there.path, tmp_path / name) == 3
    rows = rows_of(tmp_path / name)
    assert [tuple(row) for row in rows] == [COLUMNS] * 3
    assert [row["pair"] for row in rows] == ["compare-1", "compare-2", "audit-3"]
    assert [row["purpose"] for row in rows] == ["compare", "compare", "audit"]
    assert {row["verdict"] + row["note"] for row in rows} == {""}
    assert not {"ab", "ba", "r1"} & {value for row in rows for value in row.values()}


def test_jsonl_has_the_texts_as_they_are(there: Made, tmp_path: Path):
    export(there.path, tmp_path / "pairs.jsonl")
    rows = rows_of(tmp_path / "pairs.jsonl")
    assert [(row["request"], row["answer_1"], row["answer_2"]) for row in rows] == [pair[2:5] for pair in PAIRS]


def test_csv_is_harmless_in_a_spreadsheet(there: Made, tmp_path: Path):
    export(there.path, tmp_path / "pairs.csv")
    data = (tmp_path / "pairs.csv").read_bytes()
    assert data.startswith(b'\xef\xbb\xbf"pair","purpose",')
    assert b"\x1b" not in data
    assert "\u202e" not in data.decode()
    one, two, three = rows_of(tmp_path / "pairs.csv")
    assert one["answer_1"] == SCRIPT
    assert (two["request"], two["answer_1"]) == (PAIRS[1][2], f"'{FORMULA}")
    assert (three["request"], three["answer_1"], three["answer_2"]) == ("'-1 + 2?", "'@one", 'say "1"')


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\tb", "\rc", " =1", "\u00a0+1", "\u200b@a", "\u3000-1"])
@pytest.mark.parametrize("wide", [False, True])
def test_every_beginning_of_a_formula_is_guarded(there: Made, tmp_path: Path, text: str, wide: bool):
    text = text.translate(dict(zip(b"=+-@", "＝＋－＠", strict=True))) if wide else text
    box = Mailbox(there.path)
    (ask, *_) = box.asked()
    box.ask([dataclasses.replace(ask, first=text)])
    export(there.path, tmp_path / "pairs.csv")
    assert rows_of(tmp_path / "pairs.csv")[0]["answer_1"].startswith("'")


def test_where_nothing_waits_nothing_is_written(tmp_path: Path):
    folder = made(tmp_path)
    with pytest.raises(DataError, match="no pair waits for people"):
        export(folder.path, tmp_path / "pairs.csv")
    Mailbox(folder.path).ask([])
    with pytest.raises(DataError, match="no pair waits for people"):
        export(folder.path, tmp_path / "pairs.csv")
    assert not (tmp_path / "pairs.csv").exists()


def test_a_file_with_verdicts_is_not_overwritten_unasked(there: Made, tmp_path: Path):
    file = judged(tmp_path / "pairs.csv", "1")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="--overwrite"):
        export(there.path, file)
    assert file.read_bytes() == before
    assert export(there.path, file, overwrite=True) == 3


def test_a_file_of_another_kind_is_refused(there: Made, tmp_path: Path):
    message = r"pairs\.xlsx' is of no known kind; name a \.csv or \.jsonl file"
    with pytest.raises(ConfigError, match=message):
        export(there.path, tmp_path / "pairs.xlsx")
    with pytest.raises(ConfigError, match=message):
        import_(there.path, tmp_path / "pairs.xlsx", "me")


def test_a_folder_that_is_no_refinements_is_refused(tmp_path: Path):
    sheet = str(tmp_path / "pairs.csv")
    for arguments in (["export", str(tmp_path), "--to", sheet], ["import", str(tmp_path), sheet]):
        done = CliRunner().invoke(cli, ["annotate", *arguments])
        assert done.exit_code == 2
        assert "holds no refinement.json" in done.stderr


# In


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_verdicts_come_back_with_the_order_that_was_shown(there: Made, tmp_path: Path, name: str):
    export(there.path, tmp_path / name)
    rows = rows_of(tmp_path / name)
    rows[0]["verdict"], rows[1]["verdict"] = "1", "2"
    assert import_(there.path, write(tmp_path / name, rows), "ada") == Imported(added=2, unchanged=0, blank=1)
    assert said(there) == {
        ("compare-1", "ada"): Annotation(id="compare-1", said=Said.FIRST, by="ada", shown=Order.AB),
        ("compare-2", "ada"): Annotation(id="compare-2", said=Said.SECOND, by="ada", shown=Order.BA),
    }


@pytest.mark.parametrize(
    ("verdict", "meant"),
    [
        *[(text, Said.FIRST) for text in ("1", " 1 ", "1.0", "First")],
        *[(text, Said.SECOND) for text in ("2", "SECOND")],
        *[(text, Said.TIE) for text in ("tie", "Tie")],
        *[(text, Said.ABSTAIN) for text in ("skip", "abstain")],
    ],
)
def test_what_may_be_written(there: Made, tmp_path: Path, verdict: str, meant: Said):
    import_(there.path, judged(tmp_path / "v.csv", verdict), "ada")
    assert said(there)["compare-1", "ada"].said is meant


def test_a_number_in_jsonl_is_a_verdict(there: Made, tmp_path: Path):
    (tmp_path / "v.jsonl").write_text('{"pair": "compare-1", "verdict": 2}\n{"pair": "audit-3", "verdict": null}\n')
    assert import_(there.path, tmp_path / "v.jsonl", "ada") == Imported(added=1, unchanged=0, blank=1)


def test_the_same_file_again_changes_nothing(there: Made, tmp_path: Path):
    file = judged(tmp_path / "v.csv", "1", "tie", "")
    import_(there.path, file, "ada")
    before = (there.path / ANNOTATIONS).read_bytes()
    assert import_(there.path, file, "ada") == Imported(added=0, unchanged=2, blank=1)
    assert (there.path / ANNOTATIONS).read_bytes() == before


def test_another_verdict_by_the_same_person_counts_from_then_on(there: Made, tmp_path: Path):
    import_(there.path, judged(tmp_path / "v.csv", "1"), "ada")
    assert import_(there.path, judged(tmp_path / "v.csv", "2"), "ada").added == 1
    assert said(there)["compare-1", "ada"].said is Said.SECOND
    assert len((there.path / ANNOTATIONS).read_text().splitlines()) == 2


def test_several_people_judge_the_same_pair(there: Made, tmp_path: Path):
    import_(there.path, judged(tmp_path / "v.csv", "1"), "ada")
    assert import_(there.path, judged(tmp_path / "v.csv", "1"), "bob").added == 1
    rows = [{"pair": "compare-1", "verdict": "2", "by": who} for who in ("cleo", "", "dan")]
    assert import_(there.path, write(tmp_path / "v.csv", rows), "eve").added == 3
    assert {by for _, by in said(there)} == {"ada", "bob", "cleo", "dan", "eve"}


def test_a_pair_that_no_longer_waits_may_be_answered_again(there: Made, tmp_path: Path):
    import_(there.path, judged(tmp_path / "v.csv", "1", "2"), "ada")
    Mailbox(there.path).ask([])
    assert import_(there.path, judged(tmp_path / "v.csv", "1", "tie"), "ada") == Imported(added=1, unchanged=1, blank=0)
    assert said(there)["compare-2", "ada"] == Annotation(id="compare-2", said=Said.TIE, by="ada", shown=Order.BA)


def test_what_a_spreadsheet_of_another_country_saves_is_read(there: Made, tmp_path: Path):
    export(there.path, tmp_path / "v.csv")
    rows = rows_of(tmp_path / "v.csv")
    rows[0]["verdict"] = "2"
    rows.append(dict.fromkeys(COLUMNS, ""))
    write(tmp_path / "v.csv", rows, delimiter=";")
    assert import_(there.path, tmp_path / "v.csv", "ada") == Imported(added=1, unchanged=0, blank=2)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "v.csv",
            "pair,verdict\ncompare-1,1\naudit-3,3\n",
            r"v\.csv row 2: the verdict '3' cannot be read; write 1, 2",
        ),
        ("v.csv", "pair,verdict\ncompare-1,1\nnone-1,1\n", r"v\.csv row 2: the pair 'none-1' was never asked here"),
        ("v.csv", "pair,verdict\ncompare-1,1\n,1\n", r"v\.csv row 2: the pair '' was never asked here"),
        ("v.csv", "pair,said\ncompare-1,1\n", r"v\.csv row 1: no column 'verdict'"),
        ("v.csv", "id,verdict\ncompare-1,1\n", r"v\.csv row 1: no column 'pair'"),
        ("v.csv", "pair,verdict\ncompare-1,1\naudit-3\n", r"v\.csv row 2: 1 cells where the header has 2"),
        ("v.csv", "pair,verdict\ncompare-1,1\ncompare-1,2\n", r"v\.csv row 2: ada judges the pair compare-1 twice"),
        (
            "v.jsonl",
            '{"pair": "compare-1", "verdict": "1"}\n{"pair": "audit-3", "verdict": "yes"}\n',
            r"v\.jsonl:2: .*'yes'",
        ),
        ("v.jsonl", '{"pair": "compare-1", "verdict": "1"}\nnot json\n', r"v\.jsonl:2: "),
        ("v.jsonl", '{"pair": "compare-1", "verdict": true}\n', r"v\.jsonl:1: the verdict 'True' cannot be read"),
    ],
)
def test_a_row_that_is_wrong_is_named_and_nothing_is_imported(
    there: Made, tmp_path: Path, name: str, text: str, message: str
):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        import_(there.path, tmp_path / name, "ada")
    assert not (there.path / ANNOTATIONS).exists()


def test_a_file_that_is_not_there(there: Made, tmp_path: Path):
    with pytest.raises(DataError, match=r"v\.csv: no such file"):
        import_(there.path, tmp_path / "v.csv", "ada")


# The command line


def test_the_verbs_out_and_in(there: Made, tmp_path: Path):
    runner, file = CliRunner(), str(tmp_path / "pairs.csv")
    out = runner.invoke(cli, ["annotate", "export", str(there.path), "--to", file])
    assert (out.exit_code, out.stdout) == (0, f"3 pairs: {file}\n")
    assert "annotate import" in out.stderr
    assert runner.invoke(cli, ["annotate", "export", str(there.path), "--to", file]).exit_code == 2
    judged(Path(file), "1", "")
    back = runner.invoke(cli, ["annotate", "import", str(there.path), file, "--by", "ada"])
    assert (back.exit_code, back.stdout) == (0, "1 verdicts read, 0 known already, 1 rows without a verdict\n")
    assert ("compare-1", "ada") in said(there)


def test_what_waits_is_not_touched(there: Made, tmp_path: Path):
    before = (there.path / WAITING).read_bytes()
    export(there.path, tmp_path / "p.csv")
    import_(there.path, judged(tmp_path / "v.csv", "1"), "ada")
    assert (there.path / WAITING).read_bytes() == before


# Confidence and notes


def test_confidence_and_note_are_kept(there: Made, tmp_path: Path) -> None:
    export(there.path, tmp_path / "pairs.csv")
    rows = rows_of(tmp_path / "pairs.csv")
    rows[0] |= {"verdict": "1", "confidence": "0.8", "note": "a slip in line 2"}
    rows[1] |= {"verdict": "2", "confidence": "75%"}
    assert import_(there.path, write(tmp_path / "pairs.csv", rows), "ada").added == 2
    kept = {row.id: row for rows in Mailbox(there.path).said().values() for row in rows}
    first, second = (kept[row["pair"]] for row in rows[:2])
    assert (first.confidence, first.note) == (0.8, "a slip in line 2")
    assert (second.confidence, second.note) == (0.75, "")
    rows[0]["confidence"] = "0.9"  # another confidence is a new verdict
    assert import_(there.path, write(tmp_path / "pairs.csv", rows), "ada") == Imported(added=1, unchanged=1, blank=1)


@pytest.mark.parametrize("confidence", ["sure", "1.2", "-0.1", "nan", "120%"])
def test_a_confidence_that_is_none(there: Made, tmp_path: Path, confidence: str) -> None:
    export(there.path, tmp_path / "pairs.csv")
    rows = rows_of(tmp_path / "pairs.csv")
    rows[0] |= {"verdict": "1", "confidence": confidence}
    with pytest.raises(DataError, match=r"the confidence .* cannot be read; write a number from 0 to 1"):
        import_(there.path, write(tmp_path / "pairs.csv", rows), "ada")
    assert Mailbox(there.path).said() == {}
