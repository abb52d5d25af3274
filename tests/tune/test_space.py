from __future__ import annotations

from typing import Any

import pytest

from react_ray.config import Range
from react_ray.config_file import load_config
from react_ray.errors import ConfigError
from react_ray.pipeline import prerequisites
from react_ray.tune.search import stages_before
from react_ray.tune.space import find_space, holds, values_of


def config(space: Any = None, **tune: Any):
    given = {"data.labeled": "labels.csv", "tune.space": space, **{f"tune.{k}": v for k, v in tune.items()}}
    return load_config(flags=given)


@pytest.mark.parametrize("stage", ["run", "finetune", "lgan"])
def test_every_stage_has_a_space_of_its_own(stage):
    found = config(stage=stage)
    assert values_of(found, find_space(found)).keys() == find_space(found).keys() != set()


def test_ranges_and_choices_are_told_apart():
    found = find_space(
        config({"finetune.lr": {"low": 1e-5, "high": 1e-4, "log": True}, "lgan.rounds": [1, 5]})
    )
    assert found == {"finetune.lr": Range(low=1e-5, high=1e-4, log=True), "lgan.rounds": [1, 5]}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"finetune.lrr": [1]}, "finetune.lrr"),
        ({"finetune.lr": [1e-5, -1]}, r"finetune\.lr = -1"),
        ({"lgan.rounds": {"low": 1, "high": 51}}, r"lgan\.rounds = 51"),
        ({"data.pool": [1, 2]}, "data.pool cannot be searched"),
        ({"seed": [1, 2]}, "seed cannot be searched"),
        ({"finetune.lr": {"low": 2, "high": 1}}, "finetune.lr: low = 2 is not below"),
        ({"finetune.lr": {"low": 0, "high": 1, "log": True}}, "finetune.lr: low = 0"),
        ({"finetune.lr": []}, "finetune.lr"),
    ],
)
def test_a_space_that_cannot_be_searched_is_told_by_its_key(space, told):
    with pytest.raises(ConfigError, match=told):
        find_space(config(space))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"stage": "lgan"}, "tune.stage"),
        ({"repeats": 2}, "tune.repeats"),
        ({"space": {"finetune.batch_size": [8, 16]}}, "finetune.batch_size cannot change on the way"),
    ],
)
def test_what_a_population_cannot_change_on_the_way_is_told(more, told):
    with pytest.raises(ConfigError, match=told):
        find_space(config(scheduler="pbt", **more))


def test_the_settings_as_given_are_tried_where_the_space_holds_them():
    given = {"finetune.lr": 5e-5, "lgan.rounds": 5, "finetune.epochs": None}
    rounds, lr, epochs = [1, 5], Range(low=1e-5, high=1e-4), [None, 2.0]
    assert holds({"finetune.lr": lr, "lgan.rounds": rounds, "finetune.epochs": epochs}, given)
    assert not holds({"finetune.lr": lr, "lgan.rounds": [1, 2], "finetune.epochs": epochs}, given)
    assert not holds(
        {"finetune.lr": lr, "lgan.rounds": rounds, "finetune.epochs": Range(low=1, high=2)}, given
    )


def test_stages_that_no_setting_changes_are_done_before_the_trials(tmp_path):
    (tmp_path / "labels.csv").write_text("text,label\na,b\n")

    def before(space, stage):
        given = config(space, stage=stage)
        data = given.data.model_copy(update={"labeled": str(tmp_path / "labels.csv")})
        given = given.model_copy(update={"data": data})
        return stages_before(given, find_space(given))

    assert before({"finetune.lr": [1e-5, 1e-4]}, "finetune") == prerequisites("finetune")[:-1]
    assert before({"lgan.lr_labels": [1e-5, 1e-4]}, "lgan") == [*prerequisites("encode"), "pretrain"]
    # features of texts that a trial shares are taken over: they are there before the first one
    assert before({"augment.copies": [1, 2]}, "lgan") == prerequisites("encode")
