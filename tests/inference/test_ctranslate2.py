"""Models that generate texts, exported to CTranslate2: the answers of torch, in fewer steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_generators import KINDS, save_endless, save_generator, texts

from react_ray import load
from react_ray.config.service import ServeConfig
from react_ray.errors import InputError
from react_ray.folders import model_version
from react_ray.inference import ctranslate2_export, ctranslate2_record
from react_ray.inference.ctranslate2_export import export
from react_ray.inference.ctranslate2_model import CTranslate2Model
from react_ray.inference.ctranslate2_record import TranslatorRecord, find_translator
from react_ray.inference.export import export_saved
from react_ray.inference.saved import SavedModel
from react_ray.serve.engine.model import load_engine
from react_ray.serve.models import note_of

Exported = Callable[[str], tuple[Path, TranslatorRecord]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A model of each architecture and its record, made when it is first asked for."""
    made: dict[str, tuple[Path, TranslatorRecord]] = {}

    def make(kind: str) -> tuple[Path, TranslatorRecord]:
        if kind not in made:
            folder = save_generator(tmp_path_factory.mktemp(kind), kind)
            made[kind] = folder, export(folder, folder / "ctranslate2", texts())
        return made[kind]

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_scores_are_those_of_torch(kind: str, exported: Exported) -> None:
    folder, record = exported(kind)
    assert record.same_text == 1
    assert record.checked == len(texts())
    ours, torchs = CTranslate2Model(folder, record), load(folder, use_gpu=False)
    rows = torchs.rows(texts())
    for one, other in zip(ours.answers(rows), torchs.answers(rows), strict=True):
        assert one.value == other.value
        assert one.score == pytest.approx(other.score, abs=1e-3)
        assert len(one.ranking) == len(other.ranking)


@pytest.mark.parametrize("kind", ["marian", "m2m_100"])
@pytest.mark.parametrize("engine", ["ctranslate2", "torch"])
def test_texts_grow_token_by_token_within_the_limit_until_they_are_stopped(
    kind: str, engine: str, exported: Exported
) -> None:
    folder, record = exported(kind)
    model = CTranslate2Model(folder, record) if engine == "ctranslate2" else load(folder, use_gpu=False)
    (example,) = model.examples(model.rows(["a b c"]))
    tokens: list[int] = []
    whole = model.stream(example, lambda token: bool(tokens.append(token)))[0]
    found = whole[1:].astype(int).tolist()
    assert tokens[-3:] == found[-3:]
    short = model.stream(example, lambda token: False, limit=2)
    assert short.shape == (1, 3)
    assert short[0, 1:].tolist() == found[:2]
    assert model.stream(example, lambda token: False, limit=1000).shape[1] - 1 <= len(found)
    assert model.generate([example], 2)[0].shape[1] <= 3
    tokens.clear()
    model.stream(example, lambda token: bool(tokens.append(token)) or len(tokens) >= 2)
    assert len(tokens) <= 3 < len(found)


@pytest.mark.parametrize("engine", ["ctranslate2", "torch"])
def test_progress_counts_tokens_of_a_greedy_search_and_batches_of_others(
    engine: str, tmp_path: Path, exported: Exported
) -> None:
    endless = save_endless(tmp_path, 10)
    for folder, least in ((endless, 10), (exported("marian")[0], 1)):
        model: SavedModel = load(folder, use_gpu=False)
        if engine == "ctranslate2":
            model = CTranslate2Model(folder, export(folder, folder / "ctranslate2", texts()))
        before = model.progress.steps
        model.run(model.examples(model.rows(["a b c"])))
        assert model.progress.steps - before >= least


def test_a_service_uses_the_files_while_they_belong_to_the_model(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(exported("marian")[0], tmp_path / "model"))

    def engine() -> str:
        return load_engine(str(folder), "fp32", threads=1, use_gpu=False).name

    assert engine().startswith("CTranslate2")
    assert note_of(folder, ServeConfig()) is None
    version = model_version(folder)
    for file, reason in (
        (folder / "ctranslate2" / "model.bin", "does not hold the files"),
        (folder / "ctranslate2" / "export.json", "was changed after the export"),
        (folder / "config.json", "was changed after its"),
    ):
        content = file.read_bytes()
        file.write_bytes(content.replace(b'"checked": ', b'"checked": 1') + b" ")
        found = find_translator(folder)
        assert isinstance(found, str)
        if file.name != "export.json":
            assert reason in found
            assert engine().startswith("torch")
            assert "torch serves it" in str(note_of(folder, ServeConfig()))
        file.write_bytes(content)
    assert model_version(folder) == version
    monkeypatch.setattr(ctranslate2_record, "is_installed", lambda: False)
    assert "react-ray[generation]" in str(find_translator(folder))
    assert engine().startswith("torch")


def test_files_that_change_the_answers_are_not_kept(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported("marian")[0]
    options = ctranslate2_export._options
    with monkeypatch.context() as patch:
        patch.setattr(
            ctranslate2_export, "_options", lambda *given: {**options(*given), "max_decoding_length": 1}
        )
        with pytest.raises(InputError, match=r"CTranslate2 changes 100\.0% of the answers"):
            export(folder, tmp_path / "out", texts())
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(ctranslate2_export, "is_installed", lambda: False)
    with pytest.raises(InputError, match=r"react-ray\[generation\]"):
        export(folder, tmp_path / "out", texts())


def test_a_saved_model_is_exported_by_a_command(exported: Exported, tmp_path: Path) -> None:
    folder = save_generator(tmp_path / "model", "t5")
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps({"source": text}) + "\n" for text in texts()), encoding="utf-8")
    told = export_saved(str(folder), str(source))
    assert "100.0% of the answers equal" in told
    record = find_translator(folder)
    assert isinstance(record, TranslatorRecord)
    assert record.checked == len(texts())
