"""Uses of a trained network: inspection, prediction, export, a logged model in MLflow."""
