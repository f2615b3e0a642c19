"""Errors in what users give: the message says where the error is and how to correct it."""

from __future__ import annotations

from routing_assets.foundation.names import printable


class InvalidInput(ValueError):
    """A file, table, catalog or setting that a user gave cannot be used.

    The message reads ``source, row R, column C: problem. remedy``; parts that are not known are left out.
    """

    def __init__(
        self,
        problem: str,
        *,
        source: str | None = None,
        row: int | str | None = None,
        column: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem, self.source, self.row, self.column, self.remedy = problem, source, row, column, remedy
        place = ", ".join(
            part
            for part in (
                source and printable(source),
                None if row is None else f"row {row}",
                None if column is None else f"column '{printable(column)}'",
            )
            if part
        )
        message = f"{place}: {problem}" if place else problem
        super().__init__(f"{message.rstrip('.')}. {remedy}" if remedy else message)

    def of(self, source: str | None) -> InvalidInput:
        """The same error with another source; None: without a source, where the caller names it."""
        return InvalidInput(self.problem, source=source, row=self.row, column=self.column, remedy=self.remedy)

    def at(self, source: str, row: int) -> InvalidInput:
        """The same error, at this row of this file."""
        return InvalidInput(self.problem, source=source, row=row, column=self.column, remedy=self.remedy)
