// A block of many rows at once: every lane is a row of its own, so sums need no reordering and each
// instruction set gives the same bits. Everything here is inlined into multiversioned kernels.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "quantize_grid.hpp"

namespace omnilive::quantizing {

constexpr std::size_t kLanes = 32;
constexpr std::size_t kMaxBlock = 128;

struct alignas(64) Lanes {
  std::array<float, kLanes> at;
};

inline Lanes filled(float value) {
  Lanes lanes;
  lanes.at.fill(value);
  return lanes;
}

// Codes of a grid lie in [-zero, levels - 1 - zero] around the zero point.
struct Choice {
  Lanes scale;
  Lanes zero;
};

// A choice and what it costs, lane by lane.
struct Best {
  Choice choice;
  Lanes cost = filled(std::numeric_limits<float>::infinity());

  // Takes over the lanes in which `other` costs less.
  void keep(const Choice& other, const Lanes& other_cost) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      const bool better = other_cost.at[r] < cost.at[r];
      choice.scale.at[r] = better ? other.scale.at[r] : choice.scale.at[r];
      choice.zero.at[r] = better ? other.zero.at[r] : choice.zero.at[r];
      cost.at[r] = better ? other_cost.at[r] : cost.at[r];
    }
  }
};

// 1 / scale, 0 where the block is all zeros or too small to have a reciprocal.
inline Lanes reciprocal(const Lanes& scale) {
  Lanes inverse;
  for (std::size_t r = 0; r < kLanes; ++r) {
    const bool usable = std::abs(scale.at[r]) >= std::numeric_limits<float>::min();
    inverse.at[r] = usable ? 1.0F / scale.at[r] : 0.0F;
  }
  return inverse;
}

// To the nearest integer, ties to even, for |x| < 2^22: what adding and taking away 1.5 * 2^23
// leaves. Vectorized by every instruction set, unlike std::nearbyint.
inline float nearest(float x) {
  constexpr float kShift = 12582912.0F;
  return (x + kShift) - kShift;
}

// Within [low, high]; `low` for what is no number.
inline float limited(float x, float low, float high) { return std::min(high, std::max(low, x)); }

// Largest and smallest value of each lane.
struct Range {
  Lanes top;
  Lanes bottom;
};

inline Range range_of(const Lanes* values, std::size_t count) {
  Range range{values[0], values[0]};
  for (std::size_t j = 1; j < count; ++j) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      range.top.at[r] = std::max(range.top.at[r], values[j].at[r]);
      range.bottom.at[r] = std::min(range.bottom.at[r], values[j].at[r]);
    }
  }
  return range;
}

// Round-to-nearest's choice. Symmetric: the extreme value (the farther from 0, with its sign) is
// the lowest code. Asymmetric: codes span the values and 0.
inline Choice nearest_choice(const Range& range, const BlockGrid& grid) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const auto middle = static_cast<float>(grid.levels() / 2);
  Choice choice{};
  if (grid.symmetric) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float top = range.top.at[r];
      const float bottom = range.bottom.at[r];
      choice.scale.at[r] = (top > -bottom ? top : bottom) / -middle;
      choice.zero.at[r] = middle;
    }
    return choice;
  }
  for (std::size_t r = 0; r < kLanes; ++r) {
    const float top = std::max(range.top.at[r], 0.0F);
    const float bottom = std::min(range.bottom.at[r], 0.0F);
    choice.scale.at[r] = (top - bottom) / last;
    choice.zero.at[r] = bottom;
  }
  const Lanes inverse = reciprocal(choice.scale);
  for (std::size_t r = 0; r < kLanes; ++r) {
    choice.zero.at[r] = nearest(limited(-choice.zero.at[r] * inverse.at[r], 0.0F, last));
  }
  return choice;
}

// `choice` with scales times `factor`.
inline Choice scaled(const Choice& choice, float factor) {
  Choice other = choice;
  for (std::size_t r = 0; r < kLanes; ++r) {
    other.scale.at[r] = choice.scale.at[r] * factor;
  }
  return other;
}

}  // namespace omnilive::quantizing
