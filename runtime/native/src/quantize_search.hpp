// Searches for the choice of a block that costs least: candidate scales and zero points, and the
// closed-form scale of given codes. Everything here is inlined into multiversioned kernels.
#pragma once

#include <cstddef>

#include "quantize_grid.hpp"
#include "quantize_tile.hpp"

namespace omnilive::quantizing {

// Tries one choice: its squared error, each column counted `weights` times.
inline void consider(const Lanes* values, const float* weights, const BlockGrid& grid,
                     const Choice& choice, Best& best) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const Lanes inverse = reciprocal(choice.scale);
  Lanes cost = filled(0.0F);
  for (std::size_t j = 0; j < grid.block; ++j) {
    const float weight = weights[j];
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float zero = choice.zero.at[r];
      const float value = values[j].at[r];
      const float code = nearest(limited(value * inverse.at[r], -zero, last - zero));
      const float error = value - code * choice.scale.at[r];
      cost.at[r] += weight * (error * error);
    }
  }
  best.keep(choice, cost);
}

// The scale that suits the codes of `choice` best: sum(w v q) / sum(w q^2).
inline Choice refitted(const Lanes* values, const float* weights, const BlockGrid& grid,
                       const Choice& choice) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const Lanes inverse = reciprocal(choice.scale);
  Lanes product = filled(0.0F);
  Lanes square = filled(0.0F);
  for (std::size_t j = 0; j < grid.block; ++j) {
    const float weight = weights[j];
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float zero = choice.zero.at[r];
      const float value = values[j].at[r];
      const float code = nearest(limited(value * inverse.at[r], -zero, last - zero));
      product.at[r] += weight * (value * code);
      square.at[r] += weight * (code * code);
    }
  }
  Choice fitted = choice;
  for (std::size_t r = 0; r < kLanes; ++r) {
    fitted.scale.at[r] = square.at[r] > 0.0F ? product.at[r] / square.at[r] : choice.scale.at[r];
  }
  return fitted;
}

// `choice` with zero points moved by `shift`, kept within the codes.
inline Choice shifted(const Choice& choice, const BlockGrid& grid, float shift) {
  const auto last = static_cast<float>(grid.levels() - 1);
  Choice other = choice;
  for (std::size_t r = 0; r < kLanes; ++r) {
    other.zero.at[r] = limited(choice.zero.at[r] + shift, 0.0F, last);
  }
  return other;
}

}  // namespace omnilive::quantizing
