"""Bundles on disk and in ONNX Runtime."""
