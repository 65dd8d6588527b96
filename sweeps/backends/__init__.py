"""Where trials are trained, behind one contract: inline, or by Ray on this machine or a cluster."""
