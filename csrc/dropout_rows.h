// Rows of values to be dropped as the caller describes them; the layout is shared with kernels/library.py.
#pragma once
#include <cstdint>

namespace bptt {

template <class Real> struct DropoutRows {
  int64_t rows, units, threads, layer;
  uint64_t below;  // a unit whose 53 bits are below is dropped
  Real scale;      // of those that stay
  const Real* x;
  Real* y;
  const int64_t* noise;  // [rows]
};

}  // namespace bptt
