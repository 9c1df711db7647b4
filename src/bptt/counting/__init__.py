"""Language by counting: n-gram models, Markov chains, Zipf's law.

    ids ──count──▶ Grams ──smoothing──▶ NGram ──▶ perplexity, probability of a text, generation
                     └──▶ statistics: top n-grams, Zipf exponents, what smoothing makes of the tail

Knows ids, vocabularies and what inference does with any model; must not know neural models, training or files.
"""

from bptt.counting.grams import Grams, Level, count
from bptt.counting.kneser_ney import KneserNey
from bptt.counting.laplace import AddK, Laplace
from bptt.counting.markov import MarkovChain, ahead
from bptt.counting.ngram import NGram
from bptt.counting.smoothing import Evidence, Smoothing, Table
from bptt.counting.statistics import Statistics, statistics
from bptt.counting.stopwords import is_stop_word
from bptt.counting.tail import Tail, tail
from bptt.counting.zipf import Zipf, ranked, zipf

__all__ = [
    "AddK",
    "Evidence",
    "Grams",
    "KneserNey",
    "Laplace",
    "Level",
    "MarkovChain",
    "NGram",
    "Smoothing",
    "Statistics",
    "Table",
    "Tail",
    "Zipf",
    "ahead",
    "count",
    "is_stop_word",
    "ranked",
    "statistics",
    "tail",
    "zipf",
]
