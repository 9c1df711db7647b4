// Threads that share one stretch, and the barrier at which they meet after every step.
#pragma once
#include <atomic>
#include <cstdint>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

namespace bptt {
namespace {

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

class Barrier {
 public:
  void expect(int64_t count) { count_ = count; }

  void wait() {
    if (count_ == 1) return;
    int64_t turn = turn_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
      arrived_.store(0, std::memory_order_relaxed);
      turn_.store(turn + 1, std::memory_order_release);
      return;
    }
    // The others are a fraction of a microsecond away, unless the system has put one of them to sleep: then give way.
    for (int spins = 0; turn_.load(std::memory_order_acquire) == turn; spins++) {
      pause();
#if defined(__unix__) || defined(__APPLE__)
      if (spins > 4000) sched_yield();
#endif
    }
  }

 private:
  int64_t count_ = 1;
  alignas(64) std::atomic<int64_t> arrived_{0};
  alignas(64) std::atomic<int64_t> turn_{0};
};

// body(id, threads, barrier) on every thread. The system may give fewer threads than were asked for: `threads` is what came.
// One thread is called directly: no runtime is touched, which a forked child relies on.
template <class Body> void together(int64_t wanted, const Body& body) {
  Barrier barrier;
#ifdef _OPENMP
  if (wanted > 1) {
#pragma omp parallel num_threads(wanted)
    {
#pragma omp single
      barrier.expect(omp_get_num_threads());
      body(int64_t(omp_get_thread_num()), int64_t(omp_get_num_threads()), barrier);
    }
    return;
  }
#endif
  body(int64_t(0), int64_t(1), barrier);
}

inline int64_t share(int64_t total, int64_t id, int64_t threads) { return total * id / threads; }

}  // namespace
}  // namespace bptt
