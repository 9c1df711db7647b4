"""A computation graph that differentiates itself: gradients are new nodes of the graph.

    node        variables, constants, and how a graph is walked
    brackets    x[1:3] as operations
    operations  each operation: its value, and its vector-Jacobian product in operations of the graph
    gradient    the algorithm: the table, sums over consumers
    evaluate    values, with NumPy
    networks    recurrent networks as steps, and (unroll) as graphs over time
    flow        where the gradient of a strategy is cut, and what its edges weigh
    drawing     pictures of them, as in a textbook

Knows NumPy; must not know torch, nor anything else of bptt but its errors. It is for reading, for drawing and for holding the
rest of the library against; nothing trains with it. The derivation in words, with pictures and numbers: docs/derivation.md.

    from bptt import graph

    W, x = graph.variable("W", (3, 2)), graph.variable("x", (2,))
    z = graph.sum(graph.tanh(W @ x) ** 2)
    dW, = graph.gradients(z, [W])                         # nodes
    graph.evaluate([z, dW], {W: …, x: …})                 # arrays
    graph.gradients(graph.norm([dW]), [W])                # and so on
"""

from bptt.graph import brackets, flow, networks
from bptt.graph.drawing import dot, draw
from bptt.graph.evaluate import evaluate
from bptt.graph.gradient import Table, differentiate, gradients, hessian_vector_product, norm
from bptt.graph.node import Node, constant, index, subgraph, variable
from bptt.graph.operation import OPERATIONS
from bptt.graph.operations import (
    add,
    broadcast,
    concatenate,
    cross_entropy,
    divide,
    edge_weight,
    exp,
    log,
    matmul,
    multiply,
    negate,
    one_hot,
    outer,
    pad,
    part,
    positive,
    power,
    put,
    relu,
    reshape,
    sigmoid,
    softmax,
    stop_gradient,
    subtract,
    sum,
    sum_to,
    take,
    tanh,
    transpose,
)

__all__ = [
    "OPERATIONS",
    "Node",
    "Table",
    "add",
    "brackets",
    "broadcast",
    "concatenate",
    "constant",
    "cross_entropy",
    "differentiate",
    "divide",
    "dot",
    "draw",
    "edge_weight",
    "evaluate",
    "exp",
    "flow",
    "gradients",
    "hessian_vector_product",
    "index",
    "log",
    "matmul",
    "multiply",
    "negate",
    "networks",
    "norm",
    "one_hot",
    "outer",
    "pad",
    "part",
    "positive",
    "power",
    "put",
    "relu",
    "reshape",
    "sigmoid",
    "softmax",
    "stop_gradient",
    "subgraph",
    "subtract",
    "sum",
    "sum_to",
    "take",
    "tanh",
    "transpose",
    "variable",
]
