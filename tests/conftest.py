"""Puts this folder on the path, so that tests read the golden numbers with `from golden import load_golden`."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)  # these tensors are too small to share: on a busy machine, threads wait for each other
