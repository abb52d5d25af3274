"""What conversations teach: labels by agents and replies that helped, as further rows of the history."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from react_ray import InputError
from react_ray.apps.assist.build import BuildResult, build
from react_ray.apps.assist.folder import NEW, load_built, publish
from react_ray.apps.assist.index import erase
from react_ray.apps.assist.read import LEARNT, learnt_rows, learnt_source
from react_ray.apps.assist.store import STORE, ConversationStore
from react_ray.apps.files import locked
from react_ray.folders import remove_folder, replace_file

__all__ = ["forget", "learn"]


def learn(folder: Path, *, verbose: bool = False, quiet: bool = False) -> BuildResult:
    """Write the labels of all conversations to learnt.jsonl, and build the assistant again with them.

    Labels of conversations that are deleted by now stay, unless they were deleted by :func:`forget`. A
    running service loads the assistant again before its next answer.
    Raises InputError if there is no assistant, nothing was learnt yet, or another command is changing it.
    """
    with locked(folder):
        publish(folder)
        built = load_built(folder)
        labels = {(row["session"], row["question"]): row for row in learnt_rows(folder)}
        if (folder / STORE).exists():
            store = ConversationStore(folder)
            for label in store.labels():
                labels[label["session"], label["question"]] = label
            store.close()
        if not labels:
            raise InputError(f"{folder}: no conversation has a label yet; agents give them at /agent")
        _write(folder, list(labels.values()))
    return build(built.config.model_copy(update={"output": str(folder)}), verbose=verbose, quiet=quiet)


def forget(folder: Path, session: str) -> str:
    """Delete a conversation from the store, from what was learnt, from the index, and an unfinished build.

    A running service loads the assistant again before its next answer. Raises InputError if nothing is known
    of the conversation, or another command is changing the folder.
    """
    with locked(folder):
        publish(folder)
        remove_folder(folder / NEW)
        stored = False
        if (folder / STORE).exists():
            store = ConversationStore(folder)
            stored = store.forget(session)
            store.close()
        rows = learnt_rows(folder)
        remaining = [row for row in rows if row["session"] != session]
        labels = len(rows) - len(remaining)
        if labels:
            _write(folder, remaining)
        erased = erase(folder, learnt_source(session))
    if not (stored or erased or labels):
        raise InputError(f"{folder}: nothing is known of the conversation {session}")
    return f"deleted: {int(stored)} conversation, {labels} labels, {erased} entries of the index"


def _write(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    replace_file(folder / LEARNT, lambda path: path.write_text(lines, encoding="utf-8"), private=True)
