"""PHASE: the network, its training and predictions, out-of-distribution scores, baselines and skill."""
