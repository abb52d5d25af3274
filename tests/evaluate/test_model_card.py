"""The model card: read by hubs and by people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from react_ray.evaluate.model_card import write_model_card


def read(folder: Path) -> tuple[dict[str, Any], str]:
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_hub_reads_it(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    metrics = make_content()["metrics"] | {"model": "google-bert/bert-base-cased"}
    write_model_card(tmp_path, metrics, name="my classifier", language="zh")
    data = ModelCard.load(tmp_path / "README.md").data
    assert (data.library_name, data.pipeline_tag, data.language) == (
        "transformers",
        "text-classification",
        "zh",
    )
    assert data.base_model == "google-bert/bert-base-cased"
    assert data.license is None
    results = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert results["f1"] == pytest.approx(metrics["test"]["macro_f1"], abs=1e-4)
    assert results["accuracy"] == pytest.approx(metrics["test"]["accuracy"], abs=1e-4)


def test_a_person_reads_it(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    metrics = make_content()["metrics"]
    write_model_card(folder, metrics, license="apache-2.0", descriptions={"体育": "比赛"})
    front, body = read(folder)
    assert front["license"] == "apache-2.0"
    assert body.lstrip().startswith("# run\n")
    assert f"macro-F1 | {metrics['test']['macro_f1']:.3f} |" in body
    assert "| 体育 | 比赛 |" in body
    assert "15 labels and 90 unlabelled texts" in body
    assert "The generated labels help." in body
    assert "react_ray.load(" in body
    assert 'pipeline("text-classification"' in body


def test_what_is_not_known_is_left_out(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    write_model_card(tmp_path, make_content(test=0, pool=0)["metrics"])
    front, body = read(tmp_path)
    assert set(front) == {"library_name", "pipeline_tag", "tags"}
    assert "**Not measured**" in body
    assert "label GAN on" not in body


def test_validation_figures_are_not_sold_as_test_figures(
    tmp_path: Path, make_content: Callable[..., Any]
) -> None:
    write_model_card(tmp_path, make_content(test=0, validation=50)["metrics"])
    front, body = read(tmp_path)
    assert "model-index" not in front
    assert "validation rows: 50" in body
    assert "optimistic" in body


def test_a_local_model_is_no_base_model_of_a_hub(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    for model in (str(tmp_path), "embedded"):
        write_model_card(tmp_path, make_content()["metrics"] | {"model": model})
        front, body = read(tmp_path)
        assert "base_model" not in front
        assert str(tmp_path) not in body


def test_names_cannot_break_out(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    names = ("a | b\n---\nlicense: evil", "<script>alert(1)</script>", "[x](http://evil.example)")
    write_model_card(tmp_path, make_content(names)["metrics"], name='"quoted": {{ 7 * 7 }}\n---')
    front, body = read(tmp_path)
    assert "license" not in front
    assert front["model-index"][0]["name"] == '"quoted": {{ 7 * 7 }}\n---'
    assert "<script>" not in body
    assert r"\[x\](http://evil.example)" in body
    assert r"| a \| b --- license: evil |" in body


def test_the_labels_of_thousands_are_cut(tmp_path: Path, make_content: Callable[..., Any]) -> None:
    write_model_card(tmp_path, make_content(tuple(f"intent {i}" for i in range(1000)))["metrics"])
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| intent 299 |" in card
    assert "| intent 300 |" not in card
    assert "And 700 more: `id2label` in config.json has them all." in card
