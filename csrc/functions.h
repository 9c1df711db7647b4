// exp, tanh and the logistic function on vectors, each within 3 units in the last place over its whole range.
#pragma once
#include "vec.h"

namespace bptt {
namespace {

// e^r = 1 + r + r² q(r) on |r| ≤ ln 2 / 2; q is the Chebyshev interpolant, the error of e^r is 1e-8 in float and 2e-17 in double.
template <class Real> struct ExpTable;

template <> struct ExpTable<float> {
  static constexpr int terms = 5, mantissa = 23, bias = 127, lift = 64;
  static constexpr float log2e = 1.44269504f, round = 12582912.f;
  static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float lowest = -104.f, saturated = 20.f, down = 0x1p-64f;
  static constexpr float q[terms] = {0.5f, 0.166665769897f, 0.0416665546172f, 0.00836317905272f, 0.00139261835877f};
};

template <> struct ExpTable<double> {
  static constexpr int terms = 10, mantissa = 52, bias = 1023, lift = 512;
  static constexpr double log2e = 1.4426950408889634, round = 6755399441055744.0;
  static constexpr double ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
  static constexpr double lowest = -746.0, saturated = 40.0, down = 0x1p-512;
  static constexpr double q[terms] = {
      0.50000000000000010221,  0.16666666666666667453,   0.041666666666624127873,  0.0083333333333300618325, 0.0013888888917213716901,
      0.00019841269863053616878, 0.000024801521295954375131, 2.7557268459997064772e-6, 2.7620088445409748161e-7, 2.5100385495510319078e-8};
};

// q(r) by pairs, so that half of the multiply-adds do not wait for one another.
template <class L> BPTT_INLINE typename L::Vec series(typename L::Vec r) {
  typedef ExpTable<typename L::Real> E;
  typedef typename L::Vec Vec;
  Vec square = r * r, sum{};
  if (E::terms % 2) sum += E::q[E::terms - 1];
#pragma GCC unroll 8
  for (int i = E::terms / 2 - 1; i >= 0; i--) {
    Vec pair = r * E::q[2 * i + 1] + E::q[2 * i];
    sum = E::terms % 2 == 0 && i == E::terms / 2 - 1 ? pair : sum * square + pair;
  }
  return sum;
}

// e^y − 1 = 2^k (1 + p) − 1: returns p and leaves k in the low bits of `shifted`.
template <class L> BPTT_INLINE typename L::Vec reduced(typename L::Vec y, typename L::Vec& shifted) {
  typedef ExpTable<typename L::Real> E;
  shifted = y * E::log2e + E::round;
  typename L::Vec k = shifted - E::round;
  typename L::Vec r = (y - k * E::ln2_high) - k * E::ln2_low;
  return r * r * series<L>(r) + r;
}

// 2^(k + plus), k from the low bits of `shifted`.
template <class L> BPTT_INLINE typename L::Vec power(typename L::Vec shifted, int plus) {
  typedef ExpTable<typename L::Real> E;
  typedef typename L::Unsigned Unsigned;  // the bits of a NaN may be any: their sum must be free to overflow
  typename L::UnsignedVec bits = (typename L::UnsignedVec)shifted;
  return (typename L::Vec)((bits << E::mantissa) + (Unsigned(E::bias + plus) << E::mantissa));
}

template <class L> BPTT_INLINE typename L::IntVec sign_bit() { return (typename L::IntVec)(-L::all(0)); }
template <class L> BPTT_INLINE typename L::Vec magnitude(typename L::Vec x) {
  return (typename L::Vec)((typename L::IntVec)x & ~sign_bit<L>());
}

// tanh x = sign(x) m / (m + 2), m = e^{2|x|} − 1: no cancellation at either end.
template <class L> BPTT_INLINE typename L::Vec hyperbolic(typename L::Vec x) {
  typedef ExpTable<typename L::Real> E;
  typedef typename L::Vec Vec;
  Vec y = magnitude<L>(x) * 2, top = L::all(E::saturated), shifted;
  y = y > top ? top : y;  // this way round a NaN stays
  Vec p = reduced<L>(y, shifted), s = power<L>(shifted, 0);
  Vec m = s * p + (s - 1), t = m / (m + 2);
  return (Vec)((typename L::IntVec)t | ((typename L::IntVec)x & sign_bit<L>()));
}

// e^y for y ≤ 0, down to the smallest numbers there are.
template <class L> BPTT_INLINE typename L::Vec exponential(typename L::Vec y) {
  typedef ExpTable<typename L::Real> E;
  typedef typename L::Vec Vec;
  Vec bottom = L::all(E::lowest), shifted;
  y = y < bottom ? bottom : y;
  Vec p = reduced<L>(y, shifted);
  // 2^k may lie below the normal numbers: it is made larger by a power of two that one last product takes away again.
  Vec lifted = power<L>(shifted, E::lift);
  return (lifted * p + lifted) * E::down;
}

// σ(x) = e / (1 + e) below zero and 1 / (1 + e) above, e = e^{−|x|}.
template <class L> BPTT_INLINE typename L::Vec logistic(typename L::Vec x) {
  typename L::Vec e = exponential<L>(-magnitude<L>(x));
  return (x < 0 ? e : L::all(1)) / (1 + e);
}

}  // namespace
}  // namespace bptt
