"""Fine-tuning of a pretrained model on labelled, augmented and generated rows (S5)."""
