"""Trained models, and what is drawn from them."""
