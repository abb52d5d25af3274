"""The whole road, through the command line, on a tiny model."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.metrics import f1_score

import react_ray
from react_ray.cli import main
from react_ray.data.encode import Encoder
from react_ray.inference.reference import load_reference
from react_ray.lgan import Generation
from react_ray.pipeline.stages.label_gan import ClassifyTask, load_proposals
from react_ray.serve.engine.model import load_engine

ARMS = {"probe", "self_training", "label_generator", "labels_only", "generated_labels"}
VOLATILE = {"seconds", "reused", "created"}


def command(files: dict[str, Path], output: Path, model: Path, *more: str) -> list[str]:
    arguments = ["run", "--quiet", "--output", str(output), "--model", str(model), "--truth-column", "truth"]
    for name, path in files.items():
        arguments += [f"--{name}", str(path)]
    quick = ["finetune.token_budget=20000", "finetune.lr=0.002", "lgan.pretrain_steps=50", "lgan.steps=100"]
    return [*arguments, *quick, *more]


def read_metrics(output: Path) -> dict[str, Any]:
    return json.loads((output / "metrics.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def done(files: dict[str, Path], word_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("road") / "out"
    assert main(command(files, output, word_model)) == 0
    return output


def test_the_folder_holds_what_is_promised(done: Path) -> None:
    there = {path.name for path in done.iterdir()}
    assert {
        "metrics.json",
        "report.html",
        "model",
        "augmented",
        "left_out.parquet",
        "refused.jsonl",
        "config.yaml",
    } <= there
    assert not [path for path in done.rglob("*") if path.name.endswith((".part", ".half"))]


def test_logs_and_texts_that_were_left_out_are_for_their_owner_alone(done: Path) -> None:
    private = [done / "left_out.parquet", done / "refused.jsonl", *(done / "cache").glob("*.log")]
    private += [path for path in (done / "logs").rglob("*") if path.is_file()]
    assert len(private) > 4
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    assert (done / "cache").stat().st_mode & 0o777 == 0o700
    assert (done / "report.html").stat().st_mode & 0o044, "results are handed on"
    assert (done / "model" / "config.json").stat().st_mode & 0o044


def test_the_model_is_exported_and_agrees_with_the_saved_one(done: Path) -> None:
    engine = load_engine(str(done), "fp32", threads=1, use_gpu=False)
    assert engine.name == "ONNX Runtime, fp32"
    texts = ["goal for the team and a win in the cup", "bank stock and tax"]
    expected = react_ray.load(done).predict_proba(texts)
    np.testing.assert_allclose(engine.model.predict_proba(texts), expected, atol=1e-4)


def test_the_model_knows_what_its_training_texts_look_like(done: Path, files: dict[str, Path]) -> None:
    reference = load_reference(done / "model")
    assert reference is not None
    texts = pd.read_csv(files["unlabeled"])["text"]
    predicted = pd.Series([p.label for p in react_ray.load(done).predict(texts.tolist())])
    assert reference.texts == len(texts)
    assert {k: v for k, v in reference.labels.items() if v} == pytest.approx(
        predicted.value_counts(normalize=True).to_dict()
    )


def test_figures_of_training_are_kept_as_it_goes(done: Path) -> None:
    for stage, figures in (("finetune", {"loss", "lr", "tokens_per_second"}), ("lgan", {"label_generator"})):
        lines = (done / "logs" / stage / "metrics.jsonl").read_text().splitlines()
        steps = [json.loads(line) for line in lines]
        assert figures <= set().union(*steps)
        assert steps == sorted(steps, key=lambda line: line["step"])
        assert list((done / "logs" / stage).glob("events.out.tfevents.*"))


def test_every_arm_is_measured_and_the_model_learned(done: Path) -> None:
    metrics = read_metrics(done)
    assert set(metrics["arms"]) == ARMS
    assert all(0 <= arm["test"]["macro_f1"] <= 1 for arm in metrics["arms"].values())
    assert metrics["chosen"] in ARMS
    assert metrics["why"]
    assert metrics["test"]["macro_f1"] > 0.8, "three topics that share no words are easy"
    assert metrics["validation"] is None, "12 labels are too few to hold any out"


def test_figures_are_those_of_the_saved_model_in_plain_transformers(
    done: Path, files: dict[str, Path]
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(done / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(done / "model")
    test = pd.read_csv(files["test"])
    inputs = tokenizer(test["text"].tolist(), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        best = model(**inputs).logits.argmax(1).tolist()
    predicted = [model.config.id2label[i] for i in best]
    metrics = read_metrics(done)["test"]
    assert metrics["macro_f1"] == pytest.approx(f1_score(test["label"], predicted, average="macro"), abs=1e-6)
    assert metrics["accuracy"] == pytest.approx(np.mean(test["label"] == predicted), abs=1e-6)
    assert set(metrics["per_class"]) == {"Sport", "money", "Wetter"}


def test_bad_rows_are_written_aside_with_the_reason(done: Path, files: dict[str, Path]) -> None:
    refused = [json.loads(line) for line in (done / "refused.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {row["row"] for row in refused} == {13, 14, 15}
    assert all(Path(row["file"]).name == "labeled.csv" and row["reason"] for row in refused)


def test_the_augmented_data_says_where_each_row_is_from(done: Path) -> None:
    table = pq.read_table(done / "augmented").to_pandas()
    assert list(table.columns) == ["text", "label", "weight", "origin", "score"]
    assert set(table["origin"]) == {"labeled", "augmented", "generated"}
    assert table["weight"].between(0, 1).all()
    assert np.allclose([sum(row) for row in table["label"]], 1)
    assert (table.loc[table["origin"] == "labeled", "weight"] == 1).all()
    quality = read_metrics(done)["label_quality"]
    assert quality["generated"] == 120
    assert quality["kept"] == (table["origin"] == "generated").sum()


def test_the_model_fine_tuned_on_the_labels_takes_part_in_those_of_the_pool(
    done: Path, files: dict[str, Path], word_model: Path, tmp_path: Path
) -> None:
    cache = next((done / "cache").glob("propose-*"))
    proposed = load_proposals(cache)
    assert proposed is not None
    pool = pd.read_csv(files["unlabeled"])["text"].tolist()
    labels_only = react_ray.load(next((done / "cache").glob("labels_only-*")))
    np.testing.assert_allclose(proposed, labels_only.predict_proba(pool), atol=1e-5)

    alone = tmp_path / "alone"
    assert main(command(files, alone, word_model, "lgan.fine_tuned=false", "--until", "generate")) == 0
    together = [next((folder / "cache").glob("generate-*")) for folder in (done, alone)]
    labels = [Generation.load(folder).labels for folder in together]
    assert labels[0].shape == labels[1].shape
    assert not np.allclose(*labels)


def test_parts_of_the_rows_without_an_unlabelled_one_are_passed_over(done: Path, tmp_path: Path) -> None:
    texts = ["goal for the team", "bank stock and tax", "rain and snow", "a win in the cup"]
    parts = ["labeled", "test", "unlabeled", "unlabeled"]
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": texts, "part": parts}), rows, row_group_size=2)
    model = next((done / "cache").glob("labels_only-*")) / "model"
    work = ClassifyTask(str(rows), str(model), use_gpu=False)()
    proposed = tmp_path / "proposed"
    assert [work({"group": n, "target": str(proposed / f"{n}.safetensors")}) for n in range(2)] == [0, 2]
    np.testing.assert_allclose(
        load_proposals(proposed), react_ray.load(model).predict_proba(texts[2:]), atol=1e-5
    )


def test_the_same_command_again_does_nothing_twice(
    done: Path, files: dict[str, Path], word_model: Path
) -> None:
    before = read_metrics(done)
    assert main(command(files, done, word_model)) == 0
    after = read_metrics(done)
    assert {key: before[key] for key in before if key not in VOLATILE} == {
        key: after[key] for key in after if key not in VOLATILE
    }
    assert set(after["reused"]) == set(after["seconds"])


def test_a_changed_setting_redoes_only_what_depends_on_it(
    done: Path, files: dict[str, Path], word_model: Path
) -> None:
    before = read_metrics(done)
    assert main(command(files, done, word_model, "finetune.weight_decay=0.02")) == 0
    assert set(read_metrics(done)["reused"]) == {
        "prepare",
        "augment",
        "encode",
        "pretrain",
        "lgan",
    }
    assert main(command(files, done, word_model)) == 0
    assert read_metrics(done)["test"] == before["test"]


def test_a_stage_done_again_with_the_same_outcome_leaves_the_others_as_they_are(
    done: Path, files: dict[str, Path], word_model: Path
) -> None:
    assert main(command(files, done, word_model, "data.max_unknown=0.5")) == 0
    metrics = read_metrics(done)
    assert set(metrics["seconds"]) - set(metrics["reused"]) == {"prepare"}
    assert main(command(files, done, word_model, "lgan.adversarial=0.01", "--until", "lgan")) == 0
    assert len(list((done / "cache").glob("pretrain-*"))) == 1, "phase 1 does not depend on phase 2"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_on_ray_with_paths_of_the_working_folder(
    done: Path, files: dict[str, Path], word_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, augmenting and encoding on Ray Data, all trainings on two Ray Train workers."""
    for name, path in {**files, "model": word_model}.items():
        (tmp_path / name).symlink_to(path)
    for name, path in files.items():
        (tmp_path / name).rename(tmp_path / path.name)
    monkeypatch.chdir(tmp_path)
    here = {name: Path(path.name) for name, path in files.items()}
    on_ray = ["cluster.workers=2", "cluster.use_gpu=false", "cluster.local_rows=0"]
    assert main(command(here, Path("out"), Path("model"), *on_ray)) == 0
    metrics, alone = read_metrics(tmp_path / "out"), read_metrics(done)
    assert metrics["rows"] == alone["rows"]
    for arm in ARMS:  # sums of floats in another order: a row of the test set may change sides
        assert metrics["arms"][arm]["test"]["macro_f1"] == pytest.approx(
            alone["arms"][arm]["test"]["macro_f1"], abs=0.03
        )


@pytest.mark.parametrize("stage", ["encode", "finetune"])
def test_a_killed_run_goes_on_and_ends_the_same(
    done: Path, files: dict[str, Path], word_model: Path, tmp_path: Path, stage: str
) -> None:
    output = tmp_path / "out"
    run = [sys.executable, "-m", "react_ray.cli", *command(files, output, word_model)]
    process = subprocess.Popen(run, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list((output / "cache").glob(f"{stage}-*.part")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (output / "metrics.json").exists()
    assert main(command(files, output, word_model)) == 0
    metrics, undisturbed = read_metrics(output), read_metrics(done)
    assert "prepare" in metrics["reused"]
    assert stage not in metrics["reused"]
    assert metrics["test"] == undisturbed["test"]
    assert metrics["arms"] == undisturbed["arms"]


def test_the_saved_configuration_repeats_the_run(done: Path) -> None:
    before = read_metrics(done)
    assert yaml.safe_load((done / "config.yaml").read_text(encoding="utf-8"))["seed"] == 0
    assert main(["run", "--quiet", str(done / "config.yaml")]) == 0
    after = read_metrics(done)
    assert after["test"] == before["test"]
    assert {"labels_only", "finetune"} <= {*after["reused"]}


def test_the_python_api(done: Path) -> None:
    config = react_ray.load_config(done / "config.yaml")
    run = react_ray.run(config, quiet=True)
    predictions = run.classifier().predict(["goal for the team and a win in the cup", "bank stock and tax"])
    assert [p.label for p in predictions] == ["Sport", "money"]
    assert (
        react_ray.load(done / "model").predict(["rain and snow, storm with cold wind"])[0].label == "Wetter"
    )


def test_suggested_rows_can_be_filled_in_and_given_back(
    done: Path, files: dict[str, Path], word_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labeled = tmp_path / "labeled"
    labeled.mkdir()
    target = labeled / "more.csv"
    assert main(["suggest", str(done), "--count", "6", "--output", str(target), "--quiet"]) == 0
    assert str(target) in capsys.readouterr().out
    rows, pool = pd.read_csv(target), pd.read_csv(files["unlabeled"]).set_index("text")["truth"]
    assert list(rows) == ["text", "label", "likely", "weight"]
    assert rows["text"].nunique() == 6
    assert set(rows["text"]) <= set(pool.index)
    assert rows["label"].isna().all()
    assert rows["weight"].between(0, 1).all()
    assert main(["suggest", str(done), "--output", str(target), "--quiet"]) == 2  # it may be filled in
    rows.assign(label=rows["text"].map(pool)).to_csv(target, index=False)
    shutil.copy(files["labeled"], labeled)
    again = ["check", "--labeled", str(labeled), "--unlabeled", str(files["unlabeled"]), "--quiet"]
    assert main([*again, "--model", str(word_model), "--output", str(tmp_path / "out")]) == 0
    assert "rows: 18 labeled" in capsys.readouterr().out  # 12 and these


def test_changes_of_texts_can_be_searched_for(
    files: dict[str, Path], word_model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert main(command(files, output, word_model, "augment.search=true", "--until", "augment")) == 0
    [stage] = (output / "cache").glob("augment-*")
    found = json.loads((stage / "search.json").read_text())
    assert len(found["gains"]) == 8
    copies = pq.read_table(stage / "rows.parquet").num_rows
    assert (copies > 0) == (found["settings"]["copies"] > 0)


def test_a_class_added_later_needs_no_text_encoded_again(
    files: dict[str, Path], word_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = Encoder.encode

    def watched(self: Encoder, texts: Sequence[str]) -> Any:
        encoded.extend(texts)
        return encode(self, texts)

    output, labeled = tmp_path / "out", pd.read_csv(files["labeled"])
    first = tmp_path / "labeled.csv"
    labeled[labeled["label"] != "Wetter"].to_csv(first, index=False)
    given = {**files, "labeled": first}
    given.pop("test")  # its rows have the class that is not there yet
    assert main(command(given, output, word_model, "--until", "encode")) == 0
    monkeypatch.setattr(Encoder, "encode", watched)
    assert main(command(files, output, word_model)) == 0
    metrics, pool = read_metrics(output), set(pd.read_csv(files["unlabeled"])["text"])
    assert metrics["classes"] == ["Sport", "Wetter", "money"]
    assert metrics["test"]["macro_f1"] > 0.8
    assert len(pool) == 120
    assert not pool & set(encoded)
    assert set(labeled.loc[labeled["label"] == "Wetter", "text"].iloc[:4]) <= set(encoded)


def test_clean_frees_the_cache_and_keeps_the_results(
    files: dict[str, Path],
    word_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output, converted = tmp_path / "out", tmp_path / "home" / "react-ray" / "multilingual-1-0"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    converted.mkdir(parents=True)
    (converted / "model.safetensors").write_bytes(bytes(200_000))
    assert main(command(files, output, word_model, "--until", "prepare")) == 0
    assert list((output / "cache").glob("prepare-*"))
    assert main(["clean", str(output)]) == 0
    assert not (output / "cache").exists()
    assert not converted.exists()
    assert f"{converted.parent}: 0.2 MB freed" in capsys.readouterr().out


def test_without_a_test_file_nothing_is_held_out(
    files: dict[str, Path], word_model: Path, tmp_path: Path
) -> None:
    few = {"labeled": files["labeled"], "unlabeled": files["unlabeled"]}
    assert main(command(few, tmp_path / "out", word_model)) == 0
    metrics = read_metrics(tmp_path / "out")
    assert metrics["test"] is None
    assert (tmp_path / "out" / "report.html").exists()


def test_a_collapsed_label_gan_leaves_the_probe_as_a_plain_model(
    files: dict[str, Path], word_model: Path, tmp_path: Path
) -> None:
    assert main(command(files, tmp_path / "out", word_model, "lgan.lr_labels=1000")) == 0
    metrics = read_metrics(tmp_path / "out")
    assert metrics["chosen"] == "probe"
    assert "collapsed" in metrics["why"]
    saved, probe = metrics["test"]["macro_f1"], metrics["arms"]["probe"]["test"]["macro_f1"]
    assert saved > probe - 0.1, "distilled, it is no longer the probe itself"
