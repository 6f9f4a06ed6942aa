// The weights of an antialiased filter along one axis, in fixed point. It knows nothing of pixels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace omnilive {

// Cubic convolution with a = -0.5, or a triangle: what Pillow calls BICUBIC and BILINEAR.
enum class Filter { kBicubic, kBilinear };

// The taps of every output position along one axis: windows[o] sources from `first` on, weighted
// by at(o). The weights of a position add up to 1 << shift exactly, so that a flat picture stays
// flat; the sum of 255 times their magnitudes fits in 31 bits.
struct Taps {
  struct Window {
    std::size_t first;
    std::size_t count;
  };
  int shift;
  std::size_t stride;  // weights kept per output position
  std::vector<Window> windows;
  std::vector<std::int16_t> weights;

  [[nodiscard]] const std::int16_t* at(std::size_t out) const { return &weights[out * stride]; }
};

// The stretch of a source that the outputs share equally, in source samples.
struct Stretch {
  double start;
  double length;
};

// The taps from `in` to `out` samples, both at least 1. The filter's support widens with the
// reduction, so that a reduction averages instead of skipping.
Taps make_taps(Filter filter, std::size_t in, std::size_t out, Stretch stretch);

}  // namespace omnilive
