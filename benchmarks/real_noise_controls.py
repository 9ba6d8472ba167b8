"""What a competent person would try first on the noisy problems: relabel them with the judge's own model, or drop rows.

    python benchmarks/real_noise_controls.py FOLDER --model SMOLLM2.gguf --mawps MAWPS.jsonl.gz \
        --pairs NAME=PAIRS.jsonl [NAME=PAIRS.jsonl ...]

FOLDER is the one that real_noise.py made. PAIRS are the comparisons that `burnish refine --pairs PAIRS` wrote. Writes

- FOLDER/relabelled.jsonl: the noisy rows with the greedy answers of the likelihood judge's own model as labels. A row
  that it did not answer to the end keeps its label.
- FOLDER/dropped-NAME.jsonl: the noisy rows without those whose label lost its comparison in round 1.
- beside each of them NAME-same.jsonl: its labels as proposals, so that `refine --proposals` trains on them as they are.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from real_noise import TRUSTED, answers, bench_of, finetuned, one_operation

from burnish.store.files import write_atomic


def lost_rows(pairs: Path) -> set[str]:
    """Return the ids of the rows whose label lost its comparison in round 1."""
    lines = map(json.loads, pairs.read_text().splitlines())
    return {line["id"] for line in lines if line["round"] == 1 and line["preferred"] == "proposal"}


def put(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write a dataset, and its labels as proposals."""
    same = [{"id": row["id"], "answer": row["answer"]} for row in rows]
    for path, lines in ((f"{name}.jsonl", rows), (f"{name}-same.jsonl", same)):
        write_atomic(folder / path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--mawps", type=Path, required=True)
    parser.add_argument("--pairs", nargs="*", default=[])
    options = parser.parse_args()
    noisy = [json.loads(line) for line in (options.folder / "noisy.jsonl").read_text().splitlines()]
    bench = bench_of(options.folder, options.model)
    examples = one_operation(options.mawps)
    judge = finetuned(bench, "likelihood", examples[:TRUSTED])
    own = {one.id: one.text for one in answers(bench, judge, examples[TRUSTED:], "own")}
    put(options.folder, "relabelled", [{**row, "answer": own.get(row["id"], row["answer"])} for row in noisy])
    print(f"relabelled: {len(noisy) - len(own)} of {len(noisy)} rows keep their label")
    for name, _, path in (given.partition("=") for given in options.pairs):
        lost = lost_rows(Path(path))
        wrong = sum(row["replaced"] for row in noisy if row["id"] in lost)
        print(f"{name}: {len(lost)} of {len(noisy)} rows are dropped; the label of {wrong} of them is wrong")
        put(options.folder, f"dropped-{name}", [row for row in noisy if row["id"] not in lost])


if __name__ == "__main__":
    main()
