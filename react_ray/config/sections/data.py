"""Settings of input files, encoding and augmentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from react_ray.config.sections.base import Settings

__all__ = ["AugmentConfig", "Columns", "DataConfig", "EncodeConfig"]

Prompt = Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]
"""A sentence with {} in place of the class name."""


class Columns(Settings):
    """Names of the task's columns in the input files; a column that is not listed has its own name.

    The columns depend on the task, so further keys are allowed.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    text: str = Field("text", description="Column with the text")
    label: str = Field("label", description="Column with the label; rows where it is blank are unlabelled")
    truth: str | None = Field(
        None,
        description="Column with the true label of unlabelled rows: it scores the generated labels and is "
        "never trained on; None: there is none",
    )

    @model_validator(mode="after")
    def _check_distinct(self) -> Columns:
        # truth may be the label column: labels in the unlabelled file are used for scoring only
        for name in ("label", "truth"):
            if getattr(self, name) == self.text:
                raise ValueError(
                    f"data.columns.text and data.columns.{name} are both {self.text!r}: "
                    f"give each a different column (--text-column, --{name}-column)"
                )
        return self

    def of(self, name: str) -> str:
        """Return the name of a task's column in the input files."""
        return self.renamed().get(name, name)

    def renamed(self) -> dict[str, str]:
        """Return the columns whose name in the files differs from that of the task."""
        return {name: other for name, other in self.model_dump().items() if other not in (None, name)}


class DataConfig(Settings):
    """Input files, and which of their rows are used."""

    labeled: str | None = Field(
        None,
        description="File, folder or glob with labelled rows: csv, jsonl or parquet, local or remote; None: "
        "class names only",
    )
    unlabeled: str | None = Field(
        None, description="File, folder or glob with the unlabelled pool; None: train on labelled rows only"
    )
    validation: str | None = Field(
        None,
        description="Labelled rows that choose the checkpoint; None: a part of the labelled rows, where "
        "there are many",
    )
    test: str | None = Field(
        None, description="Labelled rows for the final metrics only; None: no test metrics"
    )
    labels: str | None = Field(
        None,
        description="YAML file of class names and their descriptions; None: names from the labelled rows",
    )
    targets: str | None = Field(
        None,
        description="File, folder or glob with the target column alone, to generate inputs for "
        "(back-translation); None: there are none",
    )
    columns: Columns = Field(Columns(), description="Names of the columns in the input files")
    separator: str | None = Field(
        None, min_length=1, description="Text between several labels in one cell; None: one label a cell"
    )
    label_columns: tuple[str, ...] = Field((), description="Columns that hold 1 or 0, one for each label")
    scheme: Literal["BIO", "IOB1", "BIOES"] | None = Field(
        None,
        description="Tagging scheme of tokens; BIOES is also BILOU and BMES; None: detected from the first "
        "rows of each file",
    )
    passages: bool = Field(
        False,
        description="Accept contexts without question and answer, for cloze questions (question answering)",
    )
    max_chars: int = Field(
        100_000,
        ge=1,
        description="Longest text, in characters; rows with longer ones are rejected, as are rows of more "
        "than 16 MiB",
    )
    max_unknown: float = Field(
        0.05, ge=0, le=1, description="Largest share of tokens that the tokenizer may read as unknown ([UNK])"
    )
    pool: int = Field(50_000, ge=0, description="Most unlabelled rows used; of more, a random sample")
    validation_fraction: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the labelled rows held out for validation, where there are many",
    )


class EncodeConfig(Settings):
    """Frozen encoder that computes the features of texts."""

    max_length: int = Field(
        128, ge=8, description="Longest input of the encoder, in tokens; longer texts are cut"
    )
    batch_tokens: int = Field(
        4096, ge=64, description="Tokens in a batch, padding included: rows times the longest row"
    )
    prompts: tuple[Prompt, ...] | None = Field(
        None,
        min_length=1,
        description="Sentences with {} for a class name, that names are encoded in; None: English or Chinese",
    )


class AugmentConfig(Settings):
    """Copies of labelled texts with small random changes (S3 in docs/method.md)."""

    search: bool = Field(
        False, description="Search the operations and the strength on the labelled texts before training (O3)"
    )
    copies: int = Field(4, ge=0, le=100, description="Changed copies of each labelled text")
    strength: float = Field(0.1, ge=0, le=0.5, description="Share of a text's words that are changed")
    operations: tuple[Literal["delete", "swap", "crop", "typo", "mentions"], ...] | None = Field(
        None,
        description="Kinds of change, one drawn at random for each copy; None: delete, swap, crop, and for "
        "entities mentions",
    )
