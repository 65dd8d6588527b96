"""Backends that execute trials, behind one contract: inline, or Ray on this machine or on a cluster."""
