"""Which batch a name from outside means; no path is made of a name before it is known here."""

from __future__ import annotations

from routing_assets.errors import InvalidInput
from routing_assets.names import is_plain, printable
from routing_assets.settings import Home
from routing_assets.warehouse import Warehouse


def known_batch(home: Home, name: str) -> str:
    """The id of the batch that is called ``name``, or that came as a file of this name which is no plain id.

    Raises:
        InvalidInput: there is none, or more than one, or the file of a plain name became a batch of another id.
    """
    shown = printable(name)
    found = Warehouse(home.warehouse).fetch("batches_named", {"name": shown})
    ids = [row["batch_id"] for row in found]
    if found and (found[0]["is_its_id"] or (len(ids) == 1 and not is_plain(name))):
        return str(ids[0])
    if ids:
        raise InvalidInput(
            f"there is no batch '{shown}'; files of that name became {', '.join(ids)}", remedy="Give the batch's id."
        )
    raise InvalidInput(
        f"no file was received for batch '{shown}'", remedy="Register it with routing-assets route FILE."
    )
