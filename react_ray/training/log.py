"""Figures of a training run as it goes: lines of JSON, and events for TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from react_ray.folders import FILE_MODE, make_private_folder, open_private, replace_file

__all__ = ["TrainingLog"]

FLUSH_S = 2
"""After so many seconds TensorBoard sees what was logged; a thread writes it."""


class TrainingLog:
    """Writes ``metrics.jsonl`` and TensorBoard's event file into ``folder``.

    A run that resumes from a checkpoint removes what was logged after it; one that starts again starts
    both files again.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._writer = None

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the figures of ``step``; steps come in order."""
        if self._writer is None:
            self._open(step)
        with open_private(self.folder / "metrics.jsonl", "a") as file:
            known = {name: value if math.isfinite(value) else None for name, value in values.items()}
            file.write(json.dumps({"step": step, **known}) + "\n")
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[attr-defined]

    def _open(self, step: int) -> None:
        from tensorboardX import SummaryWriter

        make_private_folder(self.folder)
        lines, before = self.folder / "metrics.jsonl", list[str]()
        if lines.exists():
            whole, _, _ = lines.read_text(encoding="utf-8").rpartition("\n")
            before = [line for line in whole.splitlines() if json.loads(line)["step"] < step]
        kept = "".join(f"{line}\n" for line in before)
        replace_file(lines, lambda half: half.write_text(kept, encoding="utf-8"), private=True)
        if not before:
            for events in self.folder.glob("events.out.tfevents.*"):
                events.unlink()
        going_on = {"purge_step": step, "filename_suffix": f".{step}"} if before else {}
        self._writer = SummaryWriter(str(self.folder), flush_secs=FLUSH_S, **going_on)
        for events in self.folder.glob("events.out.tfevents.*"):
            events.chmod(FILE_MODE)
