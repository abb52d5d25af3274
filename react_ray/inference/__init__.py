"""Inference with saved models: PyTorch, ONNX Runtime, and the reference for drift."""
