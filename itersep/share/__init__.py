"""Trained models for others: the published folder, the Hugging Face Hub, ONNX."""
