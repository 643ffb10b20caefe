"""Trained models as folders of diffusers, both ways; the library itself is not needed for it."""
