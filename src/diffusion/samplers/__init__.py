"""Solvers that turn noise into images."""
