"""Devices, number formats, processes and chance."""
