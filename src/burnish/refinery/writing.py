"""From finished stages to a refinement's folder. Files come first that no other file refers to, so that a kill leaves
no reference to a missing file."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import yaml

from burnish.config import ServerProposals
from burnish.errors import DataError
from burnish.forms.convert import AlsoAs
from burnish.ledger import folder as files
from burnish.ledger.folder import Folder
from burnish.ledger.page import write_page
from burnish.ledger.summary import SUMMARY, CallSummary, DataSummary, HoldoutSummary, ModelSummary, State, Summary
from burnish.methods import Round
from burnish.models.adapter import name_base
from burnish.refinery.accounts import judge_prices, judges_of, proposals_run
from burnish.refinery.dataset import read_facts
from burnish.refinery.holding import held_ids
from burnish.refinery.inputs import STUDENT
from burnish.refinery.job import Job
from burnish.refinery.measuring import Reference, exists, summarised
from burnish.selftest.report import SelftestReport
from burnish.services.calls import Account
from burnish.steps.artifacts import DEMONSTRATIONS, LEDGER, Split
from burnish.store import identity
from burnish.store.files import remove_tree, replacing, row_of, write_atomic
from burnish.store.json_rows import dump_line
from burnish.store.keys import SeenNumbers
from burnish.store.line_index import stage_lines
from burnish.types import IDENTITY, Artifact, Demonstration, Reason, demonstration_id

FIELDS = tuple(field.name for field in dataclasses.fields(Demonstration))
"""The fields of an answer in the order in which they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What can be written: the rounds (also those that are only planned), the self-test, and the model and its accuracy
    on held-out prompts if it is trained."""

    rounds: Sequence[Round]
    selftest: SelftestReport | None
    state: State
    model: Artifact | None = None
    holdout: HoldoutSummary | None = None


class Writer:
    """Brings a folder up to date with the finished stages.

    `written_rounds` are the fingerprints of the rounds that the folder has already. `also` are more forms in which the
    dataset is written.
    """

    def __init__(self, folder: Folder, job: Job, written_rounds: Sequence[str], also: Sequence[AlsoAs] = ()) -> None:
        self.folder, self.job, self.written_rounds = folder, job, list(written_rounds)
        self.also = self._also(also)

    def _also(self, asked: Sequence[AlsoAs]) -> tuple[str, ...]:
        """Return the names of the other files to write: those that the user asks for now, and those of earlier
        calls."""
        earlier = self.folder.summary.data.also if (self.folder.path / SUMMARY).is_file() else ()
        # A dict drops repeated names and keeps the order.
        names = dict.fromkeys((*earlier, *(f"refined.{kind}" for kind in asked)))
        return tuple(name for name in names if name != self.job.found.table.name)

    def begin(self, selftest: SelftestReport | None) -> None:
        """Write the rows and their given answers, before any round."""
        path = self.folder.path
        path.mkdir(parents=True, exist_ok=True)
        self.folder.sweep()
        if not self.written_rounds:  # first, because a folder is known as a refinement's by its summary
            self.folder.write_summary(self._summary(Contents(rounds=(), selftest=selftest, state=State.UNDER_WAY)))
        config = self.job.config.model_dump(mode="json")
        settings = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)  # pyright: ignore[reportUnknownMemberType] its stub
        write_atomic(path / files.CONFIG, settings.encode())
        if not self.written_rounds:
            data = Path(self.job.data.path)
            _copy(data / f"{Split.TRAIN}.jsonl", path / files.EXAMPLES)
            # A run that was killed before its first round may have left these files.
            (path / files.ANSWERS).unlink(missing_ok=True)
            self.folder.extend(files.ANSWERS, answer_lines([self.job.data]))
            (path / files.LEDGER).unlink(missing_ok=True)

    def write(self, contents: Contents) -> Summary:
        """Write the finished rounds: ledger and answers, dataset, model, report, summary. Raises DataError if the
        source file changed meanwhile."""
        path = self.folder.path
        self._check_source()
        # Round 0 is the dataset as it came, so it has no ledger.
        done = [round_ for round_ in contents.rounds if round_.number > 0 and exists(round_.demonstrations)]
        for round_ in done:
            if round_.demonstrations.fingerprint not in self.written_rounds:
                self._add(round_)
        self.folder.write_dataset(self.job.config.data, self.job.found.table.name, self.also)
        if contents.model is not None:
            self._write_model(contents.model)
        summary = self._summary(contents, done)
        # The report before the summary: what the summary describes is then complete.
        write_page(path, summary)
        self.folder.write_summary(summary)
        return summary

    def _check_source(self) -> None:
        """Raise DataError if the source file is not the same as at the start. Answers would go to the wrong rows."""
        found = self.job.found
        if found.table.files and identity.of_files(found.table.files).fingerprint != found.source.fingerprint:
            raise DataError(
                f"{found.config.data.source}: the file changed while it was refined; put it back as it was and run the "
                "same command again, or refine the new one into another --out"
            )

    def _add(self, round_: Round) -> None:
        """Add the answers and the ledger of one round to the folder."""
        assert round_.compared is not None, round_
        # Lines of later rounds can only come from a killed run. They are dropped and written again.
        earlier = set(range(1, round_.number))
        answers = answer_lines(round_.compared.sides[1:])
        self.folder.extend(files.ANSWERS, answers, lambda line: _belongs(line, earlier | {0}))
        # A stage's ledger has the same lines, and its checksum was compared, so they are copied as they are.
        with (Path(round_.compared.ledger.path) / LEDGER).open("rb") as lines:
            self.folder.extend(files.LEDGER, lines, lambda line: _belongs(line, earlier))
        self.written_rounds.append(round_.demonstrations.fingerprint)

    def _write_model(self, model: Artifact) -> None:
        """Export the model into the folder, in place of an earlier one."""
        place = self.folder.path / files.MODEL
        summary = self.folder.summary
        if summary.model is not None:
            # The model is here already. To export it again would only take time.
            same_form = summary.config.merge == self.job.config.merge
            if summary.model.fingerprint == model.fingerprint and same_form and place.is_dir():
                self._name_base(place)
                return
            # First take the old model out of the summary. A kill must not leave a summary that describes the old model
            # beside the files of the new one.
            self.folder.write_summary(summary.model_copy(update={"model": None}))
        # This name also matches what `Folder.sweep` removes after a kill.
        beside = place.with_name(".model.part")
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        # The export goes to a hidden folder first, so that `model` is never half written.
        # This is no stage, but it may take as long as one.
        with self.job.context.terminal.stage("write the model"):
            self.job.context.store.fetch(Path(model.path))
            if self.job.config.merge:
                self.job.context.engines.trainer().export(model, beside, merge=True)
            else:  # a caller's own backend need not know how to merge
                self.job.context.engines.trainer().export(model, beside)
        self._name_base(beside)
        remove_tree(place)
        beside.rename(place)

    def _name_base(self, folder: Path) -> None:
        """Write into an adapter where its base model is now. The same command may find the base in another folder than
        before."""
        name_base(folder, self.job.found.models[STUDENT].model)

    def _summary(self, contents: Contents, done: Sequence[Round] = ()) -> Summary:
        """Return the summary of everything that is finished."""
        named, referee = self.job.config.data.reference_column, self.job.found.referee
        reference = Reference(self.job.rows, referee.grader) if named else None
        facts, held = read_facts(self.job.data), self.held_out()
        # Read from the folder and not from a stage: reverts are in its ledger alone.
        reverted = self.folder.reverted()
        model = contents.model
        return Summary(
            state=contents.state,
            config=self.job.config.settings,
            data=DataSummary(
                file=self.job.found.table.name,
                also=self.also,
                form=facts.form,
                rows=facts.rows,
                usable=facts.usable - held,
                skipped=facts.skipped,
                held_out=held,
                bad_rows=facts.bad_rows,
            ),
            given_accuracy=reference.labels(self.job.data) if reference else None,
            rounds=tuple(summarised(round_, reference) for round_ in done),
            selftest=contents.selftest,
            calls=self._calls(),
            proposal_calls=self._proposal_calls(),
            reverted=reverted,
            present_accuracy=reference.standing(self.job.data, self.folder)
            if reference and reverted and done
            else None,
            model=ModelSummary(folder=files.MODEL, fingerprint=model.fingerprint, current=True) if model else None,
            holdout=contents.holdout,
        )

    def held_out(self) -> int:
        """Return how many rows are held out. Raises DataError if there are not enough rows with a reference."""
        return 0 if self.job.holdout is None else len(held_ids(self.job.holdout))

    def _calls(self) -> CallSummary | None:
        """Return what the judge's server was paid for, or None if no server is asked."""
        if not judges_of(self.job.config):
            return None
        return self._spent(Account(run=self.job.context.run, prices=judge_prices(self.job.config)))

    def _proposal_calls(self) -> CallSummary | None:
        """Return what the server that proposes was paid for, or None if there is none."""
        server = self.job.config.proposals
        if not isinstance(server, ServerProposals):
            return None
        return self._spent(Account(run=proposals_run(self.job.context.run), prices=server.prices))

    def _spent(self, account: Account) -> CallSummary:
        prices = account.prices
        spent = self.job.context.calls().spent(account.run, prices)
        return CallSummary(
            calls=spent.calls,
            failed=spent.failed,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            cost=spent.cost,
            currency=prices.currency if prices else None,
        )


def answer_lines(artifacts: Sequence[Artifact]) -> Iterator[bytes]:
    """Yield the lines of `answers.jsonl` for the answers of stages, each answer once.

    A batch that a kill interrupted was computed again, so its answers can be in the file twice.
    """
    # Only the ids are kept in memory, as numbers.
    seen = SeenNumbers()
    for artifact in artifacts:
        for line, values in stage_lines(Path(artifact.path) / DEMONSTRATIONS):
            # A stage wrote the line as burnish writes answers, so the id is put in front of its other fields. To make
            # the answer and to write it again would take three times as long.
            if tuple(values) != FIELDS:
                answer = row_of(values, Demonstration, artifact.path)
                id_, written = answer.id, dump_line(files.answer_line(answer))
            else:
                id_ = demonstration_id(*[values[name] for name in IDENTITY])
                written = b'{"id":"%s",%s' % (id_.encode(), line[1:])
            if seen.add(int(id_, 16)):
                yield written


def _belongs(line: bytes, rounds: set[int]) -> bool:
    """Say whether a line belongs to one of `rounds` or is a revert. A killed run may have left lines of a round that
    was not finished."""
    # A text cannot hold these bytes, since its quotes are escaped. So most lines need not be parsed.
    if line.endswith(b"}\n") and (found := _ROUND.search(line)) and b'"reason":' not in line:
        return int(found[1]) in rounds
    try:
        # Half a line, which a kill left, is no JSON. It belongs to no finished round.
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return row["round"] in rounds or row.get("reason") == Reason.REVERTED


_ROUND = re.compile(rb',"round":([0-9]+),')


def _copy(source: Path, to: Path) -> None:
    """Copy a file. A reader sees the old file or the new one, never a part."""
    with source.open("rb") as original, replacing(to) as copy:
        shutil.copyfileobj(original, copy)
