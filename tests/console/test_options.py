from __future__ import annotations

import pytest
import typer.main

from react_ray import cli
from react_ray.console.options import RunOptions, config_of, renamed_columns
from react_ray.errors import ConfigError


def options_of(name: str) -> list[str]:
    command = typer.main.get_command(cli.app).commands[name]  # type: ignore[attr-defined]
    return [option for parameter in command.params for option in parameter.opts]


def test_commands_that_take_a_configuration_share_their_options() -> None:
    run, check, tune = map(options_of, ("run", "check", "tune"))
    assert set(run) - {"--until"} == set(check) == set(tune) - {"--trials", "--minutes", "--search-only"}
    assert {"--column", "--separator", "--label-columns", "--task", "--text-column"} <= set(check)


def test_options_become_settings() -> None:
    config = config_of(
        RunOptions(
            arguments=["seed=3", "data.columns.context=paragraph"],
            labeled="a.csv",
            task="question-answering",
            column=["answer = a", "text=q"],
            truth_column="real",
            separator=";",
            label_columns="x, y,",
        ),
        {"tune.trials": 7, "tune.minutes": None},
    )
    assert (config.seed, config.task, config.tune.trials) == (3, "question-answering", 7)
    assert config.data.columns.renamed() == {
        "text": "q", "context": "paragraph", "answer": "a", "truth": "real",
    }  # fmt: skip
    assert [config.data.columns.of(name) for name in ("text", "label", "other")] == ["q", "label", "other"]
    assert (config.data.separator, config.data.label_columns) == (";", ("x", "y"))


@pytest.mark.parametrize("word", ["text", "=body", "text=", ""])
def test_a_column_is_given_as_name_and_other(word: str) -> None:
    with pytest.raises(ConfigError, match="expected NAME=OTHER"):
        renamed_columns([word])


def test_unknown_columns_and_tasks_are_named_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--labeled", "a.csv", "--column", "txt=body"]) == 2
    assert "data.columns.txt = 'body': text classification has no column 'txt'" in capsys.readouterr().err
    assert cli.main(["run", "--labeled", "a.csv", "--task", "translate"]) == 2
    assert "task = 'translate': unknown task; expected one of " in capsys.readouterr().err
