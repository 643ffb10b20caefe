"""What happens to a run in `faults.py`, beside which this folder lies."""
