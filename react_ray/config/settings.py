"""Every setting of a run, typed, with its default and the reason for it; read by ``config_file``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from react_ray.config.masking import masked, texts_of
from react_ray.config.ranges import Range, read_space

__all__ = [
    "AugmentConfig",
    "CandidatesConfig",
    "ClusterConfig",
    "Columns",
    "Config",
    "DataConfig",
    "EncodeConfig",
    "FinetuneConfig",
    "LganConfig",
    "Range",
    "Settings",
    "TuneConfig",
    "variable_of",
]

EMBEDDED = "embedded"
"""The English MiniLM that comes with the package; needs no model hub."""

Count = Annotated[int, Field(ge=0, strict=True)]
"""A whole number beside words that may stand in its place; true and false are none."""

WorkerRange = tuple[Annotated[int, Field(ge=1, strict=True)], Annotated[int, Field(ge=1, strict=True)]]
"""The fewest workers a run goes on with after nodes are lost, and the most it takes."""

Prompt = Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]
"""A sentence with {} where the name of a class goes."""


class Settings(BaseModel):
    """Settings that are not changed once made, and no unknown ones."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)


class Columns(Settings):
    """The columns of a task by their names in the input files; a column that is not named has its own name.

    Which columns there are depends on the task: other names than these are further keys.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, str] = Field(init=False)

    text: str = "text"
    label: str = "label"
    truth: str | None = None  # true label of unlabelled rows: scores the labels made, never trains

    @model_validator(mode="after")
    def _text_is_no_label(self) -> Columns:
        # truth may be the label column: that of a pool with labels is read for nothing else
        for name in ("label", "truth"):
            if getattr(self, name) == self.text:
                raise ValueError(
                    f"data.columns.text and data.columns.{name} both name the column {self.text!r}: "
                    f"give each a column of its own (--text-column, --{name}-column)"
                )
        return self

    def of(self, name: str) -> str:
        """The name in the files of a task's column."""
        return self.renamed().get(name, name)

    def renamed(self) -> dict[str, str]:
        """The columns that have another name in the files than their own."""
        return {name: other for name, other in self.model_dump().items() if other not in (None, name)}


class DataConfig(Settings):
    """What is read, and which rows are taken."""

    labeled: str | None = None  # file, folder or glob; csv, jsonl or parquet; local or remote
    unlabeled: str | None = None
    validation: str | None = None
    test: str | None = None
    labels: str | None = None  # YAML: class name -> description
    columns: Columns = Columns()
    separator: str | None = Field(None, min_length=1)  # between the labels in one cell
    label_columns: tuple[str, ...] = ()  # columns that say 1 or 0, one a label
    max_chars: int = Field(100_000, ge=1)  # longer texts are rejected; a whole row has at most 16 MiB
    max_unknown: float = Field(0.05, ge=0, le=1)  # share of [UNK] tokens the model may see
    pool: int = Field(50_000, ge=0)  # unlabelled rows that are used; of more, a fair draw
    validation_fraction: float = Field(0.2, ge=0, lt=1)  # of the labelled rows, where these are many


class EncodeConfig(Settings):
    """The frozen encoder's pass over all texts."""

    max_length: int = Field(128, ge=8)  # tokens; a headline or a review fits, an article's lead too
    batch_tokens: int = Field(4096, ge=64)  # rows x longest row: keeps CPU caches and GPUs busy
    prompts: tuple[Prompt, ...] | None = Field(None, min_length=1)  # for names; None: English ones, see docs


class AugmentConfig(Settings):
    """Copies of labelled texts with small changes (S3)."""

    search: bool = False  # find operations and strength from the labelled texts (O3)
    copies: int = Field(4, ge=0, le=100)  # per labelled text
    strength: float = Field(0.1, ge=0, le=0.5)  # share of a text's words that change
    operations: tuple[Literal["delete", "swap", "crop", "typo"], ...] = ("delete", "swap", "crop")


class LganConfig(Settings):
    """The label GAN (P1, P2, S2, S4, L1); the game is on where adversarial or sampled is above 0."""

    loss: Literal["standard", "as_written"] = "standard"  # of the game; the printed form cannot judge (L1)
    names: bool = True  # let class names speak; their weight still falls to 0 where they do not help
    rounds: int = Field(5, ge=0, le=50)  # of self-training, in the teacher
    pretrain_steps: int = Field(0, ge=0)  # of phase 1's plain GAN: it serves the game below
    steps: int = Field(500, ge=1)  # of phase 2
    batch_size: int = Field(120, ge=8)  # pairs of each kind a step, over all workers; 120 divides evenly
    lr: float = Field(1e-3, gt=0)  # of D and of the sample generator
    lr_labels: float = Field(5e-5, gt=0)  # of the label generator: it starts from a fitted teacher
    teacher: float = Field(1.0, ge=0)  # weight of agreeing with the teacher on the pool
    foreign: bool = True  # leave out unlabelled rows that are like none of the labelled ones
    verifier: bool = True  # D has a say in labels and weights; without it G_y decides alone
    # Off, for they gained nothing measured (docs/method.md):
    consistency: float = Field(0.0, ge=0)  # weight of one label for a row and its nudged self
    nudge: float = Field(0.3, ge=0)  # length of the nudge; features have length 1
    alignment: bool = False  # hold the consistent label to the estimated class balance
    adversarial: float = Field(0.0, ge=0)  # weight of D's verdict in the game
    sampled: float = Field(0.0, ge=0)  # weight of labelling generated samples as they were meant
    wrong_pairs: bool = True  # (x, not y) among the fakes of the game (S3)


class CandidatesConfig(Settings):
    """Labels by the fine-tuned model, judged out of fold: for entities and several labels a text."""

    rows: int = Field(4000, ge=0)  # of the pool: a fair draw, more than the token budget trains on
    verifier: bool = True  # D has a say in labels and weights; without it the fine-tuned model decides alone


class FinetuneConfig(Settings):
    """Fine-tuning the pretrained model on D_aug (S5)."""

    lr: float = Field(5e-5, gt=0)  # of weights and head; adapters learn ten times as fast (LoRA)
    batch_size: int = Field(16, ge=1)  # rows of one optimiser step, over all workers
    accumulation: int = Field(1, ge=1)  # micro-batches a step is cut into on each worker
    max_length: int = Field(128, ge=8)
    token_budget: int = Field(80_000, ge=1)  # tokens trained on when epochs is not set
    epochs: float | None = Field(None, gt=0)  # overrides token_budget
    warmup: float = Field(0.1, ge=0, le=1)  # share of steps with a rising learning rate
    weight_decay: float = Field(0.01, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    dropout: float | None = Field(0.0, ge=0, lt=1)  # None: the model's; 0: same on any number of workers
    head_start: bool = True  # start the head from a linear fit, so early steps do not wreck the encoder
    freeze: Literal["none", "embeddings", "encoder"] | Count = "none"  # or: the lowest N layers
    lora_rank: int = Field(0, ge=0)  # of adapters, for models too large to train whole; 0: none
    lora_targets: Literal["all-linear", "default"] = "all-linear"  # default: as peft has it for the model
    sharding: Literal["none", "full"] = "none"  # full: each worker holds a share of the weights (FSDP)
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"  # auto: bf16 or fp16 on a GPU
    compile: bool = False  # torch.compile: a minute or more of start, for long runs on a GPU
    evaluations: int = Field(5, ge=1)  # validation rounds over the whole of training
    patience: int = Field(2, ge=1)  # rounds without a better score before it stops
    metric: str | None = None  # of the validation set, picks the checkpoint; None: the task's first


class ClusterConfig(Settings):
    """Where the work runs."""

    address: str | None = None  # of a Ray cluster; None: this machine
    workers: Count | Literal["auto"] | WorkerRange = "auto"  # for training; 0: this process; [least, most]
    use_gpu: bool | Literal["auto"] = "auto"
    cpus_per_worker: int = Field(1, ge=1)
    encoders: Annotated[int, Field(ge=1, strict=True)] | Literal["auto"] = (
        "auto"  # at a time; auto: all that fit
    )
    max_failures: int = Field(3, ge=0)  # worker failures survived before the run ends
    timeout_s: int = Field(600, ge=1)  # a collective call that waits longer ends the attempt
    answer_s: int = Field(30, ge=1)  # a node that has not answered by then is not fit to run on
    local_rows: int = Field(20_000, ge=0)  # up to here Ray Data costs more time than it saves

    @field_validator("workers")
    @classmethod
    def _least_first(cls, workers: object) -> object:
        if isinstance(workers, tuple) and workers[0] > workers[1]:
            raise ValueError(
                f"cluster.workers = {list(workers)}: give the fewest workers first, as in [1, 4]"
            )
        return workers


class TuneConfig(Settings):
    """The search for hyperparameters: what is tried, how often, and what ends it."""

    stage: Literal["run", "finetune", "lgan"] = "finetune"  # whose validation score is searched for
    space: dict[str, Range | list[Any]] | None = None  # None: as in docs
    trials: int = Field(20, ge=1)
    minutes: float | None = Field(None, gt=0)  # whatever is found by then counts
    sampler: Literal["tpe", "random"] = "tpe"  # tpe: Optuna's, which learns from the trials before
    scheduler: Literal["asha", "fifo", "pbt"] = "asha"  # asha stops trials that lag behind; pbt: see docs
    repeats: int = Field(1, ge=1)  # seeds a trial; its score is their mean
    concurrent: int = Field(0, ge=0)  # trials at a time; 0: as many as there is room for

    @field_validator("space", mode="before")
    @classmethod
    def _in_our_form(cls, space: object) -> object:
        return read_space(space)


class Config(Settings):
    """One run, whole."""

    task: str = "text-classification"  # what is learnt; a run checks the name
    output: str = Field("out", min_length=1)
    seed: int = Field(0, ge=0, lt=1 << 32)
    model: str = Field(EMBEDDED, min_length=1)  # fine-tuned and served: embedded, a hub name or a folder
    encoder: str | None = None  # features for the LGAN; None: the same as model
    onnx: bool = True  # export the model for ONNX Runtime as well: faster answers on processors
    data: DataConfig = DataConfig()
    encode: EncodeConfig = EncodeConfig()
    augment: AugmentConfig = AugmentConfig()
    lgan: LganConfig = LganConfig()
    candidates: CandidatesConfig = CandidatesConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    cluster: ClusterConfig = ClusterConfig()
    tune: TuneConfig = TuneConfig()

    @field_validator("output")
    @classmethod
    def _on_a_file_system(cls, output: str) -> str:
        if "://" in output:
            raise ValueError(
                f"output = {output!r}: the run needs a folder on a file system; give one on this machine, "
                "or one that is mounted on every machine (only inputs may be remote)"
            )
        return output

    @model_validator(mode="after")
    def _something_to_learn_from(self) -> Config:
        if not (self.data.labeled or self.data.labels):
            raise ValueError(
                "data.labeled is missing: give a file with labels (--labeled FILE), "
                "or names of classes (--labels FILE) and unlabelled text"
            )
        return self

    def save(self, path: Path) -> None:
        """Write the resolved configuration as YAML, without the secrets of addresses in it.

        A comment names the variables that :func:`load_config` takes the whole addresses from.
        """
        whole = self.model_dump(mode="json")
        shown = masked(whole)
        secret = [
            key
            for (key, text), (_, other) in zip(texts_of(whole), texts_of(shown), strict=True)
            if text != other
        ]
        head = "".join(
            f"# {key} stands here without its secret: to repeat the run, set {variable_of(key)} to the whole "
            "address.\n"
            for key in secret
        )
        content = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)
        path.write_text(head + content, encoding="utf-8")


def variable_of(key: str) -> str:
    """Name of the environment variable for an address that is saved without its secret."""
    return f"REACT_RAY_{key.upper().replace('.', '_')}"
