// One stretch of one direction of one layer, as the caller describes it: pointers and sizes, nothing owned.
// The layout is shared with kernels/library.py; ABI_VERSION changes whenever a field does.
#pragma once
#include <cstdint>

namespace bptt {

constexpr int64_t ABI_VERSION = 5;

enum Cell : int64_t { TANH = 0, RELU = 1, IDENTITY = 2, LSTM = 3, GRU = 4 };

template <class Real> struct Stretch {
  int64_t cell;
  int64_t steps, rows, units;  // T, B, H
  int64_t threads;
  int64_t split;           // how threads share the work: 0 rows, 1 units, -1 whichever should be faster
  const Real* weight;      // W_hh [G·H, H]
  const Real* bias;        // b_hh [G·H], or null
  Real* gates;             // [T, B, G·H] projected inputs → gates → their gradients; Elman: only the gradients, [T, B, H]
  Real* inner;             // GRU [T, B, H]: u = h W_hnᵀ + b_hn → its gradient
  Real* states;            // [T+1, B, H]: h_0, then (Elman: the projected inputs →) h_1 … h_T
  Real* cells;             // LSTM [T+1, B, H]: c_0 … c_T
  const uint8_t* reset;    // [T, B] or null
  const Real* edge;        // [T, B] or null
  const int64_t* lengths;  // [B], counted from the first step of this stretch, or null
  const Real* initial;     // [B, H], what reset rows take for h; null: zeros
  const Real* initial_cell;
  const Real* outputs_grad;  // [T, B, H] dL/dy, or null: none
  Real* carry;               // [B, H] backwards: dL/dh_T → dL/dh_0; forwards: h_0, copied to `states`, or null: it is there
  Real* carry_cell;          // LSTM [B, H] likewise for c
  Real* initial_grad;        // [B, H], added to, or null
  Real* initial_cell_grad;
  Real* scratch;             // as many numbers as the caller was told
  // For a single step that makes its own projection:
  int64_t inputs;         // I
  const Real* weight_ih;  // [G·H, I]
  const Real* x;          // [B, I]
  const Real* bias_ih;    // [G·H] or null

  bool alive(int64_t t, int64_t row) const { return !lengths || t < lengths[row]; }
  bool anew(int64_t t, int64_t row) const { return reset && reset[t * rows + row]; }
  Real* state(int64_t t, int64_t row) const { return states + (t * rows + row) * units; }
  Real* cell_state(int64_t t, int64_t row) const { return cells + (t * rows + row) * units; }
};

}  // namespace bptt
