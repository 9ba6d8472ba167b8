"""The page about a simulated study, written from its results: docs/results/simulated-study/README.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_HEAD = """# A simulated study: the paper's human study with programs in the place of people

**No person took part. Nothing here says anything about people.** `benchmarks/simulated_study.py` wrote this page and
everything beside it. It plays the study of the paper's section 6 with {prompts:,} prompts (the paper has 1,000) through
the real pages of `burnish study`: it opens links, reads the pages, waits and sends forms. It shows that pages,
limits, assignment, review, export and figure work together, and that what was planted comes out again.

- The prompts are random ones of Alpaca. No unsafe ones were taken out, because nobody reads them.
- What a simulated person writes is the beginning of the answer that text-davinci-003 gave (Alpaca's own answers), as
  far as their speed lets them. So the lengths in Figure 6a follow from the speed that was planted. The paper compares
  with GPT-4.
- No model was trained. Proposals and samples are such answers, too, cut at another place, and each has a planted
  quality. So how often proposals are preferred in Figure 6b follows from what was planted: labels and proposals have
  qualities with a standard deviation of 1, and proposals are {behind:g} worse in the mean. In round 2, some labels
  were replaced by better ones, against which proposals should win less often.
- Sizes, times and limits of sittings, checks, screening pairs, alpha 0.1 and two rounds are the paper's. So is one
  answer a pair; therefore there is no agreement to measure, and the study `overlap` ({overlap} pairs, three people
  each) is ours. All other numbers are ours (`Crowd` in `benchmarks/simulated_people.py`, and `settings` in
  [results.json](results.json)).
- The server's clock ran {speed:g} times as fast as time (`burnish study serve-simulated`). A request that takes one
  second on a busy machine is then {speed:g} seconds of the study. So more answers are late than people meant, and
  more sittings time out. The table has both numbers, and the load of the machine.
- An administrator, also simulated, rejects a sitting if a check has none of the expected words, or if more than half
  of its answers came too early.

```sh
python benchmarks/simulated_study.py --alpaca alpaca_subset.jsonl.gz --work simulated --out docs/results/simulated-study
```

The same command goes on after a stop. Another run gives other numbers, because they depend on the times of the
requests.

## Figure 6

![Lengths of the answers of simulated people and of text-davinci-003](figure-6a.svg)
![What simulated people chose, by round and by who wrote the label](figure-6b.svg)

The claims of the paper, in this simulation, which cannot speak for or against them ([figure-6.json](figure-6.json)
has all numbers):

"""
_NO_WIN_RATES = """
Figure 6c was not measured. [figure-6c-smollm2-cpu.yaml](../../../configs/figure-6c-smollm2-cpu.yaml) is the config
for it, with a small model and a small local judge.
"""
_WIN_RATES = """
![Win rates of ILR and of DPO with two beta](figure-6c.svg)

Figure 6c is from another experiment, [figure-6c-smollm2-cpu](../figure-6c-smollm2-cpu/README.md), with a small real
model. Its demonstrations and comparisons come from models and not from simulated people. `--run` names its results.
"""
_ROWS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("starts of the server", ("server_starts",)),
    ("load of the machine at the end (1, 5, 15 minutes)", ("last_part", "load_average")),
    ("people who came", ("people",)),
    ("finished", ("sittings", "finished")),
    ("timed out", ("sittings", "timed_out")),
    ("withdrew", ("sittings", "withdrawn")),
    ("screened out", ("sittings", "screened_out")),
    ("found no place, or did not agree", ("sittings", "arrived")),
    ("rejected", ("rejected",)),
    ("planted bots", ("planted", "bots")),
    ("of them screened out", ("bots", "screened_out")),
    ("of them rejected", ("bots", "rejected")),
    ("rejected people who are no bots", ("bots", "people_who_are_no_bots_rejected")),
    ("answers of bots that count", ("bots", "answers_that_count")),
    ("answers wanted", ("answers_wanted",)),
    ("answers that count", ("answers_that_count",)),
    ("median seconds", ("seconds", "median")),
    ("median seconds as meant", ("seconds", "median_meant")),
    ("late", ("seconds", "late")),
    ("late as meant", ("seconds", "late_as_meant")),
    ("early", ("seconds", "early")),
    ("early as meant", ("seconds", "early_as_meant")),
    ("statuses 429", ("statuses_429",)),
    ("statuses 5xx", ("statuses_5xx",)),
    ("choices compared with what was meant", ("sides", "compared")),
    ("choices other than meant", ("sides", "other_than_meant")),
    ("better side preferred", ("sides", "better_side_preferred")),
    ("first answer preferred by those who lean to it", ("sides", "first_preferred_by_leaners")),
    ("first answer preferred by the others", ("sides", "first_preferred_by_others")),
    ("shown in the order ab", ("sides", "shown_in_order_ab")),
)


def page_of(results: Mapping[str, Any], claims: Iterable[str], agreement: Sequence[str], win_rates: bool) -> str:
    """Return the page. `claims` are lines on the figure, and `agreement` those of `burnish study agreement`.

    `win_rates` says whether Figure 6c was drawn.
    """
    settings, studies = results["settings"], results["studies"]
    parts = [_HEAD.format(**{key: settings[key] for key in ("prompts", "overlap", "speed", "behind")})]
    parts += [f"- {line}\n" for line in claims if not line.startswith("missing:")]
    parts += [
        _WIN_RATES if win_rates else _NO_WIN_RATES,
        "\n## What came out\n\n",
        f"| | {' | '.join(studies)} |\n",
        f"|---|{'---|' * len(studies)}\n",
    ]
    parts += [f"| {name} | {' | '.join(_cell(one, keys) for one in studies.values())} |\n" for name, keys in _ROWS]
    broken = sum(len(one["broken_invariants"]) for one in studies.values())
    parts.append(
        f"\nInvariants of the storage that are broken at the end: {broken}. Shares have Wilson's 95 % intervals.\n"
    )
    if agreement:
        lines = "\n".join(agreement)
        parts.append(f"\n`burnish study agreement` on `overlap`:\n\n```text\n{lines}\n```\n")
    return "".join(parts)


def _cell(study: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return a number of a study, or a dash for what this kind of study does not have."""
    value: Any = study
    for key in keys:
        if key not in value:
            return "0" if keys[0] == "sittings" else "–"
        value = value[key]
    if value is None:
        return "–"
    if isinstance(value, dict):
        share = 100 * value["value"]
        return f"{share:.1f} % ({100 * value['low']:.1f} to {100 * value['high']:.1f})"
    return value if isinstance(value, str) else f"{value:,}"
