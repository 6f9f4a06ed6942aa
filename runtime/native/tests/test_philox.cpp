// Tests the generator against the vectors published with it (Random123, kat_vectors).
#include "check.hpp"
#include "philox.hpp"

using omnilive::philox4x32;
using omnilive::PhiloxCounter;
using omnilive::test::check;

namespace {

void published_vectors() {
  check(philox4x32({0, 0, 0, 0}, {0, 0}) ==
            PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        "zeros");
  check(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}) ==
            PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        "ones");
  check(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
            PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1},
        "digits of pi");
}

void draws_are_even() {
  constexpr int kDraws = 100'000;
  double sum = 0.0;
  for (std::uint64_t step = 0; step < kDraws; ++step) {
    const double drawn = omnilive::uniform({1, 2, step});
    check(drawn >= 0.0 && drawn < 1.0, "range");
    sum += drawn;
  }
  // The mean of that many has a standard deviation of 0.0009.
  check(sum / kDraws > 0.495 && sum / kDraws < 0.505, "mean");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"the published vectors come out", published_vectors},
      {"draws are even in [0, 1)", draws_are_even},
  });
}
