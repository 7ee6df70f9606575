"""Lists of mixtures that others published: the paper's pickle files, LibriMix's tables."""
