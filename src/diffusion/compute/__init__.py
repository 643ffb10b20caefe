"""Devices, number formats, processes and randomness."""
