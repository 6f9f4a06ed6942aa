// Calibrated quantization, strip by strip.
#include <array>
#include <cstddef>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"
#include "quantize_blocks.hpp"
#include "quantize_search.hpp"
#include "quantize_strip.hpp"
#include "quantize_strips.hpp"

namespace omnilive {
namespace {

using namespace quantizing;

// Scales tried, of round-to-nearest's: a coarser one, and finer ones that clip.
constexpr std::array kFactors{1.05F, 1.0F, 0.95F, 0.9F, 0.85F, 0.8F, 0.75F, 0.7F, 0.65F};
constexpr std::array kShifts{0.0F, -1.0F, 1.0F};  // of the zero point
constexpr int kRefits = 2;

// Searches around round-to-nearest's choice: finer and coarser scales, of both signs where the
// grid is symmetric (it has one code more below 0), other zero points where it is not.
inline Choice searched(const Lanes* values, const float* weights, const BlockGrid& grid) {
  const Choice start = nearest_choice(range_of(values, grid.block), grid);
  Best best{start};
  for (const float factor : kFactors) {
    if (grid.symmetric) {
      consider(values, weights, grid, scaled(start, factor), best);
      consider(values, weights, grid, scaled(start, -factor), best);
    } else {
      for (const float shift : kShifts) {
        consider(values, weights, grid, shifted(scaled(start, factor), grid, shift), best);
      }
    }
  }
  for (int i = 0; i < kRefits; ++i) {
    consider(values, weights, grid, refitted(values, weights, grid, best.choice), best);
  }
  return best.choice;
}

// Takes codes for one block and hands the error of each column on to the columns after it in the
// group, `row` by row of the factors. Leaves the codes in place of the values.
inline void encode_with_feedback(Lanes* values, const Feedback& feedback, const float* factors,
                                 std::size_t begin, const BlockGrid& grid, const Choice& choice) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const Lanes inverse = reciprocal(choice.scale);
  for (std::size_t j = begin; j < begin + grid.block; ++j) {
    const float* row = factors + j * feedback.width;
    const float own = row[j];
    Lanes error;
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float zero = choice.zero.at[r];
      const float value = values[j].at[r];
      const float code = nearest(limited(value * inverse.at[r], -zero, last - zero));
      error.at[r] = (value - code * choice.scale.at[r]) / own;
      values[j].at[r] = code + zero;
    }
    for (std::size_t c = j + 1; c < feedback.width; ++c) {
      const float share = row[c];
      for (std::size_t r = 0; r < kLanes; ++r) {
        values[c].at[r] -= error.at[r] * share;
      }
    }
  }
}

OMNILIVE_MULTIVERSION bool calibrated_strip(const Strip& strip, const Feedback& feedback) {
  const BlockGrid& grid = strip.grid;
  const std::size_t width = feedback.width;
  const std::size_t in_group = width / grid.block;
  std::array<Lanes, kMaxBlock> values;
  std::array<float, kMaxBlock> weights;
  Lanes odd = filled(0.0F);
  for (std::size_t b = 0; b < grid.blocks(strip.width); ++b) {
    const std::size_t begin = b % in_group * grid.block;
    const float* factors = feedback.factors.data() + b / in_group * width * width;
    if (begin == 0) {
      load(strip, b * grid.block, width, values.data(), odd);
      // What an error costs that the columns after it make up for as well as they can.
      for (std::size_t j = 0; j < width; ++j) {
        const float own = factors[j * width + j];
        weights[j] = 1.0F / (own * own);
      }
    }
    const Choice choice = searched(values.data() + begin, weights.data() + begin, grid);
    encode_with_feedback(values.data(), feedback, factors, begin, grid, choice);
    store(strip, b, values.data() + begin, choice);
  }
  return all_zero(odd);
}

}  // namespace

QuantizedRows quantize_calibrated(const WeightRows& weights, const BlockGrid& grid,
                                  const Feedback& feedback, std::size_t threads) {
  const std::size_t width = feedback.width;
  if (width == 0 || width > kMaxBlock || width % grid.block != 0) {
    throw std::invalid_argument("factors are " + std::to_string(width) +
                                " wide, not a multiple of the block up to " +
                                std::to_string(kMaxBlock));
  }
  const std::size_t groups = (weights.width + width - 1) / width;
  if (feedback.factors.size() != groups * width * width) {
    throw std::invalid_argument("rows of " + std::to_string(weights.width) + " weights need " +
                                std::to_string(groups) + " factors");
  }
  return over_strips(weights, grid, threads,
                     [&](const Strip& strip) { return calibrated_strip(strip, feedback); });
}

}  // namespace omnilive
