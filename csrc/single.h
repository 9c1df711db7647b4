// One step of a few rows, as generation and online learning take it: every weight is read once, where it lies.
// Knows dot products over rows of weights; must not know panels.
#pragma once
#include "walk.h"

namespace bptt {
namespace {

template <class L> BPTT_INLINE typename L::Real sum_of(typename L::Vec v) {
  typename L::Real sum = 0;
  for (int i = 0; i < L::count; i++) sum += v[i];
  return sum;
}

// ⟨a, b⟩ of n numbers, in four strands so that no multiply-add waits for the one before.
template <class L> BPTT_INLINE typename L::Real dot(const typename L::Real* a, const typename L::Real* b, int64_t n) {
  typedef typename L::Vec Vec;
  constexpr int64_t N = L::count;
  Vec s0{}, s1{}, s2{}, s3{};
  int64_t k = 0;
  for (; k + 4 * N <= n; k += 4 * N) {
    s0 += L::load(a + k) * L::load(b + k);
    s1 += L::load(a + k + N) * L::load(b + k + N);
    s2 += L::load(a + k + 2 * N) * L::load(b + k + 2 * N);
    s3 += L::load(a + k + 3 * N) * L::load(b + k + 3 * N);
  }
  for (; k + N <= n; k += N) s0 += L::load(a + k) * L::load(b + k);
  if (k < n) s1 += L::load(a + k, int(n - k)) * L::load(b + k, int(n - k));
  return sum_of<L>((s0 + s1) + (s2 + s3));
}

// The projection and the product of one gate of one unit: x W_ihᵀ + b_ih, and h W_hhᵀ + b_hh.
template <class L> struct Inflow {
  typename L::Real outer, inner;
};

template <class L>
BPTT_INLINE Inflow<L> inflow(const Stretch<typename L::Real>& s, int64_t gate, int64_t unit, const typename L::Real* x,
                             const typename L::Real* h) {
  int64_t row = gate * s.units + unit;
  return {dot<L>(s.weight_ih + row * s.inputs, x, s.inputs) + (s.bias_ih ? s.bias_ih[row] : 0),
          dot<L>(s.weight + row * s.units, h, s.units) + (s.bias ? s.bias[row] : 0)};
}

template <class L, class Cell> void run_single(const Stretch<typename L::Real>& s) {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  const Real* zeros = clear(s.scratch, s.units);
  place_first(s);
  int64_t vectors = (s.units + L::count - 1) / L::count;
  // A thread costs a few microseconds to wake: only for weights that overflow one core's cache.
  int64_t numbers = Cell::gates * s.units * (s.units + s.inputs);
  int64_t threads = numbers * int64_t(sizeof(Real)) > (1 << 20) ? s.threads : 1;
  together(threads, [&](int64_t id, int64_t count, Barrier&) {
    for (int64_t v = share(vectors, id, count); v < share(vectors, id + 1, count); v++)
      for (int64_t row = 0; row < s.rows; row++) {
        int64_t unit = v * L::count;
        Place p{0, row, unit, L::lanes(s.units - unit)};
        const Real *h = before<L>(s, 0, row, zeros), *x = s.x + row * s.inputs;
        Real sums[Cell::gates][L::count] = {};
        for (int g = 0; g < Cell::gates; g++)
          for (int i = 0; i < p.lanes; i++) {
            Inflow<L> in = inflow<L>(s, g, unit + i, x, h);
            sums[g][i] = in.inner + (Cell::apart(g) ? 0 : in.outer);
            if (Cell::apart(g)) Cell::set_apart(s, p, i, in.outer);
          }
        Vec a[Cell::gates];
        for (int g = 0; g < Cell::gates; g++) a[g] = L::load(sums[g]);
        Cell::template finish<true>(s, p, h, a);
      }
  });
}

}  // namespace
}  // namespace bptt
