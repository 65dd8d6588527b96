"""What a trained network is used for: looked into, predicted with, exported, kept as a model."""
