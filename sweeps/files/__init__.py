"""Parse YAML files with overrides into sweeps, ladders and ablations, and these into configurations."""
