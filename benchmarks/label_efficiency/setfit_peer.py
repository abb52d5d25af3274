"""SetFit in an environment of its own: reads texts and labels, writes test probabilities.

    python setfit_peer.py --folder FOLDER --model MODEL --seed 0

FOLDER holds train.parquet (text, label: a class index, or a list of 0 and 1 for a set of labels) and
test.parquet (text); probabilities.npy is written there: a row a test text, a column a class that has a row.

Settings are those of the paper (arXiv:2209.11055): one epoch, batches of 16, pairs from
R = 20 rounds over the rows, logistic regression on top. Only R is a choice: the package's
later default takes all pairs, which for 77 classes of 5 rows is 9,000 steps and not 1,000.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

ROUNDS = 20
BATCH = 16
MAX_LENGTH = 128


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "WANDB_DISABLED": "true"}
    answer(options.folder, options.model, options.seed)


def answer(folder: Path, model_name: str, seed: int) -> None:
    """Train on the labelled rows and write what the model says of the test rows."""
    import numpy as np
    import pandas as pd
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from transformers import set_seed

    set_seed(seed)
    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    several = isinstance(train["label"].iloc[0], np.ndarray)
    model = SetFitModel.from_pretrained(model_name, multi_target_strategy="one-vs-rest" if several else None)
    model.model_body.max_seq_length = MAX_LENGTH
    settings = TrainingArguments(
        output_dir=str(folder / "checkpoints"),
        batch_size=BATCH,
        num_epochs=1,
        num_iterations=ROUNDS,
        seed=seed,
        report_to="none",
        save_strategy="no",
        show_progress_bar=False,
    )
    Trainer(model, settings, train_dataset=Dataset.from_pandas(train)).train()
    found = model.predict_proba(test["text"].tolist(), as_numpy=True, show_progress_bar=False)
    np.save(folder / "probabilities.npy", np.asarray(found, dtype=np.float32))


if __name__ == "__main__":
    main()
