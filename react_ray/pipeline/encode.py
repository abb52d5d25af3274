"""Embeddings of texts by a frozen encoder, in this process or on Ray Data."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from react_ray.cluster.datasets import map_items
from react_ray.cluster.session import Session
from react_ray.config.settings import AUTO, ClusterConfig, DataConfig, EncodeConfig
from react_ray.console.reporter import Progress
from react_ray.data.encode import Encoder, EncodeTask, encode_items, load_features
from react_ray.data.views import BLOCKS, SENTENCE
from react_ray.data.vocabulary import SAMPLE_CHARS, SAMPLE_TEXTS, ModelChoice, Vocabulary
from react_ray.folders import remove_folder
from react_ray.models.choices import encoder_choices
from react_ray.tasks import DEFAULT_TASK

__all__ = ["TextEncoder", "choose_encoder", "encode", "load_encoder"]

GROUP_ROWS = 2000


def choose_encoder(texts: Sequence[str], encoder: str = AUTO) -> str:
    """Return the encoder to use for ``texts``; auto: the first embedded model that can read them.

    Raises InputError if the encoder cannot read the texts.

    Example
    -------
    >>> choose_encoder(["an English text"])
    'embedded'
    """
    step = max(1, len(texts) // SAMPLE_TEXTS)
    sample = [text[:SAMPLE_CHARS] for text in texts[::step]]
    choice = ModelChoice("--encoder", encoder_choices(encoder, AUTO), automatic=encoder == AUTO)
    return Vocabulary(sample, DataConfig.model_fields["max_unknown"].default).readers(choice)[0]


def encode(
    texts: Sequence[str],
    encoder: str = AUTO,
    *,
    max_length: int = 128,
    folder: str | Path | None = None,
    cluster: ClusterConfig | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return embeddings of ``texts`` by a frozen encoder, n x d, rows of length 1.

    Many texts are encoded in parallel on Ray Data, few by this process.

    Parameters
    ----------
    texts
        n texts. Their features are held in memory.
    encoder
        auto, embedded, multilingual, a hub name or a folder; see :func:`choose_encoder`.
    max_length
        Longest input in tokens; longer texts are cut.
    folder
        Where texts and features are kept until all are encoded, so that an interrupted call with the same
        texts resumes; on a cluster, a folder that all nodes see. None: a temporary folder.
    cluster
        Where to work: address of a cluster, processes, ``local_rows``. None: this machine.
    progress
        Called with done, total and a note.

    Raises
    ------
    InputError
        The encoder cannot be loaded, or cannot read the texts.

    Example
    -------
    >>> encode(["a text", "another"], "embedded").shape  # doctest: +SKIP
    (2, 384)
    """
    if not len(texts):
        return np.zeros((0, 0), np.float32)
    model = choose_encoder(texts, encoder)
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return encode(
                texts, model, max_length=max_length, folder=temporary, cluster=cluster, progress=progress
            )
    place = Path(folder) / _key(texts, model, max_length)
    place.mkdir(parents=True, exist_ok=True)
    _write_texts(texts, place / "texts.parquet")
    with Session(cluster or ClusterConfig()) as session:
        gpu = session.use_gpu()
        map_items(
            EncodeTask([model], EncodeConfig(max_length=max_length), DEFAULT_TASK, gpu),
            encode_items(place / "texts.parquet", place / "features"),
            rows=len(texts),
            session=session,
            progress=progress,
            use_gpu=gpu,
        )
    features = load_features(place / "features")
    remove_folder(place)
    return np.ascontiguousarray(SENTENCE.of(features, BLOCKS))


class TextEncoder:
    """A frozen encoder in memory, for services that embed a few texts at a time; see :func:`load_encoder`.

    Example
    -------
    >>> load_encoder("embedded").encode(["a text", "another"]).shape  # doctest: +SKIP
    (2, 384)
    """

    def __init__(self, encoder: Encoder):
        self._encoder = encoder

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return embeddings of ``texts``, n x d, rows of length 1: the same as :func:`encode`."""
        return np.ascontiguousarray(SENTENCE.of(self._encoder.encode(texts), BLOCKS))


def load_encoder(encoder: str = AUTO, *, max_length: int = 128, use_gpu: bool = False) -> TextEncoder:
    """Load a frozen encoder of texts.

    Parameters
    ----------
    encoder
        embedded, multilingual, a hub name or a folder; auto: embedded.
    max_length
        Longest input in tokens; longer texts are cut.
    use_gpu
        Whether it runs on a GPU, if there is one.

    Raises
    ------
    InputError
        The encoder cannot be loaded.

    Example
    -------
    >>> load_encoder("embedded").encode(["a text"]).shape  # doctest: +SKIP
    (1, 384)
    """
    name = encoder_choices(encoder, AUTO)[0]
    return TextEncoder(Encoder(name, EncodeConfig(max_length=max_length), use_gpu))


def _key(texts: Sequence[str], model: str, max_length: int) -> str:
    """Return a name for the folder of this work, so that the features of other texts are not taken for it."""
    content = hashlib.sha256(f"{model}\0{max_length}".encode())
    for text in texts:
        content.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return content.hexdigest()[:16]


def _write_texts(texts: Sequence[str], path: Path) -> None:
    table = pa.table({"text": pa.array(texts, pa.string())})
    pq.write_table(table, path, row_group_size=GROUP_ROWS)
