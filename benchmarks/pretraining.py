"""An encoder that ``react-ray pretrain`` trains on a set's own texts, against the same one untrained.

    python -m benchmarks.pretraining --datasets thucnews_titles chnsenticorp_hotel --epochs 10 --draws 3

The texts of all training rows are trained on, without their labels, once a set; both encoders have the same
vocabulary, made of them. Then each is the ``--model`` of whole runs on a few labels. The arms' macro-F1 on
test rows, a JSON file a draw, is kept in benchmarks/results/pretraining; a draw that is there is not run
again. The encoders are kept in out/benchmarks/pretraining.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.datasets import DATA, DatasetMissingError, read_dataset, write_draw

RESULTS = Path(__file__).parent / "results" / "pretraining"
ENCODERS = Path("out/benchmarks/pretraining")
UNTRAINED = ("steps=1", "lr=1e-12")
"""Settings that leave the random weights as they are."""
ARMS = ("probe", "self_training", "labels_only", "label_generator", "generated_labels")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["thucnews_titles", "chnsenticorp_hotel"])
    parser.add_argument("--epochs", type=float, default=10, help="of pretraining")
    parser.add_argument("--labels-per-class", type=int, nargs="+", default=[5, 50])
    parser.add_argument("--pool", type=int, default=1500)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for dataset in options.datasets:
        try:
            encoders = pretrain(dataset, options)
        except DatasetMissingError as missing:
            print(f"skipped: {missing}")
            continue
        for seed in range(options.draws):
            for labels in options.labels_per_class:
                measure(dataset, labels, seed, encoders, options)
    print("\n".join(table()))


def pretrain(dataset: str, options: argparse.Namespace) -> dict[str, Path]:
    """Train an encoder on the texts of ``dataset``; return its folder and that of the untrained one."""
    texts = ENCODERS / f"{dataset}.parquet"
    ENCODERS.mkdir(parents=True, exist_ok=True)
    read_dataset(dataset, options.data)[0][["text"]].to_parquet(texts)
    variants = {"untrained": UNTRAINED, "pretrained": (f"epochs={options.epochs}",)}
    folders = {name: ENCODERS / f"{dataset}-{name}" for name in variants}
    for name, settings in variants.items():
        words = ["pretrain", "--quiet", "--input", texts, "--output", folders[name], *settings]
        _react_ray(words)
    return folders


def measure(
    dataset: str, labels: int, seed: int, encoders: dict[str, Path], options: argparse.Namespace
) -> None:
    """Run a draw with each encoder, and keep the figures of its arms."""
    target = RESULTS / f"{dataset}-k{labels}-e{options.epochs:g}-s{seed}.json"
    if target.exists():
        return
    record: dict[str, Any] = {
        "dataset": dataset,
        "labels_per_class": labels,
        "seed": seed,
        "pool": options.pool,
        "epochs": options.epochs,
        "perplexity": {name: _metrics(folder)["perplexity"] for name, folder in encoders.items()},
        "macro_f1": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        draw = write_draw(
            dataset,
            Path(temporary) / "data",
            labels_per_class=labels,
            pool=options.pool,
            test=options.test,
            seed=seed,
            data=options.data,
        )
        for name, folder in encoders.items():
            output = Path(temporary) / name
            words = ["run", "--quiet", "--seed", seed, *draw.flags(), "--truth-column", "truth"]
            model = folder / "model"
            _react_ray([*words, "--model", model, "--output", output, f"encoder={model}", "onnx=false"])
            arms = _metrics(output)["arms"]
            record["macro_f1"][name] = {arm: arms[arm]["test"]["macro_f1"] for arm in ARMS}
    target.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(target.name, record["macro_f1"], flush=True)


def table() -> list[str]:
    """Mean macro-F1 of the draws, a line for each set, number of labels and encoder."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    lines = [
        "| set | labels a class | draws | encoder | perplexity | " + " | ".join(ARMS) + " |",
        "|---|---|---|---|---|" + "---|" * len(ARMS),
    ]
    for dataset, labels in sorted({(one["dataset"], one["labels_per_class"]) for one in records}):
        same = [one for one in records if (one["dataset"], one["labels_per_class"]) == (dataset, labels)]
        for encoder in same[0]["macro_f1"]:
            figures = [f"{mean(one['macro_f1'][encoder][arm] for one in same):.3f}" for arm in ARMS]
            perplexity = f"{same[0]['perplexity'][encoder]:.1f}"
            cells = [dataset, str(labels), str(len(same)), encoder, perplexity, *figures]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def _metrics(folder: Path) -> Any:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _react_ray(words: list[object]) -> None:
    command = [sys.executable, "-m", "react_ray.cli", *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
