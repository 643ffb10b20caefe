"""Training: the learner, the loop around it, and all that a run leaves behind."""
