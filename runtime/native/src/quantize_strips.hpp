// Deals the strips of a weight out to threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "quantize_strip.hpp"

namespace omnilive::quantizing {

constexpr std::size_t kMaxThreads = 256;

inline void check(const WeightRows& weights, const BlockGrid& grid) {
  if (grid.block != 32 && grid.block != 64 && grid.block != 128) {
    throw std::invalid_argument("block must be 32, 64 or 128, got " + std::to_string(grid.block));
  }
  if (grid.bits != 4 && grid.bits != 8) {
    throw std::invalid_argument("bits must be 4 or 8, got " + std::to_string(grid.bits));
  }
  if (weights.width == 0) {
    throw std::invalid_argument("rows must have at least one weight");
  }
}

// Runs `kernel(strip)`, which says whether all of the strip's weights are finite, over all rows.
//
// Throws invalid_argument for weights that are not finite.
template <typename Kernel>
QuantizedRows over_strips(const WeightRows& weights, const BlockGrid& grid, std::size_t threads,
                          const Kernel& kernel) {
  check(weights, grid);
  const std::size_t blocks = grid.blocks(weights.width);
  const std::size_t zero_bytes = grid.symmetric ? 0 : grid.zero_point_bytes(weights.width);
  QuantizedRows found;
  found.packed.resize(weights.count * blocks * grid.packed_bytes());
  found.scales.resize(weights.count * blocks);
  found.zero_points.resize(weights.count * zero_bytes);

  const std::size_t strips = (weights.count + kLanes - 1) / kLanes;
  std::atomic<std::size_t> next{0};
  std::atomic<bool> finite{true};
  const auto work = [&]() noexcept {
    for (std::size_t i = next++; i < strips; i = next++) {
      const std::size_t first = i * kLanes;
      const Strip strip{weights.values.data() + first * weights.width,
                        std::min(kLanes, weights.count - first),
                        weights.width,
                        grid,
                        {found.packed.data() + first * blocks * grid.packed_bytes(),
                         found.scales.data() + first * blocks,
                         grid.symmetric ? nullptr : found.zero_points.data() + first * zero_bytes}};
      if (!kernel(strip)) {
        finite = false;
      }
    }
  };
  {
    const std::size_t wanted = std::clamp(std::min(threads, strips), std::size_t{1}, kMaxThreads);
    std::vector<std::jthread> others;
    others.reserve(wanted - 1);
    try {
      for (std::size_t i = 1; i < wanted; ++i) {
        others.emplace_back(work);
      }
    } catch (const std::system_error&) {
      // The system gives no more threads: those that are there do all of it.
    }
    work();
  }
  if (!finite) {
    throw std::invalid_argument("the weights hold values that are not finite");
  }
  return found;
}

// Whether lanes to which values * 0 were added tell of finite values only.
inline bool all_zero(const Lanes& odd) {
  return std::all_of(odd.at.begin(), odd.at.end(), [](float x) { return x == 0.0F; });
}

}  // namespace omnilive::quantizing
