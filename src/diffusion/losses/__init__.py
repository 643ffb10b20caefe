"""What is minimised, and at which levels."""
