// A vector of lanes: the only place that knows how wide the machine is.
// Written with the compiler's own vectors, so one source serves every instruction set; a file that is compiled for a wider set
// sees wider vectors.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#define BPTT_BYTES 64
#define BPTT_REGISTERS 32
#elif defined(__AVX__)
#define BPTT_BYTES 32
#define BPTT_REGISTERS 16
#elif defined(__aarch64__)
#define BPTT_BYTES 16
#define BPTT_REGISTERS 32
#else
#define BPTT_BYTES 16
#define BPTT_REGISTERS 16
#endif

#define BPTT_INLINE inline __attribute__((always_inline))

namespace bptt {
namespace {  // every instruction set has its own copy: the linker must not merge a wide one into a narrow path

template <class Real> struct Bits;
template <> struct Bits<float> {
  typedef int32_t type;
  typedef uint32_t unsigned_type;
};
template <> struct Bits<double> {
  typedef int64_t type;
  typedef uint64_t unsigned_type;
};

template <class Real_> struct Lanes {
  typedef Real_ Real;
  typedef typename Bits<Real>::type Int;
  typedef typename Bits<Real>::unsigned_type Unsigned;
  static constexpr int count = BPTT_BYTES / sizeof(Real);
  typedef Real Vec __attribute__((vector_size(BPTT_BYTES)));
  typedef Int IntVec __attribute__((vector_size(BPTT_BYTES)));
  typedef Unsigned UnsignedVec __attribute__((vector_size(BPTT_BYTES)));
  typedef Real Loose __attribute__((vector_size(BPTT_BYTES), aligned(sizeof(Real)), may_alias));

  // How many of the next `count` lanes there are, where `left` numbers are left.
  static BPTT_INLINE int lanes(int64_t left) { return left < count ? int(left) : count; }

  static BPTT_INLINE Vec all(Real value) { return value - Vec{}; }
  static BPTT_INLINE Vec load(const Real* from) { return *reinterpret_cast<const Loose*>(from); }
  static BPTT_INLINE void store(Real* to, Vec value) { *reinterpret_cast<Loose*>(to) = value; }

  // The first n lanes only, at the end of a row; the others are zero, and stay untouched in memory.
  static BPTT_INLINE Vec load(const Real* from, int n) {
    if (__builtin_expect(n >= count, 1)) return load(from);
    Vec value{};
    std::memcpy(&value, from, n * sizeof(Real));
    return value;
  }
  static BPTT_INLINE void store(Real* to, Vec value, int n) {
    if (__builtin_expect(n >= count, 1)) return store(to, value);
    std::memcpy(to, &value, n * sizeof(Real));
  }
};

}  // namespace
}  // namespace bptt
