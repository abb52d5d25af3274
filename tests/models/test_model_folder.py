"""What is wrong with a folder of a model is one error that names it, wherever the model is used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from react_ray.cli import main
from react_ray.config.settings import EncodeConfig
from react_ray.data.encode import Encoder
from react_ray.errors import InputError
from react_ray.folders import model_folder, model_version, trained_version, unchanged
from react_ray.inference.classifier import load
from react_ray.inference.folder import check_saved
from react_ray.models.pretrained import fingerprint, resolve
from react_ray.pipeline.predict import predict_file

LABELS = ("zeta", "alpha", "mid")
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 298924\n"
WEIGHTS, CONFIG, TOKENIZER, SETTINGS = (
    "model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip
Change = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(1)
    numbers = {label: number for number, label in enumerate(LABELS)}
    AutoModelForSequenceClassification.from_pretrained(
        tiny_model, id2label=dict(enumerate(LABELS)), label2id=numbers
    ).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def put(name: str, content: str | bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )


def delete(*names: str) -> Change:
    return lambda folder: [(folder / name).unlink() for name in names]


def cut(name: str, size: int) -> Change:
    return lambda folder: put(name, (folder / name).read_bytes()[:size])(folder)


def setting(file: str = CONFIG, **values: Any) -> Change:
    """Set these keys of a JSON file; None takes a key away."""

    def change(folder: Path) -> None:
        content = json.loads((folder / file).read_text()) | values
        kept = {key: value for key, value in content.items() if value is not None}
        (folder / file).write_text(json.dumps(kept))

    return change


def weights(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    return lambda folder: save_file(
        change(load_file(folder / WEIGHTS)), folder / WEIGHTS, metadata={"format": "pt"}
    )


def vocabulary(change: Callable[[dict[str, int]], dict[str, int]]) -> Change:
    def write(folder: Path) -> None:
        content = json.loads((folder / TOKENIZER).read_text())
        content["model"]["vocab"] = change(content["model"]["vocab"])
        (folder / TOKENIZER).write_text(json.dumps(content))

    return write


def shards(damage: Change = lambda folder: None) -> Change:
    """Two files and their index in place of one."""

    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).unlink()
        files = {
            key: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, key in enumerate(tensors)
        }
        for file in set(files.values()):
            mine = {key: tensor for key, tensor in tensors.items() if files[key] == file}
            save_file(mine, folder / file, metadata={"format": "pt"})
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
        damage(folder)

    return change


def every(change: Change, *others: Change) -> Change:
    return lambda folder: [each(folder) for each in (change, *others)]


def special(vocab: dict[str, int]) -> dict[str, int]:
    return {word: number for word, number in vocab.items() if len(word) > 3 and word.startswith("[")}


def not_a_number(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors["bert.embeddings.word_embeddings.weight"][7, 0] = float("nan")
    return tensors


FOR_ANY = {
    "no tokenizer": (delete(TOKENIZER, SETTINGS), "there is no tokenizer"),
    "settings of the tokenizer alone": (delete(TOKENIZER), "there is no tokenizer"),
    "tokenizer empty": (put(TOKENIZER, ""), "tokenizer.json is empty"),
    "tokenizer not fetched": (put(TOKENIZER, POINTER), r"tokenizer.json was not fetched.*git lfs pull"),
    "tokenizer cut": (cut(TOKENIZER, 500), "tokenizer.json is damaged"),
    "tokenizer without model": (put(TOKENIZER, "{}"), "tokenizer.json cannot be read"),
    "tokenizer of a larger model": (
        vocabulary(lambda vocab: vocab | {f"zz{n}": len(vocab) + n for n in range(9)}),
        "tokenizer.json does not match the model",
    ),
    "tokenizer that knows no word": (vocabulary(special), "the tokenizer knows no word"),
    "tokenizer without unknown token": (
        vocabulary(lambda vocab: {word: n for word, n in vocab.items() if word != "[UNK]"}),
        "the tokenizer fails on a text",
    ),
    "no padding token": (setting(SETTINGS, pad_token=None, tokenizer_class="Plain"), "no pad_token and no"),
    "half a vocabulary": (every(delete(TOKENIZER), put("vocab.json", "{}")), "vocab.json needs merges.txt"),
    "vocabulary not fetched": (every(delete(TOKENIZER), put("vocab.txt", POINTER)), "txt was not fetched"),
    "added tokens not fetched": (put("added_tokens.json", POINTER), "added_tokens.json was not fetched"),
    "weights not fetched": (put(WEIGHTS, POINTER), r"model.safetensors was not fetched.*git lfs pull"),
    "weights empty": (put(WEIGHTS, ""), "model.safetensors is empty"),
    "weights zero": (put(WEIGHTS, b"\0" * 4000), "model.safetensors is damaged"),
    "weights cut in the header": (cut(WEIGHTS, 100), "model.safetensors is damaged"),
    "weights cut": (cut(WEIGHTS, 20_000), "model.safetensors is damaged"),
    "no weights": (delete(WEIGHTS), "the weights are missing"),
    "weights that can run code": (
        lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"),
        "pytorch_model.bin is not loaded",
    ),
    "weights not finite": (weights(not_a_number), "its weights are damaged: .*word_embeddings"),
    "weights of another model": (
        weights(lambda tensors: {f"other.{key}": tensor for key, tensor in tensors.items()}),
        "these weights are missing",
    ),
    "embedding of another size": (setting(vocab_size=200), "another shape: .*word_embeddings"),
    "a layer too many": (setting(num_hidden_layers=3), "these weights are missing"),
    "a layer too few": (setting(num_hidden_layers=1), "config.json has no such layer"),
    "a shard missing": (shards(delete("model-00002-of-00002.safetensors")), "model-00002.* is missing"),
    "a shard cut": (shards(cut("model-00002-of-00002.safetensors", 3000)), "model-00002.* is damaged"),
    "a shard not fetched": (shards(put("model-00001-of-00002.safetensors", POINTER)), "was not fetched"),
    "index broken": (shards(put(f"{WEIGHTS}.index.json", "{")), "index.json is damaged"),
    "index that leaves the folder": (
        shards(put(f"{WEIGHTS}.index.json", '{"weight_map": {"a": "../x"}}')),
        "is not a file name",
    ),
    "configuration broken": (put(CONFIG, "{"), "config.json is damaged"),
    "configuration not fetched": (put(CONFIG, POINTER), "config.json was not fetched"),
    "configuration a list": (put(CONFIG, "[]"), "expected a JSON object"),
    "no kind of model": (setting(model_type=None), "has no model_type"),
    "unknown kind of model": (setting(model_type="wurst"), "cannot be loaded: .*wurst"),
    "code of its own": (
        setting(model_type="wurst", auto_map={"AutoConfig": "evil.Config"}),
        "custom code.*never run",
    ),
    "attention from a hub": (
        setting(attn_implementation="kernels-community/flash-attn"),
        "attn_implementation in config.json .* loads code",
    ),
    "attention of a part from a hub": (
        setting(text_config={"_attn_implementation": {"": "kernels-community/x"}}),
        "loads code",
    ),
    "attention from another package": (setting(attn_implementation="flash_attention_2"), "loads code"),
    "quantised": (setting(quantization_config={"quant_method": "x"}), "quantized weights are not supported"),
    "adapter": (put("adapter_config.json", "{}"), "PEFT adapter.*merge_and_unload"),
    "positions": (setting(max_position_embeddings=2_000_000_000), "max_position_embeddings.*at most"),
    "positions a text": (setting(max_position_embeddings="64"), "expected a whole number"),
    "layers": (setting(num_hidden_layers=10**9), "num_hidden_layers in config.json is 1000000000"),
    "length none": (setting(SETTINGS, model_max_length=0), "model_max_length .* is 0"),
    "length negative": (setting(SETTINGS, model_max_length=-3), "model_max_length .* is -3"),
    "length a text": (setting(SETTINGS, model_max_length="64"), "model_max_length"),
    "length of special tokens alone": (setting(SETTINGS, model_max_length=2), "nothing of a text is left"),
    "unknown type of number": (setting(dtype="banana"), "banana"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), FOR_ANY.values(), ids=FOR_ANY)
def test_a_folder_that_is_no_whole_model(folder: Path, change: Change, said: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=rf"model.*(?s:.*){said}"):
        load(folder, use_gpu=False)
    with pytest.raises(InputError, match=rf"model.*(?s:.*){said}"):
        Encoder(str(folder), EncodeConfig())


FOR_CLASSIFIERS = {
    "head missing": (
        weights(lambda tensors: {key: it for key, it in tensors.items() if "classifier" not in key}),
        r"these weights are missing.*classifier\.bias",
    ),
    "numbered from 1": (setting(id2label={"1": "a", "2": "b", "3": "c"}), "does not name outputs 0 to 2"),
    "a gap": (setting(id2label={"0": "a", "1": "b", "10": "c"}), "does not name outputs 0 to 2"),
    "names as keys": (setting(id2label={"a": "0", "b": "1", "c": "2"}), "does not name outputs 0 to 2"),
    "too few": (setting(id2label={"0": "a", "1": "b"}), r"another shape: classifier\.bias"),
    "too many": (setting(id2label=dict(enumerate("abcd"))), r"another shape: classifier\.bias"),
    "a list": (setting(id2label=["a", "b", "c"]), "id2label in config.json is not an object"),
    "none": (setting(id2label={}), "0 label; two or more"),
    "twice": (setting(id2label={"0": "a", "1": "a", "2": "c"}), "the name 'a' for two outputs"),
    "empty": (setting(id2label={"0": "a", "1": " ", "2": "c"}), "the name of output 1 is"),
    "null": (setting(id2label={"0": "a", "1": None, "2": "c"}), "the name of output 1 is null"),
    "contradicted": (
        setting(label2id={"zeta": 2, "alpha": 1, "mid": 0}),
        "id2label and label2id .* disagree",
    ),
    "number of labels": (setting(num_labels=2), "does not name outputs 0 to 1"),
    "a number": (setting(problem_type="regression"), "is not a text classifier"),
    "one output": (setting(id2label={"0": "LABEL_0"}), "1 label; two or more"),
    "tokens": (
        setting(architectures=["BertForTokenClassification"]),
        "its outputs are not those of token classification",
    ),
    "masked words": (setting(architectures=["BertForMaskedLM"]), "not a trained classifier"),
}


@pytest.mark.parametrize(("change", "said"), FOR_CLASSIFIERS.values(), ids=FOR_CLASSIFIERS)
def test_a_model_that_is_no_classifier_is_an_encoder_at_most(folder: Path, change: Change, said: str) -> None:
    change(folder)
    with pytest.raises(InputError, match=rf"model.*{said}"):
        load(folder, use_gpu=False)


def no_change(folder: Path) -> None:
    pass


def vocabulary_file(folder: Path) -> None:
    words = json.loads((folder / TOKENIZER).read_text())["model"]["vocab"]
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=words.__getitem__)))
    (folder / TOKENIZER).unlink()
    (folder / SETTINGS).write_text('{"tokenizer_class": "BertTokenizer", "model_max_length": 64}')


FINE = {
    "as it was": no_change,
    "shards": shards(),
    "vocab.txt": vocabulary_file,
    "no limit of length": setting(SETTINGS, model_max_length=int(1e30)),
    "no limit of length, as a float": setting(SETTINGS, model_max_length=1e30),
    "names of the standard": setting(label2id={"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}),
    "numbers as names": setting(id2label={"0": 0, "1": 1, "2": 2}, label2id=None),
    "attention of PyTorch": setting(attn_implementation="sdpa"),
    "nothing said of its class": setting(architectures=None),
    "weights more than needed": weights(lambda tensors: tensors | {"extra.bias": torch.zeros(3)}),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE)
def test_what_transformers_reads_as_the_same_model_is_that(whole: Path, folder: Path, change: Change) -> None:
    change(folder)
    texts = ["a text", "and another one"]
    expected = load(whole, use_gpu=False).predict_proba(texts)
    np.testing.assert_allclose(load(folder, use_gpu=False).predict_proba(texts), expected, atol=1e-6)


@pytest.mark.parametrize("use", ["predict", "serve", "write", "export", "check", "run"])
def test_every_command_says_it_before_any_work(
    use: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    delete(TOKENIZER, SETTINGS)(folder)
    (tmp_path / "texts.csv").write_text("text,label\na text,a\nmore text,b\n")
    model, texts, output = str(folder), str(tmp_path / "texts.csv"), str(tmp_path / "out")
    given = {
        "predict": ["predict", model, "--input", texts, "--output", f"{output}.csv"],
        "serve": ["serve", model],
        "write": ["serve", model, "--write-config", f"{output}.yaml"],
        "export": ["export", model],
        "check": ["check", "--model", model, "--labeled", texts, "--output", output],
        "run": ["run", "--model", model, "--labeled", texts, "--output", output],
    }[use]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert f"error: {folder}: there is no tokenizer" in captured.err
    assert "prepare" not in captured.err + captured.out


def test_places_where_no_model_is(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place, said in {
        folder / WEIGHTS: "it is a file",
        tmp_path / "adapter": "PEFT adapter",
        tmp_path / "loop": "no such folder",
        tmp_path / ("x" * 300): "name too long",
        "~nobody-has-this-name/x": "home",
    }.items():
        with pytest.raises(InputError, match=rf"no model found there \(.*(?i:{said})"):
            model_folder(place)
        with pytest.raises(InputError, match=f"(?i:{said})"):
            resolve(str(place))
    (folder / CONFIG).unlink()
    with pytest.raises(InputError, match=r"config\.json is missing"):
        model_folder(folder)


def test_a_run_is_taken_as_the_model_in_it(folder: Path) -> None:
    assert resolve(str(folder.parent)) == str(folder)
    assert fingerprint(str(folder)).startswith(str(folder))


def test_an_encoder_needs_no_head_and_a_seq2seq_model_is_none(tiny_model: Path, folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    Encoder(str(tiny_model), EncodeConfig())
    with pytest.raises(InputError, match=r"not a trained classifier: architectures .* BertModel"):
        check_saved(tiny_model)
    size = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    words = json.loads((folder / CONFIG).read_text())["vocab_size"]
    T5ForConditionalGeneration(T5Config(vocab_size=words, **size)).save_pretrained(folder)
    with pytest.raises(InputError, match="cannot be used as an encoder"):
        Encoder(str(folder), EncodeConfig())


def test_the_version_covers_what_computes_an_answer_and_nothing_else(folder: Path) -> None:
    versions = {model_version(folder)}
    for change in (
        setting(id2label={"0": "x", "1": "y", "2": "z"}),
        setting(SETTINGS, model_max_length=32),
        vocabulary(lambda vocab: dict(sorted(vocab.items())) | {"a": vocab["b"], "b": vocab["a"]}),
        put("added_tokens.json", "{}"),
        weights(lambda tensors: {key: tensor + 1e-3 for key, tensor in tensors.items()}),
    ):
        change(folder)
        versions.add(model_version(folder))
    assert len(versions) == 6
    trained = trained_version(folder)
    (folder / "onnx").mkdir()
    for name in ("export.json", "model.fp32.onnx", "model.int8.onnx"):
        put(f"onnx/{name}", "x")(folder)
        versions.add(model_version(folder))
    assert len(versions) == 9
    assert trained_version(folder) == trained
    for name in ("README.md", "reference.json", ".gitattributes", "pytorch_model.bin"):
        put(name, "x")(folder)
    (folder / WEIGHTS).touch()
    assert model_version(folder) in versions


def test_a_folder_that_changes_while_it_is_loaded_is_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match="was changed while it was loaded"), unchanged(folder):
        (folder / WEIGHTS).touch()
    with pytest.raises(InputError, match=r"holds version .*, but version 123"):
        load(folder, use_gpu=False, version="123")


def test_files_written_over_do_not_change_a_loaded_model(folder: Path) -> None:
    classifier = load(folder, use_gpu=False)
    before = classifier.predict_proba(["a text"])
    size = (folder / WEIGHTS).stat().st_size
    with (folder / WEIGHTS).open("r+b") as file:  # in place, as cp does
        file.seek(size // 2)
        file.write(b"\x11" * (size // 2))
    np.testing.assert_array_equal(classifier.predict_proba(["a text"]), before)


def test_all_parts_of_a_prediction_are_of_one_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "texts.csv").write_text("text\n" + "a text\n" * 30)
    monkeypatch.setattr("react_ray.pipeline.predict.PART_ROWS", 10)
    written = []

    def replaced(*given: Any, **options: Any) -> Any:
        setting(id2label={"0": "x", "1": "y", "2": "z"})(folder)
        written.append(given)
        return map_items(*given, **options)

    from react_ray.pipeline.predict import LabelTask, map_items

    def only_labels(task: Any, *given: Any, **options: Any) -> Any:
        return (replaced if isinstance(task, LabelTask) else map_items)(task, *given, **options)

    monkeypatch.setattr("react_ray.pipeline.predict.map_items", only_labels)
    with pytest.raises(InputError, match="holds version"):
        predict_file(str(folder), str(tmp_path / "texts.csv"), tmp_path / "out.csv", quiet=True)
    assert written
