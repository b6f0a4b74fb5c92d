"""Training: the loop, losses shared by several papers, checkpoints."""
