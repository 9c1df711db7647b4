// The product that every step needs, h_{t-1} W_hhᵀ forwards and δ_t W_hh backwards, as register tiles over packed weights.
// Knows rows, panels and blocks of the inner dimension; must not know gates.
//
// A panel holds the columns of `WIDTH` vectors, inner index after inner index, so that a tile reads it from front to back. Every
// element is summed in the order of the inner index by one accumulator: neither the number of rows nor of threads changes a bit.
#pragma once
#include <utility>

#include "stretch.h"
#include "vec.h"

namespace bptt {
namespace {

constexpr int64_t BLOCK = 1024;  // inner indices per visit: this much of a panel stays in the second cache while all rows pass

// sums[row][·] += Σ_k a[row][k] panel[k][·] for M rows and P panels of W vectors that lie `stride` numbers apart. The sums are
// kept in registers in between; one function serves every recurrence, so that what a gate computes is compiled once and not
// once per shape of a tile.
template <class L, int M, int P, int W>
__attribute__((noinline)) void multiply(const typename L::Real* const* a, const typename L::Real* panel, int64_t stride, int64_t n,
                                        typename L::Vec* sums) {
  typedef typename L::Vec Vec;
  constexpr int N = P * W;
  Vec sum[M][N];
  const typename L::Real* row[M];
#pragma GCC unroll 16
  for (int i = 0; i < M; i++) {
    row[i] = a[i];
#pragma GCC unroll 16
    for (int j = 0; j < N; j++) sum[i][j] = sums[i * N + j];
  }
  for (int64_t k = 0; k < n; k++) {
    const typename L::Real* at = panel + k * W * L::count;
    if (M < N) {  // hold what there is less of
      Vec x[M];
#pragma GCC unroll 16
      for (int i = 0; i < M; i++) x[i] = L::all(row[i][k]);
#pragma GCC unroll 16
      for (int j = 0; j < N; j++) {
        Vec b = L::load(at + (j / W) * stride + (j % W) * L::count);
#pragma GCC unroll 16
        for (int i = 0; i < M; i++) sum[i][j] += x[i] * b;
      }
    } else {
      Vec b[N];
#pragma GCC unroll 16
      for (int j = 0; j < N; j++) b[j] = L::load(at + (j / W) * stride + (j % W) * L::count);
#pragma GCC unroll 16
      for (int i = 0; i < M; i++) {
        Vec x = L::all(row[i][k]);
#pragma GCC unroll 16
        for (int j = 0; j < N; j++) sum[i][j] += x * b[j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < M; i++)
#pragma GCC unroll 16
    for (int j = 0; j < N; j++) sums[i * N + j] = sum[i][j];
}

constexpr int ACCUMULATORS = BPTT_REGISTERS == 32 ? 24 : 12;
constexpr int MOST_PANELS = 6;

// The most rows of a tile of W vectors.
template <int W> constexpr int tallest() { return ACCUMULATORS / W; }

// The most panels that a tile of `rows` takes at once, so that enough sums are under way to hide the latency of a multiply-add.
template <int W> constexpr int panels_at_once(int64_t rows) {
  int fit = int(ACCUMULATORS / (W * rows));
  return fit < 1 ? 1 : fit > MOST_PANELS ? MOST_PANELS : fit;
}

// `multiply` for numbers of rows and panels known only now.
template <class L, int W> class Product {
  typedef typename L::Real Real;
  typedef typename L::Vec Vec;
  typedef void (*Multiply)(const Real* const*, const Real*, int64_t, int64_t, Vec*);

  template <int M, int P> static constexpr Multiply shaped() {
    if constexpr (M * P * W <= ACCUMULATORS) return &multiply<L, M, P, W>;
    else return nullptr;
  }
  struct Row {
    Multiply by_panels[MOST_PANELS];
  };
  template <int M, int... P> static constexpr Row row(std::integer_sequence<int, P...>) { return {{shaped<M, P + 1>()...}}; }
  struct Table {
    Row by_rows[tallest<W>()];
  };
  template <int... M> static constexpr Table table(std::integer_sequence<int, M...>) {
    return {{row<M + 1>(std::make_integer_sequence<int, MOST_PANELS>())...}};
  }
  static constexpr Table shapes = table(std::make_integer_sequence<int, tallest<W>()>());

 public:
  static BPTT_INLINE void run(int64_t rows, int64_t panels, const Real* const* a, const Real* panel, int64_t stride, int64_t n, Vec* sums) {
    shapes.by_rows[rows - 1].by_panels[panels - 1](a, panel, stride, n, sums);
  }
};

// W_hh [gates·H, H] for the forward product: panel p, inner index k, unit vector s, gate g.
template <class L, int GATES, int SPAN>
void pack_forward(const typename L::Real* weight, int64_t units, int64_t p, typename L::Real* panel) {
  constexpr int width = GATES * SPAN * L::count;
  for (int s = 0; s < SPAN; s++)
    for (int g = 0; g < GATES; g++)
      for (int lane = 0; lane < L::count; lane++) {
        int64_t unit = (p * SPAN + s) * L::count + lane;
        typename L::Real* to = panel + (s * GATES + g) * L::count + lane;
        const typename L::Real* from = weight + (g * units + unit) * units;
        for (int64_t k = 0; k < units; k++) to[k * width] = unit < units ? from[k] : 0;
      }
}

// W_hh for the backward product: panel p, inner index k (a row of W_hh), unit.
template <class L, int SPAN>
void pack_backward(const typename L::Real* weight, int64_t units, int64_t depth, int64_t p, typename L::Real* panel) {
  constexpr int width = SPAN * L::count;
  int64_t first = p * width, n = units - first < width ? units - first : width;
  for (int64_t k = 0; k < depth; k++)
    for (int64_t j = 0; j < width; j++) panel[k * width + j] = j < n ? weight[k * units + first + j] : 0;
}

}  // namespace
}  // namespace bptt
