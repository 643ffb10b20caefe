"""Images made out of images."""
