// A whole stretch, step after step, forwards and backwards: who does which rows and units, and in which order.
#pragma once
#include "cells.h"
#include "threads.h"
#include "tiles.h"

namespace bptt {
namespace {

// The rows [r0, r1) and panels [p0, p1) of one thread, and whether it must wait for the others after every step.
struct Part {
  int64_t r0, r1, p0, p1;
  bool meet;
};

// How many threads, and what they divide.
struct Plan {
  int64_t threads;
  bool by_rows;
};

// Threads that divide the units meet once per step, which takes some tenths of a microsecond, and each reads its own weights
// only. Threads that divide the rows never meet, but each reads all weights at every step. That pays where panels do not divide
// well, and backwards, where the gate gradients of a row would come from the other cores, while the weights fit a core's cache.
template <class Work, class Real> Plan plan_of(const Stretch<Real>& s, int64_t panels, int64_t weights) {
  constexpr int64_t STEP = 12 * 1024, STRETCH = 512 * 1024;  // multiply-adds below which more threads do not pay
  constexpr int64_t CACHED = 1024 * 1024;
  if (s.split >= 0) return {s.threads, s.split == 0};
  int64_t step = s.rows * weights, most = (panels + s.threads - 1) / s.threads;
  bool uneven = s.rows >= 8 * s.threads && most * s.threads * 16 > panels * 17;
  bool shared = Work::gathers && s.rows >= 10 * s.threads && weights <= CACHED;
  if (uneven || shared) return {step * s.steps < STRETCH ? 1 : s.threads, true};
  return {step < STEP || panels < s.threads ? 1 : s.threads, false};
}

inline Part part_of(const Plan& plan, int64_t rows, int64_t panels, int64_t id, int64_t threads) {
  if (plan.by_rows) return {share(rows, id, threads), share(rows, id + 1, threads), 0, panels, false};
  return {0, rows, share(panels, id, threads), share(panels, id + 1, threads), threads > 1};
}

// [first, end) in blocks of at most `most`, as equal as they can be: visit(first, number).
template <class Visit> BPTT_INLINE void blocks(int64_t first, int64_t end, int64_t most, const Visit& visit) {
  int64_t count = (end - first + most - 1) / most;
  for (int64_t i = 0; i < count; i++) {
    int64_t from = first + (end - first) * i / count, to = first + (end - first) * (i + 1) / count;
    visit(from, to - from);
  }
}

// All tiles of one thread for one step: panel after panel, block after block of the inner dimension, all rows.
template <class Work> void sweep(Work& work, Part part) {
  constexpr int most = tallest<Work::width>();
  int64_t rows = part.r1 - part.r0;
  int64_t at_once = rows > 0 ? panels_at_once<Work::width>(rows < most ? rows : most) : 1;
  blocks(part.p0, part.p1, at_once, [&](int64_t p, int64_t taken) {
    for (work.rewind(); work.next();)
      blocks(part.r0, part.r1, most, [&](int64_t row, int64_t m) { work.tile(row, m, p, taken); });
  });
}

// Every vector of units of a tile in the order of its sums: visit(row within the tile, first sum, place).
template <class L, class Visit>
BPTT_INLINE void each(int64_t t, int64_t row, int64_t m, int64_t unit, int64_t vectors, int64_t units, int gates, const Visit& visit) {
  for (int64_t i = 0; i < m; i++)
    for (int64_t v = 0; v < vectors; v++) {
      int64_t left = units - unit - v * L::count;
      if (left > 0) visit(i, (i * vectors + v) * gates, Place{t, row + i, unit + v * L::count, L::lanes(left)});
    }
}

template <class L, class Cell> struct Forward {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  static constexpr int gates = Cell::gates, span = gates == 1 ? 2 : 1, width = gates * span;
  static constexpr bool gathers = false;  // whether a row's inner dimension is longer than what a step makes of it

  const Stretch<Real>& s;
  const Real* packed;
  const Real* zeros;
  int64_t t = 0, k0 = 0, k1 = 0;

  static int64_t panels(const Stretch<Real>& s) { return (s.units + span * L::count - 1) / (span * L::count); }
  static int64_t panel_size(const Stretch<Real>& s) { return s.units * width * L::count; }
  static void pack(const Stretch<Real>& s, int64_t p, Real* panel) { pack_forward<L, gates, span>(s.weight, s.units, p, panel); }
  static int64_t visits(const Stretch<Real>& s) { return s.steps; }
  static int64_t step(const Stretch<Real>&, int64_t visit) { return visit; }

  void rewind() { k1 = 0; }
  bool next() {
    k0 = k1;
    k1 = s.units - k0 <= BLOCK + BLOCK / 2 ? s.units : k0 + BLOCK;
    return k0 < s.units;
  }

  void tile(int64_t row, int64_t m, int64_t panel, int64_t taken) const {
    Vec sums[ACCUMULATORS] = {};
    const Real *h[ACCUMULATORS], *from[ACCUMULATORS];
    for (int64_t i = 0; i < m; i++) h[i] = before<L>(s, t, row + i, zeros), from[i] = h[i] + k0;
    int64_t unit = panel * span * L::count, vectors = taken * span;
    each<L>(t, row, m, unit, vectors, s.units, gates, [&](int64_t, int64_t v, Place p) {
      if (k0 == 0) begin<L, Cell>(s, p, sums + v);
      else Cell::resume(s, p, sums + v);
    });
    Product<L, width>::run(m, taken, from, packed + panel * panel_size(s) + k0 * width * L::count, panel_size(s), k1 - k0, sums);
    each<L>(t, row, m, unit, vectors, s.units, gates, [&](int64_t i, int64_t v, Place p) {
      if (k1 == s.units) Cell::template finish<true>(s, p, h[i], sums + v);
      else Cell::park(s, p, sums + v);
    });
  }
};

template <class L, class Cell> struct Backward {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  static constexpr int width = 2;
  static constexpr bool gathers = true;

  const Stretch<Real>& s;
  const Real* packed;
  const Real* zeros;
  int64_t t = 0;  // the step that receives its gradient; −1 is the initial state
  int source = 0;
  int64_t k0 = 0, k1 = 0, offset = 0;
  bool last = false;

  static int64_t depth(const Stretch<Real>& s) {
    int64_t sum = 0;
    for (int i = 0; i < Cell::sources; i++) sum += Cell::depth(s, i);
    return sum;
  }
  static int64_t panels(const Stretch<Real>& s) { return (s.units + width * L::count - 1) / (width * L::count); }
  static int64_t panel_size(const Stretch<Real>& s) { return depth(s) * width * L::count; }
  static void pack(const Stretch<Real>& s, int64_t p, Real* panel) { pack_backward<L, width>(s.weight, s.units, depth(s), p, panel); }
  static int64_t visits(const Stretch<Real>& s) { return s.steps + 1; }
  static int64_t step(const Stretch<Real>& s, int64_t visit) { return s.steps - 1 - visit; }
  bool final_step() const { return t + 1 == s.steps; }

  void rewind() { source = -1, k0 = k1 = offset = 0, last = false; }
  // The next block of gate gradients; after the last step there is none, but one visit all the same.
  bool next() {
    if (last) return false;
    if (final_step()) return last = true;
    if (source < 0 || k1 == Cell::depth(s, source)) offset += source < 0 ? 0 : Cell::depth(s, source), source++, k1 = 0;
    int64_t n = Cell::depth(s, source);
    k0 = k1;
    k1 = n - k0 <= BLOCK + BLOCK / 2 ? n : k0 + BLOCK;
    last = k1 == n && source + 1 == Cell::sources;
    return true;
  }

  void tile(int64_t row, int64_t m, int64_t panel, int64_t taken) const {
    Vec sums[ACCUMULATORS] = {};
    int64_t unit = panel * width * L::count, vectors = taken * width;
    each<L>(t, row, m, unit, vectors, s.units, 1, [&](int64_t, int64_t v, Place p) {
      sums[v] = L::load(s.carry + p.row * s.units + p.unit, p.lanes);
    });
    if (!final_step()) {
      const Real* from[ACCUMULATORS];
      for (int64_t i = 0; i < m; i++) from[i] = Cell::source(s, t + 1, row + i, source) + k0;
      Product<L, width>::run(m, taken, from, packed + panel * panel_size(s) + (offset + k0) * width * L::count, panel_size(s),
                             k1 - k0, sums);
    }
    each<L>(t, row, m, unit, vectors, s.units, 1, [&](int64_t, int64_t v, Place p) { settle(p, sums[v]); });
  }

  // Between blocks the sums wait in `carry`; after the last one it holds what passes step t by on its way to t − 1.
  BPTT_INLINE void settle(Place p, Vec dh) const {
    Real* carry = s.carry + p.row * s.units + p.unit;
    if (last) {
      if (!final_step()) dh = cross<L>(s, Place{t + 1, p.row, p.unit, p.lanes}, dh, s.initial_grad);
      if (t >= 0) {
        if (s.alive(t, p.row)) {
          if (s.outputs_grad) dh += L::load(s.outputs_grad + (t * s.rows + p.row) * s.units + p.unit, p.lanes);
          dh = Cell::back(s, p, before<L>(s, t, p.row, zeros), dh);
        } else {
          Cell::silence(s, p);
        }
      }
    }
    L::store(carry, dh, p.lanes);
  }
};

constexpr int64_t padded(int64_t n) { return (n + 63) / 64 * 64; }

// Scratch holds the packed weights, then one row of zeros.
template <class Work, class Real> int64_t scratch(const Stretch<Real>& s) {
  return padded(Work::panels(s) * Work::panel_size(s)) + s.units;
}

template <class Real> Real* clear(Real* zeros, int64_t n) {
  for (int64_t k = 0; k < n; k++) zeros[k] = 0;
  return zeros;
}

// h_0 and c_0 to where the states of the stretch lie.
template <class Real> void place_first(const Stretch<Real>& s) {
  size_t bytes = s.rows * s.units * sizeof(Real);
  if (s.carry) std::memcpy(s.states, s.carry, bytes);
  if (s.carry_cell) std::memcpy(s.cells, s.carry_cell, bytes);
}

template <class Work, class Real> void run_steps(const Stretch<Real>& s) {
  int64_t panels = Work::panels(s), size = Work::panel_size(s);
  Real* packed = s.scratch;
  const Real* zeros = clear(packed + padded(panels * size), s.units);
  Plan plan = plan_of<Work>(s, panels, panels * size);
  together(plan.threads, [&](int64_t id, int64_t threads, Barrier& barrier) {
    for (int64_t p = share(panels, id, threads); p < share(panels, id + 1, threads); p++) Work::pack(s, p, packed + p * size);
    barrier.wait();
    Part part = part_of(plan, s.rows, panels, id, threads);
    Work work{s, packed, zeros};
    for (int64_t visit = 0; visit < Work::visits(s); visit++) {
      work.t = Work::step(s, visit);
      sweep(work, part);
      if (part.meet) barrier.wait();
    }
  });
}

template <class L, class Cell> void run_forward(const Stretch<typename L::Real>& s) {
  place_first(s);
  run_steps<Forward<L, Cell>>(s);
}

// Gates from complete pre-activations, without any product: a single step, or the gates of a stretch whose states are known.
template <class L, class Cell, bool STATES> void run_gates(const Stretch<typename L::Real>& s) {
  typedef typename L::Vec Vec;
  const typename L::Real* zeros = clear(s.scratch, s.units);
  if (STATES) place_first(s);
  int64_t all = s.steps * s.rows;
  together(all * s.units < 16 * 1024 ? 1 : s.threads, [&](int64_t id, int64_t threads, Barrier&) {
    for (int64_t i = share(all, id, threads); i < share(all, id + 1, threads); i++) {
      int64_t t = i / s.rows, row = i % s.rows;
      const typename L::Real* h = before<L>(s, t, row, zeros);
      for (int64_t unit = 0; unit < s.units; unit += L::count) {
        Place p{t, row, unit, L::lanes(s.units - unit)};
        Vec sums[Cell::gates];
        Cell::resume(s, p, sums);
        add_bias<L>(s, p, Cell::gates, sums);
        Cell::template finish<STATES>(s, p, h, sums);
      }
    }
  });
}

}  // namespace
}  // namespace bptt
