from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from service_client import LABELS, POISON

from react_ray.classifier import load
from react_ray.serve.engine import Engine


@pytest.fixture
def engine(classifier_folder: Path) -> Engine:
    return Engine(load(classifier_folder), threads=1)


def test_only_the_poisoned_texts_fail(engine: Engine) -> None:
    texts = ["one", "two", POISON, "four", "five", f"six {POISON}", "股市"]
    outcomes = engine.classify(engine.encode(texts))
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [POISON in text for text in texts]
    good = [text for text in texts if POISON not in text]
    answered = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
    np.testing.assert_allclose(answered, engine.classify(engine.encode(good)), atol=1e-6)
    assert all(outcome.shape == (len(LABELS),) for outcome in answered)


def test_scores_that_are_not_numbers_are_failures(classifier_folder: Path) -> None:
    classifier = load(classifier_folder)
    with torch.no_grad():
        classifier.model.classifier.bias[0] = float("nan")
    engine = Engine(classifier, threads=1)
    assert isinstance(engine.classify(engine.encode(["a"]))[0], ArithmeticError)
    with pytest.raises(ArithmeticError):
        engine.warm_up()


def test_the_model_uses_the_threads_it_is_given(classifier_folder: Path) -> None:
    before = torch.get_num_threads()
    try:
        Engine(load(classifier_folder), threads=3).warm_up()
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
