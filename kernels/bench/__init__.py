"""Benchmarks of the operators: `python kernels/bench`. Not installed."""
