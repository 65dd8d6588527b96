"""The record in MLflow: one writer thread in the driver, the reader, and MLflow's web pages.

No other package uses MLflow, and an error in here never stops a running sweep.
"""
