"""A stage can read the settings that its key holds, and no others: no stale output is taken for its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from feature_blobs import QUICK, make_blobs

from react_ray.config.file import load_config
from react_ray.config.settings import Config, Settings
from react_ray.labelers import label_gan
from react_ray.lgan import pretrain, train
from react_ray.pipeline import graph
from react_ray.pipeline.context import base_model_of
from react_ray.pipeline.graph import FREE, GRAPHS, Stage, stages_of
from react_ray.pipeline.run import with_task
from react_ray.tasks import task_names
from react_ray.training.worker import LocalWorker

STAGES = [(name, stage) for name, stages in GRAPHS.items() for stage in stages]
every_stage = pytest.mark.parametrize(
    "stage", [stage for _, stage in STAGES], ids=[f"{name}-{stage.name}" for name, stage in STAGES]
)


@pytest.fixture(autouse=True)
def fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "fingerprint_model", str)
    monkeypatch.setattr(graph, "fingerprint_files", str)


def config(**settings: Any) -> Config:
    return Config.model_validate({"data": {"labeled": "a.csv"}, **settings})


def readable(settings: Settings, above: str = "") -> Iterator[str]:
    """The dotted names of the settings that can be read."""
    for name in type(settings).model_fields:
        if hasattr(settings, name):
            value = getattr(settings, name)
            inside = readable(value, f"{above}{name}.") if isinstance(value, Settings) else [above + name]
            yield from inside


def changed(settings: Settings, key: str) -> Any:
    """The settings with another value of one of them, whether or not it would be allowed."""
    name, _, rest = key.partition(".")
    other = "relation-extraction" if name == "task" else "other"
    return settings.model_copy(update={name: changed(getattr(settings, name), rest) if rest else other})


@pytest.mark.parametrize("task", task_names())
@pytest.mark.parametrize("model", ["embedded", "transformer-tiny", "any"])
def test_the_saved_configuration_of_a_run_gives_the_same_keys(task: str, model: str, tmp_path: Path) -> None:
    """Otherwise ``suggest``, and a run from its config.yaml, would train all models again."""
    given = with_task(config(task=task, model=model))
    given.save(tmp_path / "config.yaml")
    saved = load_config(tmp_path / "config.yaml")
    for stage in stages_of(given):
        assert json.dumps(stage.settings(saved)) == json.dumps(stage.settings(given)), stage.name


@every_stage
@pytest.mark.parametrize("search", [False, True])
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_whatever_a_stage_can_read_is_part_of_its_key(stage: Stage, search: bool) -> None:
    given = config(augment={"search": search})
    keys = [key for key in readable(stage.view(given)) if key.split(".")[0] not in FREE]
    assert "task" in keys
    own = stage.settings(given)
    assert [key for key in keys if stage.settings(changed(given, key)) == own] == []
    assert set(stage.reuse_keys) <= own.keys()


def test_a_setting_outside_of_the_key_cannot_be_read() -> None:
    stages = {stage.name: stage for stage in GRAPHS["label_gan"]}
    seen = stages["pretrain"].view(config())
    assert (seen.lgan.rounds, seen.seed, seen.output) == (5, 0, "out")
    assert hasattr(stages["lgan"].view(config()).lgan, "teacher")
    for read in (lambda: seen.lgan.teacher, lambda: seen.finetune, lambda: seen.encoder):
        with pytest.raises(AttributeError):
            read()


def test_the_encoder_is_known_by_one_name() -> None:
    encode = next(stage for stage in GRAPHS["label_gan"] if stage.name == "encode")
    views = [encode.view(config(**names)) for names in ({"model": "a"}, {"model": "b", "encoder": "a"})]
    assert [view.encoder for view in views] == [("a",), ("a",)]
    assert encode.settings(config(model="a")) == encode.settings(config(model="b", encoder="a"))


def test_the_label_gan_reads_no_setting_that_the_keys_of_its_stages_lack(tmp_path: Path) -> None:
    blobs, whole = make_blobs(pool=60), config(lgan={**QUICK, "pretrain_steps": 2, "steps": 2})
    stages = {stage.name: stage for stage in GRAPHS["label_gan"]}
    seen = {name: stages[name].view(whole).lgan.model_dump() for name in ("pretrain", "lgan", "generate")}
    assert "steps" not in seen["pretrain"]
    inputs, first, second = (tmp_path / name for name in ("inputs", "first", "second"))
    label_gan.prepare(blobs.inputs, seen["pretrain"], inputs)
    worker = LocalWorker(tmp_path / "worker1")
    pretrain.loop(worker, inputs=str(inputs), output=str(first), settings=seen["pretrain"], seed=0)
    worker = LocalWorker(tmp_path / "worker2")
    train.loop(
        worker, inputs=str(inputs), phase1=str(first), output=str(second), settings=seen["lgan"], seed=0
    )
    label_gan.generate(inputs, second, tmp_path, seen["generate"], 0)
    with pytest.raises(AttributeError):
        train.loop(
            LocalWorker(tmp_path / "worker3"),
            inputs=str(inputs),
            phase1=str(first),
            output=str(second),
            settings=seen["pretrain"],
            seed=0,
        )


def test_of_several_models_the_one_whose_features_say_most_is_fine_tuned(tmp_path: Path) -> None:
    stages = {stage.name: stage for stage in stages_of(config(model="auto"))}
    assert "pretrain" in stages["labels_only"].needs
    assert "pretrain" not in {stage.name: stage for stage in stages_of(config())}["labels_only"].needs
    done = {name: tmp_path / name for name in ("prepare", "pretrain")}
    (done["pretrain"] / "inputs").mkdir(parents=True)
    done["prepare"].mkdir()
    models = {"--model": ["a", "b"], "--encoder": ["c", "a", "b"]}
    (done["prepare"] / "models.json").write_text(json.dumps(models))
    (done["pretrain"] / "inputs" / "teacher.json").write_text(json.dumps({"encoders": [0.5, 0.2, 0.3]}))
    assert base_model_of(done) == "b"
    assert base_model_of({"prepare": done["prepare"]}) == "a", "without a teacher, the first"
