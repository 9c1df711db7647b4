// What one step of each recurrence does to a vector of units, forwards and backwards.
// Knows gates and their derivatives; must not know tiles, panels or threads.
//
// A cell says: `gates` G, the accumulators per vector of units; `depth`, the length of a row of gate gradients in units; and
//   resume  the projected inputs, or partial sums that wait there between two blocks of the product; `park` puts them there
//   finish  accumulators → gates and h_t
//   back    dL/dh_t → gate gradients and what reaches h_{t-1} other than through W_hh
//   apart   which gate keeps its projected inputs apart from its product with h until `finish`
//   source  where the gate gradients [k0, …) of a row lie in memory, for the product with W_hh
#pragma once
#include "functions.h"
#include "stretch.h"

namespace bptt {
namespace {

// Where a vector of units lies: step t, row, first unit, how many lanes count.
struct Place {
  int64_t t, row, unit;
  int lanes;
};

// The state that step t begins with: h_{t-1}, or what a reset row takes.
template <class L> BPTT_INLINE const typename L::Real* before(const Stretch<typename L::Real>& s, int64_t t, int64_t row, const typename L::Real* zeros) {
  if (__builtin_expect(!s.anew(t, row) || !s.alive(t, row), 1)) return s.state(t, row);
  return s.initial ? s.initial + row * s.units : zeros;
}

template <class L> BPTT_INLINE typename L::Vec cell_before(const Stretch<typename L::Real>& s, Place p) {
  if (__builtin_expect(!s.anew(p.t, p.row), 1)) return L::load(s.cell_state(p.t, p.row) + p.unit, p.lanes);
  return s.initial_cell ? L::load(s.initial_cell + p.row * s.units + p.unit, p.lanes) : typename L::Vec{};
}

// What is left of a gradient on its way over the border into step t.
template <class L>
BPTT_INLINE typename L::Vec cross(const Stretch<typename L::Real>& s, Place p, typename L::Vec gradient, typename L::Real* initial_grad) {
  if (!s.alive(p.t, p.row)) return gradient;
  if (s.anew(p.t, p.row)) {
    if (initial_grad) {
      typename L::Real* sum = initial_grad + p.row * s.units + p.unit;
      L::store(sum, L::load(sum, p.lanes) + gradient, p.lanes);
    }
    return typename L::Vec{};
  }
  if (!s.edge) return gradient;
  // A weight of 0 cuts: an infinity must not become a NaN.
  typename L::Real weight = s.edge[p.t * s.rows + p.row];
  return weight == 0 ? typename L::Vec{} : gradient * weight;
}

template <class L> BPTT_INLINE void add_bias(const Stretch<typename L::Real>& s, Place p, int gates, typename L::Vec* a) {
  if (!s.bias) return;
  for (int g = 0; g < gates; g++) a[g] += L::load(s.bias + g * s.units + p.unit, p.lanes);
}

// What the sums start from, before h_{t-1} W_hhᵀ is added.
template <class L, class Cell> BPTT_INLINE void begin(const Stretch<typename L::Real>& s, Place p, typename L::Vec* a) {
  Cell::resume(s, p, a);
  for (int g = 0; g < Cell::gates; g++)
    if (Cell::apart(g)) a[g] = typename L::Vec{};
  add_bias<L>(s, p, Cell::gates, a);
}

// A cell whose gates take projected inputs and the product with h as one sum.
template <class Real> struct Together {
  static constexpr bool apart(int) { return false; }
  static BPTT_INLINE void set_apart(const Stretch<Real>&, Place, int, Real) {}
};

template <class L, int64_t PHI> struct ElmanCell : Together<typename L::Real> {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  typedef Stretch<Real> S;
  static constexpr int gates = 1, sources = 1;

  static BPTT_INLINE Vec phi(Vec a) {
    if (PHI == TANH) return hyperbolic<L>(a);
    if (PHI == RELU) return a < 0 ? Vec{} : a;
    return a;
  }
  static BPTT_INLINE Vec slope(Vec h) {  // φ' from φ
    if (PHI == TANH) return 1 - h * h;
    if (PHI == RELU) return h > 0 ? L::all(1) : Vec{};
    return L::all(1);
  }

  static BPTT_INLINE void resume(const S& s, Place p, Vec* a) { a[0] = L::load(s.state(p.t + 1, p.row) + p.unit, p.lanes); }
  static BPTT_INLINE void park(const S& s, Place p, const Vec* a) { L::store(s.state(p.t + 1, p.row) + p.unit, a[0], p.lanes); }

  template <bool STATES> static BPTT_INLINE void finish(const S& s, Place p, const Real* h_before, const Vec* a) {
    Vec h = phi(a[0]);
    if (!s.alive(p.t, p.row)) h = L::load(h_before + p.unit, p.lanes);
    L::store(s.state(p.t + 1, p.row) + p.unit, h, p.lanes);
  }

  static BPTT_INLINE Real* delta(const S& s, int64_t t, int64_t row) { return s.gates + (t * s.rows + row) * s.units; }

  static BPTT_INLINE Vec back(const S& s, Place p, const Real*, Vec dh) {
    Vec h = L::load(s.state(p.t + 1, p.row) + p.unit, p.lanes);
    L::store(delta(s, p.t, p.row) + p.unit, dh * slope(h), p.lanes);
    return Vec{};
  }
  static BPTT_INLINE void silence(const S& s, Place p) { L::store(delta(s, p.t, p.row) + p.unit, Vec{}, p.lanes); }
  static BPTT_INLINE const Real* source(const S& s, int64_t t, int64_t row, int) { return delta(s, t, row); }
  static BPTT_INLINE int64_t depth(const S& s, int) { return s.units; }
};

template <class L> struct LstmCell : Together<typename L::Real> {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  typedef Stretch<Real> S;
  static constexpr int gates = 4, sources = 1;

  static BPTT_INLINE Real* row_of(const S& s, int64_t t, int64_t row) { return s.gates + (t * s.rows + row) * 4 * s.units; }
  static BPTT_INLINE void read(const S& s, Place p, Vec* a) {
    const Real* g = row_of(s, p.t, p.row) + p.unit;
    for (int i = 0; i < 4; i++) a[i] = L::load(g + i * s.units, p.lanes);
  }
  static BPTT_INLINE void write(const S& s, Place p, const Vec* a) {
    Real* g = row_of(s, p.t, p.row) + p.unit;
    for (int i = 0; i < 4; i++) L::store(g + i * s.units, a[i], p.lanes);
  }
  static BPTT_INLINE void resume(const S& s, Place p, Vec* a) { read(s, p, a); }
  static BPTT_INLINE void park(const S& s, Place p, const Vec* a) { write(s, p, a); }

  template <bool STATES> static BPTT_INLINE void finish(const S& s, Place p, const Real* h_before, const Vec* a) {
    Vec g[4] = {logistic<L>(a[0]), logistic<L>(a[1]), hyperbolic<L>(a[2]), logistic<L>(a[3])};
    write(s, p, g);
    if (!STATES) return;
    Vec c = cell_before<L>(s, p);
    Vec h;
    if (s.alive(p.t, p.row)) {
      c = g[1] * c + g[0] * g[2];
      h = g[3] * hyperbolic<L>(c);
    } else {
      c = L::load(s.cell_state(p.t, p.row) + p.unit, p.lanes);
      h = L::load(h_before + p.unit, p.lanes);
    }
    L::store(s.cell_state(p.t + 1, p.row) + p.unit, c, p.lanes);
    L::store(s.state(p.t + 1, p.row) + p.unit, h, p.lanes);
  }

  static BPTT_INLINE Vec back(const S& s, Place p, const Real*, Vec dh) {
    Vec g[4], d[4];
    read(s, p, g);
    Real* carried = s.carry_cell + p.row * s.units + p.unit;
    Vec t = hyperbolic<L>(L::load(s.cell_state(p.t + 1, p.row) + p.unit, p.lanes));
    Vec dc = L::load(carried, p.lanes) + dh * g[3] * (1 - t * t);
    d[0] = dc * g[2] * g[0] * (1 - g[0]);
    d[1] = dc * cell_before<L>(s, p) * g[1] * (1 - g[1]);
    d[2] = dc * g[0] * (1 - g[2] * g[2]);
    d[3] = dh * t * g[3] * (1 - g[3]);
    write(s, p, d);
    L::store(carried, cross<L>(s, p, dc * g[1], s.initial_cell_grad), p.lanes);
    return Vec{};
  }
  static BPTT_INLINE void silence(const S& s, Place p) {
    Vec zero[4] = {};
    write(s, p, zero);
  }
  static BPTT_INLINE const Real* source(const S& s, int64_t t, int64_t row, int) { return row_of(s, t, row); }
  static BPTT_INLINE int64_t depth(const S& s, int) { return 4 * s.units; }
};

template <class L> struct GruCell {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  typedef Stretch<Real> S;
  static constexpr int gates = 3, sources = 2;
  static constexpr bool apart(int gate) { return gate == 2; }

  static BPTT_INLINE Real* row_of(const S& s, int64_t t, int64_t row) { return s.gates + (t * s.rows + row) * 3 * s.units; }
  static BPTT_INLINE Real* inner_of(const S& s, int64_t t, int64_t row) { return s.inner + (t * s.rows + row) * s.units; }

  static BPTT_INLINE void set_apart(const S& s, Place p, int lane, Real projected) {
    row_of(s, p.t, p.row)[2 * s.units + p.unit + lane] = projected;
  }
  static BPTT_INLINE void resume(const S& s, Place p, Vec* a) {
    const Real* g = row_of(s, p.t, p.row) + p.unit;
    a[0] = L::load(g, p.lanes);
    a[1] = L::load(g + s.units, p.lanes);
    a[2] = L::load(inner_of(s, p.t, p.row) + p.unit, p.lanes);
  }
  static BPTT_INLINE void park(const S& s, Place p, const Vec* a) {
    Real* g = row_of(s, p.t, p.row) + p.unit;
    L::store(g, a[0], p.lanes);
    L::store(g + s.units, a[1], p.lanes);
    L::store(inner_of(s, p.t, p.row) + p.unit, a[2], p.lanes);
  }

  template <bool STATES> static BPTT_INLINE void finish(const S& s, Place p, const Real* h_before, const Vec* a) {
    Real* g = row_of(s, p.t, p.row) + p.unit;
    Vec r = logistic<L>(a[0]), z = logistic<L>(a[1]);
    Vec n = hyperbolic<L>(L::load(g + 2 * s.units, p.lanes) + r * a[2]);
    L::store(g, r, p.lanes);
    L::store(g + s.units, z, p.lanes);
    L::store(g + 2 * s.units, n, p.lanes);
    L::store(inner_of(s, p.t, p.row) + p.unit, a[2], p.lanes);
    if (!STATES) return;
    Vec h = L::load(h_before + p.unit, p.lanes);
    if (s.alive(p.t, p.row)) h = n + z * (h - n);
    L::store(s.state(p.t + 1, p.row) + p.unit, h, p.lanes);
  }

  static BPTT_INLINE Vec back(const S& s, Place p, const Real* h_before, Vec dh) {
    Real* g = row_of(s, p.t, p.row) + p.unit;
    Real* inner = inner_of(s, p.t, p.row) + p.unit;
    Vec r = L::load(g, p.lanes), z = L::load(g + s.units, p.lanes), n = L::load(g + 2 * s.units, p.lanes);
    Vec u = L::load(inner, p.lanes), h = L::load(h_before + p.unit, p.lanes);
    Vec dn = dh * (1 - z) * (1 - n * n), dr = dn * u, dz = dh * (h - n);
    L::store(g, dr * r * (1 - r), p.lanes);
    L::store(g + s.units, dz * z * (1 - z), p.lanes);
    L::store(g + 2 * s.units, dn, p.lanes);
    L::store(inner, dn * r, p.lanes);
    return dh * z;
  }
  static BPTT_INLINE void silence(const S& s, Place p) {
    Real* g = row_of(s, p.t, p.row) + p.unit;
    for (int i = 0; i < 3; i++) L::store(g + i * s.units, Vec{}, p.lanes);
    L::store(inner_of(s, p.t, p.row) + p.unit, Vec{}, p.lanes);
  }
  static BPTT_INLINE const Real* source(const S& s, int64_t t, int64_t row, int part) {
    return part ? inner_of(s, t, row) : row_of(s, t, row);
  }
  static BPTT_INLINE int64_t depth(const S& s, int part) { return part ? s.units : 2 * s.units; }
};

}  // namespace
}  // namespace bptt
