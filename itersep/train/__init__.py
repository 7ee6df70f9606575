"""Training: configuration, dataset, loop, checkpoints."""
