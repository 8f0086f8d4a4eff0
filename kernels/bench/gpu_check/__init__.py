"""Builds, tests and times edgekit on a machine with an NVIDIA GPU: see `command.py`."""
