"""What lies beside a kept router under ``routers/<version>/``, so that it can be watched, judged and extended."""

LEARNT_FROM = "learnt_from.parquet"
"""Hashes of the texts it learnt from, by part; see ``learnt.py``."""
JUDGED_BY = "judged_by.parquet"
"""Labelled rows held out of everything, to compare it by."""
UNSEEN = "unseen.parquet"
"""Of models that were added by few labels: what fits without a label say of it, to judge these models by."""
