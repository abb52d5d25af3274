"""Translation and abstractive summarization: figures of the field's packages, and many architectures."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer
from tiny_seq2seq import ARCHITECTURES, save_tiny_seq2seq
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    M2M100Config,
    M2M100ForConditionalGeneration,
    NllbTokenizer,
)

from react_ray import load
from react_ray.answer import Answer
from react_ray.config.file import load_config
from react_ray.config.service import ServeConfig
from react_ray.errors import ConfigError, InputError
from react_ray.evaluate.wording import pipeline_code
from react_ray.models.scratch import train_vocabulary
from react_ray.models.seq2seq import configure, generate
from react_ray.models.tokenizer import TransformersTokenizer
from react_ray.pipeline.predict import PredictOptions, predict_file
from react_ray.pipeline.preflight import check
from react_ray.pipeline.run import run, with_task
from react_ray.serve.engine.about import About
from react_ray.serve.engine.model import load_engine
from react_ray.serve.service import Service
from react_ray.serve.web import build_app
from react_ray.tasks import get_task
from react_ray.tasks.columns import Options
from react_ray.training.batches import plan_epochs

TRUTH = {
    "13a": [
        "Ein Hund rennt über das Gras.",
        "Zwei Männer stehen, reden & lachen.",
        "Ja.",
        "Die Frau liest ein Buch.",
    ],
    "zh": ["狗在草地上跑。", "两个男人站着说话。", "是的。", "这个女人在读一本Python书。"],
    "char": ["東京タワー ABC", "昨日、雨が降った。", "東京の夜", "京都大学 の 図書館"],
}
GUESS = {
    "13a": ["Ein Hund läuft über das Gras.", "Zwei Frauen stehen und reden.", "", "Die Frau liest ein Buch."],
    "zh": ["狗在草地上走。", "两个女人站着。", "", "这个女人在读一本Python书。"],
    "char": ["東京タワー ABX", "昨日は雨だった。", "", "京都 大学図書館"],
}


def table(column: str, truths: list[str]) -> pa.Table:
    return pa.table({"text": ["x"] * len(truths), column: truths})


def answers(texts: list[str]) -> list[Answer]:
    return [Answer(text, 0.5) for text in texts]


@pytest.mark.parametrize("tokenizer", TRUTH)
def test_bleu_and_chrf_of_sums_are_those_of_sacrebleu(tokenizer: str) -> None:
    task, guess, truth = get_task("translation"), GUESS[tokenizer], TRUTH[tokenizer]
    bleu, chrf = sacrebleu.BLEU(tokenize=tokenizer), sacrebleu.CHRF()
    for size in (len(truth), 1, 2):
        found = task.measure(answers(guess[:size]), table("target", truth[:size]), ())
        assert found["bleu"] == pytest.approx(bleu.corpus_score(guess[:size], [truth[:size]]).score / 100)
        assert found["chrf"] == pytest.approx(chrf.corpus_score(guess[:size], [truth[:size]]).score / 100)
    credit = task.credit(answers(guess), table("target", truth))
    alone = [chrf.sentence_score(one, [other]).score / 100 for one, other in zip(guess, truth, strict=True)]
    assert credit.tolist() == pytest.approx(alone)
    signatures = task.details(answers(guess), table("target", truth), ())["signatures"]
    assert signatures["bleu"] == str(bleu.get_signature())
    assert signatures["chrf"] == str(chrf.get_signature())


def test_rouge_of_summaries_is_that_of_rouge_score_and_of_characters_for_chinese() -> None:
    task, guess, truth = (
        get_task("summarization"),
        GUESS["13a"],
        ["The dog runs over grass", "two men talk", "yes", "a book"],
    )
    guess = ["A dog runs on grass", "two women talk and talk", "", "a book"]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(other, one) for one, other in zip(guess, truth, strict=True)]
    found = task.measure(answers(guess), table("summary", truth), ())
    for name, other in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[name] == pytest.approx(np.mean([score[other].fmeasure for score in scores]))
    chinese = task.credit(answers(["狗在跑"]), table("summary", ["狗在睡"]))
    assert chinese.tolist() == pytest.approx([2 / 3])


def test_all_references_of_a_corpus_have_one_tokenizer() -> None:
    task, guess, truth = (
        get_task("translation"),
        ["東京 ABC", "東京タワー、夜 AB"],
        ["東京 ABX", "東京タワーの夜 AB"],
    )
    bleu = sacrebleu.BLEU(tokenize="char")
    found = task.measure(answers(guess), table("target", truth), ())
    assert found["bleu"] == pytest.approx(bleu.corpus_score(guess, [truth]).score / 100)
    assert task.details(answers(guess), table("target", truth), ())["signatures"]["bleu"] == str(
        bleu.get_signature()
    )
    assert (
        "tok:13a|"
        in task.details(answers(["a"] * 3), table("target", ["a", "b", "北京"]), ())["signatures"]["bleu"]
    )


ENGLISH = ["a", "dog", "cat", "man", "woman", "house", "sees", "likes", "the", "red", "big", "small"]
GERMAN = ["ein", "hund", "katze", "mann", "frau", "haus", "sieht", "mag", "das", "rot", "groß", "klein"]


def rows_of(source: str, target: str, count: int) -> list[dict[str, Any]]:
    draw = np.random.default_rng(0)
    places = [draw.permutation(len(ENGLISH))[:4] for _ in range(count)]
    return [
        {source: " ".join(ENGLISH[p] for p in some), target: " ".join(GERMAN[p] for p in some)}
        for some in places
    ]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_architecture_is_trained_and_loads_in_plain_transformers(kind: str, tmp_path: Path) -> None:
    task, renamed = (
        ("summarization", {}) if kind == "bart" else ("translation", {"source": "en", "target": "de"})
    )
    columns = [column.name for column in get_task(task).columns]
    source, target = (renamed.get(name, name) for name in columns)
    rows = rows_of(source, target, 40)
    base = save_tiny_seq2seq(tmp_path / "base", [text for row in rows for text in row.values()], kind)
    here = {
        "cluster.use_gpu": False,
        "cluster.workers": 0,
        "finetune.epochs": 2,
        "generation.max_new_tokens": 12,
    }
    config = load_config(
        flags={
            "task": task,
            "model": str(base),
            "output": str(tmp_path / "out"),
            "data.labeled": str(write(tmp_path / "train.jsonl", rows[:32])),
            "data.test": str(write(tmp_path / "test.jsonl", rows[32:])),
            **{f"data.columns.{name}": other for name, other in renamed.items()},
            **here,
            "generation.beams": 2,
        }
    )
    metrics = run(config, quiet=True).metrics
    assert metrics["chosen"] == "labels_only"
    assert not (tmp_path / "out" / "model" / "onnx").exists()
    assert (tmp_path / "out" / "model" / "ctranslate2" / "model.bin").exists()
    texts = [row[source] for row in rows[32:]]
    saved = tmp_path / "out" / "model"
    model, tokenizer = (
        AutoModelForSeq2SeqLM.from_pretrained(saved).eval(),
        AutoTokenizer.from_pretrained(saved),
    )
    with torch.no_grad():
        found = model.generate(**tokenizer(texts, return_tensors="pt", padding=True))
    plain = [text.strip() for text in tokenizer.batch_decode(found, skip_special_tokens=True)]
    ours = load(saved, use_gpu=False).predict(texts)
    assert [one.text for (one,) in ours] == plain
    done = tmp_path / "done.jsonl"
    inputs = {name: other for name, other in renamed.items() if name == columns[0]}
    options = PredictOptions(columns=inputs)
    predict_file(str(tmp_path / "out"), str(tmp_path / "test.jsonl"), done, options, quiet=True)
    lines = [json.loads(line) for line in done.read_text(encoding="utf-8").splitlines()]
    assert [line[get_task(task).added[0].name] for line in lines] == plain
    assert set(lines[0]) >= {source, "score"}


def test_the_model_translates_the_pool_and_learns_from_it(tmp_path: Path) -> None:
    rows = rows_of("source", "target", 60)
    base = save_tiny_seq2seq(tmp_path / "base", [text for row in rows for text in row.values()], "t5")
    pool = [{"source": row["source"], "truth": row["target"]} for row in rows[24:48]]
    files = {"labeled": rows[:24], "unlabeled": pool, "test": rows[48:]}
    named = {f"data.{name}": str(write(tmp_path / f"{name}.jsonl", some)) for name, some in files.items()}
    flags = {
        "task": "translation",
        "model": str(base),
        "output": str(tmp_path / "out"),
        **named,
        "data.columns.truth": "truth",
        "cluster.use_gpu": False,
        "cluster.workers": 0,
        "finetune.token_budget": 8000,
        "finetune.max_epochs": 100,
        "finetune.batch_size": 8,
        "generation.max_new_tokens": 12,
    }
    both = check(load_config(flags=flags), quiet=True).cost["training_steps"]
    labels_alone = load_config(flags={**flags, "data.unlabeled": None, "data.columns.truth": None})
    alone = check(labels_alone, quiet=True).cost["training_steps"]
    assert both == pytest.approx(alone), "the models share the tokens"
    metrics = run(load_config(flags=flags), quiet=True).metrics
    assert set(metrics["arms"]) == {"labels_only", "generated_labels"}
    assert metrics["label_quality"]["known"] == 24
    made = pq.read_table(tmp_path / "out" / "augmented").to_pylist()
    generated = [row for row in made if row["origin"] == "generated"]
    assert {row["text"] for row in generated} <= {row["source"] for row in pool}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out" / "model")
    for stage, trained in (("labels_only", rows[:24]), ("finetune", made)):
        texts = [row[name] for row in trained for name in row if name in ("source", "text", "target")]
        tokens = sum(map(len, tokenizer(texts)["input_ids"]))
        (folder,) = (tmp_path / "out" / "cache").glob(f"{stage}-*")
        history = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        per_epoch = math.ceil(len(trained) / 8)
        steps = max(json.loads(line)["step"] for line in history)
        assert steps == pytest.approx(8000 / 2 / tokens * per_epoch, abs=1), "of inputs and targets"
    assert all(isinstance(row["target"], str) and 0 < row["weight"] <= 1 for row in generated)


@pytest.mark.parametrize("verifier", [False, True])
def test_targets_alone_get_inputs_from_a_model_trained_in_reverse(tmp_path: Path, verifier: bool) -> None:
    rows = rows_of("source", "target", 60)
    base = save_tiny_seq2seq(tmp_path / "base", [text for row in rows for text in row.values()], "t5")
    known = [row["target"] for row in [*rows[:2], *rows[48:]]]  # of labelled and of test rows
    alone = [*(row["target"] for row in rows[24:48]), *known, "", "  "]
    parts = {"labeled": rows[:24], "test": rows[48:], "targets": [{"target": text} for text in alone]}
    flags = {
        "model": str(base),
        "output": str(tmp_path / "out"),
        **{f"data.{name}": str(write(tmp_path / f"{name}.jsonl", some)) for name, some in parts.items()},
        "cluster.use_gpu": False,
        "cluster.workers": 0,
        "finetune.epochs": 2,
        "generation.max_new_tokens": 12,
        "onnx": False,
        "proposals.verifier": verifier,
    }
    flags["task"] = "translation"
    once = check(load_config(flags={**flags, "data.targets": None}), quiet=True).cost["training_steps"]
    checked = check(load_config(flags=flags), quiet=True)
    assert "texts of data.targets: 38 accepted, 2 rejected" in checked.summary()
    back = checked.cost["training_steps"]
    assert back == pytest.approx(once * (24 + 24 + 24 + 38) / 24)  # alone, in reverse, and with 38 targets
    metrics = run(load_config(flags=flags), quiet=True).metrics
    assert set(metrics["arms"]) == {"labels_only", "generated_labels"}
    made = pq.read_table(tmp_path / "out" / "augmented").to_pylist()
    back = [row for row in made if row["origin"] == "back_translated"]
    assert {row["target"] for row in back} <= {row["target"] for row in rows[24:48]}
    assert 1 <= len(back) <= 24 * 0.7 + 1
    assert all(row["text"].strip() and 0 < row["weight"] <= 1 for row in back)
    (stage,) = (tmp_path / "out" / "cache").glob("back_translate-*")
    scores = {row["target"]: row["score"] for row in pq.read_table(stage / "rows.parquet").to_pylist()}
    assert all((row["weight"] == pytest.approx(scores[row["target"]])) != verifier for row in back)
    refused = [json.loads(line) for line in (stage / "refused.jsonl").read_text("utf-8").splitlines()]
    assert len(refused) == 2
    assert load(stage / "model", use_gpu=False).task.name == "translation"
    unnamed = {**flags, "data.targets": str(write(tmp_path / "unnamed.jsonl", [{"de": "a"}]))}
    with pytest.raises(InputError, match=r"data\.targets.*no column 'target'.*--column target=NAME"):
        check(load_config(flags=unnamed), quiet=True)
    with pytest.raises(ConfigError, match=r"data\.targets"):
        run(load_config(flags={**flags, "task": "text-classification"}), quiet=True)


@pytest.mark.parametrize("task", ["translation", "summarization"])
def test_random_weights_train_on_more_tokens_than_pretrained_ones(task: str) -> None:
    flags = {"task": task, "data.labeled": "pairs.csv"}
    scratch, pretrained = (
        with_task(load_config(flags={**flags, "model": model})).finetune
        for model in ("transformer-tiny", "t5-small")
    )
    assert scratch.token_budget > pretrained.token_budget
    assert scratch.max_epochs > pretrained.max_epochs
    assert scratch.epochs is pretrained.epochs is None
    fixed = load_config(flags={**flags, "model": "transformer-tiny", "finetune.epochs": 3})
    assert plan_epochs(10_000, 30.0, with_task(fixed).finetune) == 3


def test_an_encoder_alone_cannot_translate(tiny_model: Path, tmp_path: Path) -> None:
    rows = write(tmp_path / "train.jsonl", rows_of("source", "target", 8))
    flags = {"task": "translation", "model": str(tiny_model), "data.labeled": str(rows)}
    flags |= {"output": str(tmp_path / "out"), "cluster.use_gpu": False, "cluster.workers": 0}
    with pytest.raises(InputError, match=r"encoder-decoder.*transformer-tiny"):
        run(load_config(flags=flags), quiet=True)


def ask(folder: Path, inputs: list[Any]) -> tuple[Any, Any]:
    """The answers of a service in this process, and what it says of its model."""
    engine = load_engine(str(folder), "fp32", threads=1, use_gpu=False)
    service = Service(engine, ServeConfig(), About("1", None, "none"), None)

    async def send() -> tuple[Any, Any]:
        transport = httpx2.ASGITransport(build_app(service, scrape=None))  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post("/predict", json={"inputs": inputs})
            assert answer.status_code == 200, answer.text
            return answer.json(), (await http.get("/model")).json()

    return asyncio.run(send())


def test_a_model_from_scratch_has_a_vocabulary_of_the_texts_and_is_checked_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of("source", "target", 40)
    files = {"labeled": rows[:30], "test": rows[30:]}
    named = {f"data.{name}": str(write(tmp_path / f"{name}.jsonl", some)) for name, some in files.items()}
    flags = {"task": "translation", "model": "transformer-tiny", "output": str(tmp_path / "out"), **named}
    flags |= {"cluster.use_gpu": False, "cluster.workers": 0, "generation.max_new_tokens": 8}
    config = load_config(flags={**flags, "finetune.epochs": 1})
    found = check(config, quiet=True)
    assert found.rows["parts"]["labeled"] == 30
    assert found.cost["minutes"] > 0
    metrics = run(config, quiet=True).metrics
    assert metrics["model"] == "transformer-tiny"
    assert set(metrics["arms"]) == {"labels_only"}
    saved = tmp_path / "out" / "model"
    words = set(AutoTokenizer.from_pretrained(saved).get_vocab())
    assert {"▁hund", "▁house"} <= words
    assert AutoModelForSeq2SeqLM.from_pretrained(saved).config.model_type == "pegasus"
    exec(pipeline_code(metrics, str(saved)))
    example = get_task("translation").nouns.example
    ((known,),) = load(saved, use_gpu=False).predict([example])
    assert capsys.readouterr().out.strip() == known.text
    assert "random weights" in (saved / "README.md").read_text(encoding="utf-8")
    inputs = ["a dog", {"source": "the red house"}]
    answers, described = ask(tmp_path / "out", inputs)
    assert [set(entry) for (entry,) in answers] == [{"translation_text", "score"}] * 2
    assert answers == [
        [{"translation_text": one.text, "score": pytest.approx(one.score, abs=1e-4)}]
        for (one,) in load(saved, use_gpu=False).predict(["a dog", "the red house"])
    ]
    assert described["answers"] == "text"
    defaults = with_task(load_config(flags=flags)).finetune
    assert (defaults.lr, defaults.dropout) == (3e-3, None)
    with pytest.raises(ConfigError, match="transformer-tiny"):
        run(load_config(flags={**flags, "task": "text-classification"}), quiet=True)


def test_any_text_survives_a_vocabulary_of_other_texts() -> None:
    tokenizer = train_vocabulary(["ein hund", "a dog"], 600)
    for text in ("Ein Hund!", "你好, 3.5%", "🙂 tab"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize("name", ["translation", "summarization"])
def test_a_row_without_an_input_is_no_row(name: str) -> None:
    task = get_task(name)
    with pytest.raises(ValueError, match=r"blank.*data\.targets"):
        task.parse({task.columns[0].name: "", task.columns[1].name: "a"}, Options())


def test_a_dropout_of_the_settings_keeps_all_layers(tmp_path: Path) -> None:
    base = save_tiny_seq2seq(tmp_path, ENGLISH, "marian")
    config = get_task("translation").load_model(str(base), (), 0.2).config
    assert (config.dropout, config.attention_dropout) == (0.2, 0.2)
    assert (config.encoder_layerdrop, config.decoder_layerdrop) == (0.0, 0.0)


def check_score(model: Any, ids: list[list[int]], beams: int) -> None:
    """The score of a hypothesis of two tokens, of which the first is forced, is that of the second."""
    model.generation_config.update(num_beams=beams, max_new_tokens=2, min_new_tokens=2, max_length=None)
    output = generate(model.eval(), {"input_ids": torch.tensor(ids)})[0, 0]
    forced, last = output[1:].long().tolist()
    assert forced == model.generation_config.forced_bos_token_id
    start = torch.tensor([[model.generation_config.decoder_start_token_id, forced]])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(ids), decoder_input_ids=start).logits[0, -1]
    logits[model.generation_config.eos_token_id] = -torch.inf  # two tokens are the least
    assert output[0].item() == pytest.approx(logits.log_softmax(-1)[last].item(), abs=1e-2)


def test_checkpoints_are_compared_by_greedy_search(tmp_path: Path) -> None:
    rows = rows_of("source", "target", 8)
    base = save_tiny_seq2seq(tmp_path, [text for row in rows for text in row.values()], "marian")
    task = get_task("translation")
    model = task.load_model(str(base), ()).eval()
    configure(model, AutoTokenizer.from_pretrained(base), {"beams": 3, "max_new_tokens": 6})
    inputs = {"input_ids": torch.tensor([[5, 6, 1]])}
    with task.quick(model):
        assert task.infer(model, inputs).shape[1] == 1
        greedy = model.generate(**inputs)
    assert task.infer(model, inputs).shape[1] == 3
    assert torch.equal(greedy, model.generate(**inputs, num_beams=1, early_stopping=False))


def many_languages() -> tuple[Any, Any]:
    """An NLLB model and its tokenizer."""
    state = json.loads(train_vocabulary([*ENGLISH, *GERMAN], 500).backend_tokenizer.to_str())["model"]
    words = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *state["vocab"]])
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in state["merges"]])
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = M2M100Config(vocab_size=len(tokenizer), d_model=8, **sizes, **heads)
    return M2M100ForConditionalGeneration(config), tokenizer


def test_models_of_many_languages_are_trained_and_generate(tmp_path: Path) -> None:
    model, tokenizer = many_languages()
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    rows = rows_of("source", "target", 24)
    flags = {"task": "translation", "model": str(tmp_path / "base"), "output": str(tmp_path / "out")}
    flags |= {"generation.source_language": "eng_Latn", "generation.target_language": "deu_Latn"}
    flags |= {"cluster.use_gpu": False, "cluster.workers": 0, "finetune.epochs": 1}
    flags |= {"generation.max_new_tokens": 8, "generation.beams": 2}
    files = {"labeled": rows[:16], "test": rows[16:]}
    flags |= {f"data.{name}": str(write(tmp_path / f"{name}.jsonl", some)) for name, some in files.items()}
    run(load_config(flags=flags), quiet=True)
    saved = tmp_path / "out" / "model"
    assert (saved / "ctranslate2" / "model.bin").exists()
    texts = [row["source"] for row in rows[16:]]
    plain, codes = AutoModelForSeq2SeqLM.from_pretrained(saved).eval(), AutoTokenizer.from_pretrained(saved)
    with torch.no_grad():
        found = plain.generate(**codes(texts, return_tensors="pt", padding=True))
    expected = [text.strip() for text in codes.batch_decode(found, skip_special_tokens=True)]
    assert [one.text for (one,) in load(saved, use_gpu=False).predict(texts)] == expected
    predict_file(str(tmp_path / "out"), str(tmp_path / "test.jsonl"), tmp_path / "done.jsonl", quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "done.jsonl").read_text("utf-8").splitlines()]
    assert [line["translation_text"] for line in lines] == expected
    assert len(ask(saved, [{"source": text} for text in texts])[0]) == len(texts)


def test_models_of_many_languages_get_the_codes_of_two() -> None:
    model, tokenizer = many_languages()
    configure(model, tokenizer, {"source_language": "eng_Latn", "target_language": "deu_Latn"})
    texts = TransformersTokenizer(tokenizer, 32)
    ids = [texts.ids(["dog"])[0], texts.target_ids(["hund"])[0]]
    assert [tokenizer.convert_ids_to_tokens(one[0]) for one in ids] == ["eng_Latn", "deu_Latn"]
    assert model.generation_config.forced_bos_token_id == tokenizer.convert_tokens_to_ids("deu_Latn")
    assert texts.text_of(texts.target_ids(["hund"])[0]) == "hund"
    for beams in (1, 3):
        check_score(model, texts.ids(["dog"]), beams)
    with pytest.raises(ConfigError, match=r"generation\.source_language"):
        configure(model, tokenizer, {"source_language": "eng_Latn"})
    with pytest.raises(ConfigError, match=r"'de' is not a language of the model; known are: .*deu_Latn"):
        configure(model, tokenizer, {"source_language": "eng_Latn", "target_language": "de"})
