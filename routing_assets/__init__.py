"""Route batches of instructions to LLMs under a hard budget in estimated cost, as audited Dagster assets."""

import os

# Threads of torch that find no free core must sleep, not spin: a training beside other work would take twice as long.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
