"""The forward process."""
