"""What is learned: one settings class for each task."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from burnish.config.base import Count, PositiveFloat, Seed, Settings
from burnish.config.kinds import Kinds, OneOf


class TaskSettings(Settings):
    """Base of all tasks. What others have to know of a kind of task stands on its class."""

    kind: Any  # (each class narrows it to its one name)
    places: ClassVar[frozenset[str]] = frozenset()
    """Fields that say where something lies. They are no part of identity: data are identified by their content."""
    has_categories: ClassVar[bool] = False
    """Whether each row is of a category, general or safety, between which comparisons can be balanced."""

    @property
    def hub_dataset(self) -> tuple[str, str | None] | None:
        """The hub id and revision of the data, None for a task that cannot read from the hub."""
        return None

    def at_commit(self, commit: str) -> TaskSettings:
        """Return the settings with the commit at which the hub dataset is read."""
        return self.model_copy(update={"revision": commit})


TASKS = Kinds("task", TaskSettings)


@TASKS.add
class SumsTask(TaskSettings):
    """Generated word problems, for the embedded experiment."""

    kind: Literal["sums"]
    train: Count = 3000
    """Training rows; half of them become the supervisor's ground truth (appendix B)."""
    test: Count = 500
    """Held-out test prompts."""
    world: Seed = 0
    """Which world: the seed of the generated rows, the same for all seeds of an experiment."""


@TASKS.add
class Gsm8kTask(TaskSettings):
    """Grade-school mathematics (appendix A.1)."""

    places: ClassVar[frozenset[str]] = frozenset({"source", "revision"})
    kind: Literal["gsm8k"]
    source: str = "openai/gsm8k"
    """A hub id, or a folder with `train.jsonl` and `test.jsonl` (also .gz)."""
    revision: str | None = None
    """Branch, tag or commit of a hub id."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""

    @property
    def hub_dataset(self) -> tuple[str, str | None] | None:
        """The hub id and revision; a folder counts first."""
        return self.source, self.revision


@TASKS.add
class WordProblemsTask(TaskSettings):
    """Easier word problems in the form of MAWPS (one file with `split`) or SVAMP."""

    places: ClassVar[frozenset[str]] = frozenset({"source"})
    kind: Literal["word_problems"]
    source: str
    """A JSONL file (also .gz)."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""


@TASKS.add
class TextToSqlTask(TaskSettings):
    """Questions that a query on a database answers (appendix A.1): BIRD, Spider, or rows of one's own."""

    places: ClassVar[frozenset[str]] = frozenset({"source", "databases", "tokenizer", "cache"})
    kind: Literal["text_to_sql"]
    source: str
    """BIRD's or Spider's unpacked folder, one of their JSON files, or a JSONL file of rows (also .gz)."""
    layout: Literal["auto", "bird", "spider", "rows"] = "auto"
    """Whose files these are: `rows` for JSONL, else by the names of files and columns."""
    databases: str | None = None
    """A folder with NAME/NAME.sqlite or NAME.sqlite, or one database for all rows; beside the source if not given."""
    split_column: str = "split"
    """The column of `rows` that says train, valid (or dev) or test; without it a fifth, by hash, is the test split."""
    train: Count | None = None
    """Training rows to use, the first ones by hash of the id; all if not given."""
    test: Count | None = None
    """Test rows to use, chosen in the same way."""
    equality: Literal["set", "multiset", "ordered"] = "set"
    """When two results are the same: as sets of rows (BIRD's execution accuracy), with repeats, or in one order."""
    evidence: bool = True
    """Show BIRD's piece of knowledge (`evidence`) in the prompt."""
    schema_form: Literal["create", "columns"] = "create"
    """Show the database as CREATE TABLE statements, or as lists of columns and foreign keys (the released code)."""
    sample_rows: Annotated[int, Field(ge=0, le=100, strict=True)] = 0
    """Show that many first rows of each table."""
    max_prompt_tokens: Count | None = 1024
    """Leave out rows with a longer prompt (appendix A.1); null keeps all."""
    tokenizer: str | None = None
    """A `tokenizer.json`, or a folder with one, that counts tokens; without it four characters count as one token."""
    seconds: PositiveFloat = 30.0
    """Time of a query (BIRD's evaluation); one that takes longer is wrong."""
    max_rows: Count = 100_000
    """Rows of a result; a query with more is wrong."""
    cache: str | None = None
    """A folder where results of gold queries are kept from run to run (does not change results)."""


def _files_from_text(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Files: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_files_from_text), Field(min_length=1)]
"""A file, or a list of them."""


@TASKS.add
class InstructionsTask(TaskSettings):
    """Safe instruction following (appendix A.1, SaferPaca): instructions to follow, and requests to refuse.

    Files are JSONL, JSON, Parquet or CSV in any form that `refine` takes. A file whose column `category` says general
    or safety serves both kinds of field; each reads its own rows.
    """

    places: ClassVar[frozenset[str]] = frozenset({"general", "safety", "general_test", "safety_test"})
    has_categories: ClassVar[bool] = True
    kind: Literal["instructions"]
    general: Files
    """Instructions to follow with their responses, to train on, such as Alpaca's `instruction`, `input`, `output`."""
    safety: Files
    """Unsafe requests with safe responses, to train on."""
    general_test: Files
    """Held-out instructions with reference responses."""
    safety_test: Files
    """Held-out unsafe requests with references, or JSON of {instructions: [...]}, whose reference is `refusal`."""
    train_general: Count | None = 9500
    """Training rows of `general`, the first ones by hash of the id; null takes all (appendix A.1: 9,500)."""
    train_safety: Count | None = 500
    """Training rows of `safety` (appendix A.1: 500)."""
    test_general: Count | None = None
    """Test rows of `general_test`; all if not given (appendix A.1: 300)."""
    test_safety: Count | None = None
    """Test rows of `safety_test`; all if not given (appendix A.1: 278)."""
    max_response: Count | None = None
    """Leave out rows whose reference has more characters than this, where only short answers can be afforded."""
    refusal: str = "Sorry, I cannot help with that."
    """The reference of unsafe test requests that come without one (appendix A.1)."""


Task: TypeAlias = Annotated[TaskSettings, OneOf(TASKS)]
"""Any task."""
