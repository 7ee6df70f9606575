"""Recordings and data directories: reading, writing, preparing, validating them; corpora from the network."""
