"""Metrics during training, as JSON lines and as TensorBoard events."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from react_ray.folders import FILE_MODE, make_private_folder, open_private, replace_file

__all__ = ["TrainingLog"]

FLUSH_S = 2
"""Seconds after which a background thread writes events for TensorBoard."""


class TrainingLog:
    """Writes ``metrics.jsonl`` and TensorBoard events into ``folder``.

    A run that resumes from a checkpoint removes the entries after it; a run that restarts removes all.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writer = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add the metrics of ``step``; steps must be in ascending order."""
        if self._writer is None:
            self._open(step)
        with open_private(self.folder / "metrics.jsonl", "a") as file:
            finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
            file.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[attr-defined]

    def _open(self, step: int) -> None:
        from tensorboardX import SummaryWriter

        make_private_folder(self.folder)
        lines, earlier = self.folder / "metrics.jsonl", list[str]()
        if lines.exists():
            complete, _, _ = lines.read_text(encoding="utf-8").rpartition("\n")
            earlier = [line for line in complete.splitlines() if json.loads(line)["step"] < step]
        content = "".join(f"{line}\n" for line in earlier)
        replace_file(lines, lambda temporary: temporary.write_text(content, encoding="utf-8"), private=True)
        if not earlier:
            for events in self.folder.glob("events.out.tfevents.*"):
                events.unlink()
        options = {"purge_step": step, "filename_suffix": f".{step}"} if earlier else {}
        self._writer = SummaryWriter(str(self.folder), flush_secs=FLUSH_S, **options)
        for events in self.folder.glob("events.out.tfevents.*"):
            events.chmod(FILE_MODE)
