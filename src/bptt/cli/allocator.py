"""What the C library does with memory that a training step has freed.

Knows glibc's two thresholds; must not know what is allocated. A step asks for the same blocks again and again. Given back to
the system in between, every page of them costs a page fault of one to three microseconds at the next step: a tenth of the time.
"""

from __future__ import annotations

TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
KEPT = 2**29  # bytes at the top of the heap that stay with the process
MAPPED = 2**25  # larger blocks come from the system and go back to it; glibc takes no more here


def keep_freed_memory() -> bool:
    """Let this process keep up to 512 MiB of freed memory. False where there is no such allocator.

    Environment variables that say otherwise (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_) are overruled.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(TRIM, KEPT) and mallopt(MMAP, MAPPED))
