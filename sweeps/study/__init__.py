"""What to try next, and the ledger: a sweep's folder and Optuna study, who proposes, who stops early, how it stands.

The study is the truth; what MLflow lacks after a crash is written from it.
"""
