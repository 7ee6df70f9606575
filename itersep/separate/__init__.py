"""Separation of recordings and of data directories with a trained model."""
