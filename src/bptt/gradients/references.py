"""Where the strategies come from, as BibTeX: what `bptt.citation` gives for a paper to cite."""

from __future__ import annotations

from typing import Any

from bptt.errors import ContractError
from bptt.types import Strategy

WERBOS_1990 = """@article{werbos1990backpropagation,
  author  = {Paul J. Werbos},
  title   = {Backpropagation through time: what it does and how to do it},
  journal = {Proceedings of the IEEE},
  volume  = {78},
  number  = {10},
  pages   = {1550--1560},
  year    = {1990},
}"""

WILLIAMS_PENG_1990 = """@article{williams1990efficient,
  author  = {Ronald J. Williams and Jing Peng},
  title   = {An efficient gradient-based algorithm for on-line training of recurrent network trajectories},
  journal = {Neural Computation},
  volume  = {2},
  number  = {4},
  pages   = {490--501},
  year    = {1990},
}"""

WILLIAMS_ZIPSER_1989 = """@article{williams1989learning,
  author  = {Ronald J. Williams and David Zipser},
  title   = {A Learning Algorithm for Continually Running Fully Recurrent Neural Networks},
  journal = {Neural Computation},
  volume  = {1},
  number  = {2},
  pages   = {270--280},
  year    = {1989},
}"""

TALLEC_OLLIVIER_2017 = """@article{tallec2017unbiasing,
  author  = {Corentin Tallec and Yann Ollivier},
  title   = {Unbiasing Truncated Backpropagation Through Time},
  journal = {arXiv preprint arXiv:1705.08209},
  year    = {2017},
}"""

TALLEC_OLLIVIER_2018 = """@inproceedings{tallec2018unbiased,
  author    = {Corentin Tallec and Yann Ollivier},
  title     = {Unbiased Online Recurrent Optimization},
  booktitle = {6th International Conference on Learning Representations},
  year      = {2018},
}"""

MENICK_2021 = """@inproceedings{menick2021practical,
  author    = {Jacob Menick and Erich Elsen and Utku Evci and Simon Osindero and Karen Simonyan and Alex Graves},
  title     = {Practical Real Time Recurrent Learning with a Sparse Approximation},
  booktitle = {9th International Conference on Learning Representations},
  year      = {2021},
}"""

BEATSON_ADAMS_2019 = """@inproceedings{beatson2019efficient,
  author    = {Alex Beatson and Ryan P. Adams},
  title     = {Efficient Optimization of Loops and Limits with Randomized Telescoping Sums},
  booktitle = {Proceedings of the 36th International Conference on Machine Learning},
  year      = {2019},
}"""

AICHER_FOTI_FOX_2019 = """@inproceedings{aicher2019adaptively,
  author    = {Christopher Aicher and Nicholas J. Foti and Emily B. Fox},
  title     = {Adaptively Truncating Backpropagation Through Time to Control Gradient Bias},
  booktitle = {Proceedings of the 35th Conference on Uncertainty in Artificial Intelligence},
  year      = {2019},
}"""

GRIEWANK_WALTHER_2000 = """@article{griewank2000algorithm,
  author  = {Andreas Griewank and Andrea Walther},
  title   = {Algorithm 799: revolve: an implementation of checkpointing for the reverse or adjoint mode of
             computational differentiation},
  journal = {ACM Transactions on Mathematical Software},
  volume  = {26},
  number  = {1},
  pages   = {19--45},
  year    = {2000},
}"""

GRUSLYS_2016 = """@inproceedings{gruslys2016memory,
  author    = {Audrunas Gruslys and R{\\'e}mi Munos and Ivo Danihelka and Marc Lanctot and Alex Graves},
  title     = {Memory-Efficient Backpropagation Through Time},
  booktitle = {Advances in Neural Information Processing Systems 29},
  year      = {2016},
}"""


def citation(strategy: Strategy | type[Any]) -> str:
    """The BibTeX of a strategy, for a paper that used it.

    Arguments: strategy, a value or its class. Raises ContractError for something that names no reference.

    >>> import bptt
    >>> print(citation(bptt.Truncated).splitlines()[0])
    @article{williams1990efficient,
    """
    reference = getattr(strategy, "reference", None)
    if not isinstance(reference, str):
        raise ContractError("This is no gradient strategy", repr(strategy), "Give one, for example bptt.Truncated(64)")
    return reference
