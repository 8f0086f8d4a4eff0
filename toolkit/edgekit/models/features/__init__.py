"""Sparse features of a language model's feed-forward activations: the dictionary as a file, and the graph that explains
and steers by it. What fits a dictionary is `edgekit.models.snmf`."""
