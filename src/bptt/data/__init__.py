"""The data room: from raw text, or a series of numbers (`bptt.data.series`), to windows.

    name ──source──▶ text ──tokenizer──▶ tokens ──vocabulary──▶ ids ──plan, stream──▶ Window

Knows text, tokens, numbers and positions; must not know models, gradients or training.
"""

from bptt.data.corpora import CORPORA
from bptt.data.corpus import Corpus, open_corpus, read_text
from bptt.data.stream import Stream, TextStream, whole
from bptt.data.tokenizer import UNITS, Tokenizer
from bptt.data.tokens import Tokens
from bptt.data.vocabulary import Vocabulary

__all__ = [
    "CORPORA",
    "UNITS",
    "Corpus",
    "Stream",
    "TextStream",
    "Tokenizer",
    "Tokens",
    "Vocabulary",
    "open_corpus",
    "read_text",
    "whole",
]
