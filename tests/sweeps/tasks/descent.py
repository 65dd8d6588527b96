"""A script that a sweep runs: gradient descent on a parabola. It saves its state, and goes on from it."""

import argparse
import json
import os
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--pause", type=float, default=0.0)
options = parser.parse_args()

state = Path(os.environ["SWEEPS_TRIAL_DIR"], "state.json")
epoch, x = json.loads(state.read_text()) if state.exists() else (0, 1.0 + int(os.environ["SWEEPS_SEED"]) / 10)
print(f"from epoch {epoch}, {os.environ['SWEEPS_EPOCH']} reported", flush=True)
with Path(os.environ["SWEEPS_REPORT"]).open("w") as report:
    while epoch < options.epochs:
        x -= options.rate * 2 * x
        epoch += 1
        state.write_text(json.dumps((epoch, x)))
        print(json.dumps({"epoch": epoch, "val_loss": x * x}), file=report, flush=True)
        time.sleep(options.pause)
