"""Routers: trained, compared, released, watched, recalibrated, extended."""
