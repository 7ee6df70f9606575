"""The network: filterbank, separator, kinds of blocks and masks, iterations."""
