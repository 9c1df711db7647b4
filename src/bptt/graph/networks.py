"""The recurrent networks of the textbooks, as steps that a graph is unrolled from.

Knows equations; must not know how a graph is unrolled, differentiated or drawn.

    rnn               hidden to hidden, tanh
    linear            the same without bias and without tanh, whose gradients have a closed form
    output_to_hidden  the only way through time leads over the output
    tdnn              no state: a convolution over the last inputs
    lstm, gru         gates; parameters stacked as in torch

Vectors throughout: x_t [I], or a class of I; h_t [H]; o_t [Q]; L is the sum of the losses l_t.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bptt.graph.gradient import total
from bptt.graph.node import Node, Shape
from bptt.graph.operations import cross_entropy, one_hot, sigmoid, sum, take, tanh
from bptt.graph.unroll import Network, Step

READOUT = "o_t = W_qh h_t + b_q", "l_t = −log softmax(o_t)[y_t]"
TOP = (("h",), ("o",), ("l",))


def rnn(inputs: int = 2, hidden: int = 3, outputs: int = 2, *, classes: bool = False) -> Network:
    """The hidden-to-hidden network.

    h_t = tanh(W_hx x_t + W_hh h_{t−1} + b_h),  o_t = W_qh h_t + b_q,  l_t = −log softmax(o_t)[y_t]

    Arguments: sizes I, H, Q; classes: x_t is the index of a one-hot vector, and W_hx x_t one of its columns. Source: Zhang et
    al., Dive into Deep Learning, section 9.4.

    >>> rnn().unroll(3)["h_2"]
    h_2: tanh [3]
    """

    def step(at: Step) -> Mapping[str, Node]:
        h = tanh(read(at["W_hx"], at.x) + at["W_hh"] @ at.state("h") + at["b_h"])
        return {"h": h, **readout(at, h)}

    return Network(
        name="rnn",
        title="hidden-to-hidden RNN",
        equations=("h_t = tanh(W_hx x_t + W_hh h_{t−1} + b_h)", *READOUT),
        parameters={"W_hx": (hidden, inputs), "W_hh": (hidden, hidden), "b_h": (hidden,), **_readout(hidden, outputs)},
        carried={"h": (hidden,)},
        rows=(("x",), *TOP),
        inputs=inputs if classes else (inputs,),
        targets=outputs,
        step=step,
    )


def linear(inputs: int = 2, hidden: int = 3, outputs: int = 2) -> Network:
    """The linear network without bias; its loss is the mean of squared errors.

    h_t = W_hx x_t + W_hh h_{t−1},  o_t = W_qh h_t,  l_t = ‖o_t − y_t‖²,  L = (1/T) Σ_t l_t

    Source: Zhang et al., Dive into Deep Learning, section 9.7; closed forms: `bptt.reference.linear`.
    """

    def step(at: Step) -> Mapping[str, Node]:
        h = at["W_hx"] @ at.x + at["W_hh"] @ at.state("h")
        o = at["W_qh"] @ h
        return {"h": h, "o": o, "l": sum((o - at.y) ** 2)}

    return Network(
        name="linear",
        title="linear RNN",
        equations=("h_t = W_hx x_t + W_hh h_{t−1}", "o_t = W_qh h_t", "l_t = ‖o_t − y_t‖²"),
        parameters={"W_hx": (hidden, inputs), "W_hh": (hidden, hidden), "W_qh": (outputs, hidden)},
        carried={"h": (hidden,)},
        rows=(("x",), *TOP),
        inputs=(inputs,),
        targets=(outputs,),
        step=step,
        mean=True,
    )


def output_to_hidden(inputs: int = 2, hidden: int = 3, outputs: int = 2, *, teacher: bool = False) -> Network:
    """The network whose only way through time leads over its output.

    h_t = tanh(W_hx x_t + W_ho o_{t−1} + b_h),  o_t = W_qh h_t + b_q,  l_t = −log softmax(o_t)[y_t]

    Arguments: sizes I, H, Q; teacher: the true y_{t−1}, a one-hot vector, takes the place of o_{t−1} (teacher forcing). Then no
    step waits for another, and no gradient flows through time. Source: Goodfellow, Bengio and Courville, section 10.2.1.
    """

    def step(at: Step) -> Mapping[str, Node]:
        fed = one_hot(at.state("y"), outputs) if teacher else at.state("o")
        h = tanh(at["W_hx"] @ at.x + at["W_ho"] @ fed + at["b_h"])
        return {"h": h, **readout(at, h)}

    fed = "y" if teacher else "o"
    carried: dict[str, Shape | int] = {fed: outputs if teacher else (outputs,)}
    return Network(
        name="output-to-hidden" + "-teacher" * teacher,
        title="output-to-hidden RNN" + ", teacher forcing" * teacher,
        equations=(f"h_t = tanh(W_hx x_t + W_ho {fed}_{{t−1}} + b_h)", *READOUT),
        parameters={"W_hx": (hidden, inputs), "W_ho": (hidden, outputs), "b_h": (hidden,), **_readout(hidden, outputs)},
        carried=carried,
        rows=(("x",), *TOP),
        inputs=(inputs,),
        targets=outputs,
        step=step,
    )


def tdnn(inputs: int = 2, hidden: int = 3, outputs: int = 2, *, taps: int = 3) -> Network:
    """The time-delay network: a convolution over the last inputs, no state. What lies before the first input is zero.

    h_t = tanh(Σ_{j < taps} W_j x_{t−j} + b_h),  o_t = W_qh h_t + b_q,  l_t = −log softmax(o_t)[y_t]

    Source: Lang, Waibel and Hinton, A time-delay neural network architecture for isolated word recognition, 1990.
    """

    def step(at: Step) -> Mapping[str, Node]:
        seen = [at[f"W_{j}"] @ x for j in range(taps) if (x := at.before("x", j)) is not None]
        h = tanh(total(seen, at.x) + at["b_h"])
        return {"h": h, **readout(at, h)}

    products = " + ".join(f"W_{j} x_{{t−{j}}}" if j else "W_0 x_t" for j in range(taps))
    return Network(
        name="tdnn",
        title="time-delay network",
        equations=(f"h_t = tanh({products} + b_h)", *READOUT),
        parameters={**{f"W_{j}": (hidden, inputs) for j in range(taps)}, "b_h": (hidden,), **_readout(hidden, outputs)},
        carried={},
        rows=(("x",), *TOP),
        inputs=(inputs,),
        targets=outputs,
        step=step,
        reach=taps - 1,
    )


def lstm(inputs: int = 2, hidden: int = 3, outputs: int = 2) -> Network:
    """The LSTM, parameters stacked in torch's order: input gate, forget gate, candidate, output gate.

    a_t = W_hx x_t + W_hh h_{t−1} + b_h [4H],  I, F, O = σ(their part of a_t),  G = tanh(its part)
    c_t = F ∘ c_{t−1} + I ∘ G,  h_t = O ∘ tanh c_t,  o_t = W_qh h_t + b_q

    Source: Hochreiter and Schmidhuber, Long short-term memory, 1997, with the forget gate of Gers et al., 2000.
    """

    def step(at: Step) -> Mapping[str, Node]:
        a = at["W_hx"] @ at.x + at["W_hh"] @ at.state("h") + at["b_h"]
        i, f, g, o = (a[n * hidden : (n + 1) * hidden] for n in range(4))
        gates = {"I": sigmoid(i), "F": sigmoid(f), "G": tanh(g), "O": sigmoid(o)}
        c = gates["F"] * at.state("c") + gates["I"] * gates["G"]
        h = gates["O"] * tanh(c)
        return {"a": a, **gates, "c": c, "h": h, **readout(at, h)}

    return Network(
        name="lstm",
        title="LSTM",
        equations=("a_t = W_hx x_t + W_hh h_{t−1} + b_h", "c_t = F_t c_{t−1} + I_t G_t", "h_t = O_t tanh c_t", *READOUT),
        parameters=_gated(inputs, hidden, outputs, 4) | _readout(hidden, outputs),
        carried={"h": (hidden,), "c": (hidden,)},
        rows=(("x",), ("a",), ("F", "I", "G", "O"), ("c",), *TOP),
        inputs=(inputs,),
        targets=outputs,
        step=step,
    )


def gru(inputs: int = 2, hidden: int = 3, outputs: int = 2) -> Network:
    """The GRU, parameters stacked in torch's order: reset gate, update gate, candidate.

    a_t = W_hx x_t + b_x,  u_t = W_hh h_{t−1} + b_h [3H],  R, Z = σ(their parts of a_t + u_t),  N = tanh(a_N + R ∘ u_N)
    h_t = (1 − Z) ∘ N + Z ∘ h_{t−1},  o_t = W_qh h_t + b_q

    Source: Cho et al., Learning phrase representations using RNN encoder–decoder, 2014, with torch's place for the reset gate.
    """

    def step(at: Step) -> Mapping[str, Node]:
        before = at.state("h")
        a, u = at["W_hx"] @ at.x + at["b_x"], at["W_hh"] @ before + at["b_h"]
        (a_r, a_z, a_n), (u_r, u_z, u_n) = ([s[n * hidden : (n + 1) * hidden] for n in range(3)] for s in (a, u))
        R, Z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
        N = tanh(a_n + R * u_n)
        h = (1 - Z) * N + Z * before
        return {"a": a, "u": u, "R": R, "Z": Z, "N": N, "h": h, **readout(at, h)}

    return Network(
        name="gru",
        title="GRU",
        equations=("a_t = W_hx x_t + b_x", "u_t = W_hh h_{t−1} + b_h", "h_t = (1 − Z_t) N_t + Z_t h_{t−1}", *READOUT),
        parameters=_gated(inputs, hidden, outputs, 3) | {"b_x": (3 * hidden,)} | _readout(hidden, outputs),
        carried={"h": (hidden,)},
        rows=(("x",), ("u", "a"), ("Z", "R", "N"), *TOP),
        inputs=(inputs,),
        targets=outputs,
        step=step,
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "rnn": rnn,
    "linear": linear,
    "output-to-hidden": output_to_hidden,
    "output-to-hidden-teacher": lambda: output_to_hidden(teacher=True),
    "tdnn": tdnn,
    "lstm": lstm,
    "gru": gru,
}


def read(W: Node, x: Node) -> Node:
    """W x [H]; for an index, the column that the one-hot x would choose."""
    return W @ x if x.below is None else take(W, x, 1)


def readout(at: Step, h: Node) -> dict[str, Node]:
    """The outputs and the loss of a step."""
    o = at["W_qh"] @ h + at["b_q"]
    return {"o": o, "l": cross_entropy(o, at.y)}


def _readout(hidden: int, outputs: int) -> dict[str, Shape]:
    return {"W_qh": (outputs, hidden), "b_q": (outputs,)}


def _gated(inputs: int, hidden: int, outputs: int, gates: int) -> dict[str, Shape]:
    return {"W_hx": (gates * hidden, inputs), "W_hh": (gates * hidden, hidden), "b_h": (gates * hidden,)}
