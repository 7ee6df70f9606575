"""Metrics, scores of separated sets, and their summaries."""
