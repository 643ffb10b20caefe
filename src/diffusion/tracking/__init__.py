"""Where a run is written down for others: Weights & Biases, and what its code was. No secret leaves with it."""
