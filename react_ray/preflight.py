"""What a run would read, refuse and cost, found out without training."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from react_ray.cluster.readiness import Readiness
from react_ray.cluster.session import Session
from react_ray.config import Config
from react_ray.data.encode import Encoder
from react_ray.lgan.views import BLOCKS, VIEWS
from react_ray.pipeline import run

__all__ = ["Check", "check"]

SAMPLE_TEXTS = 400
TRAINING_COST = 3.0
"""A training step against an inference step on the same tokens (forward, backward twice as much)."""


@dataclass(frozen=True)
class Check:
    """The findings: ``rows`` as ``data.prepare`` counted them, the estimated cost, the cluster's nodes."""

    rows: dict[str, Any]
    cost: dict[str, float]
    folder: Path
    ready: Readiness | None = None

    def summary(self) -> str:
        """All findings in words."""
        parts = ", ".join(f"{count:,} {part}" for part, count in self.rows["parts"].items())
        unused = self.rows["unused"]
        if unused:
            parts += f" ({unused:,} more are not used: data.pool)"
        lines = [f"rows: {parts}", f"classes: {len(self.rows['classes'])}"]
        lines += [f"  {name}: {count:,} labelled" for name, count in self.rows["classes"].items()]
        refused = self.rows["refused"]
        lines.append(f"refused: {sum(refused.values()):,}" + (f", see {self.folder}" if refused else ""))
        lines += [f"  {reason}: {count:,}" for reason, count in refused.items()]
        cost = self.cost
        lines.append(
            f"estimate: {cost['encode_tokens']:,.0f} tokens to encode at {cost['tokens_per_second']:,.0f} "
            f"a second (measured here), {cost['training_steps']:,.0f} training steps, "
            f"{cost['minutes']:.1f} minutes, {cost['memory_gb']:.1f} GB of memory"
        )
        if self.ready:
            lines.append(self.ready.summary())
        return "\n".join(lines)


def check(config: Config, *, verbose: bool = False, quiet: bool = False) -> Check:
    """Read and check the inputs as ``run`` does, and estimate what the rest would take.

    Raises what ``run`` would raise for the same inputs, and ClusterError when the
    cluster lacks the resources that are asked for.
    """
    done = run(config, until="prepare", verbose=verbose, quiet=quiet)
    prepared = done.stages["prepare"]
    if done.ready is None:
        with Session(config.cluster, verbose) as session:
            session.check_resources()
    rows = json.loads((prepared / "summary.json").read_text(encoding="utf-8"))
    return Check(rows, _estimate(config, prepared), prepared / "refused.jsonl", done.ready)


def _estimate(config: Config, prepared: Path) -> dict[str, float]:
    texts = pq.read_table(prepared / "rows.parquet", columns=["text"])["text"]
    encoder = Encoder(config.encoder or config.model, config.encode)
    sample = texts.slice(0, SAMPLE_TEXTS).to_pylist()
    tokens = encoder.count_tokens(sample)
    encoder.encode(sample[:8])
    started = time.monotonic()
    encoder.encode(sample)
    speed = tokens / (time.monotonic() - started)
    per_text = tokens / max(len(sample), 1)
    encode_tokens = per_text * len(texts)
    trained = config.finetune.token_budget
    if config.finetune.epochs:
        trained = int(config.finetune.epochs * encode_tokens)
    parameters = sum(p.numel() for p in encoder.model.parameters())
    row = 4 * encoder.model.config.hidden_size * (BLOCKS + sum(view.count for view in VIEWS))  # bytes
    return {
        "encode_tokens": encode_tokens,
        "tokens_per_second": speed,
        "training_steps": trained / per_text / config.finetune.batch_size,
        "minutes": (encode_tokens + TRAINING_COST * trained) / speed / 60,
        "memory_gb": (16 * parameters + row * len(texts) + texts.nbytes) / 1e9 + 1,
    }
