"""What a file says: YAML with overrides becomes sweeps, ladders and ablations, and these become configurations.

Nothing else knows how a file is written; nothing here trains, records or asks a store.
"""
