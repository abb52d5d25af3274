from __future__ import annotations

from typing import Any

import pytest

from react_ray.config.file import load_config
from react_ray.config.settings import Range
from react_ray.errors import ConfigError
from react_ray.pipeline.graph import LABEL_GAN
from react_ray.pipeline.graph import prerequisites as prerequisites_in
from react_ray.pipeline.run import with_task
from react_ray.tasks import get_task, task_names
from react_ray.tune.search import stages_before
from react_ray.tune.space import find_space, holds, values_of


def config(space: Any = None, **tune: Any):
    given = {"data.labeled": "labels.csv", "tune.space": space, **{f"tune.{k}": v for k, v in tune.items()}}
    return load_config(flags=given)


@pytest.mark.parametrize("stage", ["run", "finetune", "lgan"])
def test_every_stage_has_a_space_of_its_own(stage):
    found = config(stage=stage)
    assert values_of(found, find_space(found)).keys() == find_space(found).keys() != set()


@pytest.mark.parametrize(
    ("task", "model"), [("translation", "transformer-tiny"), ("text-classification", "embedded")]
)
def test_half_and_twice_the_tokens_of_the_task_are_tried(task, model):
    found = with_task(config(stage="finetune").model_copy(update={"task": task, "model": model}))
    tokens = found.finetune.token_budget
    assert find_space(found)["finetune.token_budget"] == [tokens // 2, tokens, 2 * tokens]


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
    ("task", "space", "allowed"),
    [
        (
            "token-classification",
            {"augment.operations": [["delete"], ["swap", "paraphrase"]]},
            get_task("token-classification").operations,
        ),
        (
            "text-classification",
            {"augment.operations": [["mentions"]]},
            get_task("text-classification").operations,
        ),
        (
            "multi-label-classification",
            {"augment.search": [False, True]},
            ["only for tasks with one label for one text"],
        ),
    ],
)
def test_a_space_has_only_augmentations_of_the_task(task, space, allowed):
    flags = {"task": task, "data.labeled": "labels.csv", "tune.space": space}
    with pytest.raises(ConfigError, match=r"tune\.space: augment\.") as error:
        find_space(load_config(flags=flags))
    assert all(name in str(error.value) for name in allowed)


def test_a_space_may_have_every_augmentation_of_the_task():
    for task in (name for name in task_names() if get_task(name).operations):
        space = {"augment.operations": [[name] for name in get_task(task).operations]}
        flags = {"task": task, "data.labeled": "labels.csv", "tune.space": space}
        assert find_space(load_config(flags=flags)).keys() == space.keys()


FORMS = [
    ("{finetune.lr: {min: 1e-5, max: 1e-4}}", "unknown setting 'tune.space.finetune.lr.min'; "),
    ("{finetune.lr: {min: 1e-5, max: 1e-4}}", "write finetune.lr: {low: 1e-5, high: 1e-4}"),
    ("{finetune.lr: {lower: 1e-5, upper: 1e-4}}", "write finetune.lr: {low: 1e-5, high: 1e-4}"),
    ("{finetune.lr: {loguniform: [1e-5, 1e-3]}}", "write finetune.lr: {low: 1e-5, high: 1e-3, log: true}"),
    ("{finetune.lr: {type: loguniform, min: 1e-5, max: 1e-3}}", "{low: 1e-5, high: 1e-3, log: true}"),
    ("{finetune.lr: {values: [1e-5, 1e-4, 1e-3]}}", "write finetune.lr: [1e-5, 1e-4, 1e-3]"),
    ("{finetune.lr: {choices: [1e-5, 1e-4]}}", "write finetune.lr: [1e-5, 1e-4]"),
    ("{finetune.lr: 1e-5..1e-3}", "write finetune.lr: {low: 1e-5, high: 1e-3}"),
    ("{finetune.lr: 'loguniform(1e-5, 1e-3)'}", "write finetune.lr: {low: 1e-5, high: 1e-3, log: true}"),
    ("{finetune: {lr: {low: 1e-5, high: 1e-3}}}", "write finetune.lr: {low: 1e-5, high: 1e-3}"),
    ("{finetune: {lr: {min: 1e-5, max: 1e-3}, batch_size: [8, 16, 32]}}", "finetune.batch_size: [8, 16, 32]"),
    ("{tune: {space: {finetune: {lr: [1e-5, 1, 2]}}}}", "write finetune.lr: [1e-5, 1, 2]"),
    ("{lr: [1e-5]}", "lr cannot be searched ... ; did you mean 'lgan.lr' or 'finetune.lr'"),
    ("{finetune: [1, 2]}", "finetune is a group of settings: name one of them, such as finetune.lr"),
    ("{finetune.lr: 5}", "tune.space.finetune.lr = 5: write"),
    ("{finetune.lr: }", "tune.space.finetune.lr = None: write"),
    ("{finetune.lr: {}}", "low is missing"),
    ("{finetune.lr: {low: 1e-5}}", "high is missing"),
    ("{}", "tune.space is empty"),
    ("[]", "tune.space = []: expected a mapping of settings"),
    ("words", "tune.space = 'words': expected a mapping of settings"),
    ("{finetune.lr: {low: 1e-3, high: 1e-3}}", "low = 0.001 is not below high = 0.001"),
    ("{finetune.lr: {low: 1, high: .inf}}", "tune.space.finetune.lr.high = inf: expected a finite number"),
    ("{finetune.lr: {low: .nan, high: 1}}", "tune.space.finetune.lr.low = nan: expected a finite number"),
    ("{finetune.lr: {low: true, high: 1}}", "tune.space.finetune.lr.low = True: expected a number"),
    ("{finetune.lr: {low: 1e-5, high: 1, log: sure}}", "log = 'sure': expected true or false"),
    ("{finetune.lr: [.inf]}", "finetune.lr = inf: input should be a finite number"),
    ("{finetune.lr: [{low: 1, high: 2}]}", "is not a value"),
    ("{lgan.names: {low: 0, high: 1}}", "lgan.names is not a number"),
    ("{lgan.rounds: {low: 1.5, high: 9}}", "lgan.rounds = 1.5"),
    ("{1: [1]}", "tune.space: 1 cannot be searched"),
    ("{finetune.lr.x: [1]}", "unknown setting 'finetune.lr.x'"),
    (f"{{finetune.batch_size: {list(range(1, 200))}}}", "has 199 values, at most 100"),
]


@pytest.mark.parametrize(("space", "told"), FORMS)
def test_a_space_in_other_words_is_one_line_with_the_right_form(space, told):
    with pytest.raises(ConfigError) as error:
        find_space(load_config(overrides=[f"tune.space={space}"], flags={"data.labeled": "labels.csv"}))
    assert all(part in str(error.value) for part in told.split(" ... "))
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)


def test_values_are_tried_as_the_setting_holds_them():
    found = find_space(config({"lgan.names": [0, 1, 1], "lgan.rounds": {"low": 1.0, "high": 9.0}}))
    assert found == {"lgan.names": [False, True], "lgan.rounds": Range(low=1, high=9)}
    assert isinstance(found["lgan.rounds"].high, int)
    assert find_space(config({"finetune.lr": ["1e-5", "1e-4"]})) == {"finetune.lr": [1e-5, 1e-4]}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"stage": "lgan"}, "tune.stage"),
        ({"repeats": 2}, "tune.repeats"),
        ({"space": {"finetune.batch_size": [8, 16]}}, "finetune.batch_size cannot change during training"),
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


def prerequisites(name):
    return prerequisites_in(LABEL_GAN, name)


def test_stages_that_no_setting_changes_are_done_before_the_trials(tmp_path):
    (tmp_path / "labels.csv").write_text("text,label\na,b\n")

    def before(space, stage):
        given = config(space, stage=stage)
        data = given.data.model_copy(update={"labeled": str(tmp_path / "labels.csv")})
        given = given.model_copy(update={"data": data})
        return stages_before(given, find_space(given))

    assert before({"finetune.lr": [1e-5, 1e-4]}, "finetune") == prerequisites("lgan")
    assert before({"lgan.lr_labels": [1e-5, 1e-4]}, "lgan") == [*prerequisites("encode"), "pretrain"]
    # features of texts that a trial shares are taken over: they are there before the first one
    assert before({"augment.copies": [1, 2]}, "lgan") == prerequisites("encode")
