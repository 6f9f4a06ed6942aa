// Philox4x32-10, a counter-based random number generator (Salmon, Moraes, Dror and Shaw, "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011): a draw is a function of its number alone, so any
// of them can be made again, in any order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace omnilive {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// Four random words for a counter under a key.
constexpr PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) {
  constexpr int kRounds = 10;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53U} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57U} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32U) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32U) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  return counter;
}

// The number of a draw: the stream of one generation under one seed, and the position in it.
struct Draw {
  std::uint64_t seed;
  std::uint64_t generation;
  std::uint64_t step;
};

// Uniform in [0, 1), with 53 random bits: the first two words of Philox under the key `seed` and
// the counter `step`, `generation`, each low word first.
constexpr double uniform(const Draw& draw) {
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  const auto high = [](std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32U); };
  const PhiloxCounter words =
      philox4x32({low(draw.step), high(draw.step), low(draw.generation), high(draw.generation)},
                 {low(draw.seed), high(draw.seed)});
  const std::uint64_t bits = (std::uint64_t{words[1]} << 32U) | words[0];
  return static_cast<double>(bits >> 11U) * 0x1p-53;
}

}  // namespace omnilive
