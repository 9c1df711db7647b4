"""The data room: from raw text to windows.

    name ──source──▶ text ──tokenizer──▶ tokens ──vocabulary──▶ ids ──plan, stream──▶ Window

Knows text, tokens and positions; must not know models, gradients or training.
"""

from bptt.data.corpora import CORPORA
from bptt.data.corpus import Corpus, open_corpus, read_text
from bptt.data.stream import TextStream, whole
from bptt.data.tokenizer import UNITS, Tokenizer
from bptt.data.tokens import Tokens
from bptt.data.vocabulary import Vocabulary

__all__ = [
    "CORPORA",
    "UNITS",
    "Corpus",
    "TextStream",
    "Tokenizer",
    "Tokens",
    "Vocabulary",
    "open_corpus",
    "read_text",
    "whole",
]
