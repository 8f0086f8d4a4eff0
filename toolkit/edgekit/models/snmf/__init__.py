"""Features of a language model's layers by semi-nonnegative matrix factorization: fit, labels, steering, evaluation.

Shafran, Geiger and Geva 2025, arXiv:2506.10920.
"""
