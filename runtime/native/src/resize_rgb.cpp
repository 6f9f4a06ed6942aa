// The separable resampler: per-axis tap tables in fixed point, then one pass per axis.
#include "resize_rgb.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"

namespace omnilive {
namespace {

constexpr std::size_t kChannels = 3;
constexpr std::size_t kMaxSide = 1 << 16;  // keeps every size computed here far from overflow
constexpr double kSupport = 2.0;           // of the cubic kernel at scale 1, in source pixels
// 8 bits of pixel and 2 of headroom for overshoot leave 22 of a 32-bit sum for the weight.
constexpr int kWeightBits = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

// The taps of every output position along one axis.
struct Taps {
  struct Window {
    std::size_t first;
    std::size_t count;
  };
  std::size_t stride;  // weights per output position
  std::vector<Window> windows;
  std::vector<std::int32_t> weights;

  [[nodiscard]] const std::int32_t* at(std::size_t out) const { return &weights[out * stride]; }
};

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

Taps make_taps(std::size_t in, std::size_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double widening = std::max(scale, 1.0);
  const double support = kSupport * widening;

  Taps taps;
  taps.stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
  taps.windows.resize(out);
  taps.weights.resize(out * taps.stride);
  std::vector<double> exact(taps.stride);
  for (std::size_t o = 0; o < out; ++o) {
    const double center = (static_cast<double>(o) + 0.5) * scale;
    const auto first = static_cast<std::size_t>(std::max(center - support + 0.5, 0.0));
    const auto end = std::min(static_cast<std::size_t>(center + support + 0.5), in);
    double sum = 0.0;
    for (std::size_t i = first; i < end; ++i) {
      const double weight = cubic((static_cast<double>(i) - center + 0.5) * (1.0 / widening));
      exact[i - first] = weight;
      sum += weight;
    }
    taps.windows[o] = {first, end - first};
    for (std::size_t i = 0; i < end - first; ++i) {
      const double weight = exact[i] / sum * static_cast<double>(1 << kWeightBits);
      taps.weights[o * taps.stride + i] =
          static_cast<std::int32_t>(weight + std::copysign(0.5, weight));
    }
  }
  return taps;
}

inline std::uint8_t to_pixel(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

// [height, in_width, 3] -> [height, out_width, 3].
OMNILIVE_MULTIVERSION void resize_columns(const std::uint8_t* in, std::size_t height,
                                          std::size_t in_width, const Taps& taps,
                                          std::uint8_t* out) {
  for (std::size_t y = 0; y < height; ++y) {
    const std::uint8_t* row = in + y * in_width * kChannels;
    for (std::size_t x = 0; x < taps.windows.size(); ++x) {
      const auto [first, count] = taps.windows[x];
      const std::int32_t* weights = taps.at(x);
      const std::uint8_t* pixel = row + first * kChannels;
      std::int32_t red = kHalf;
      std::int32_t green = kHalf;
      std::int32_t blue = kHalf;
      for (std::size_t i = 0; i < count; ++i, pixel += kChannels) {
        red += pixel[0] * weights[i];
        green += pixel[1] * weights[i];
        blue += pixel[2] * weights[i];
      }
      *out++ = to_pixel(red);
      *out++ = to_pixel(green);
      *out++ = to_pixel(blue);
    }
  }
}

// [in_height, row_bytes] -> [out_height, row_bytes].
OMNILIVE_MULTIVERSION void resize_rows(const std::uint8_t* in, std::size_t row_bytes,
                                       const Taps& taps, std::uint8_t* out, std::int32_t* sums) {
  for (std::size_t y = 0; y < taps.windows.size(); ++y, out += row_bytes) {
    const auto [first, count] = taps.windows[y];
    const std::int32_t* weights = taps.at(y);
    std::fill_n(sums, row_bytes, kHalf);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* row = in + (first + i) * row_bytes;
      const std::int32_t weight = weights[i];
      for (std::size_t b = 0; b < row_bytes; ++b) {
        sums[b] += row[b] * weight;
      }
    }
    for (std::size_t b = 0; b < row_bytes; ++b) {
      out[b] = to_pixel(sums[b]);
    }
  }
}

}  // namespace

std::vector<std::uint8_t> resize_rgb(std::span<const std::uint8_t> pixels, Extent in, Extent out) {
  const auto [shortest, longest] = std::minmax({in.height, in.width, out.height, out.width});
  if (shortest == 0 || longest > kMaxSide) {
    throw std::invalid_argument("the sides of a picture have 1 to " + std::to_string(kMaxSide) +
                                " pixels, not " + std::to_string(shortest == 0 ? 0 : longest));
  }
  if (pixels.size() != in.height * in.width * kChannels) {
    throw std::invalid_argument("the pixels are not height * width * 3 bytes");
  }
  // Rounded to 8 bits and clipped between the passes, as Pillow does.
  std::vector<std::uint8_t> narrowed;
  if (in.width != out.width) {
    narrowed.resize(in.height * out.width * kChannels);
    resize_columns(pixels.data(), in.height, in.width, make_taps(in.width, out.width),
                   narrowed.data());
    pixels = narrowed;
  }
  if (in.height == out.height) {
    return {pixels.begin(), pixels.end()};
  }
  const std::size_t row_bytes = out.width * kChannels;
  std::vector<std::uint8_t> resized(out.height * row_bytes);
  std::vector<std::int32_t> sums(row_bytes);
  resize_rows(pixels.data(), row_bytes, make_taps(in.height, out.height), resized.data(),
              sums.data());
  return resized;
}

}  // namespace omnilive
