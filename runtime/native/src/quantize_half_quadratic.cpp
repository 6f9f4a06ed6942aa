// Half-quadratic quantization, strip by strip.
#include <array>
#include <cmath>
#include <cstddef>

#include "dispatch.hpp"
#include "quantize_blocks.hpp"
#include "quantize_strip.hpp"
#include "quantize_strips.hpp"
#include "quantize_tile.hpp"

namespace omnilive {
namespace {

using namespace quantizing;

// Fitted on the miniature's weights. Errors are measured in steps of the grid, so that one beta
// suits weights of any size; with p = 1/2 the threshold needs no power but a square root.
constexpr float kBeta = 5.0F;
constexpr float kKappa = 1.01F;  // growth of beta, as in the reference implementation
constexpr std::size_t kIterations = 12;
constexpr std::array kStarts{1.0F, 0.85F};  // of round-to-nearest's scale: one that clips, too

// The part of an error that counts as an outlier: the generalized soft threshold of the l_1/2 norm,
// sign(e) * max(0, |e| - |e|^(-1/2) / beta).
inline float outlying(float error, float beta) {
  const float size = std::abs(error);
  const float left = std::max(size - 1.0F / (beta * std::sqrt(size)), 0.0F);
  return std::copysign(left, error);
}

// Sums over a block of what a step needs: codes q around the zero point, targets t = value in
// steps less the outlying error.
struct Sums {
  Lanes q = filled(0.0F);
  Lanes qq = filled(0.0F);
  Lanes t = filled(0.0F);
  Lanes tq = filled(0.0F);
  Lanes error = filled(0.0F);  // squared, in steps
};

inline Sums sums_of(const Lanes* values, const BlockGrid& grid, const Choice& choice, float beta) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const Lanes inverse = reciprocal(choice.scale);
  Sums sums;
  for (std::size_t j = 0; j < grid.block; ++j) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float zero = choice.zero.at[r];
      const float value = values[j].at[r] * inverse.at[r];
      const float code = nearest(limited(value, -zero, last - zero));
      const float error = value - code;
      const float target = value - outlying(error, beta);
      sums.error.at[r] += error * error;
      sums.q.at[r] += code;
      sums.qq.at[r] += code * code;
      sums.t.at[r] += target;
      sums.tq.at[r] += target * code;
    }
  }
  return sums;
}

// The grid that fits the targets best, codes being what they are: least squares of the targets on
// the codes, the zero point rounded to a code and the scale fitted to that.
inline Choice fitted(const Sums& sums, const BlockGrid& grid, const Choice& choice) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const auto count = static_cast<float>(grid.block);
  Choice next = choice;
  for (std::size_t r = 0; r < kLanes; ++r) {
    float shift = 0.0F;
    if (!grid.symmetric) {
      const float spread = count * sums.qq.at[r] - sums.q.at[r] * sums.q.at[r];
      const float slope = (count * sums.tq.at[r] - sums.q.at[r] * sums.t.at[r]) / spread;
      const float offset = (sums.t.at[r] - slope * sums.q.at[r]) / count;
      const bool usable = spread > 0.0F && slope > 0.0F;
      const float wanted = choice.zero.at[r] - (usable ? offset / slope : 0.0F);
      next.zero.at[r] = nearest(limited(wanted, 0.0F, last));
      shift = next.zero.at[r] - choice.zero.at[r];
    }
    const float tq = sums.tq.at[r] - shift * sums.t.at[r];
    const float qq = sums.qq.at[r] + shift * (shift * count - 2.0F * sums.q.at[r]);
    next.scale.at[r] *= tq > 0.0F && qq > 0.0F ? tq / qq : 1.0F;
  }
  return next;
}

// Alternates from `start`; every grid on the way is a candidate for the least squared error.
inline void alternate(const Lanes* values, const BlockGrid& grid, const Choice& start, Best& best) {
  Choice choice = start;
  float beta = kBeta;
  for (std::size_t i = 0; i < kIterations; ++i) {
    const Sums sums = sums_of(values, grid, choice, beta);
    Lanes cost;
    for (std::size_t r = 0; r < kLanes; ++r) {
      cost.at[r] = sums.error.at[r] * (choice.scale.at[r] * choice.scale.at[r]);
    }
    best.keep(choice, cost);
    choice = fitted(sums, grid, choice);
    beta *= kKappa;
  }
}

OMNILIVE_MULTIVERSION bool half_quadratic_strip(const Strip& strip) {
  const BlockGrid& grid = strip.grid;
  std::array<Lanes, kMaxBlock> values;
  Lanes odd = filled(0.0F);
  for (std::size_t b = 0; b < grid.blocks(strip.width); ++b) {
    load(strip, b * grid.block, grid.block, values.data(), odd);
    const Choice start = nearest_choice(range_of(values.data(), grid.block), grid);
    Best best{start};
    for (const float factor : kStarts) {
      alternate(values.data(), grid, scaled(start, factor), best);
    }
    encode(values.data(), grid, best.choice, values.data());
    store(strip, b, values.data(), best.choice);
  }
  return all_zero(odd);
}

}  // namespace

QuantizedRows quantize_half_quadratic(const WeightRows& weights, const BlockGrid& grid,
                                      std::size_t threads) {
  return over_strips(weights, grid, threads, half_quadratic_strip);
}

}  // namespace omnilive
