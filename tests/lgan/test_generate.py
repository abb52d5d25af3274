from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from feature_blobs import make_blobs, prepared, run_phases
from safetensors.numpy import load_file, save_file
from sklearn.metrics import roc_auc_score

from react_ray.labelers.label_gan import generate
from react_ray.lgan import Generation, augmented_table, weigh_for_training
from react_ray.lgan.generate import fine_tuned_weight, join_fine_tuned
from react_ray.lgan.verify import judge
from react_ray.lgan.word_features import describe


def tables(*columns: list[str]) -> list[pa.Table]:
    return [pa.table({"text": pa.array(texts, pa.string())}) for texts in columns]


def made(folder, blobs, **settings):
    trained = run_phases(folder, blobs.inputs, **settings)
    config = prepared(folder / "again", blobs.inputs, **settings)["settings"]
    return generate(folder / "inputs", trained, folder / "out", config, seed=0)


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Both phases and label generation on blobs with copies of the labelled rows."""
    plain = make_blobs(per_class=3, pool=300)
    blobs = plain.with_inputs(augmented=plain.inputs.labeled[:5], augmented_labels=plain.inputs.labels[:5])
    folder = tmp_path_factory.mktemp("road")
    return blobs, folder, *made(folder, blobs)


def test_every_pool_row_has_a_distribution_a_score_and_a_weight(road):
    _, folder, generation, _ = road
    assert generation.labels.shape == (300, 4)
    assert np.allclose(generation.labels.sum(1), 1, atol=1e-4)
    assert np.isfinite(generation.score).all()
    assert ((generation.weight >= 0) & (generation.weight <= 1)).all()
    again = Generation.load(folder / "out")
    assert np.array_equal(again.labels, generation.labels)


def test_labels_are_surer_than_the_weights_say(tmp_path):
    blobs = make_blobs(per_class=3, pool=300, spread=2.5)
    generation, _ = made(tmp_path, blobs)
    right = (generation.labels.argmax(1) == blobs.truth).mean()
    assert generation.labels.max(1).mean() > generation.weight.mean() + 0.1
    assert abs(generation.weight.mean() - right) < 0.15


def test_weights_are_ordered_and_sized_like_correctness(road):
    blobs, _, generation, _ = road
    right = generation.labels.argmax(1) == blobs.truth
    assert roc_auc_score(right, generation.weight) > 0.65
    assert abs(generation.weight.mean() - right.mean()) < 0.15


def test_diagnostics_say_what_happened(road):
    _, folder, generation, decision = road
    said = json.loads((folder / "out" / "diagnostics.json").read_text())
    assert said["decision"]["why"] == decision.why
    assert said["kept"] == generation.kept.sum() <= said["generated"] == 300
    assert len(said["teacher"]["prior"]) == 4
    assert said["losses"][-1]["step"] == 120


def test_the_table_holds_what_each_row_is_worth(road):
    blobs, _, generation, _ = road
    texts = [f"行 {i}" for i in range(300)]
    table = augmented_table(blobs.inputs, generation, *tables(["标题"] * 12, texts, ["copy"] * 5))
    rows = table.to_pandas()
    assert list(rows) == ["text", "label", "weight", "origin", "score"]
    labeled, copies = rows[rows.origin == "labeled"], rows[rows.origin == "augmented"]
    assert (labeled.weight == 1).all()
    assert labeled.score.isna().all()
    assert np.array_equal(np.vstack(labeled.label).argmax(1), blobs.inputs.labels)
    assert len(copies) == 5
    assert ((copies.weight > 0) & (copies.weight < 1)).all()
    assert copies.score.isna().all()
    made_rows = rows[rows.origin == "generated"]
    assert len(made_rows) == generation.kept.sum()
    first = np.flatnonzero(generation.kept)[0]
    assert made_rows.iloc[0].text == texts[first]
    assert np.allclose(made_rows.iloc[0].label, generation.labels[first])
    assert made_rows.score.notna().all()


def fine_tuned_labels(blobs, right: float) -> np.ndarray:
    """Sure probabilities of the pool, of which a share ``right`` is for the true class."""
    random = np.random.default_rng(1)
    correct = random.random(len(blobs.truth)) < right
    classes = np.where(correct, blobs.truth, (blobs.truth + random.integers(1, 4, len(correct))) % 4)
    return (0.9 * np.eye(4, dtype=np.float32)[classes] + 0.025).astype(np.float32)


def test_the_fine_tuned_model_takes_part_in_the_labels(tmp_path):
    blobs = make_blobs(per_class=15, pool=300, spread=3.5, names_off=9)
    trained = run_phases(tmp_path, blobs.inputs)
    settings = prepared(tmp_path / "again", blobs.inputs)["settings"]
    right = []
    for fine_tuned in (None, fine_tuned_labels(blobs, 0.9)):
        generation, _ = generate(
            tmp_path / "inputs", trained, tmp_path / "out", settings, 0, fine_tuned=fine_tuned
        )
        right.append((generation.labels.argmax(1) == blobs.truth).mean())
    assert right[1] > right[0] + 0.03
    said = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
    assert 0 < said["fine_tuned_weight"] < 0.5


def test_the_fine_tuned_model_counts_for_less_with_good_names_and_with_few_rows():
    assert 0 < fine_tuned_weight(0.5, 50) < fine_tuned_weight(0.1, 50) < fine_tuned_weight(0, 50)
    assert 0 < fine_tuned_weight(0.1, 5) < fine_tuned_weight(0.1, 50) < fine_tuned_weight(0.1, 10_000) < 0.5
    assert fine_tuned_weight(1, 50) == fine_tuned_weight(0, 0) == 0


def test_a_class_that_the_fine_tuned_model_never_saw_keeps_its_probability():
    generated = np.float32([[0.5, 0.1, 0.4], [0.1, 0.6, 0.3]])
    fine_tuned = np.float32([[0.01, 0.98, 0.01], [0.98, 0.01, 0.01]])
    joined = join_fine_tuned(generated, fine_tuned, np.array([0, 1, 1]), 1 / 3)
    assert np.allclose(joined[:, 2], generated[:, 2])
    assert np.allclose(joined.sum(1), 1)
    assert joined[0, 1] > generated[0, 1]
    assert joined[1, 0] > generated[1, 0]


def test_training_listens_most_to_the_surest(road):
    blobs, _, generation, _ = road
    table = augmented_table(blobs.inputs, generation, *tables([""] * 12, [""] * 300, [""] * 5))
    before, after = table.to_pandas(), weigh_for_training(table).to_pandas()
    made_rows = before.origin == "generated"
    assert after.weight[~made_rows].equals(before.weight[~made_rows])
    assert after.weight[made_rows].sum() == pytest.approx(before.weight[made_rows].sum())
    share = (after.weight / before.weight)[made_rows]
    assert share[before.weight[made_rows].idxmax()] > 1 > share[before.weight[made_rows].idxmin()]
    assert after.drop(columns="weight").equals(before.drop(columns="weight"))


def test_a_rejected_row_is_left_out(road):
    blobs, _, generation, _ = road
    weight = generation.weight.copy()
    weight[:7] = 0
    less = Generation(**{**vars(generation), "weight": weight})
    table = augmented_table(blobs.inputs, less, *tables([""] * 12, [str(i) for i in range(300)], [""] * 5))
    assert set("0123456").isdisjoint(table["text"].to_pylist())


def test_without_a_pool_there_are_labelled_rows_and_copies_only(tmp_path):
    plain = make_blobs()
    blobs = plain.with_inputs(
        unlabeled=[], augmented=plain.inputs.labeled, augmented_labels=plain.inputs.labels
    )
    generation, _ = made(tmp_path, blobs, steps=5, pretrain_steps=5)
    table = augmented_table(blobs.inputs, generation, *tables(["a"] * 8, [], ["b"] * 8))
    assert table["origin"].to_pylist() == ["labeled"] * 8 + ["augmented"] * 8


def test_no_label_at_all(tmp_path):
    blobs = make_blobs(names_off=0.5).with_inputs(labeled=[], labels=[])
    generation, _ = made(tmp_path, blobs)
    assert (generation.labels.argmax(1) == blobs.truth).mean() > 0.8
    assert generation.kept.mean() > 0.8


def test_labels_that_are_doubted_weigh_little_but_are_not_all_rejected(tmp_path):
    blobs = make_blobs(classes=2, per_class=1, spread=4.0, names_off=9.0)
    generation, _ = made(tmp_path, blobs, steps=20)
    assert generation.kept.mean() > 0.5
    assert generation.weight[generation.kept].mean() < 0.8


def test_labels_that_are_no_numbers_raise_the_alarm(tmp_path):
    blobs = make_blobs(pool=50)
    trained = run_phases(tmp_path, blobs.inputs, steps=5, pretrain_steps=0)
    players = load_file(trained / "players.safetensors")
    players["label_generator.bias"][:] = np.nan
    save_file(players, trained / "players.safetensors")
    settings = prepared(tmp_path / "again", blobs.inputs)["settings"]
    _, decision = generate(tmp_path / "inputs", trained, tmp_path / "out", settings, seed=0)
    assert not decision.use_lgan
    assert "not a number" in decision.why


def test_a_verifier_that_sees_the_words_finds_wrong_labels():
    """Some rows lie among another class's; their words say what they are."""
    blobs, draw = make_blobs(per_class=5, pool=400, spread=0.8), np.random.default_rng(1)
    stray = draw.random(400) < 0.15
    told = np.where(stray, (blobs.truth + 1) % 4, blobs.truth)
    pool = make_blobs(per_class=5, spread=0.8, pool=400).inputs.unlabeled.copy()
    for i in np.flatnonzero(stray):  # features of a row of the class it is taken for
        pool[i] = pool[draw.choice(np.flatnonzero((blobs.truth == told[i]) & ~stray))]
    inputs = blobs.with_inputs(unlabeled=pool).inputs
    vocabulary = [[f"{c}w{n}" for n in range(6)] for c in "abcd"]
    labels = np.concatenate([inputs.labels, blobs.truth])
    texts = [" ".join(draw.choice(vocabulary[label], 4)) for label in labels]
    given = 0.9 * np.eye(4, dtype=np.float32)[told] + 0.025
    blind, seeing = judge(inputs, given), judge(inputs, given, describe(texts))
    rows = np.arange(400)
    assert roc_auc_score(~stray, seeing[rows, told]) > 0.9 > roc_auc_score(~stray, blind[rows, told])


def test_a_verdict_is_that_of_a_judge_who_was_not_told():
    inputs = make_blobs(per_class=5).inputs
    given = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=400)]
    believed = judge(inputs, given)[np.arange(400), given.argmax(1)]
    assert believed.mean() == pytest.approx(0.25, abs=0.06)  # labels by chance convince nobody


def test_full_width_letters_and_digits_are_the_usual_ones():
    found = describe(["ＣＢＡ第３场", "cba第3场", "股市大涨"] * 2)
    assert found[0] @ found[1] == pytest.approx(1, abs=1e-4)
    assert abs(found[0] @ found[2]) < 0.1


@pytest.mark.parametrize(
    "texts", [[], ["x"], ["a b", "c d"], ["", "", ""], ["股市大涨", "股市大跌", "天气"] * 3]
)
def test_words_of_few_and_empty_texts(texts):
    found = describe(texts)
    assert len(found) == len(texts)
    assert np.isfinite(found).all()
    if len(texts) == 9:  # Chinese is not set apart by spaces
        assert found[0] @ found[3] == pytest.approx(1, abs=1e-4)
        assert found[0] @ found[1] > found[0] @ found[2] + 0.2
