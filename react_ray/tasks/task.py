"""The interface of a task: its rows, its targets, what a model answers for a row, and how right that is.

Imports no torch, so that files are read and models are served without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import softmax

from react_ray.answer import Answer
from react_ray.config.settings import AugmentConfig
from react_ray.models import tokens
from react_ray.models.tokenizer import TextTokenizer
from react_ray.tasks.columns import Cells, Column, Options
from react_ray.tasks.nouns import Nouns
from react_ray.tasks.sections import Section
from react_ray.tasks.text_changes import augment

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["Example", "Inputs", "Outputs", "Padding", "Task"]

Inputs = dict[str, NDArray[np.int64]]
"""What a model reads: arrays of n x tokens by the names that transformers gives them."""
Outputs = list[NDArray[np.float32]]
"""What the model computes for each example, without padding."""


class Padding(NamedTuple):
    """The token that fills up shorter examples of a batch, and the side it stands on (right or left)."""

    token: int
    side: str


@dataclass(frozen=True)
class Example:
    """One input of the model; a row may give several (windows of a long text).

    Parameters
    ----------
    ids
        Token ids.
    target
        What is to be learnt, in the form that :meth:`Task.targets` stacks; None where the row has none.
    weight
        Of its loss.
    row
        Index of its row among those that were encoded together.
    types
        Token types (0 or 1), where the task gives two texts to the model.
    places
        Where the task's units (words, entities) stand among the tokens.
    """

    ids: list[int]
    target: Any = None
    weight: float = 1.0
    row: int = 0
    types: list[int] | None = None
    places: Any = None


class Task(ABC):
    """Everything that differs between tasks: all other parts of the package use only this.

    ``rows`` are tables with the columns ``inputs`` and, where there is one, ``target``; ``labels`` the names
    of the K classes of a run, sorted.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """In words, for people: "text classification"."""
    nouns: ClassVar[Nouns] = Nouns()
    """Further words for people, and examples for reports and model cards."""
    columns: ClassVar[tuple[Column, ...]]
    """What files may hold; those of ``needs`` must be there."""
    needs: ClassVar[tuple[tuple[str, ...], ...]] = (("text",),)
    """Input columns that a file has to have: all names of one of these groups."""
    inputs: ClassVar[tuple[pa.Field, ...]] = (pa.field("text", pa.string()),)
    """Input columns of a row as the run keeps it; the first is ``text``, what people are shown of a row."""
    identity: ClassVar[tuple[str, ...]] = ()
    """Input columns that make two rows the same one; () for all."""
    target: ClassVar[pa.Field] = pa.field("label", pa.string())
    """Column of the target as the run keeps it; null where a row is unlabelled."""
    settles_on_unlabeled: ClassVar[bool] = False
    """Whether :meth:`settle` uses outputs for unlabelled rows."""
    fewest_classes: ClassVar[int] = 2
    """Classes that a run needs at least; 0 for tasks without classes."""
    metrics: ClassVar[tuple[str, ...]]
    """Keys of :meth:`score`, higher is better; the first is the headline: gate, search and report use it."""
    checkpoint_metric: ClassVar[str | None] = None
    """The one of ``metrics`` by which checkpoints of a training are compared; None: the headline."""

    operations: ClassVar[tuple[str, ...]] = ("delete", "swap", "crop", "typo")
    """Ways in which :meth:`augment` can change a row, names for ``augment.operations``."""
    labeler: ClassVar[str] = "label_gan"
    """What makes labels for the unlabelled pool: ``label_gan`` (one of K for each row) or ``candidates``."""
    one_of_k: ClassVar[bool] = False
    """Whether an answer is one class, with a ranking of all of them."""
    names_spans: ClassVar[bool] = False
    """Whether an answer is parts of the text, each with a type, a start and an end."""
    added: ClassVar[tuple[pa.Field, ...]] = (pa.field("label", pa.string()), pa.field("score", pa.float64()))
    """Columns that predictions add to the rows of a file; null where a row has no answer."""

    auto_model: ClassVar[str] = "AutoModelForSequenceClassification"
    """The class of transformers that loads a saved model of this task."""
    pipeline: ClassVar[str] = "text-classification"
    """The pipeline of transformers that gives the same answers."""

    @property
    def training_metric(self) -> str:
        """The one of ``metrics`` that compares checkpoints, and the trials of a search."""
        return self.checkpoint_metric or self.metrics[0]

    @property
    def texts(self) -> list[str]:
        """The names of the ``inputs`` that are texts, all of which the model reads."""
        return [field.name for field in self.inputs if pa.types.is_string(field.type)]

    # --- rows

    def detect(self, sample: Sequence[Cells], options: Options) -> Options:
        """Complete ``options`` from the first rows of a file."""
        return options

    @abstractmethod
    def parse(self, cells: Cells, options: Options) -> dict[str, Any]:
        """One row as the run keeps it: a value for each of ``inputs``, and for ``target`` (None: unlabelled).

        ``cells`` has every name of ``columns`` that the file has. Raises ValueError ("kind: details") where
        the row is rejected.
        """

    def names_in(self, target: Any) -> list[str]:
        """The classes that a target names, such as the types of its entities; [] for none."""
        return [target]

    def evidence(self, targets: Sequence[Any]) -> int:
        """How many judgements the targets of some rows allow; by default one a row.

        Too few validation rows decide by chance, so they neither pick a checkpoint nor are held back.
        """
        return len(targets)

    def cells_of(self, row: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
        """A row as a file that has the columns ``given`` would hold it, with an empty cell for its target.

        The reverse of :meth:`parse` for the ``inputs`` of a row: cells by the names of ``columns``.
        """
        inputs = {one.name: row[one.name] for one in self.columns if not one.target and one.name in row}
        targets = [one.name for one in self.columns if one.target]
        return inputs | {next((name for name in targets if name in given), targets[0]): ""}

    def collect(self, rows: Iterable[dict[str, Any]], config: AugmentConfig) -> Any:
        """What :meth:`augment` has to know of all labelled rows; by default nothing.

        Plain data of bounded size, the same for the same rows: it is sent to every worker.
        """
        return None

    def augment(
        self, row: dict[str, Any], config: AugmentConfig, seed: int, known: Any = None
    ) -> list[dict[str, Any]]:
        """Changed copies of a row (its input columns and its target) for which the target still holds.

        By default changes of the text alone; the same row, seed and ``known``, which is what :meth:`collect`
        returned, always give the same copies.
        """
        return [{**row, "text": text} for text in augment(row["text"], config, seed)]

    def shown(self, target: Any, row: Mapping[str, Any] | None = None) -> str:
        """A target or the value of an answer in words, for people; ``row`` has the ``inputs``."""
        return str(target)

    # --- features of the frozen encoder, for the label GAN

    def features(self, encoder: Any, rows: pa.Table) -> NDArray[np.float32]:
        """What a :class:`react_ray.data.encode.Encoder` says of each row: blocks of one width, length 1."""
        found: NDArray[np.float32] = encoder.encode(rows["text"].to_pylist())
        return found

    # --- the model

    @abstractmethod
    def load_model(self, name: str, labels: Sequence[str], dropout: float | None = None) -> PreTrainedModel:
        """Load the pretrained model ``name`` with this task's head; dropout None: the model's own."""

    def lacking(self, tokenizer: TextTokenizer) -> str | None:
        """What a model with this tokenizer cannot tell apart and the task needs, in words; None: nothing."""
        return None

    def output_names(self, labels: Sequence[str]) -> list[str]:
        """The names of the model's outputs, in order: the classes themselves, or tags made of them."""
        return list(labels)

    def classes_of(self, outputs: Sequence[str]) -> list[str]:
        """The classes that a model with these outputs knows: the reverse of :meth:`output_names`."""
        return list(outputs)

    @abstractmethod
    def encode(self, tokenizer: TextTokenizer, rows: pa.Table, labels: Sequence[str]) -> list[Example]:
        """Tokenise rows, with or without targets; examples of a row stand side by side."""

    def collate(self, examples: Sequence[Example], padding: Padding) -> Inputs:
        """The model's inputs, padded to the longest example."""
        ids, mask = tokens.pad([example.ids for example in examples], *padding)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if any(example.types is not None for example in examples):
            types = [example.types or [0] * len(example.ids) for example in examples]
            inputs["token_type_ids"] = tokens.pad(types, 0, padding.side)[0]
        return inputs

    def targets(self, examples: Sequence[Example], padding: Padding) -> NDArray[np.float32]:
        """The targets of a batch, in the order of the model's outputs."""
        return np.stack([example.target for example in examples])

    @abstractmethod
    def loss(self, output: Any, targets: torch.Tensor) -> torch.Tensor:
        """Loss of each example (n), unweighted."""

    def warm_start(self, model: PreTrainedModel, examples: Sequence[Example], padding: Padding) -> bool:
        """Fit the untrained head to ``examples`` in closed form; False where that is not possible."""
        return False

    def start_from(
        self, model: PreTrainedModel, name: str, weights: torch.Tensor, bias: torch.Tensor
    ) -> bool:
        """Set the untrained head of ``name`` to a classifier of its frozen features.

        ``weights`` K x d, ``bias`` K; False where the head does not read those features.
        """
        return False

    # --- answers

    def infer(self, model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Run the model on a padded batch; by default its logits."""
        logits: torch.Tensor = model(**inputs).logits
        return logits

    def split(self, output: NDArray[np.float32], examples: Sequence[Example], padding: Padding) -> Outputs:
        """The output of each example of a batch, without padding."""
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
        """Turn the outputs of the examples of ``rows`` into the answer of each row.

        ``settings`` are what :meth:`calibrate` kept in the model's configuration.
        """

    def probabilities(self, outputs: Outputs) -> Outputs:
        """The outputs of examples on the scale of their scores; by default softmax over the last axis."""
        return [softmax(output, axis=-1) for output in outputs]

    def calibrate(
        self,
        model: PreTrainedModel,
        outputs: Outputs,
        examples: Sequence[Example],
        rows: pa.Table,
        labels: Sequence[str],
    ) -> dict[str, float]:
        """Make the scores of the model's answers fit ``rows``, in place; what was changed, to be logged."""
        return {}

    def settle(
        self,
        model: PreTrainedModel,
        examples: Sequence[Example],
        unseen: Sequence[Example],
        run: Callable[[Sequence[Example]], Outputs],
    ) -> dict[str, float]:
        """Calibrate without validation rows, in place; return what was changed, to be logged.

        ``examples`` are some that the model was trained on, ``unseen`` are unlabelled ones that it was not
        (none unless ``settles_on_unlabeled``), and ``run`` computes its outputs. By default nothing.
        """
        return {}

    # --- predictions, as files and services give them

    def columns_of(self, answer: Answer, row: Mapping[str, Any]) -> dict[str, Any]:
        """A value for each of ``added``; ``row`` has the ``inputs`` that were answered."""
        return {"label": self.shown(answer.value, row), "score": answer.score}

    def wire(self, answer: Answer, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answer in JSON, as the pipeline of transformers gives it; ``row`` has the ``inputs``."""
        return [{"label": label, "score": score} for label, score in answer.ranking]

    # --- judgement

    @abstractmethod
    def credit(self, answers: Sequence[Answer], rows: pa.Table) -> NDArray[np.float64]:
        """How right each answer is, n values from 0 to 1."""

    @abstractmethod
    def statistics(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> Any:
        """Counts of each row (n x s, dense or sparse) from whose sums :meth:`score` makes the metrics."""

    @abstractmethod
    def score(self, sums: NDArray[np.float64]) -> dict[str, Any]:
        """Each of ``metrics`` of sums of statistics: from (... x s) arrays of shape (...)."""

    def details(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, Any]:
        """Further figures for metrics.json, such as those of each class."""
        return {}

    def sections(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> list[Section]:
        """What the report tells of the answers for ``rows``, of which there is at least one."""
        return []

    def measure(self, answers: Sequence[Answer], rows: pa.Table, labels: Sequence[str]) -> dict[str, float]:
        """Each of ``metrics`` over ``rows``."""
        figures = self.score(np.asarray(self.statistics(answers, rows, labels).sum(0), np.float64))
        return {name: float(value) for name, value in figures.items()}
