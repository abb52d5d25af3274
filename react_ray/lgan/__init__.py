"""The label GAN on frozen features: networks, losses, training, label generation."""

from react_ray.data.views import SENTENCE
from react_ray.lgan.generate import (
    Generation,
    TrainedLabelGenerator,
    augmented_table,
    left_out_table,
    weigh_for_training,
)
from react_ray.lgan.inputs import LganInputs
from react_ray.lgan.probe import Probe, fit_probe
from react_ray.lgan.self_training import self_train

__all__ = [
    "SENTENCE",
    "Generation",
    "LganInputs",
    "Probe",
    "TrainedLabelGenerator",
    "augmented_table",
    "fit_probe",
    "left_out_table",
    "self_train",
    "weigh_for_training",
]
