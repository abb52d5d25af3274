"""Pretraining of encoders by masked language modelling: plain torch."""
