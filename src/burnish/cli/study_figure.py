"""The command that draws the paper's Figure 6 from studies: study figure."""

from __future__ import annotations

from pathlib import Path

import click

from burnish.cli.common import settled
from burnish.cli.study import study

_PATH = click.Path(path_type=Path)


@study.command("figure")
@click.argument("studies", type=_PATH, nargs=-1, metavar="[STUDY...]")
@click.option("--out", type=_PATH, required=True, help="Folder for the drawings and the numbers.")
@click.option(
    "--reference", type=_PATH, metavar="FILE", help="Dataset with the answers of a reference model to the same prompts."
)
@click.option("--reference-name", default="reference", show_default=True, help="Name of that model.")
@click.option("--run", type=_PATH, metavar="FOLDER", help="Results folder of a run of ILR and DPO with a judge.")
@settled
def figure_command(
    studies: tuple[Path, ...], out: Path, reference: Path | None, reference_name: str, run: Path | None
) -> None:
    """Draw the paper's Figure 6: lengths of demonstrations, choices by round, and win rates.

    Studies of comparisons are rounds 1, 2 and so on, in the order in which you name them. Each part is drawn if its
    data are there. The command also says whether the paper's claims hold.
    """
    from burnish.people.study.figure import figure_lines, study_figure, write_study_figure  # noqa: PLC0415
    from burnish.report.text import lines  # noqa: PLC0415

    figure = study_figure(studies, reference=reference, reference_name=reference_name, run=run)
    for path in write_study_figure(figure, out):
        click.echo(str(path))
    for line in figure_lines(figure):
        click.echo(lines(line))
