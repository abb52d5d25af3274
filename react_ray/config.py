"""Every setting of a run, typed, with its default and the reason for it.

A configuration comes from a YAML file, ``key=value`` overrides and flags, in that
order; unknown keys and values out of range are errors that name the key.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from react_ray.errors import ConfigError

__all__ = [
    "AugmentConfig",
    "ClusterConfig",
    "Columns",
    "Config",
    "DataConfig",
    "EncodeConfig",
    "FinetuneConfig",
    "LganConfig",
    "ServeConfig",
    "load_config",
    "load_serve_config",
]

EMBEDDED = "embedded"
"""The English MiniLM that comes with the package; needs no model hub."""

_Root = TypeVar("_Root", bound=BaseModel)
Count = Annotated[int, Field(ge=0, strict=True)]
"""A whole number beside words that may stand in its place; true and false are none."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Columns(_Settings):
    """Names of the columns in the input files."""

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


class DataConfig(_Settings):
    """What is read, and which rows are taken."""

    labeled: str | None = None  # file, folder or glob; csv, jsonl or parquet; local or remote
    unlabeled: str | None = None
    validation: str | None = None
    test: str | None = None
    labels: str | None = None  # YAML: class name -> description
    columns: Columns = Columns()
    max_chars: int = Field(100_000, ge=1)  # longer rows are refused: no text of a person is longer
    max_unknown: float = Field(0.05, ge=0, le=1)  # share of [UNK] tokens the model may see
    validation_fraction: float = Field(0.2, ge=0, lt=1)  # of the labelled rows, where these are many


class EncodeConfig(_Settings):
    """The frozen encoder's pass over all texts."""

    max_length: int = Field(128, ge=8)  # tokens; a headline or a review fits, an article's lead too
    batch_tokens: int = Field(4096, ge=64)  # rows x longest row: keeps CPU caches and GPUs busy


class AugmentConfig(_Settings):
    """Copies of labelled texts with small changes (S3)."""

    search: bool = False  # find operations and strength from the labelled texts (O3)
    copies: int = Field(4, ge=0, le=100)  # per labelled text
    strength: float = Field(0.1, ge=0, le=0.5)  # share of a text's words that change
    operations: tuple[Literal["delete", "swap", "crop", "typo"], ...] = ("delete", "swap", "crop")


class LganConfig(_Settings):
    """The label GAN (P1, P2, S2, S4, L1); the game is on where adversarial or sampled is above 0."""

    loss: Literal["standard", "as_written"] = "standard"  # of the game; the printed form cannot judge (L1)
    names: bool = True  # let class names speak; their weight still falls to 0 where they do not help
    pretrain_steps: int = Field(0, ge=0)  # of phase 1's plain GAN: it serves the game below
    steps: int = Field(500, ge=1)  # of phase 2
    batch_size: int = Field(120, ge=8)  # pairs of each kind a step, over all workers; 120 divides evenly
    lr: float = Field(1e-3, gt=0)  # of D and of the sample generator
    lr_labels: float = Field(5e-5, gt=0)  # of the label generator: it starts from a fitted teacher
    teacher: float = Field(1.0, ge=0)  # weight of agreeing with the teacher on the pool
    consistency: float = Field(0.5, ge=0)  # weight of one label for a row and its nudged self
    nudge: float = Field(0.3, ge=0)  # length of the nudge; features have length 1
    alignment: bool = True  # hold the labels given to the estimated class balance
    adversarial: float = Field(0.0, ge=0)  # weight of D's verdict in the game; it gained nothing measured
    verifier: bool = True  # D has a say in labels and weights; without it G_y decides alone
    sampled: float = Field(0.0, ge=0)  # weight of labelling generated samples as they were meant; nor did it
    wrong_pairs: bool = True  # (x, not y) among the fakes of the game (S3)


class FinetuneConfig(_Settings):
    """Fine-tuning the pretrained model on D_aug (S5)."""

    lr: float = Field(5e-5, gt=0)
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
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # auto: bf16 or fp16 on a GPU, fp32 on a CPU
    evaluations: int = Field(5, ge=1)  # validation rounds over the whole of training
    patience: int = Field(2, ge=1)  # rounds without a better score before it stops
    metric: Literal["macro_f1", "accuracy"] = "macro_f1"  # of the validation set: picks the checkpoint


class ClusterConfig(_Settings):
    """Where the work runs."""

    address: str | None = None  # of a Ray cluster; None: this machine
    workers: Count | Literal["auto"] = "auto"  # training workers; 0: in this process
    use_gpu: bool | Literal["auto"] = "auto"
    cpus_per_worker: int = Field(1, ge=1)
    encoders: int = Field(2, ge=1)  # encoder actors
    max_failures: int = Field(3, ge=0)  # worker failures survived before the run ends
    timeout_s: int = Field(600, ge=1)  # a collective call that waits longer ends the attempt
    local_rows: int = Field(20_000, ge=0)  # up to here Ray Data costs more time than it saves


class ServeConfig(_Settings):
    """The HTTP service: where it listens, what a caller may ask of it; see :func:`load_serve_config`."""

    host: str = "127.0.0.1"  # other machines reach it only when asked for
    port: int = Field(8000, ge=1, le=65535)
    replicas: int = Field(1, ge=1)  # copies of the model, each a process
    cpus_per_replica: int | None = Field(None, ge=1)  # None: this machine's cores shared out; 1 on a cluster
    gpus_per_replica: float = Field(0, ge=0)  # a fraction lets replicas share one
    max_body_bytes: int = Field(1 << 20, ge=1024)  # of a request: 256 long articles fit
    max_texts: int = Field(256, ge=1)  # of a request: seconds of work; files go to react-ray predict
    max_chars: int = Field(100_000, ge=1)  # of a text: as data.max_chars
    batch_tokens: int = Field(2048, ge=1)  # of one model call: more fills a GPU, less keeps the wait short
    max_ongoing: int = Field(256, ge=2)  # requests in a replica: twice what a model call of short texts takes
    max_queued: int = Field(256, ge=0)  # requests that wait outside; above: 429
    request_timeout_s: float = Field(60, gt=0)  # from the first byte to the answer; above: 408
    start_timeout_s: float = Field(180, gt=0)  # until ready: a machine under load needs over a minute
    drain_timeout_s: float = Field(30, ge=0)  # for running requests when the service stops


class Config(_Settings):
    """One run, whole."""

    task: Literal["text-classification"] = "text-classification"
    output: str = "out"
    seed: int = Field(0, ge=0)
    model: str = EMBEDDED  # fine-tuned and served: embedded, a hub name or a folder
    encoder: str | None = None  # features for the LGAN; None: the same as model
    data: DataConfig = DataConfig()
    encode: EncodeConfig = EncodeConfig()
    augment: AugmentConfig = AugmentConfig()
    lgan: LganConfig = LganConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    cluster: ClusterConfig = ClusterConfig()

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
        """Write the resolved configuration as YAML."""
        content = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        path.write_text(content, encoding="utf-8")


def load_config(
    path: str | Path | None = None,
    overrides: Iterable[str] = (),
    flags: Mapping[str, Any] | None = None,
    preset: str | None = None,
) -> Config:
    """Resolve a configuration: preset, then file, then ``key=value``, then flags.

    ``flags`` maps dotted keys to values; None means not given. Raises ConfigError
    that names the key, the value and what is allowed.
    """
    tree: dict[str, Any] = {}
    if preset:
        _merge(tree, _read_preset(preset))
    if path is not None:
        _merge(tree, _read_yaml(Path(path)))
    return _validate(Config, _override(tree, overrides, flags or {}))


def load_serve_config(overrides: Iterable[str] = (), flags: Mapping[str, Any] | None = None) -> ServeConfig:
    """The settings of the service: ``key=value``, then flags; errors as in :func:`load_config`."""
    return _validate(ServeConfig, _override({}, overrides, flags or {}))


def _override(tree: dict[str, Any], overrides: Iterable[str], flags: Mapping[str, Any]) -> dict[str, Any]:
    for override in overrides:
        key, equals, value = (part.strip() for part in override.partition("="))
        if not equals:
            raise ConfigError(f"{override!r} is not of the form key=value")
        _set(tree, key, _read_value(key, value))
    for key, value in flags.items():
        if value is not None:
            _set(tree, key, value)
    return tree


def _read_value(key: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        quoted = json.dumps(value, ensure_ascii=False)
        raise ConfigError(
            f"{key} = {value}: this is not YAML; put text with special characters in double quotes, and all "
            f"in single ones for the shell: '{key}={quoted}'"
        ) from None


def _validate(root: type[_Root], tree: Mapping[str, Any]) -> _Root:
    try:
        return root.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_explain(error, root)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}; expected keys and values")
    return content


def _read_preset(name: str) -> dict[str, Any]:
    folder = resources.files("react_ray") / "presets"
    known = sorted(f.name.removesuffix(".yaml") for f in folder.iterdir())
    if name not in known:
        raise ConfigError(f"no preset {name!r}; there are: {', '.join(known)}")
    return yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = dict(value) if isinstance(value, Mapping) else value


def _set(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{dotted}: {parent} is a value, not a group of settings")
    tree[last] = value


def _explain(error: ValidationError, root: type[BaseModel]) -> str:
    """One line for each setting that is wrong: its dotted key, what was given, what is expected."""
    lines = []
    expected: dict[str, list[str]] = {}  # of a setting of several kinds, one problem for each kind
    for problem in error.errors():
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {_key(problem['loc'])!r}{_suggest(problem['loc'], root)}")
        elif problem["type"] == "value_error":
            lines.append(str(problem["ctx"]["error"]))
        else:
            given = f"{_key(_of_setting(problem['loc'], root))} = {problem['input']!r}"
            expected.setdefault(given, []).append(problem["msg"].lower())
    return "\n".join(lines + [f"{given}: {', or '.join(each)}" for given, each in expected.items()])


def _key(location: Iterable[int | str]) -> str:
    return ".".join(map(str, location))


def _of_setting(location: tuple[int | str, ...], root: type[BaseModel]) -> tuple[int | str, ...]:
    """``location`` without the kinds of a value that pydantic puts behind the setting."""
    known = _dotted(root)
    return next((location[:n] for n in range(len(location)) if _key(location[:n]) in known), location)


def _suggest(location: tuple[int | str, ...], root: type[BaseModel]) -> str:
    """The setting that was probably meant, in the same group or under any other."""
    *parents, last = (str(part) for part in location)
    group: Any = root
    for parent in parents:
        group = group.model_fields[parent].annotation
    known = list(group.model_fields)
    close = difflib.get_close_matches(last, known, n=1, cutoff=0.7)
    if close:
        return f"; did you mean {_key([*parents, close[0]])!r}?"
    elsewhere = [key for key in _dotted(root) if key.split(".")[-1] == last]
    if elsewhere:
        return f"; did you mean {' or '.join(map(repr, elsewhere))}?"
    return f"; there are: {', '.join(_key([*parents, name]) for name in known)}"


def _dotted(group: Any, prefix: str = "") -> list[str]:
    """All settings below ``group`` as dotted keys."""
    keys: list[str] = []
    for name, field in group.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        keys += _dotted(field.annotation, f"{prefix}{name}.") if nested else [prefix + name]
    return keys
