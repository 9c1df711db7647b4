// The C functions that Python loads, and the choice of the instruction set.
#include <cstdlib>
#include <cstring>

#include "table.h"

namespace bptt {
namespace {

enum Isa { BASELINE, AVX2, AVX512 };
const char* const NAMES[] = {"baseline", "avx2", "avx512"};

bool supported(int isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == AVX512) return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (isa == AVX2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return isa == BASELINE;
}

int best() {
  for (int isa = AVX512; isa > BASELINE; isa--)
    if (supported(isa)) return isa;
  return BASELINE;
}

int chosen = -1;

const Tables& tables() {
  if (chosen < 0) chosen = best();
#if defined(__x86_64__)
  if (chosen == AVX512) return tables_avx512();
  if (chosen == AVX2) return tables_avx2();
#endif
  return tables_baseline();
}

template <class Real> const Table<Real>& table();
template <> const Table<float>& table<float>() { return tables().single; }
template <> const Table<double>& table<double>() { return tables().twofold; }

template <class Real> int64_t run(const void* stretch, int64_t what) {
  const Stretch<Real>& s = *static_cast<const Stretch<Real>*>(stretch);
  switch (what) {
    case 0: table<Real>().forward(s); return 0;
    case 1: table<Real>().backward(s); return 0;
    case 2: table<Real>().gates(s, true); return 0;
    case 3: table<Real>().gates(s, false); return 0;
    case 4: return table<Real>().scratch(s, false);
    case 5: return table<Real>().scratch(s, true);
    case 6: table<Real>().single(s); return 0;
  }
  return -1;
}

}  // namespace
}  // namespace bptt

#if defined(_WIN32)
#define BPTT_API extern "C" __declspec(dllexport)
#else
#define BPTT_API extern "C" __attribute__((visibility("default")))
#endif

BPTT_API int64_t bptt_abi_version() { return bptt::ABI_VERSION; }

// 1 if the library was built to run on several threads.
BPTT_API int64_t bptt_has_threads() {
#ifdef _OPENMP
  return 1;
#else
  return 0;
#endif
}

// The instruction set in use.
BPTT_API const char* bptt_isa() {
  bptt::tables();
  return bptt::NAMES[bptt::chosen];
}

// Use the named instruction set from now on; 0 if this machine or this build does not have it.
BPTT_API int64_t bptt_use_isa(const char* name) {
  for (int isa = 0; isa < 3; isa++)
    if (!std::strcmp(name, bptt::NAMES[isa]) && bptt::supported(isa)) {
      bptt::chosen = isa;
      return 1;
    }
  return 0;
}

// what: 0 forward, 1 backward, 2 gates and states of prepared pre-activations, 3 gates alone, 4 and 5 the numbers of scratch
// that 0 and 1 need, 6 a single step from x. `twofold` says whether the stretch is in double.
BPTT_API int64_t bptt_run(const void* stretch, int64_t what, int64_t twofold) {
  return twofold ? bptt::run<double>(stretch, what) : bptt::run<float>(stretch, what);
}

BPTT_API void bptt_softmax(const void* rows, int64_t twofold) {
  if (twofold) bptt::table<double>().softmax(*static_cast<const bptt::SoftmaxRows<double>*>(rows));
  else bptt::table<float>().softmax(*static_cast<const bptt::SoftmaxRows<float>*>(rows));
}

BPTT_API void bptt_dropout(const void* rows, int64_t twofold) {
  if (twofold) bptt::table<double>().dropout(*static_cast<const bptt::DropoutRows<double>*>(rows));
  else bptt::table<float>().dropout(*static_cast<const bptt::DropoutRows<float>*>(rows));
}

BPTT_API void bptt_map_float(int64_t function, const float* from, float* to, int64_t n) {
  bptt::table<float>().map(function, from, to, n);
}
BPTT_API void bptt_map_double(int64_t function, const double* from, double* to, int64_t n) {
  bptt::table<double>().map(function, from, to, n);
}
