"""The settings of tasks: one settings class for each task."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from burnish.config.base import Count, PositiveFloat, Seed, Settings
from burnish.config.kinds import Kinds, OneOf


class TaskSettings(Settings):
    """The base class of all tasks. The class of each kind says what other code needs to know about that kind."""

    kind: Any  # (each class narrows it to its one name)
    places: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where files are. They are not part of the identity, because data are identified by their
    content."""
    has_categories: ClassVar[bool] = False
    """Whether each row has a category (general or safety), so that comparisons can be balanced between the two."""
    ranked_by_wins: ClassVar[bool] = False
    """Whether the win rate against references says how good a method is. Otherwise the accuracy says it."""

    @property
    def hub_dataset(self) -> tuple[str, str | None] | None:
        """The hub id and revision of the data, or None for a task that cannot read from the hub."""
        return None

    def at_commit(self, commit: str) -> TaskSettings:
        """Return the settings with `revision` set to the commit at which the hub dataset is read."""
        # A branch such as `main` moves. The commit is what was really read, so results can be made again.
        return self.model_copy(update={"revision": commit})


TASKS = Kinds("task", TaskSettings)


@TASKS.add
class SumsTask(TaskSettings):
    """Generated word problems, for the embedded experiment."""

    kind: Literal["sums"]
    train: Count = 3000
    """The number of training rows. Half of them become the supervisor's ground truth (appendix B)."""
    test: Count = 500
    """The number of held-out test prompts."""
    # Not the seed of the run: all seeds of an experiment share one dataset, as with a real one, and differ in the
    # halves, the training order and the samples.
    world: Seed = 0
    """The seed from which the rows are generated. It is the same for all seeds of an experiment."""


@TASKS.add
class Gsm8kTask(TaskSettings):
    """Grade-school mathematics (appendix A.1)."""

    places: ClassVar[frozenset[str]] = frozenset({"source", "revision"})
    kind: Literal["gsm8k"]
    source: str = "openai/gsm8k"
    """A hub id, or a folder with `train.jsonl` and `test.jsonl` (also with the ending .gz)."""
    revision: str | None = None
    """The branch, tag or commit of a hub id."""
    # The order of a hash and not of the file: files are often sorted, for example by difficulty. A smaller number takes
    # a part of the rows that a larger one takes.
    train: Count | None = None
    """The number of training rows to use: the first ones in the order of the hash of their id. All if not given."""
    test: Count | None = None
    """The number of test rows to use, chosen in the same way."""

    @property
    def hub_dataset(self) -> tuple[str, str | None] | None:
        """The hub id and revision. A local folder of that name is used before the hub."""
        return self.source, self.revision


@TASKS.add
class WordProblemsTask(TaskSettings):
    """Easier word problems in the form of MAWPS (one file with `split`) or SVAMP."""

    places: ClassVar[frozenset[str]] = frozenset({"source"})
    kind: Literal["word_problems"]
    source: str
    """A JSONL file (also with the ending .gz)."""
    train: Count | None = None
    """The number of training rows to use: the first ones in the order of the hash of their id. All if not given."""
    test: Count | None = None
    """The number of test rows to use, chosen in the same way."""


@TASKS.add
class TextToSqlTask(TaskSettings):
    """Questions that are answered by a query on a database (appendix A.1): BIRD, Spider, or your own rows."""

    places: ClassVar[frozenset[str]] = frozenset({"source", "databases", "tokenizer", "cache"})
    kind: Literal["text_to_sql"]
    source: str
    """The unpacked folder of BIRD or Spider, one of their JSON files, or a JSONL file of rows (also with the ending
    .gz)."""
    layout: Literal["auto", "bird", "spider", "rows"] = "auto"
    """The form of the files. `auto` takes `rows` for JSONL, and otherwise decides by the names of files and columns."""
    databases: str | None = None
    """A folder with NAME/NAME.sqlite or NAME.sqlite, or one database for all rows. If not given, they are looked
    for beside the source."""
    split_column: str = "split"
    """For `rows`: the column that says train, valid (or dev) or test. Without such a column, a fifth of the rows,
    chosen by hash, is the test split."""
    train: Count | None = None
    """The number of training rows to use: the first ones in the order of the hash of their id. All if not given."""
    test: Count | None = None
    """The number of test rows to use, chosen in the same way."""
    equality: Literal["set", "multiset", "ordered"] = "set"
    """When two results are equal. `set`: they have the same set of rows (BIRD's execution accuracy). `multiset`:
    repeated rows count, too. `ordered`: the order of the rows counts, too."""
    evidence: bool = True
    """Show BIRD's piece of knowledge (`evidence`) in the prompt."""
    schema_form: Literal["create", "columns", "none"] = "create"
    """`create` shows the database as CREATE TABLE statements. `columns` shows lists of columns and foreign keys (as the
    released code does). `none` shows no schema: where all rows have one database, a model can learn it from the
    queries, and prompts are much shorter."""
    sample_rows: Annotated[int, Field(ge=0, le=100, strict=True)] = 0
    """How many of the first rows of each table are shown."""
    max_prompt_tokens: Count | None = 1024
    """Rows whose prompt has more tokens are left out (appendix A.1). Write null to keep all rows."""
    tokenizer: str | None = None
    """A `tokenizer.json`, or a folder with one, with which tokens are counted. If not given, four characters count as
    one token."""
    seconds: PositiveFloat = 30.0
    """The most seconds that a query may take (as in BIRD's evaluation). A query that takes longer counts as wrong."""
    max_rows: Count = 100_000
    """The most rows of a result. A query that returns more counts as wrong."""
    cache: str | None = None
    """A folder that keeps the results of gold queries from run to run (does not change results)."""

    @model_validator(mode="after")
    def _no_rows_without_a_schema(self) -> Self:
        if self.schema_form == "none" and self.sample_rows:
            raise ValueError(
                f"sample_rows: {self.sample_rows} found, but schema_form: none shows no table; remove one of the two"
            )
        return self


def _files_from_text(value: object) -> object:
    # A single file may be written without a list.
    return (value,) if isinstance(value, str) else value


Files: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_files_from_text), Field(min_length=1)]
"""A file, or a list of them."""
AnyFiles: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_files_from_text)]
"""A file, or a list of them, or none."""


@TASKS.add
class InstructionsTask(TaskSettings):
    """Safe instruction following (appendix A.1, SaferPaca): instructions to follow, and requests to refuse. Without
    `safety` and `safety_test` there are only instructions to follow, as in the paper's human study (section 6).

    Files are JSONL, JSON, Parquet or CSV in any form that `refine` takes. If a file has a column `category` that says
    general or safety, it can be named in both kinds of field. Each field then reads only the rows of its category.
    """

    places: ClassVar[frozenset[str]] = frozenset({"general", "safety", "general_test", "safety_test"})
    has_categories: ClassVar[bool] = True
    # The accuracy only tells which requests were refused.
    ranked_by_wins: ClassVar[bool] = True
    kind: Literal["instructions"]
    general: Files
    """Training files of instructions to follow, with their responses, such as Alpaca's `instruction`, `input` and
    `output`."""
    safety: AnyFiles = ()
    """Training files of unsafe requests, with safe responses."""
    general_test: Files
    """Held-out instructions with reference responses."""
    safety_test: AnyFiles = ()
    """Held-out unsafe requests with references, or a JSON file of {instructions: [...]}, whose reference is
    `refusal`."""
    train_general: Count | None = 9500
    """The number of training rows of `general`: the first ones in the order of the hash of their id. Write null to take
    all (appendix A.1: 9,500)."""
    train_safety: Count | None = 500
    """The number of training rows of `safety`, chosen in the same way (appendix A.1: 500)."""
    test_general: Count | None = None
    """The number of test rows of `general_test`. All if not given (appendix A.1: 300)."""
    test_safety: Count | None = None
    """The number of test rows of `safety_test`. All if not given (appendix A.1: 278)."""
    max_response: Count | None = None
    """Leave out rows whose reference has more characters than this. Use it if long answers would cost too much."""
    refusal: str = "Sorry, I cannot help with that."
    """The reference of unsafe test requests that have no reference of their own (appendix A.1)."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if bool(self.safety) != bool(self.safety_test):
            given, other = ("safety", "safety_test") if self.safety else ("safety_test", "safety")
            raise ValueError(f"{other}: none is given, but {given} is; name files for both, or for none")
        return self


AnyTask: TypeAlias = Annotated[TaskSettings, OneOf(TASKS)]
"""Any task."""
