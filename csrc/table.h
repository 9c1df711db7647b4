// What every instruction set offers to the dispatcher.
#pragma once
#include "dropout_rows.h"
#include "softmax_rows.h"
#include "stretch.h"

namespace bptt {

template <class Real> struct Table {
  int64_t (*scratch)(const Stretch<Real>&, bool backward);
  void (*forward)(const Stretch<Real>&);
  void (*backward)(const Stretch<Real>&);
  void (*gates)(const Stretch<Real>&, bool states);
  void (*single)(const Stretch<Real>&);
  void (*softmax)(const SoftmaxRows<Real>&);
  void (*dropout)(const DropoutRows<Real>&);
  void (*map)(int64_t function, const Real* from, Real* to, int64_t n);  // tanh (0), σ (1) or exp below zero (2), for the tests
};

struct Tables {
  Table<float> single;
  Table<double> twofold;
};

const Tables& tables_baseline();
const Tables& tables_avx2();
const Tables& tables_avx512();

}  // namespace bptt
