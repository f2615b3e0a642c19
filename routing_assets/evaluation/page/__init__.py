"""A page per evaluation: one HTML file with the verdict, a table, the budget curve and the fine print."""

from routing_assets.evaluation.page.write import as_html

__all__ = ["as_html"]
