"""Fine-tuning of the pretrained model."""
