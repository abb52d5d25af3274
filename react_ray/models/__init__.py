"""Pretrained models: loading, checks of their files, token ids, batches."""
