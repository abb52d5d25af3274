from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from react_ray.config.settings import FinetuneConfig
from react_ray.errors import InputError
from react_ray.tasks import get_task
from react_ray.training.batches import draw_rows, epoch_batches, plan_epochs, read_rows, split_batch
from react_ray.training.steps import Training
from react_ray.training.worker import LocalWorker


@given(st.lists(st.integers(1, 128), min_size=1, max_size=300), st.integers(1, 40), st.integers(0, 3))
def test_every_row_is_in_one_batch_of_an_epoch(lengths, batch_size, epoch):
    batches = epoch_batches(lengths, batch_size, seed=5, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == -(-len(lengths) // batch_size)
    assert all(len(batch) <= batch_size for batch in batches)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 5))
def test_ranks_and_micro_batches_share_a_batch_without_loss(rows, world_size, parts):
    batch = np.arange(rows) * 7
    shares = [split_batch(batch, rank, world_size, parts) for rank in range(world_size)]
    counted = [i for share in shares for part in share if part.counts for i in part.rows]
    assert sorted(counted) == sorted(batch)
    assert all(1 <= len(share) <= parts and all(len(part.rows) for part in share) for share in shares)
    assert len({len(share) for share in shares}) == 1, "a rank that makes more calls would wait for ever"


def test_long_rows_divide_a_step_and_short_ones_do_not(tmp_path):
    config = FinetuneConfig(batch_size=6, accumulation=2)
    for tokens, calls in ((10, 2), (40, 3), (400, 6)):
        worker = LocalWorker(tmp_path)
        training = _Sums(
            worker,
            torch.nn.Linear(1, 1, bias=False),
            config,
            lengths=[tokens] * 6,
            steps=1,
            seed=0,
            metric="none",
        )
        assert training.backward(np.arange(6), 0)[0] == pytest.approx(2.5)
        assert len(training.parts) == calls
        assert sorted(np.concatenate(training.parts)) == [*range(6)]


class _Sums(Training):
    """The loss of row i is i; keeps the micro-batches."""

    step_tokens = 90

    def loss_of(self, parallel, part, step):
        self.parts = [*getattr(self, "parts", []), part.rows]
        return parallel.weight.sum() * 0 + float(part.rows.sum())

    def weight_of(self, batch, step):
        return len(batch)

    def score(self):
        return None


def test_batches_follow_from_seed_and_epoch():
    lengths = list(range(1, 100))
    same = [epoch_batches(lengths, 8, seed=1, epoch=0) for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*same, strict=True))
    for seed, epoch in ((2, 0), (1, 1)):
        other = epoch_batches(lengths, 8, seed, epoch)
        assert any(not np.array_equal(a, b) for a, b in zip(same[0], other, strict=True))


def test_a_batch_holds_texts_of_like_length():
    lengths = np.random.default_rng(0).integers(5, 128, 800)
    batches = epoch_batches(list(lengths), 16, seed=0, epoch=0)
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_the_token_budget_sets_the_epochs():
    config = FinetuneConfig(token_budget=100_000, batch_size=16)
    assert plan_epochs(4000, 50.0, config) == pytest.approx(0.5)
    assert plan_epochs(400, 50.0, config) == pytest.approx(5.0)
    assert plan_epochs(4000, 50.0, FinetuneConfig(epochs=3)) == 3


def test_few_labels_are_neither_starved_nor_learnt_by_heart():
    config = FinetuneConfig(token_budget=10**9, batch_size=16)
    assert plan_epochs(25, 50.0, config) * 2 == 40  # steps
    assert plan_epochs(1000, 50.0, config) == 10
    assert plan_epochs(1000, 50.0, config.model_copy(update={"max_epochs": 100})) == 100


def test_a_draw_keeps_every_labelled_row():
    origin = ["labeled" if i % 50 == 0 else "generated" for i in range(1000)]
    rows = pa.table({"text": [str(i) for i in range(1000)], "origin": origin})
    drawn = draw_rows(rows, 0.1, seed=0)
    assert len(drawn) == 100
    assert drawn["origin"].to_pylist().count("labeled") == 20
    assert draw_rows(rows, 0.1, seed=0) == drawn != draw_rows(rows, 0.1, seed=1)
    assert len(draw_rows(rows, 0.01, seed=0)) == 20
    assert draw_rows(rows, 1.0, seed=0) == rows


def test_no_row_with_weight_is_an_error_that_says_so(tmp_path):
    pq.write_table(pa.table({"text": ["a"], "label": ["x"], "weight": [0.0]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet: there are no rows with a weight above 0"):
        read_rows(str(tmp_path / "t.parquet"), get_task("text-classification"))
