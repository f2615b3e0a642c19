"""A page per batch: one HTML file that says what was asked, what it costs and buys, and why."""

from routing_assets.audit.page.figures import BatchPage, batch_page
from routing_assets.audit.page.write import write_page

__all__ = ["BatchPage", "batch_page", "write_page"]
