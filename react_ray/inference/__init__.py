"""Saved models as they go out: PyTorch, ONNX Runtime, the reference for drift."""
