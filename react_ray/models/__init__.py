"""Pretrained models: loading, checks of files, token ids and batches."""
