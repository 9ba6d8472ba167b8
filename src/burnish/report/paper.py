"""The paper's figures and tables, and a few that it does not have: title, the paper's claim, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from burnish.report.drawing import Drawing
from burnish.report.gaps import At, Variants
from burnish.report.panels import bars, by_beta, dial, every_method, figure_4, figure_5, figure_10, rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperFigure:
    """A figure or table of the paper, or one that the paper does not have.

    `paper` is the paper's claim, or "" where it has none.
    """

    title: str
    paper: str
    # A function and not drawings, so that matplotlib is loaded only for the figures that a page needs.
    draw: Callable[[Variants], list[Drawing]]
    note: str = ""


def nothing(variants: Variants) -> list[Drawing]:
    """Draw nothing, because the table shows everything."""
    return []


# The keys are the values of `figure` in a config. The claims are short forms of what arXiv 2501.07886 says.
PAPER_FIGURES: Mapping[str, PaperFigure] = {
    "figure-1b": PaperFigure(
        title="Figure 1b: how reliable the supervision is",
        paper="with reliable supervision DPO improves the SFT model and ILR is unnecessary; DPO becomes less effective "
        "with unreliable demonstrations and breaks down when comparisons are unreliable too, where ILR still improves.",
        draw=bars(
            "reliability", "Test accuracy by supervision", ("ILR", At("ilr")), ("DPO", At("dpo")), ("SFT", At("sft", 0))
        ),
    ),
    "figure-2": PaperFigure(
        title="Figure 2: supervisor, student and ceiling",
        paper="models finetuned on a smaller model's demonstrations are more accurate than that supervisor, and "
        "recover their full capability only in part.",
        draw=bars(
            "students",
            "Test accuracy by setting",
            ("SFT", At("sft", 0)),
            ("supervisor", At("weak", 0)),
            ("ceiling", At("ceiling", 0)),
        ),
    ),
    "figure-3": PaperFigure(
        title="Figure 3: DPO by beta and feedback",
        paper="with oracle feedback weak regularisation works best; with unreliable feedback it overoptimises, and "
        "only a large beta helps; ILR moves much further from the SFT model in one round.",
        draw=by_beta(1),
        note="All runs have one learning rate, 3e-6, which was the best one with the oracle.",
    ),
    "figure-4": PaperFigure(
        title="Figure 4: ILR and DPO over the rounds",
        paper="ILR improves the SFT model more than DPO in all four settings, and more so as models grow.",
        draw=figure_4,
    ),
    "figure-5": PaperFigure(
        title="Figure 5: accuracy of the labels",
        paper="the labels get more accurate from round to round; with an oracle they approach or surpass the accuracy "
        "of the model trained on ground truth.",
        draw=figure_5,
    ),
    "figure-8": PaperFigure(
        title="Figure 8: DPO by beta and feedback, complete",
        paper="the same trade-off for all levels of regularisation and feedback.",
        draw=by_beta(2),
        note="Two rounds; all runs have one learning rate, 3e-6.",
    ),
    "figure-9": PaperFigure(
        title="Figure 9: replacement without feedback",
        paper="replacing labels by proposals without any feedback degrades the model in all tasks.",
        draw=rounds("test_accuracy", "Test accuracy"),
    ),
    "figure-10": PaperFigure(
        title="Figure 10: the cap alpha",
        paper="ILR is not particularly sensitive to alpha: 0.05 is too small, large ones are less stable.",
        draw=figure_10,
    ),
    "table-2": PaperFigure(
        title="Table 2: DPO with modules of ILR",
        paper="sDPO and wsDPO improve on DPO minimally; ILR is best after every round.",
        draw=rounds("test_accuracy", "Test accuracy"),
    ),
    "table-3": PaperFigure(
        title="Table 3: DPO losses for noisy preferences",
        paper="IPO, cDPO and rDPO do not help with unreliable supervision; ILR is best after every round.",
        draw=rounds("test_accuracy", "Test accuracy"),
    ),
    "released-code": PaperFigure(
        title="What the released code does differently",
        paper="",
        draw=every_method("released", "Test accuracy after the last round"),
        note="compat.unswapped_dpo gives every pair a score of 0.5 up to rounding. compat.cap: differing takes alpha "
        "of the differing proposals and not of all rows. Both are off in all other experiments.",
    ),
    "budgets": PaperFigure(
        title="One budget of comparisons",
        paper="",
        draw=every_method("budgets", "Test accuracy after two rounds"),
        note="With the equal budget, every method has 200 comparisons in each round.",
    ),
    "pairs": PaperFigure(
        title="Which pairs DPO is trained on",
        paper="training on the 15 % most confident pairs does much better than on all (appendix C).",
        draw=every_method("pairs", "Test accuracy after one round"),
    ),
    "hybrids": PaperFigure(
        title="Hybrids and ablations of ILR",
        paper="DPO after ILR, and more than two splits, are left to future work (section 7).",
        draw=every_method("hybrids", "Test accuracy after the last round"),
    ),
    "dial": PaperFigure(
        title="How good must comparisons be?",
        paper="",
        draw=dial,
        note="Annotators are likelihood judges of rising strength, the classifier and the oracle.",
    ),
    "rates": PaperFigure(
        title="Learning rates that were tried",
        paper="",
        draw=nothing,
        note="Measured on prompts of half G, on which no student was trained. For each method the best of "
        "four rates is used.",
    ),
}
