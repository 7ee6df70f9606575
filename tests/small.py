"""Settings of experiments that are small enough for a test: a network of a few hundred weights, at 8 kHz."""

MODEL = {
    "sample_rate": 8000,
    "filterbank": {"kind": "stft", "filters": 33, "window": 64, "hop": 32},
    "dprnn": {"features": 8, "hidden": 8, "chunk": 8},
    "iterations": 2,
}
TRAIN = {"epochs": 1, "batch_size": 2, "workers": 0, "threads": 1, "device": "cpu"}
