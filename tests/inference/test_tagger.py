"""A saved token classifier: the same entities from torch, ONNX Runtime and plain transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tiny_tagger import save_tagger

import react_ray
from react_ray.errors import InputError
from react_ray.inference.folder import check_saved
from react_ray.inference.onnx_classifier import OnnxClassifier
from react_ray.inference.onnx_export import export, export_saved
from react_ray.inference.onnx_record import OnnxRecord
from react_ray.inference.reference import load_reference, write_reference

TEXT = "Ada lives in Paris."
LONG = "x " * 100 + "Rome " + "x " * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tagger(tmp_path_factory.mktemp("run") / "model")


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxClassifier:
    target = tmp_path_factory.mktemp("exported") / "onnx"
    record = export(folder, target, [TEXT, {"tokens": ["Rome", ",", "Paris"]}])
    assert record.labels == ["LOC", "PER"]
    assert record.precisions["fp32"].same_label == 1
    return OnnxClassifier(folder, target, record, "fp32")


def test_entities_have_types_and_places(folder: Path) -> None:
    person, place = react_ray.load(folder).predict([TEXT])[0]
    assert (person.entity_group, person.word, person.start, person.end) == ("PER", "Ada", 0, 3)
    assert (place.entity_group, place.word, TEXT[place.start : place.end]) == ("LOC", "Paris", "Paris")
    assert 0 < place.score <= 1


def test_entities_are_those_of_the_pipeline_of_transformers(folder: Path) -> None:
    from transformers import pipeline

    texts = [TEXT, "Rome and Paris, likes ada"]
    tagger = pipeline("token-classification", str(folder), aggregation_strategy="simple")
    for expected, found in zip(tagger(texts), react_ray.load(folder).predict(texts), strict=True):
        keys = ("entity_group", "start", "end")
        assert [tuple(entry[key] for key in keys) for entry in expected] == [
            tuple(getattr(entity, key) for key in keys) for entity in found
        ]


def test_words_that_were_split_already_and_long_texts(folder: Path) -> None:
    model = react_ray.load(folder)
    split, long = model.predict([{"tokens": ["Rome", ",", "Paris"]}, {"text": LONG}])
    assert [entity.word for entity in split] == ["Rome", "Paris"]
    assert [(entity.word, entity.start) for entity in long] == [("Rome", 200)]


def test_the_words_of_a_few_long_texts_are_in_memory_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = react_ray.load(folder)
    texts = [LONG, TEXT, "x", LONG, "", LONG, TEXT]
    expected, encode, sizes = model.predict(texts), model.task.encode, list[int]()

    def counted(tokenizer: Any, rows: Any, labels: Any) -> Any:
        sizes.append(sum(map(len, rows["text"].to_pylist())))
        return encode(tokenizer, rows, labels)

    monkeypatch.setattr(model.task, "encode", counted)
    monkeypatch.setattr("react_ray.inference.inputs.CHARS_A_PART", len(LONG) + 30)
    assert model.predict(texts) == expected
    assert sum(sizes) == sum(map(len, texts))
    assert max(sizes) <= len(LONG) + 30


def test_an_empty_text_has_no_entities(folder: Path, exported: OnnxClassifier) -> None:
    for model in (react_ray.load(folder), exported):
        assert model.predict(["", {"tokens": []}]) == [[], []]
        assert [len(found) for found in model.predict(["", TEXT])] == [0, 2]


def test_what_is_no_input_is_named(folder: Path) -> None:
    model = react_ray.load(folder)
    for given, said in [
        ({"tokens": "Rome"}, "input 1: tokens is a string; expected a list"),
        ({"tokens": ["Rome", 7]}, "input 1: tokens: item 1 is a number"),
        ({"words": ["Rome"]}, "input 1: words is not known; known are: tokens, text"),
        ({}, "input 1: text is missing"),
        (7, "input 1: is a number; expected a string or"),
    ]:
        with pytest.raises(InputError, match=said):
            model.predict([TEXT, given])  # type: ignore[list-item]
    with pytest.raises(InputError, match="has no probability of a label"):
        model.predict_proba([TEXT])


def test_onnx_runtime_finds_the_same(folder: Path, exported: OnnxClassifier) -> None:
    texts = [TEXT, LONG, "x", {"tokens": ["Rome", ",", "Paris"]}]
    for one, other in zip(exported.predict(texts), react_ray.load(folder).predict(texts), strict=True):
        assert [(e.entity_group, e.start, e.end) for e in one] == [
            (e.entity_group, e.start, e.end) for e in other
        ]
        assert [e.score for e in one] == pytest.approx([e.score for e in other], abs=1e-4)


def test_an_export_reads_the_columns_of_a_file_as_prediction_does(folder: Path, tmp_path: Path) -> None:
    model, source = tmp_path / "model", tmp_path / "texts.jsonl"
    shutil.copytree(folder, model)
    source.write_text(json.dumps({"spans": TEXT}) + "\n")
    with pytest.raises(InputError, match="token classification has no column 'body'"):
        export_saved(str(model), str(source), {"body": "spans"})
    with pytest.raises(InputError, match="both name the column 'spans'"):
        export_saved(str(model), str(source), {"text": "spans", "tokens": "spans"})
    assert "compared with torch on" in export_saved(str(model), str(source), {"text": "spans"})


def test_the_task_of_a_model_is_that_in_its_configuration(folder: Path, tmp_path: Path) -> None:
    assert check_saved(folder).name == "token-classification"
    changed = Path(shutil.copytree(folder, tmp_path / "model"))
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps(config | {"react_ray": {"task": "text-classification"}}))
    with pytest.raises(InputError, match=r"not a trained classifier: architectures .*ForTokenClassification"):
        check_saved(changed)
    (changed / "config.json").write_text(json.dumps(config | {"react_ray": {"task": "nothing"}}))
    with pytest.raises(InputError, match="unknown task"):
        check_saved(changed)


def test_the_reference_counts_texts_by_the_types_they_have(folder: Path, tmp_path: Path) -> None:
    write_reference(tmp_path, folder, [TEXT, "Rome and Paris", "x", "x and x"], use_gpu=False)
    found = load_reference(tmp_path)
    assert found is not None
    assert found.labels == {"LOC": 0.5, "PER": 0.25, "": 0.5}


def test_records_of_older_versions_are_still_read(exported: OnnxClassifier, tmp_path: Path) -> None:
    exported.record.save(tmp_path)
    content = json.loads((tmp_path / "export.json").read_text())
    assert content.pop("inputs") == ["input_ids", "attention_mask"]
    (tmp_path / "export.json").write_text(json.dumps(content))
    found = OnnxRecord.load(tmp_path)
    assert found is not None
    assert found.inputs == ["input_ids", "attention_mask"]


def test_top_k_and_threshold_keep_the_entities_with_the_highest_scores(folder: Path) -> None:
    model = react_ray.load(folder)
    entities = model.predict([TEXT])[0]
    best = max(entities, key=lambda entity: entity.score)
    assert model.predict([TEXT], top_k=1) == [[best]]
    kept = [entity for entity in entities if entity.score >= best.score]
    assert model.predict([TEXT], threshold=best.score) == [kept]
