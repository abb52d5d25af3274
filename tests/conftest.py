from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None, max_examples=40, derandomize=True)
settings.load_profile("steady")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models: a second thread only waits for the first

CHINESE = (
    "科技体育财经娱乐股市上涨下跌比赛球队冠军手机电脑软件电影"
    "明星歌手导演银行基金投资联赛进球新发布公司今日的了在是不大"
)


def save_tiny_model(folder: Path, vocabulary: list[str], seed: int = 0) -> Path:
    """A two-layer BERT with random weights and a word (or character) vocabulary."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(vocabulary)]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}, model_max_length=64)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def make_tiny_model() -> Callable[..., Path]:
    """For tests that need a vocabulary of their own."""
    return save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """English: lower-case letters and pieces of them, so that no word is unknown."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?'-&:;()/\"$%"
    pieces = [*letters, *(f"##{c}" for c in letters)]
    return save_tiny_model(tmp_path_factory.mktemp("tiny-en"), pieces)


@pytest.fixture(scope="session")
def tiny_chinese_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny-zh"), list(CHINESE))


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One Ray on this machine for the whole session; a test that asks for it is slow."""
    import ray

    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # workers import loops that tests define
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
