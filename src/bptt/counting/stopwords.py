"""Stop words: the words that hold sentences together and say little about what a text is about. English and Chinese.

Knows spellings; must not know texts.
"""

from __future__ import annotations

_ENGLISH = """
    a an the this that these those
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
    it its itself they them their theirs themselves one who whom whose which what
    and or but nor so yet if then else than because as while until since though although unless whether
    of at by for with about against between among into through during before after above below to from up down in out on off
    over under upon without within toward towards again further once here there when where why how
    am is are was were be been being have has had having do does did doing will would shall should can could may might must
    ought not no don't doesn't didn't isn't aren't wasn't weren't won't can't cannot couldn't wouldn't shouldn't haven't hasn't
    hadn't i'm i've i'd i'll you're you've you'll he's she's it's we're we've we'll they're they've they'll that's there's
    what's who's let's 's 't 'd 'll 've 're
    all any both each every few more most much many other another some such only own same too very just also even still
    now ever never
    thou thee thy thine ye hath doth
"""
_CHINESE = """
    的 地 得 了 着 过 是 在 有 和 与 及 或 也 都 就 而 但 却 又 还 再 才 只 很 更 最 太 不 没 无 非 未 别 莫
    我 你 他 她 它 们 咱 您 这 那 此 其 之 者 所 以 于 为 因 由 从 自 到 向 往 对 把 被 给 让 使 将 要 会 能 可
    吗 呢 吧 啊 呀 么 哪 谁 什 怎 何 如 若 则 便 乃 且 并 等 个 些 几 一 上 下 里 中 来 去
    我们 你们 他们 她们 它们 咱们 自己 这个 那个 这些 那些 这里 那里 这样 那样 这么 那么 什么 怎么 怎样 如何 哪里
    一个 一些 没有 不是 因为 所以 但是 可是 只是 如果 虽然 然后 而且 或者 以及 已经 可以 不能 不会 不要 还是 就是 都是
"""
ENGLISH, CHINESE = frozenset(_ENGLISH.split()), frozenset(_CHINESE.split())
EDGES = '.,;:!?"“”‘’()[]…—–-*_'


def is_stop_word(token: str, unit: str = "word") -> bool:
    """True for a function word of English or Chinese, in any case, also with punctuation at its edges.

    Single characters are looked up as Chinese alone: the letter a is no article. Bytes are never stop words.

    >>> is_stop_word("The"), is_stop_word("machine"), is_stop_word("a", "char"), is_stop_word("的", "char")
    (True, False, False, True)
    """
    if unit == "byte":
        return False
    if unit == "char":
        return token in CHINESE
    spelling = token.lower().replace("’", "'").strip(EDGES)
    return spelling in ENGLISH or spelling in CHINESE
