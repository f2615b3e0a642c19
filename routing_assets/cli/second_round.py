"""The command that decides the second round of a batch."""

from __future__ import annotations

from routing_assets.batches.second_rounds import SECOND, first_round_of
from routing_assets.cli.output import say, show
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.home import Home


def decide(home: Home, batch_id: str) -> None:
    """Decide it now, by the answers that came, and print what was kept and what goes on."""
    from routing_assets.batches.second_round import moves_of

    with instance_of(home) as instance:
        first_round_of(home.warehouse, batch_id)
        run_job(instance, "decide_second_round", batch_id=batch_id)
    say_how_it_went(home, batch_id)
    show("moves", moves_of(home.store.read("second_round", batch_id)))


def say_how_it_went(home: Home, batch_id: str) -> None:
    """Print the second round of a batch in a sentence or two; nothing where none was decided."""
    from routing_assets.batches.second_rounds import second_round_of

    decided = second_round_of(home.warehouse, batch_id)
    if decided is None:
        return
    say(
        f"second round: of {decided['answered']} answers {decided['answered'] - decided['escalated']} are kept and "
        f"{decided['escalated']} instructions go on to another model; {decided['spent']:.6g} USD were spent, "
        f"{decided['total_cost']:.6g} USD follow, of a budget of {decided['budget']:.6g} USD; expected success "
        f"{decided['expected_success']:.4g}"
    )
    if decided["escalated"]:
        say(f"requests: {home.folders.outbox / batch_id / SECOND}")
