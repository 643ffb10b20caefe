"""What is drawn: images out of noise, or out of given images."""
