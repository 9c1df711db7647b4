"""How a text is read, split and numbered, as settings. Knows `bptt.read_text`; must not know how settings are written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from bptt.data import Corpus, Tokenizer, Vocabulary, read_text
from bptt.data.corpus import check_shares
from bptt.data.series import SeriesData
from bptt.data.source import check_encoding
from bptt.data.tasks import is_task, read_task
from bptt.errors import InputError


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How a text is read, split and numbered.

    Arguments:
        unit: what a token is: char, word (between white space), byte, or chinese-word (needs the extra bptt[chinese])
        clean: time-machine: letters only, lower case, line by line; none: as it is
        lower: lower case
        encoding: of the files
        newline: keep: line ends as they are; fold: CRLF and CR become LF
        valid: share of the tokens, at the end, that measures the model and never trains it
        test: share of the tokens, behind those, that is kept for the end
        max_tokens: read only the first so many tokens; none: all
        min_freq: rarer tokens become <unk>
        vocab_limit: largest vocabulary, reserved tokens included; rarer tokens become <unk>; none: no limit
        reserved: tokens with a meaning of their own, such as <unk>
        map_reserved: a token of the text that is spelled like a reserved one means the reserved one
    """

    unit: Literal["char", "word", "byte", "chinese-word"] = "char"
    clean: Literal["time-machine"] | None = None
    lower: bool = False
    encoding: str = "utf-8"
    newline: Literal["keep", "fold"] = "keep"
    valid: float = 0.1
    test: float = 0.0
    max_tokens: int | None = None
    min_freq: int = 0
    vocab_limit: int | None = None
    reserved: tuple[str, ...] = ("<unk>",)
    map_reserved: bool = False

    def __post_init__(self) -> None:
        Tokenizer(self.unit, self.clean, self.lower, self.newline)
        check_encoding(self.encoding)
        check_shares(self.valid, self.test, self.max_tokens)
        for name, value, least in (("min_freq", self.min_freq, 0), ("vocab_limit", self.vocab_limit, 1)):
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}", f"{name}={value}", "Give a larger number, or leave it out")

    def read(self, corpus: Sequence[str], vocab: Vocabulary | None = None) -> Corpus:
        """The corpus of these names, with `vocab` or one of its own: see `bptt.read_text` and `bptt.read_task`."""
        found = self.data(corpus, vocab)
        if not isinstance(found, Corpus):
            raise InputError("This task is made of numbers, not of tokens", corpus[0], "Use it with bptt train")
        return found

    def data(self, corpus: Sequence[str], vocab: Vocabulary | None = None, dtype: str = "float32") -> Corpus | SeriesData:
        """The same, also of tasks of numbers, for a model in `dtype`."""
        if any(map(is_task, corpus)):
            return self._task(corpus, vocab, "float64" if dtype == "float64" else "float32")
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        settings["limit"] = settings.pop("vocab_limit")
        return read_text(list(corpus), vocab=vocab, **settings)

    def _task(self, corpus: Sequence[str], vocab: Vocabulary | None, dtype: str) -> Corpus | SeriesData:
        """A task is drawn and not read: only shares and size apply, and nothing in it is reserved."""
        if len(corpus) > 1:
            raise InputError("A task stands alone", ", ".join(corpus), "Give it as the only corpus")
        drawn: dict[str, Any] = {"valid": self.valid, "test": self.test, "max_tokens": self.max_tokens}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name not in (*drawn, "reserved") and value != field.default:
                raise InputError(f"{corpus[0]} is no text to be read", f"{field.name}={value!r}", f"Leave {field.name} out")
        return read_task(corpus[0], **drawn, vocab=vocab, dtype=dtype)
