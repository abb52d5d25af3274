from __future__ import annotations

import numpy as np
import pytest
from feature_blobs import make_blobs

from react_ray.errors import InputError
from react_ray.labelers.label_gan import prepare
from react_ray.lgan import LganInputs


def test_what_is_saved_is_read_back(tmp_path):
    inputs = make_blobs().with_inputs(validation=np.ones((1, 32)), validation_labels=[2], blocks=2).inputs
    inputs.save(tmp_path)
    again = LganInputs.load(tmp_path)
    for name, value in vars(inputs).items():
        assert np.array_equal(getattr(again, name), value)
        assert np.asarray(getattr(again, name)).dtype == np.asarray(value).dtype


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [0] * 8, "labeled": np.ones((8, 5))}, "n x 32"),
        ({"labels": [0, 1]}, "8 labeled rows have 2 labels"),
        ({"labels": [7] * 8}, "must be 0 to 3; found 7"),
        ({"labels": [-1] * 8}, "must be 0 to 3; found -1"),
        ({"unlabeled": np.full((2, 32), np.nan)}, "unlabeled features have values that are not finite"),
    ],
)
def test_what_does_not_fit_is_named(change, said):
    with pytest.raises(InputError, match=said):
        make_blobs().with_inputs(**change)


def test_without_any_row_there_is_nothing_to_learn(tmp_path):
    names = make_blobs().inputs.names
    with pytest.raises(InputError, match="no unlabelled rows to learn from"):
        prepare(LganInputs(np.zeros((0, 32)), [], np.zeros((0, 32)), names), {}, tmp_path)


def test_the_copies_are_the_pool_where_no_other_row_is():
    inputs = make_blobs(pool=0).inputs
    copies = make_blobs().with_inputs(unlabeled=[], augmented=inputs.labeled, augmented_labels=inputs.labels)
    assert np.array_equal(copies.inputs.pool, inputs.labeled)
