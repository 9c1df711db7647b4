// Scores → cross-entropy and its gradient, row by row while a row lies in the first cache.
// Knows scores and targets; must not know where scores come from.
#pragma once
#include <cmath>

#include "functions.h"
#include "softmax_rows.h"
#include "threads.h"

namespace bptt {
namespace {

template <class L> typename L::Real largest(const typename L::Real* row, int64_t n) {
  typedef typename L::Vec Vec;
  typename L::Real top = row[0];
  int64_t k = 0;
  if (n >= L::count) {
    Vec best = L::load(row);
    for (k = L::count; k + L::count <= n; k += L::count) {
      Vec x = L::load(row + k);
      best = x > best ? x : best;
    }
    for (int i = 0; i < L::count; i++) top = best[i] > top ? best[i] : top;
  }
  for (; k < n; k++) top = row[k] > top ? row[k] : top;
  return top;
}

// Sum of e^{score − top}; `keep` puts the terms in the place of the scores.
template <class L> typename L::Real exponentials(typename L::Real* row, int64_t n, typename L::Real top, bool keep) {
  typename L::Vec sums{};
  for (int64_t k = 0; k < n; k += L::count) {
    int lanes = L::lanes(n - k);
    typename L::Vec e = exponential<L>(L::load(row + k, lanes) - top);
    if (lanes < L::count)
      for (int i = lanes; i < L::count; i++) e[i] = 0;
    sums += e;
    if (keep) L::store(row + k, e, lanes);
  }
  typename L::Real sum = 0;
  for (int i = 0; i < L::count; i++) sum += sums[i];
  return sum;
}

template <class L> void run_softmax(const SoftmaxRows<typename L::Real>& s) {
  typedef typename L::Real Real;
  int64_t worth = s.rows * s.columns < 16 * 1024 ? 1 : s.threads;
  together(worth, [&](int64_t id, int64_t threads, Barrier&) {
    for (int64_t i = share(s.rows, id, threads); i < share(s.rows, id + 1, threads); i++) {
      Real* row = s.scores + i * s.columns;
      Real top = largest<L>(row, s.columns), aim = row[s.targets[i]];
      Real sum = exponentials<L>(row, s.columns, top, s.weights != nullptr);
      s.losses[i] = std::log(sum) + (top - aim);
      if (!s.weights) continue;
      Real scale = s.weights[i] / sum;
      // A row that does not count passes nothing on, whatever its scores are.
      for (int64_t k = 0; k < s.columns; k += L::count) {
        int lanes = L::lanes(s.columns - k);
        L::store(row + k, s.weights[i] == 0 ? typename L::Vec{} : L::load(row + k, lanes) * scale, lanes);
      }
      row[s.targets[i]] -= s.weights[i];
    }
  });
}

}  // namespace
}  // namespace bptt
