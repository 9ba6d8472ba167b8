"""burnish agreement: a long table goes in, figures and one label an item come out; what is wrong is named."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from labels_data import KRIPPENDORFF, of_observers
from tutorials import Page, blocks

from burnish.algorithms.agreement import INSTALL
from burnish.cli import main as cli
from burnish.people.label_file import COLUMNS

ROWS: list[dict[str, Any]] = [
    {"item": "i1", "worker": "ann", "label": "A", "truth": "A", "seconds": 3},
    {"item": "i1", "worker": "bob", "label": "A", "truth": "A", "seconds": 4},
    {"item": "i2", "worker": "ann", "label": "tie", "truth": "B", "seconds": 5},
    {"item": "i2", "worker": "bob", "label": "B", "truth": "B", "seconds": 6},
    {"item": "i2", "worker": "cy", "label": "B", "truth": "B", "seconds": 7},
]
KEYS = ["krippendorff_nominal", "krippendorff_ordinal", "fleiss_kappa", "gwet_ac1", "unanimous"]
COUNTS = ["items", "compared", "workers", "labels", "categories"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def ran(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["agreement", *map(str, arguments)], catch_exceptions=False)


def refused(*arguments: object) -> str:
    done = ran(*arguments)
    assert done.exit_code == 2
    assert done.stdout == ""
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("name", ["labels.csv", "labels.jsonl"])
def test_the_object_of_a_file(tmp_path: Path, name: str) -> None:
    done = ran(write(tmp_path / name, ROWS), "--ordinal", "A,tie,B", "--json")
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found.keys() == {*KEYS, *COUNTS}
    for key in KEYS[:4]:
        assert set(found[key]) <= {"value", "ci95", "why"}
        assert found[key]["value"] < 1
    assert found["unanimous"] == 0.5
    assert [found[key] for key in COUNTS] == [2, 2, 3, 5, {"A": 2, "tie": 1, "B": 2}]
    # Without an order, only the ordinal alpha changes.
    plain = json.loads(ran(tmp_path / name, "--json").stdout)
    assert plain["krippendorff_ordinal"] == {"value": None, "ci95": None, "why": "the labels have no order"}
    assert [plain[key] for key in KEYS if key != "krippendorff_ordinal"] == [
        found[key] for key in KEYS if key != "krippendorff_ordinal"
    ]


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv.gz", "labels.jsonl"])
def test_numbers_are_read_alike_from_each_kind_of_file(tmp_path: Path, name: str) -> None:
    rows = [(one.item, one.worker, one.label) for one in of_observers(KRIPPENDORFF)]
    path = tmp_path / name
    if name.endswith(".gz"):
        lines = ["\t".join(row) for row in [COLUMNS, *rows]]
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    else:
        # In JSONL the labels are numbers, some with a point.
        values = [(item, worker, float(label) if item < "i05" else int(label)) for item, worker, label in rows]
        chosen = values if name.endswith("jsonl") else rows
        write(path, [dict(zip(COLUMNS, row, strict=True)) for row in chosen])
    found = json.loads(ran(path, "--json").stdout)
    assert found["krippendorff_nominal"]["value"] == pytest.approx(0.743, abs=5e-4)
    assert found["krippendorff_ordinal"]["value"] == pytest.approx(0.815, abs=5e-4)
    low, high = found["krippendorff_nominal"]["ci95"]
    assert low < 0.743 < high <= 1


def test_one_category_is_null_with_the_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", [{**row, "label": "A"} for row in ROWS])
    found = json.loads(ran(path, "--json", "--ordinal", "A,B").stdout)
    assert [found[key] for key in KEYS] == [{"value": None, "ci95": None, "why": "one category"}] * 4 + [1.0]


def test_what_people_read(tmp_path: Path) -> None:
    rows = [{**row, "worker": row["worker"].replace("cy", "\x1b[31mcy")} for row in ROWS]
    done = ran(write(tmp_path / "labels.jsonl", rows))
    assert done.exit_code == 0
    assert "5 labels by 3 workers on 2 items; 2 of them have two labels or more" in done.stdout
    assert "undefined: the labels have no order (--ordinal gives one)" in done.stdout
    assert "Cohen's kappa of" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.index("ann  ") < done.stdout.index("bob  ")  # others agree least with ann


@pytest.mark.parametrize("by", [None, "vote", "dawid-skene", "one-coin"])
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_labels_are_written(tmp_path: Path, by: str | None, name: str) -> None:
    rows = [*ROWS, {**ROWS[0], "item": "=1+1", "label": "-1"}]
    to = tmp_path / name
    done = ran(write(tmp_path / "labels.csv", rows), "--labels", to, *(["--by", by] if by else []), "--json")
    assert done.exit_code == 0
    json.loads(done.stdout)
    if name.endswith("csv"):
        with to.open(encoding="utf-8-sig", newline="") as file:
            found = list(csv.DictReader(file))
    else:
        found = [json.loads(line) for line in to.read_text().splitlines()]
    guard = "'" if name.endswith("csv") else ""
    assert [(row["item"], row["label"]) for row in found] == [(f"{guard}=1+1", "-1"), ("i1", "A"), ("i2", "B")]
    assert list(found[0]) == ["item", "label", "p", "given", "tied"]
    assert float(found[2]["p"]) == pytest.approx(2 / 3) or by in ("dawid-skene", "one-coin")
    again = refused(tmp_path / "labels.csv", "--labels", to)
    assert "exists; name another file, or give --overwrite" in again
    assert ran(tmp_path / "labels.csv", "--labels", to, "--overwrite").exit_code == 0


GOLD = [
    {"item": f"g{n}", "worker": worker, "label": label, "right": "B"}
    for n in range(4)
    for worker, label in (("ann", "A"), ("bob", "B"))
]


def test_gold_items_help_the_estimate_and_are_no_part_of_the_output(tmp_path: Path) -> None:
    rows = [
        {"item": f"i{n}", "worker": who, "label": "A" if who == "ann" else "B"}
        for n in (1, 2)
        for who in ["ann", "bob"]
    ]
    labels, gold, to = write(tmp_path / "labels.csv", rows), write(tmp_path / "gold.csv", GOLD), tmp_path / "out.jsonl"
    plain = ran(labels, "--json")
    done = ran(labels, "--gold", gold, "--labels", to, "--by", "dawid-skene", "--json")
    assert done.stdout == plain.stdout
    found = [json.loads(line) for line in to.read_text().splitlines()]
    assert [(row["item"], row["label"], row["given"]) for row in found] == [("i1", "B", 2), ("i2", "B", 2)]
    assert "--gold: helps only a model of the workers" in refused(
        labels, "--gold", gold, "--labels", tmp_path / "b.csv"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"right": "A"}, "column 'right' is 'B', but 'A' for the same item before"),
        ({"item": "i1"}, "item 'i1' is in FILE, too"),
        ({"item": "g9", "right": "C"}, "column 'right' is 'C', which no worker gave"),
        ({"right": ""}, "column 'right' is empty"),
    ],
)
def test_wrong_gold_items_are_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    gold = write(tmp_path / "gold.csv", [{**GOLD[0], **change}, *GOLD[1:]])
    labels = write(tmp_path / "labels.csv", ROWS)
    assert message in refused(labels, "--gold", gold, "--labels", tmp_path / "out.csv", "--by", "dawid-skene")


def test_an_estimate_that_does_not_settle_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("burnish.algorithms.aggregation._STEPS", 1)
    done = ran(write(tmp_path / "labels.csv", ROWS), "--labels", tmp_path / "out.csv", "--by", "dawid-skene")
    assert done.exit_code == 0
    assert "warning: the estimate still changed after 1 steps" in done.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"rows": [{"item": "i1", "annotator": "ann", "label": "A"}]},
            "row 1: no column 'worker', found 'item', 'annotator'",
        ),
        (
            {"rows": [*ROWS, {**ROWS[0], "label": "B"}]},
            "row 6: worker 'ann' labels item 'i1' a second time (first: labels.csv row 1)",
        ),
        ({"rows": [*ROWS, {**ROWS[0], "item": " "}]}, "row 6: column 'item' is empty; fill it in, or remove the row"),
        ({"rows": [*ROWS, {**ROWS[0], "item": "i9", "label": ""}]}, "row 6: column 'label' is empty"),
        ({"rows": ROWS[::2][:2]}, "column 'worker' is 'ann' in every row; agreement needs the labels of two workers"),
        (
            {"options": ["--ordinal", "A,B"]},
            "row 3: column 'label' is 'tie', which is not in --ordinal A,B; add it there",
        ),
        ({"options": ["--ordinal", "A,B,A"]}, "--ordinal: 'A,B,A' found; write two labels or more, each once"),
        ({"options": ["--ordinal", "A"]}, "--ordinal: 'A' found"),
        ({"options": ["--ordinal", "A,,B"]}, "--ordinal: 'A,,B' found"),
        ({"options": ["--by", "vote"]}, "--by: 'vote' has no effect without --labels"),
        ({"options": ["--overwrite"]}, "--overwrite: it has no effect without --labels"),
        ({"options": ["--labels", "out.txt"]}, "--labels: 'out.txt' is of no known kind; name a .csv or .jsonl file"),
    ],
)
def test_a_wrong_file_or_option_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "labels.csv", change.get("rows", ROWS))
    assert message in refused(path, *change.get("options", []))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "", "labels.csv: no rows; give a file with the columns item, worker, label"),
        ("labels.csv", "item,worker,label\n", "labels.csv: no rows"),
        ("labels.jsonl", "", "labels.jsonl: no rows"),
        ("labels.csv", "item,item,label\na,b,c\n", "column 'item' comes twice in the header"),
        ("labels.csv", 'item,worker,label\na,b,"c\n', "a quote is opened and never closed"),
        ("labels.jsonl", "{\n", "labels.jsonl:1: "),
        ("labels.jsonl", "[1]\n", "each row must be one JSON object"),
        (
            "labels.jsonl",
            '{"item": "i", "worker": "w", "label": ["A"]}\n',
            "column 'label' is ['A']; write text or a number",
        ),
        ("labels.jsonl", '{"item": "i", "worker": null, "label": "A"}\n', "column 'worker' is empty"),
        ("labels.txt", "", "labels.txt' is of no known kind; give a file that ends in .csv, .tsv or .jsonl"),
        ("labels.json", "[]", "is of no known kind"),
        ("nowhere.csv", None, "nowhere.csv: no such file; check the path"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    assert message in refused(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").mkdir()
    assert "no such file" in refused(tmp_path / "labels.csv")


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "krippendorff", None)
    assert f"run {INSTALL}" in refused(write(tmp_path / "labels.csv", ROWS))


# Not marked slow: it takes half a second, and every import can break it.
def test_the_verb_imports_nothing_heavy(tmp_path: Path) -> None:
    path = write(tmp_path / "labels.csv", ROWS)
    code = (
        "import sys; from burnish.cli import main; main(['agreement', sys.argv[1]], standalone_mode=False); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'torch', 'transformers', 'scipy', 'pandas', 'matplotlib', 'pyarrow', 'openai', 'huggingface_hub'}))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


# Slow: the page runs four programs.
@pytest.mark.slow
def test_the_page_on_agreement_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "docs" / "agreement.md"
    shown = sum(block.kind == "text" for block in blocks(path.read_text(encoding="utf-8")))
    assert Page(path, tmp_path, {}).run() == shown == 4
