"""A router's life: trained, compared, released, watched, recalibrated, extended."""
