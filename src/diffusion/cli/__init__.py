"""The command line: what a user types, and what he reads."""

import os

# Set before torch starts its threads: they sleep while they wait for each other. Spinning, the default, makes training
# ten times slower as soon as any other process uses a core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
