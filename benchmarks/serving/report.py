"""The measured rounds as tables: medians with their ranges, and ratios round by round."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from rich.table import Table

from benchmarks.serving.servers import CONSTANT, KERNEL, NGINX, OURS, PEERS

if TYPE_CHECKING:
    from rich.console import Console

Rounds = list[dict[str, float]]  # for each round the figure of each server


def spread(values: list[float], digits: int = 0) -> str:
    """Write a median with its range."""
    low, middle, high = (
        f"{value:,.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} [{low}-{high}]"


def ratios(rounds: Rounds, *others: str) -> list[float]:
    """Return the ratio of our figure to the greatest figure of the others, for each round."""
    return [each[OURS.name] / max(each[name] for name in others if name in each) for each in rounds]


def summary(rounds: dict[str, Rounds]) -> dict[str, Any]:
    """Return medians, ranges and ratios of the rates of each case."""
    peers = [peer.name for peer in PEERS]
    found = {}
    for case, each in rounds.items():
        compared = {"against_a": [NGINX.name], "against_strongest": peers}
        compared |= {"of_limit": [KERNEL.name], "of_constant": [CONSTANT.name]}
        given = {name: others for name, others in compared.items() if set(others) & set(each[0])}
        found[case] = {
            "rates": {name: _facts([one[name] for one in each]) for name in each[0]},
            **{name: _facts(ratios(each, *others)) for name, others in given.items()},
        }
    return found


def _facts(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def show(console: Console, rounds: dict[str, Rounds], title: str, digits: int = 0) -> None:
    """Print the figures of each server, one line for each case."""
    names = list(dict.fromkeys(name for each in rounds.values() for name in each[0]))
    table = Table(title, *names)
    for case, each in rounds.items():
        cells = [spread([one[name] for one in each], digits) if name in each[0] else "-" for name in names]
        table.add_row(case, *cells)
    console.print(table)


def show_ratios(
    console: Console, rates: dict[str, Rounds], targets: dict[str, tuple[float, float, float]]
) -> None:
    """Print the ratios beside their targets."""
    compared = ("against (a)", "against the strongest", "of the limit")
    table = Table("ours", *(name for each in compared for name in (each, "to reach")), "of a constant")
    for case, each in rates.items():
        first, strongest, limit = targets.get(case, (0, 0, 0))
        table.add_row(
            case,
            spread(ratios(each, NGINX.name), 1), f"{first:g}" if first else "-",
            spread(ratios(each, *(peer.name for peer in PEERS)), 1), f"{strongest:g}" if strongest else "-",
            spread(ratios(each, KERNEL.name), 2), f"{limit:g}" if limit else "-",
            spread(ratios(each, CONSTANT.name), 2),
        )  # fmt: skip
    console.print(table)


def show_shares(console: Console, measured: dict[str, Rounds], title: str) -> None:
    """Print the ratio of our time or memory to that of (a), and its inverse."""
    table = Table(title, "ratio to (a)", "(a) to ours")
    for name, each in measured.items():
        shares = ratios(each, NGINX.name)
        table.add_row(name, spread(shares, 2), spread([1 / share for share in shares], 1))
    console.print(table)
