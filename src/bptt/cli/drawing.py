"""What `bptt explain --draw` does: a network as a graph, and as a strategy cuts it, drawn or told in text.

Knows the flags about pictures of networks; must not know how they are drawn.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from bptt.cli.ending import say
from bptt.cli.output import emit, table
from bptt.cli.parser import Parser
from bptt.diagnostics import credit
from bptt.errors import InputError, did_you_mean
from bptt.files import write_durably
from bptt.graph import flow
from bptt.graph.drawing import READABLE, dot, draw, scene_of
from bptt.graph.drawing.grid import later
from bptt.graph.drawing.scene import Item, Scene
from bptt.graph.evaluate import evaluate
from bptt.graph.gradient import differentiate
from bptt.graph.networks import NETWORKS
from bptt.graph.node import Node, subgraph
from bptt.graph.unroll import Network, Unrolled
from bptt.report.plots import picture_path

STEPS, MOST = 3, 64
FORMATS = (".svg", ".dot")
OWN = {"highlight": None, "gradients": False, "folded": False, "numbers": False, "norms": False, "layout": None}


def add_flags(made: Parser) -> None:
    """The flags about pictures of networks."""
    group = made.add_argument_group("pictures of networks")
    group.add_argument(
        "--draw", metavar="NETWORK", help=f"draw a network over --steps steps, {STEPS} by default: {', '.join(NETWORKS)}"
    )
    group.add_argument("--folded", action="store_true", help="one step and its way back, instead of all steps")
    group.add_argument("--highlight", metavar="NODE", help="let a node stand out, h_3, and what it depends on")
    group.add_argument("--gradients", action="store_true", help="the way of the gradient too; with a STRATEGY, as it is cut")
    group.add_argument("--numbers", action="store_true", help="values, of a small example (--seed gives another)")
    group.add_argument("--norms", action="store_true", help="norms of gradients of this example")
    group.add_argument("--layout", choices=("auto", "grid", "graphviz"), help="who places the nodes [grid]")


def check_unused(args: argparse.Namespace) -> None:
    """InputError for a flag about a picture of a network where none is drawn."""
    given = [f"--{name}" for name, default in OWN.items() if getattr(args, name) != default]
    if given and args.draw is None:
        raise InputError("There is no network to draw", ", ".join(given), f"Name one: bptt explain --draw rnn {given[0]} …")


def run_drawing(args: argparse.Namespace, strategies: list[Any], numbers: dict[str, int | None]) -> int:
    """Unroll, cut, and draw or tell."""
    network = named(args.draw)
    check(args, numbers, strategies)
    shown: Network | Unrolled = network
    if not args.folded:
        steps = STEPS if numbers["steps"] is None else numbers["steps"]
        if not 1 <= steps <= MOST:
            raise InputError("This is no number of steps for a picture", f"--steps {steps}", f"Give 1 to {MOST}")
        if steps > READABLE and args.output:
            say(f"bptt: note: a picture is easy to read up to about {READABLE} steps; this one has {steps}.")
        shown = network.unroll(steps, flow_of(network, strategies, steps, numbers["window"]))
    values = shown.example(numbers["seed"] or 0) if isinstance(shown, Unrolled) and (args.numbers or args.norms) else None
    written: dict[str, Any] = {"values": values, "numbers": args.numbers, "norms": args.norms}
    scene = scene_of(shown, **written)
    if args.strategy:
        written["title"] = f"{scene.title}, {args.strategy[0]}"
        scene = dataclasses.replace(scene, title=written["title"])
    if args.highlight is not None:
        scene.sources(args.highlight)  # a name that there is not is refused before anything is written
    if args.output:
        path, layout = Path(args.output), cast(Any, args.layout or "auto")
        written |= {"highlight": args.highlight, "gradients": args.gradients}
        text = path.suffix.lower() == ".dot"
        write_durably(path, dot(shown, **written) if text else draw(shown, **written, layout=layout))
    tell(args, scene, measured(shown, values, args) if isinstance(shown, Unrolled) and values is not None and args.json else {})
    return 0


def measured(net: Unrolled, values: Mapping[Node, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The values of all nodes that have names, and the norms of the gradients at them, as far as they are asked for."""
    found: dict[str, Any] = {}
    if args.numbers:
        named = zip(net.places, evaluate([*net.places], values), strict=True)
        found["values"] = {node.name: value.tolist() for node, value in named}
    if args.norms:
        inside = set(subgraph([net.loss]))
        slopes = differentiate(net.loss, [node for node in net.parameters.values() if node in inside]).gradients
        slopes = {node: slope for node, slope in slopes.items() if node in net.places}
        named = zip(slopes, evaluate([*slopes.values()], values), strict=True)
        found["norms"] = {node.name: float(np.linalg.norm(value)) for node, value in named}
    return found


def named(name: str) -> Network:
    """The network of that name."""
    if name not in NETWORKS:
        raise InputError(f"There is no network {name!r}", "", did_you_mean(name, list(NETWORKS)))
    return NETWORKS[name]()


def check(args: argparse.Namespace, numbers: dict[str, int | None], strategies: list[Any]) -> None:
    """InputError for what does not go together."""
    others = [f"--{key}" for key in ("view", "text") if getattr(args, key)] + ["--cite"] * args.cite
    others += ["--draws"] if numbers["draws"] is not None else []
    if others:
        raise InputError("A network is drawn by itself", f"--draw and {', '.join(others)}", "Leave one of them out")
    unfit = [f"--{key}" for key in ("gradients", "numbers", "norms") if getattr(args, key)] if args.folded else []
    unfit += ["--steps"] * (args.folded and numbers["steps"] is not None) + ["a strategy"] * bool(args.folded and strategies)
    if unfit:
        raise InputError(
            "A folded network shows one step, and no gradient", f"--folded and {', '.join(unfit)}", "Leave one out"
        )
    if len(strategies) > 1:
        raise InputError("A picture shows one strategy", f"{len(strategies)} strategies", "Name one, and give each a picture")
    if numbers["seed"] is not None and not (args.numbers or args.norms or any(one.random for one in strategies)):
        raise InputError("There is no chance in this picture", f"--seed {numbers['seed']}", "Leave it out, or add --numbers")
    if numbers["window"] is not None and not any(one.per_window for one in strategies):
        raise InputError("Where windows end leaves no trace in this picture", f"--window {numbers['window']}", "Leave it out")
    drawn = ["--gradients"] * args.gradients + [f"--layout {args.layout}"] * bool(args.layout)
    if drawn and not args.output:
        raise InputError("There is no picture to show this in", " and ".join(drawn), "Add -o rnn.svg")
    if args.output:
        picture_path(args.output, FORMATS)


def flow_of(network: Network, strategies: list[Any], steps: int, window: int | None) -> flow.Flow | None:
    """Where the strategy cuts, in one draw; None: nowhere."""
    if not strategies:
        return None
    if not any(isinstance(shape, tuple) for shape in network.carried.values()):
        given = f"--draw {network.name} and a strategy"
        raise InputError("No gradient flows through time in this network, so there is nothing to cut", given, "Leave one out")
    return flow.of_credit(credit(strategies[0], steps, draws=1, window=window).weights.numpy())


def tell(args: argparse.Namespace, scene: Scene, numbers: dict[str, Any]) -> None:
    """What depends on what, as text or JSON (there with these numbers in full), and where the picture is."""
    read: dict[str, list[str]] = {}
    for link in scene.links:
        mark = " (cut)" * link.cut + (f" (gradient ×{link.weight:.3g})" if link.weight != 1 else "")
        read.setdefault(link.target, []).append(f"{link.source}{later(link)}{mark}")
    if args.json:
        links = [{**vars(link)} for link in scene.links]
        picture = {"picture": args.output} if args.output else {}
        emit({"network": args.draw, "title": scene.title, "nodes": [*scene.items], "links": links, **numbers, **picture})
        return
    chosen = (
        [args.highlight]
        if args.highlight
        else [key for key in scene.items if key in read or scene.items[key].value or scene.items[key].gradient]
    )
    print(f"{scene.title}\n")
    print(table(((key, told(scene.items[key], read.get(key, []))) for key in chosen), indent=0))
    print(f"\ndrawn: {args.output}" if args.output else "\nAdd -o rnn.svg to see it")


def told(item: Item, sources: list[str]) -> str:
    """One line about a node: its value, the norm of the gradient at it, what it depends on."""
    found = [text for text in (item.value, item.gradient) if text] + [f"← {', '.join(sources)}"] * bool(sources)
    return "  ".join(found) or "depends on nothing"
