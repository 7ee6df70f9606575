"""Programs that the installation puts on the path."""
