"""Interface of a task: its rows, targets, model, answers and metrics.

Imports no torch, so that files can be read and models served without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import softmax

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig, GenerationConfig
from react_ray.models import tokens
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.example import AnswerKind, Example, Inputs, LongTexts, Outputs, Padding
from react_ray.tasks.nouns import Nouns
from react_ray.tasks.sections import Section
from react_ray.tasks.text_changes import augment

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["AnswerKind", "Example", "Inputs", "Outputs", "Padding", "Task"]


class Task(ABC):
    """Base class of tasks; the rest of the package uses only this interface.

    ``rows`` are tables with the columns ``inputs`` and, if labelled, ``target``; ``labels`` are the sorted
    names of the K classes of a run.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """Name for messages, such as "text classification"."""
    nouns: ClassVar[Nouns] = Nouns()
    """Nouns for messages, reports and model cards."""
    columns: ClassVar[tuple[Column, ...]]
    """Columns that files may have; those of ``needs`` are required."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("text",),)
    """Required input columns of a file: all names of one of these groups."""
    inputs: ClassVar[tuple[pa.Field, ...]] = (pa.field("text", pa.string()),)
    """Input columns of a parsed row; the first is ``text``, which represents the row in messages."""
    identity: ClassVar[tuple[str, ...]] = ()
    """Input columns by which duplicate rows are found; () for all."""
    target: ClassVar[pa.Field] = pa.field("label", pa.string())
    """Target column of a parsed row; null for unlabelled rows."""
    settles_on_unlabeled: ClassVar[bool] = False
    """Whether :meth:`settle` uses outputs for unlabelled rows."""
    fewest_classes: ClassVar[int] = 2
    """Minimum number of classes of a run; 0 for tasks without classes."""
    metrics: ClassVar[tuple[str, ...]]
    """Keys of :meth:`score`, higher is better; the first is the headline: gate, search and report use it."""
    checkpoint_metric: ClassVar[str | None] = None
    """Metric that compares the checkpoints of a training; None: the headline."""
    validation_rows: ClassVar[int | None] = None
    """Maximum validation rows that compare checkpoints, for slow models; None: as many as for other tasks."""
    packages: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Optional packages that a run needs, each with a hint for its installation."""
    step_tokens: ClassVar[int | None] = None
    """Maximum tokens of a forward pass in training, see :meth:`size`; None: no maximum."""
    long_texts: ClassVar[LongTexts] = "cut"
    """Treatment of texts longer than the model's input."""
    generates: ClassVar[bool] = False
    """Whether the model generates texts token by token: it has no ONNX export and no calibration."""

    operations: ClassVar[tuple[str, ...]] = ("delete", "swap", "crop", "typo")
    """Augmentation operations of :meth:`augment`, for ``augment.operations``."""
    labeler: ClassVar[str] = "label_gan"
    """Labeler of the unlabelled pool: ``label_gan`` (one of K classes per row), ``candidates`` (options of
    units) or ``proposals`` (spans and texts)."""
    answers: ClassVar[AnswerKind]
    """Kind of answer, which decides how services describe it and pages show it."""
    added: ClassVar[tuple[pa.Field, ...]] = (pa.field("label", pa.string()), pa.field("score", pa.float64()))
    """Columns that predictions add to the rows of a file; null for rows without an answer."""
    group: ClassVar[str | None] = None
    """Text input that rows share: validation rows have others than training rows."""
    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    """The transformers class that loads a saved model of this task."""
    architectures: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of the classes that it may load; (): the end of its own name."""
    pipeline: ClassVar[str] = "text-classification"
    """The transformers pipeline that gives the same answers."""

    @property
    def training_metric(self) -> str:
        """Metric that compares checkpoints, and the trials of a search."""
        return self.checkpoint_metric or self.metrics[0]

    @property
    def text_column(self) -> str | None:
        """The column that makes an input alone and is a text; None where an input needs more than a text."""
        kinds = {column.name: column.kind for column in self.columns}
        return next((group[0] for group in self.needs if [kinds[name] for name in group] == ["text"]), None)

    @property
    def texts(self) -> list[str]:
        """Names of the text columns in ``inputs``; the model reads all of them."""
        return [field.name for field in self.inputs if pa.types.is_string(field.type)]

    def detect(self, sample: Sequence[Cells], options: Options) -> Options:
        """Complete ``options`` from the first rows of a file."""
        return options

    @abstractmethod
    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """Parse the cells of a row to a value for each of ``inputs`` and for ``target`` (None: unlabelled).

        ``cells`` has the columns of the task that the file has. Raises ValueError ("kind: details") if the
        row is rejected.
        """

    def names_in(self, target: Any) -> list[str]:
        """Return the classes in a target, such as the types of its entities."""
        return [target]

    def evidence(self, targets: Sequence[Any]) -> int:
        """Return the number of evaluated units in some targets; too few cannot select a checkpoint."""
        return len(targets)

    def cells_of(self, row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
        """Format a row as cells of a file with the ``columns``, with an empty cell for its target.

        The inverse of :meth:`parse` for the ``inputs`` of a row.
        """
        names = [column.name for column in self.columns if not column.target]
        inputs = {name: row[name] for name in names if name in row}
        targets = [column.name for column in self.columns if column.target]
        return inputs | {next((name for name in targets if name in columns), targets[0]): ""}

    def collect(self, rows: Iterable[dict[str, Any]], config: AugmentConfig) -> Any:
        """Collect statistics of all labelled rows for :meth:`augment`; by default None.

        The result is sent to every worker: plain data of bounded size, deterministic for the same rows.
        """
        return None

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, collected: Any = None
    ) -> list[dict[str, Any]]:
        """Make changed copies of a row (input columns and target) for which the target stays valid.

        By default only the text is changed. The copies depend on row, seed and the result of :meth:`collect`.
        """
        return [{**row, "text": text} for text in augment(row["text"], config, seed)]

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """Format a target, or the value of an answer, for messages; ``row`` has the ``inputs``."""
        return str(target)

    # --- settings

    def training_defaults(self, model: str) -> dict[str, Any]:
        """Return the settings of ``finetune`` that differ from the usual ones for this task and model."""
        return {}

    def settings(self, config: GenerationConfig) -> dict[str, Any]:
        """Return what is kept in the configuration of a saved model beside the name of the task."""
        return {}

    # --- features of the frozen encoder, for the label GAN

    def features(self, encoder: Any, rows: pa.Table) -> NDArray[np.float32]:
        """Compute features with a :class:`react_ray.data.encode.Encoder`: equal blocks, length 1."""
        features: NDArray[np.float32] = encoder.encode(rows["text"].to_pylist())
        return features

    # --- the model

    @abstractmethod
    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load the pretrained model ``name`` with this task's head; dropout None: that of the model."""

    def configure(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any]
    ) -> None:
        """Change a model and its tokenizer according to :meth:`settings`, in place."""
        return

    def tokenizer_warning(self, tokenizer: TextTokenizer) -> str | None:
        """Return a warning if the tokenizer lacks tokens that the task needs, else None."""
        return None

    def output_names(self, labels: Sequence[str]) -> list[str]:
        """Return the names of the model's outputs, in order: the classes, or tags derived from them."""
        return list(labels)

    def classes_of(self, outputs: Sequence[str]) -> list[str]:
        """Return the classes of a model with these outputs: the inverse of :meth:`output_names`."""
        return list(outputs)

    @abstractmethod
    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Tokenize rows, with or without targets; examples of the same row are adjacent."""

    def collate(self, examples: Sequence[Example], padding: Padding) -> Inputs:
        """Build the model's inputs, padded to the longest example."""
        ids, mask = tokens.pad([example.ids for example in examples], *padding)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if any(example.types is not None for example in examples):
            types = [example.types or [0] * len(example.ids) for example in examples]
            inputs["token_type_ids"] = tokens.pad(types, 0, padding.side)[0]
        return inputs

    def size(self, example: Example, settings: Mapping[str, Any] | None = None) -> int:
        """Return the tokens for the limits of batches; ``settings`` of a saved model, or None to train."""
        return len(example.ids)

    def targets(self, examples: Sequence[Example], padding: Padding) -> NDArray[Any]:
        """Stack the targets of a batch, in the order of the model's outputs."""
        return np.stack([example.target for example in examples])

    def model_inputs(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Complete the inputs of a training step with what depends on the model; by default unchanged."""
        return inputs

    @abstractmethod
    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Return the unweighted loss of each example (n)."""

    def record(self, model: PreTrainedModel, examples: Sequence[Example]) -> None:
        """Record in the model's configuration what answers ``examples``, those to train on, allow.

        By default nothing.
        """
        return

    def warm_start(self, model: PreTrainedModel, examples: Sequence[Example], padding: Padding) -> bool:
        """Fit the untrained head to ``examples`` without gradient steps; return False if not possible."""
        return False

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Set the untrained head of ``name`` to a classifier of its frozen features.

        ``weights`` K x d, ``bias`` K; returns False if the head does not use these features.
        """
        return False

    # --- answers

    def infer(self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Run the model on a padded batch; by default its logits."""
        logits: torch.Tensor = model(**inputs).logits
        return logits

    def quick(self, model: PreTrainedModel) -> AbstractContextManager[None]:
        """Context manager for faster answers, good enough to compare checkpoints; by default no change."""
        return nullcontext()

    def split(self, output: NDArray[np.float32], examples: Sequence[Example], padding: Padding) -> Outputs:
        """Split the output of a batch into one output per example, without padding."""
        return list(output)

    @abstractmethod
    def decode(
        self,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
        settings: Mapping[str, Any],
    ) -> list[Answer]:
        """Convert the outputs of the examples of ``rows`` to one answer per row.

        ``settings`` are those that :meth:`calibrate` stored in the model's configuration.
        """

    def probabilities(self, outputs: Outputs) -> Outputs:
        """Convert outputs to probabilities; by default softmax over the last axis."""
        return [softmax(output, axis=-1) for output in outputs]

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Calibrate the model's scores on ``rows``, in place; return the changes for the log."""
        return {}

    def settle(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        unseen: Sequence[Example],
        run: Callable[[Sequence[Example]], Outputs],
    ) -> dict[str, float]:
        """Calibrate without validation rows, in place; return the changes for the log.

        ``examples`` are training examples, ``unseen`` unlabelled ones that the model was not trained on
        (empty unless ``settles_on_unlabeled``), and ``run`` computes outputs. By default nothing.
        """
        return {}

    # --- predictions, as files and services give them

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a value for each column of ``added``; ``row`` has the ``inputs``."""
        return {"label": self.shown(answer.value, row), "score": answer.score}

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the answer in the format of the transformers pipeline; ``row`` has the ``inputs``."""
        return [{"label": label, "score": score} for label, score in answer.ranking]

    # --- judgement

    @abstractmethod
    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """Return the correctness of each answer, n values from 0 to 1."""

    def correct(self, credit: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return 1 where ``credit`` (n) is that of a correct answer, the event that scores predict."""
        return (credit == 1).astype(np.float64)

    @abstractmethod
    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """Return counts of each row (n x s, dense or sparse), whose sums :meth:`score` evaluates."""

    @abstractmethod
    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Compute each of ``metrics`` from sums of statistics (... x s); values have shape (...)."""

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Return further metrics for metrics.json, such as those of each class."""
        return {}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """Return the report's sections on the answers for ``rows`` (at least one)."""
        return []

    def measure(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, float]:
        """Compute each of ``metrics`` over ``rows``."""
        figures = self.score(np.asarray(self.statistics(answers, rows, labels).sum(0), np.float64))
        return {name: float(value) for name, value in figures.items()}
