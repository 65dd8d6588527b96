"""Networks, one file each, and the function that builds the one that a `ModelConfig` names."""
