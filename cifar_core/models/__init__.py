"""Networks: `build_model` makes the one that a `ModelConfig` names. A line in `registry` and a file each."""
