"""Pretrained models as they come in: loading, checks of their files, token ids, batches."""
