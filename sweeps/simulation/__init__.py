"""Replays searches over recorded learning curves on a simulated clock, without training."""
