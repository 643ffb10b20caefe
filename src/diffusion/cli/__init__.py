"""The command line: what a user types, and what he reads."""

import os

# Set before torch starts its threads: they wait for each other awake for some microseconds, and then asleep. Asleep at
# once, a small network trains half as fast; awake for long, three times slower as soon as another process uses a core.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
