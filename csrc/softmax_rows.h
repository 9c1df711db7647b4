// Rows of scores as the caller describes them; the layout is shared with kernels/library.py.
#pragma once
#include <cstdint>

namespace bptt {

template <class Real> struct SoftmaxRows {
  int64_t rows, columns, threads;
  Real* scores;            // [rows, columns] → gradients of Σ weights · losses, if there are weights
  const int64_t* targets;  // [rows], each below `columns`: the caller has looked
  const Real* weights;     // [rows] or null: losses only
  Real* losses;            // [rows]
};

}  // namespace bptt
