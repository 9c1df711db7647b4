// Compiled once per instruction set; BPTT_TABLES is the name under which the dispatcher finds it.
#include "dropout.h"
#include "single.h"
#include "softmax.h"
#include "table.h"
#include "walk.h"

namespace bptt {
namespace {

// visit.template operator()<Cell>() for the cell that the stretch names.
template <class L, class Visit> auto with_cell(const Stretch<typename L::Real>& s, const Visit& visit) {
  switch (s.cell) {
    case TANH: return visit(ElmanCell<L, TANH>{});
    case RELU: return visit(ElmanCell<L, RELU>{});
    case IDENTITY: return visit(ElmanCell<L, IDENTITY>{});
    case LSTM: return visit(LstmCell<L>{});
    default: return visit(GruCell<L>{});
  }
}

template <class L> struct Entry {
  typedef typename L::Real Real;
  typedef const Stretch<Real>& S;

  static int64_t scratch(S s, bool backward) {
    return with_cell<L>(s, [&](auto cell) {
      typedef decltype(cell) Cell;
      return backward ? bptt::scratch<Backward<L, Cell>>(s) : bptt::scratch<Forward<L, Cell>>(s);
    });
  }
  static void forward(S s) {
    with_cell<L>(s, [&](auto cell) { run_forward<L, decltype(cell)>(s); });
  }
  static void backward(S s) {
    with_cell<L>(s, [&](auto cell) { run_steps<Backward<L, decltype(cell)>>(s); });
  }
  static void gates(S s, bool states) {
    with_cell<L>(s, [&](auto cell) {
      if (states) run_gates<L, decltype(cell), true>(s);
      else run_gates<L, decltype(cell), false>(s);
    });
  }
  static void single(S s) {
    with_cell<L>(s, [&](auto cell) { run_single<L, decltype(cell)>(s); });
  }
  static void map(int64_t function, const Real* from, Real* to, int64_t n) {
    for (int64_t i = 0; i < n; i += L::count) {
      int lanes = L::lanes(n - i);
      typename L::Vec x = L::load(from + i, lanes);
      L::store(to + i, function == 0 ? hyperbolic<L>(x) : function == 1 ? logistic<L>(x) : exponential<L>(x), lanes);
    }
  }
  static Table<Real> table() { return {scratch, forward, backward, gates, single, run_softmax<L>, run_dropout<Real>, map}; }
};

}  // namespace

const Tables& BPTT_TABLES() {
  static const Tables tables{Entry<Lanes<float>>::table(), Entry<Lanes<double>>::table()};
  return tables;
}

}  // namespace bptt
