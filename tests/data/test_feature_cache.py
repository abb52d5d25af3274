"""Features taken over from earlier passes of the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from react_ray.data.feature_cache import FeatureCache, text_keys


def keep(folder: Path, texts: list[str], value: float) -> None:
    folder.mkdir()
    features = pa.FixedSizeListArray.from_arrays(pa.array(np.full(2 * len(texts), value, np.float32)), 2)
    table = pa.table({"key": text_keys(texts), "features": features})
    pq.write_table(table, folder / "0.parquet")


def test_known_texts_are_filled_in_and_the_others_left(tmp_path: Path) -> None:
    keep(tmp_path / "a", ["one", "two"], 1.0)
    keep(tmp_path / "b", ["三"], 3.0)
    known = FeatureCache.of([tmp_path / "a", tmp_path / "b"])
    features = np.zeros((3, 2), np.float32)
    assert known.fill(text_keys(["三", "none", "two"]), features).tolist() == [True, False, True]
    assert features.tolist() == [[3, 3], [0, 0], [1, 1]]


def test_what_another_trial_renames_meanwhile_is_not_known(tmp_path: Path) -> None:
    keep(tmp_path / "encode-1.part", ["one"], 1.0)
    keep(tmp_path / "encode-2", ["two"], 2.0)
    (tmp_path / "encode-2" / "1.parquet").symlink_to(tmp_path / "gone.parquet")
    known = FeatureCache.of([tmp_path / "encode-1.part", tmp_path / "encode-2"])
    (tmp_path / "encode-1.part").rename(tmp_path / "encode-1")
    features = np.zeros((2, 2), np.float32)
    assert known.fill(text_keys(["one", "two"]), features).tolist() == [False, True]
    assert features.tolist() == [[0, 0], [2, 2]]
