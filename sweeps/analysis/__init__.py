"""Statistics over recorded runs: ranks with intervals, comparisons of ladder rungs, effects of parameters.

Returns numbers and sentences. Tables and figures are in `sweeps.views`.
"""
