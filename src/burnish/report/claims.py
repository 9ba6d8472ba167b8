"""The paper's claims, one function for each figure or table: whether each claim holds here, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from burnish.report.gaps import (
    At,
    Claim,
    Gap,
    Held,
    Variants,
    above,
    alike,
    between,
    gain_difference,
    gap,
    in_setting,
    no_gain,
    reaches,
    unmeasured,
)
from burnish.report.gaps import mean as mean_at
from burnish.report.text import percent
from burnish.results import Results

# The methods of the paper's configs by their names there. Without a round, the last one is meant.
SFT, ILR, DPO, NAIVE = At("sft", 0), At("ilr"), At("dpo"), At("naive")
CEILING, WEAK = At("ceiling", 0), At("weak", 0)


def figure_1b(variants: Variants) -> list[Claim]:
    """Claims about DPO and ILR by how reliable the supervision is."""
    claims = [
        above(f"DPO improves on SFT with oracle comparisons{in_setting(name)}:", gap(variants[name], DPO, SFT))
        for name in ("reliable", "unreliable demonstrations")
        if name in variants
    ]
    if (both := variants.get("unreliable demonstrations and comparisons")) is not None:
        # `no_gain` for claims that a method does not help; `above` for claims that it does.
        claims.append(no_gain("DPO does not improve on SFT when both are unreliable:", gap(both, DPO, SFT)))
        claims.append(above("ILR improves on SFT when both are unreliable:", gap(both, ILR, SFT)))
    if (reliable := variants.get("reliable")) is not None:
        claims.append(no_gain("With reliable supervision ILR has little to add to SFT:", gap(reliable, ILR, SFT)))
    return claims


# A claim about the ceiling has the ceiling first: a positive difference means that SFT falls short.
def figure_2(variants: Variants) -> list[Claim]:
    """Claims that the student is better than its supervisor and worse than the ceiling."""
    return [
        claim
        for name, results in variants.items()
        for claim in (
            above(f"SFT on weak labels beats the weak supervisor{in_setting(name)}:", gap(results, SFT, WEAK)),
            above(f"It falls short of the same model on gold labels{in_setting(name)}:", gap(results, CEILING, SFT)),
        )
    ]


def _by_beta(variants: Variants, rounds: int) -> list[Claim]:
    """Return the claims about beta and feedback after a number of rounds."""
    low, middle, high = (At(f"dpo-beta-{beta}", rounds) for beta in ("0.01", "0.1", "0.5"))
    claims: list[Claim] = []
    if (oracle := variants.get("oracle")) is not None:
        text = "With oracle feedback a small beta (0.01) gains more than a large one (0.5):"
        claims.append(above(text, gap(oracle, low, high)))
        text = "A large beta also limits the update: KL at beta 0.01 is above that at 0.5 (oracle), nats a sequence:"
        claims.append(above(text, gap(oracle, _kl(low), _kl(high)), share=False))
    if (unreliable := variants.get("unreliable")) is not None:
        text = "With unreliable feedback a small beta (0.01) does worse than a large one (0.5):"
        claims.append(above(text, gap(unreliable, high, low)))
        text = f"ILR moves further from the SFT model in {rounds} round(s) than DPO at beta 0.1, nats a sequence:"
        claims.append(above(text, gap(unreliable, At("ilr", rounds, "kl"), _kl(middle)), share=False))
    return claims


def _kl(at: At) -> At:
    """Return the divergence from the SFT model at the same method and round."""
    return At(at.method, at.round, "kl")


def figure_3(variants: Variants) -> list[Claim]:
    """Claims about beta and feedback after one round."""
    return _by_beta(variants, 1)


def figure_8(variants: Variants) -> list[Claim]:
    """Claims about beta and feedback after two rounds."""
    return _by_beta(variants, 2)


def figure_4(variants: Variants) -> list[Claim]:
    """Claims about ILR and DPO in four settings."""
    claims = [claim for name, results in variants.items() for claim in _side_by_side(results, in_setting(name))]
    # The claim that larger models gain more needs the same supervisor with a small and a large student.
    for weak in ("weak", "weak-long"):
        small, large = variants.get(f"{weak} to strong"), variants.get(f"{weak} to strong-large")
        if small is not None and large is not None:
            text = f"ILR gains more over SFT with the larger strong model (supervisor {weak}):"
            claims.append(above(text, gain_difference(large, small, "ilr")))
    return claims


def _side_by_side(results: Results, where: str) -> list[Claim]:
    """Return the claims about ILR, DPO and SFT in one setting."""
    # Divergence is compared after one round, as the paper's claim is about one round.
    kl = gap(results, At("ilr", 1, "kl"), At("dpo", 1, "kl"))
    return [
        above(f"ILR beats SFT{where}:", gap(results, ILR, SFT)),
        above(f"ILR goes on rising after round 1{where}:", gap(results, ILR, At("ilr", 1))),
        no_gain(f"DPO does not improve on SFT{where}:", gap(results, DPO, SFT)),
        above(f"ILR beats DPO{where}:", gap(results, ILR, DPO)),
        # share=False: KL is in nats, not a share, so it is not written in percentage points.
        above(f"ILR moves further in one round than DPO, KL in nats a sequence{where}:", kl, share=False),
    ]


def figure_5(variants: Variants) -> list[Claim]:
    """Claims about label accuracy over the rounds."""
    claims: list[Claim] = []
    for name, results in variants.items():
        labels = At("ilr", None, "label_accuracy"), At("ilr", 0, "label_accuracy")
        claims.append(above(f"Label accuracy rises over the rounds{in_setting(name)}:", gap(results, *labels)))
    if (oracle := variants.get("oracle")) is not None:
        text = "With an oracle the labels come to the accuracy of the model trained on ground truth, or surpass it:"
        claims.append(reaches(text, gap(oracle, At("ilr", None, "label_accuracy"), CEILING)))
    return claims


def figure_9(variants: Variants) -> list[Claim]:
    """Claims about replacement without feedback."""
    return [
        claim
        for name, results in variants.items()
        for claim in (
            above(f"Naive replacement makes SFT worse{in_setting(name)}:", gap(results, SFT, NAIVE)),
            above(f"ILR beats naive replacement{in_setting(name)}:", gap(results, ILR, NAIVE)),
        )
    ]


def figure_10(variants: Variants) -> list[Claim]:
    """Claims about the cap alpha."""
    return [
        alike(f"alpha {alpha} and the paper's 0.15 end alike:", gap(results, At(f"ilr-alpha-{alpha}"), base))
        for results in variants.values()
        # A list of one names the value inside the comprehension.
        for base in [At("ilr-alpha-0.15")]
        for alpha in ("0.05", "0.3")
    ]


def _against_dpo(variants: Variants, *names: str) -> list[Claim]:
    """Return the claims that compare methods with DPO, and ILR with these methods and DPO."""
    claims: list[Claim] = []
    for results in variants.values():
        claims += [no_gain(f"{name} does no better than DPO:", gap(results, At(name), DPO)) for name in names]
        claims += [above(f"ILR beats {name}:", gap(results, ILR, At(name))) for name in ("dpo", *names)]
    return claims


def table_2(variants: Variants) -> list[Claim]:
    """Claims about DPO with modules of ILR."""
    return _against_dpo(variants, "sdpo", "wsdpo")


def table_3(variants: Variants) -> list[Claim]:
    """Claims about DPO with losses for noisy preferences."""
    return _against_dpo(variants, "ipo", "cdpo", "rdpo")


def released_code(variants: Variants) -> list[Claim]:
    """Claims about the effect of the released code's scoring and cap."""
    ours, unswapped, cap = (variants.get(n) for n in ("as in the paper", "unswapped DPO", "cap over differing"))
    claims: list[Claim] = []
    for method in ("dpo", "dpo-3e-6"):
        if unswapped is not None:
            text = f"{method} with the released scoring does not improve on SFT:"
            claims.append(no_gain(text, gap(unswapped, At(method), SFT)))
        if ours is not None and unswapped is not None:
            text = f"{method} with comparisons that work does better than with the released scoring:"
            claims.append(above(text, between(ours, At(method), unswapped, At(method))))
    if ours is not None and cap is not None:
        text = "The cap over all rows and the released one over differing proposals end alike:"
        claims.append(alike(text, between(ours, ILR, cap, ILR)))
    return claims


def budgets(variants: Variants) -> list[Claim]:
    """Claims with one budget for every method."""
    return [
        claim
        for name, results in variants.items()
        for claim in (
            above(f"ILR beats SFT{in_setting(name)}:", gap(results, ILR, SFT)),
            no_gain(
                f"DPO on the most confident 30 % does not improve on SFT{in_setting(name)}:", gap(results, DPO, SFT)
            ),
            no_gain(
                f"DPO on all comparisons does not improve on SFT{in_setting(name)}:", gap(results, At("dpo-all"), SFT)
            ),
            above(f"ILR beats DPO{in_setting(name)}:", gap(results, ILR, DPO)),
        )
    ]


def pairs(variants: Variants) -> list[Claim]:
    """Claims about which pairs DPO should be trained on."""
    results = next(iter(variants.values()))
    confident = At("dpo-keep-15")
    return [
        above(
            "The most confident 15 % of the pairs do better than all of them:",
            gap(results, confident, At("dpo-keep-100")),
        ),
        above("They do better than the most confident 30 %:", gap(results, confident, At("dpo-keep-30"))),
    ]


def hybrids(variants: Variants) -> list[Claim]:
    """Claims about combinations that the paper leaves open."""
    results = next(iter(variants.values()))
    return [
        above("DPO after two rounds of ILR improves on them:", gap(results, At("ilr-then-dpo"), ILR)),
        above("Four splits do better than two:", gap(results, At("ilr-4-splits"), ILR)),
        above(
            "The split helps: proposals for unseen rows beat those for seen ones:",
            gap(results, ILR, At("ilr-seen-rows")),
        ),
    ]


def dial(variants: Variants) -> list[Claim]:
    """Claims about the lowest accuracy of the annotator at which each method helps."""
    claims: list[Claim] = []
    # The settings of both budgets come in one experiment; their labels end with the budget.
    for equal in (False, True):
        chosen = {n: r for n, r in variants.items() if n.endswith("equal budget") is equal}
        budget = "equal budget" if equal else "paper's budget"
        for method in ("naive", "ilr", "dpo", "dpo-3e-6"):
            claims.append(_helps_from(chosen, method, budget))
    return claims


def _helps_from(variants: Variants, method: str, budget: str) -> Claim:
    """Find the lowest annotator accuracy from which on the method helps.

    The method helps if the interval of its gain over SFT lies above zero. It must help at every higher accuracy as
    well.
    """
    text = f"{method} improves on SFT after one round from an annotator's accuracy on ({budget}):"
    rows = _rows(variants, method)
    helping: float | None = None
    # Go down from the best annotator and stop at the first setting without a clear gain.
    for accuracy, gain in reversed(rows):
        if not gain.above:
            break
        helping = accuracy
    if not rows:
        return unmeasured(text)
    lowest = percent(helping) if helping is not None else "none of those measured"
    spread = f"{percent(rows[0][0])} to {percent(rows[-1][0])}"
    best = rows[-1][1].words()
    # No clear gain at the best annotator does not show that there is none.
    verdict = Held.HELD if helping is not None else Held.NOT_TOLD_APART
    return Claim(
        text=text, verdict=verdict, detail=f"{lowest}; measured from {spread}. Gain with the best annotator: {best}."
    )


def _rows(variants: Variants, method: str) -> list[tuple[float, Gap]]:
    """Return (annotator accuracy, gain over SFT after one round) for each setting, accuracy rising."""
    rows: list[tuple[float, Gap]] = []
    for results in variants.values():
        accuracy, gain = annotator_accuracy(results), gap(results, At(method, 1), SFT)
        if accuracy is not None and gain is not None:
            rows.append((accuracy, gain))
    return sorted(rows, key=lambda row: row[0])


def annotator_accuracy(results: Results) -> float | None:
    """Return the annotator's accuracy on the decisive pairs of ILR's round 1, as the mean over seeds."""
    return mean_at(results, At("ilr", 1, "annotator_accuracy"))


# The keys are the values of `figure` in a config, as in `paper.PAPER_FIGURES`.
CLAIMS: Mapping[str, Callable[[Variants], list[Claim]]] = {
    "figure-1b": figure_1b,
    "figure-2": figure_2,
    "figure-3": figure_3,
    "figure-4": figure_4,
    "figure-5": figure_5,
    "figure-8": figure_8,
    "figure-9": figure_9,
    "figure-10": figure_10,
    "table-2": table_2,
    "table-3": table_3,
    "released-code": released_code,
    "budgets": budgets,
    "pairs": pairs,
    "hybrids": hybrids,
    "dial": dial,
}
