// Dropout whose mask is a function of (noise, layer, unit): the same numbers as nn/dropout.py, made where they are used.
#pragma once
#include "dropout_rows.h"
#include "threads.h"

namespace bptt {
namespace {

// The finaliser of splitmix64.
inline uint64_t mix(uint64_t v) {
  v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
  v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
  return v ^ (v >> 31);
}

template <class Real> void run_dropout(const DropoutRows<Real>& s) {
  constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15u;
  int64_t worth = s.rows * s.units < 16 * 1024 ? 1 : s.threads;
  together(worth, [&](int64_t id, int64_t threads, Barrier&) {
    for (int64_t i = share(s.rows, id, threads); i < share(s.rows, id + 1, threads); i++) {
      uint64_t key = mix(uint64_t(s.noise[i]) + uint64_t(s.layer + 1) * GOLDEN);
      const Real* x = s.x + i * s.units;
      Real* y = s.y + i * s.units;
      for (int64_t u = 0; u < s.units; u++) y[u] = (mix(key + uint64_t(u + 1) * GOLDEN) >> 11) >= s.below ? x[u] * s.scale : 0;
    }
  });
}

}  // namespace
}  // namespace bptt
