"""What a network's output means, and guidance."""
