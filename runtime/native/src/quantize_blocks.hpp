// Block quantization of weight rows: round-to-nearest, half-quadratic, calibrated.
//
// Rows are independent of each other and are dealt out to threads; results are the same to the bit
// for every number of threads and instruction set.
#pragma once

#include <cstddef>
#include <span>

#include "quantize_grid.hpp"

namespace omnilive {

// To the nearest code of a grid that holds each block's extremes.
QuantizedRows quantize_nearest(const WeightRows& weights, const BlockGrid& grid,
                               std::size_t threads);

// Half-quadratic quantization (Badri and Shaji, 2023): the grid that fits the weights in the l_1/2
// norm, found by alternately taking outlying errors out of the weights and fitting the grid to
// what is left in closed form.
QuantizedRows quantize_half_quadratic(const WeightRows& weights, const BlockGrid& grid,
                                      std::size_t threads);

// Second moments of the inputs that the weights are multiplied with, in groups of `width` columns
// that are taken as uncorrelated with each other.
struct Feedback {
  // [groups, width, width]: the upper Cholesky factors of the inverse second moments.
  std::span<const float> factors;
  std::size_t width;
};

// The grid and codes that change the outputs least: scales are searched for, and each column's
// error is made up for by the columns after it in its group (GPTQ, Frantar et al., 2022).
QuantizedRows quantize_calibrated(const WeightRows& weights, const BlockGrid& grid,
                                  const Feedback& feedback, std::size_t threads);

}  // namespace omnilive
