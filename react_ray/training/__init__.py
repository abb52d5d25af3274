"""Fine-tuning a pretrained model on labelled, augmented and generated rows (S5)."""
