"""What Weights & Biases shows of a run, and how it is laid out there."""
