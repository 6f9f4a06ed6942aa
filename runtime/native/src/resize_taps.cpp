// Evaluates the filter around each output position, then rounds to 16 bits.
#include "resize_taps.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace omnilive {
namespace {

// 8 bits of pixel and 2 of headroom for overshoot leave 22 of a 32-bit sum for the weight.
constexpr int kMostShift = 32 - 8 - 2;

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) {
    return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  }
  if (x < 2.0) {
    return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  }
  return 0.0;
}

double triangle(double x) { return std::max(1.0 - std::abs(x), 0.0); }

// The most fraction bits with which every weight fits in 16: a wide filter has small weights, and
// keeps its precision by them.
int shift_for(double largest) {
  int shift = kMostShift;
  while (std::ldexp(largest, shift) > std::numeric_limits<std::int16_t>::max() - 1) {
    --shift;
  }
  return shift;
}

// Rounds weights that add up to 1. What the rounding lost goes to the largest of them.
void round_weights(const double* exact, std::size_t count, int shift, std::int16_t* out) {
  std::int32_t missing = 1 << shift;
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = static_cast<std::int16_t>(std::lround(std::ldexp(exact[i], shift)));
    missing -= out[i];
  }
  std::int16_t& largest = *std::max_element(out, out + count);
  largest = static_cast<std::int16_t>(largest + missing);
}

}  // namespace

Taps make_taps(Filter filter, std::size_t in, std::size_t out, Stretch stretch) {
  const double scale = stretch.length / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double support = (filter == Filter::kBicubic ? 2.0 : 1.0) * widening;

  Taps taps;
  taps.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  taps.windows.resize(out);
  std::vector<double> exact(out * taps.stride);
  double largest = 0.0;
  for (std::size_t o = 0; o < out; ++o) {
    const double center = stretch.start + (static_cast<double>(o) + 0.5) * scale;
    const auto first = static_cast<std::size_t>(std::max(center - support + 0.5, 0.0));
    const auto end = std::min(static_cast<std::size_t>(center + support + 0.5), in);
    double* weights = &exact[o * taps.stride];
    double sum = 0.0;
    for (std::size_t i = first; i < end; ++i) {
      const double x = (static_cast<double>(i) - center + 0.5) / widening;
      weights[i - first] = filter == Filter::kBicubic ? cubic(x) : triangle(x);
      sum += weights[i - first];
    }
    taps.windows[o] = {first, end - first};
    for (std::size_t i = 0; i < end - first; ++i) {
      weights[i] /= sum;
      largest = std::max(largest, std::abs(weights[i]));
    }
  }
  taps.shift = shift_for(largest);
  taps.weights.resize(exact.size());
  for (std::size_t o = 0; o < out; ++o) {
    round_weights(&exact[o * taps.stride], taps.windows[o].count, taps.shift,
                  &taps.weights[o * taps.stride]);
  }
  return taps;
}

}  // namespace omnilive
