"""Cells of files for tasks on sets, pairs and relations: what every task's tests read.

The targets are not in the order of the alphabet, and the last row of each task is unlabelled.
"""

from __future__ import annotations

from typing import Any

__all__ = ["EXAMPLE_CELLS"]

EXAMPLE_CELLS: dict[str, list[dict[str, Any]]] = {
    "multi-label-classification": [
        {"text": "what a day, thank you", "labels": ["thanks", "joy"]},
        {"text": "leave me alone", "labels": '["rage"]'},
        {"text": "the train leaves at nine", "labels": []},
        {"text": "i love it", "labels": "joy"},
        {"text": "nobody read this yet", "labels": None},
    ],
    "relation-extraction": [
        {"text": "the <e1>smoke</e1> of the <e2>fire</e2>", "label": "Cause-Effect(e2,e1)"},
        {"text": "a wheel of my car", "e1": [2, 7], "e2": {"start": 14, "end": 17}, "label": "Part(e1,e2)"},
        {"text": "a wheel of my car", "head": "[14, 17]", "tail": [11, 13], "label": "Owner(e2,e1)"},
        {"text": "a <e2>man</e2> saw the <e1>sea</e1>", "label": "Other"},
        {"text": "the <e1>rain</e1> and the <e2>mud</e2>", "label": ""},
    ],
    "text-pair-classification": [
        {"text": "how do i pay", "text_pair": "ways to pay", "label": "same"},
        {"text": "how do i pay", "text_pair": "where is my card", "label": "different"},
        {"text": "my card is lost", "text_pair": "i lost my card", "label": "same"},
        {"text": "close my account", "text_pair": "open an account", "label": None},
    ],
}
