"""What every program shares, and what knows nothing of speech: errors, files, command lines, signals, processes."""
