"""Metrics, report and model card."""

from __future__ import annotations

from react_ray.evaluate.metrics import label_quality, lead, measure
from react_ray.evaluate.model_card import write_model_card
from react_ray.evaluate.report import ReportContent, write_report
from react_ray.evaluate.schema import Arm, Difference, Figures, LabelQuality, Metrics, Score
from react_ray.evaluate.tables import class_counts, rejected_by_reason, worst_mistakes

__all__ = [
    "Arm",
    "Difference",
    "Figures",
    "LabelQuality",
    "Metrics",
    "ReportContent",
    "Score",
    "class_counts",
    "label_quality",
    "lead",
    "measure",
    "rejected_by_reason",
    "worst_mistakes",
    "write_model_card",
    "write_report",
]
