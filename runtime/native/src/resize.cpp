// Two passes, one per axis, by one inner loop: columns are resized as rows of a transposed picture.
#include "resize.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "simd/primitives.hpp"

namespace omnilive {
namespace {

constexpr std::size_t kMaxSide = 1 << 16;  // keeps every size computed here far from overflow

// Rows transposed at a time: 180 kB of a picture 1920 pixels wide, which the second-level cache of
// most processors holds, and with three channels whole registers of 32 bytes.
constexpr std::size_t kBlockRows = 32;

// [size.height, size.width, channels], row by row.
struct Plane {
  std::span<const std::uint8_t> bytes;
  Extent size;
  std::size_t channels;
};

void check_sides(Extent in, Extent out) {
  const auto [shortest, longest] = std::minmax({in.height, in.width, out.height, out.width});
  if (shortest == 0 || longest > kMaxSide) {
    throw std::invalid_argument("the sides of a picture have 1 to " + std::to_string(kMaxSide) +
                                " pixels, not " + std::to_string(shortest == 0 ? 0 : longest));
  }
}

// [height, width, channels] -> [height, taps.windows.size(), channels].
std::vector<std::uint8_t> resize_columns(const Plane& plane, const Taps& taps,
                                         const Primitives& simd) {
  const std::size_t in_bytes = plane.size.width * plane.channels;
  const std::size_t out_bytes = taps.windows.size() * plane.channels;
  std::vector<std::uint8_t> narrowed(plane.size.height * out_bytes);
  std::vector<std::uint8_t> columns(in_bytes * kBlockRows);
  std::vector<std::uint8_t> blended(out_bytes * kBlockRows);
  for (std::size_t y = 0; y < plane.size.height; y += kBlockRows) {
    const std::size_t rows = std::min(kBlockRows, plane.size.height - y);
    const std::size_t column = plane.channels * rows;  // bytes of one pixel column of the block
    simd.transpose(&plane.bytes[y * in_bytes], in_bytes, rows, in_bytes, columns.data(), rows);
    for (std::size_t x = 0; x < taps.windows.size(); ++x) {
      const auto [first, count] = taps.windows[x];
      simd.blend(&columns[first * column], column, taps.at(x), count, taps.shift,
                 &blended[x * column], column);
    }
    simd.transpose(blended.data(), rows, out_bytes, rows, &narrowed[y * out_bytes], out_bytes);
  }
  return narrowed;
}

// [height, row] -> [taps.windows.size(), row].
std::vector<std::uint8_t> resize_rows(std::span<const std::uint8_t> bytes, std::size_t row,
                                      const Taps& taps, const Primitives& simd) {
  std::vector<std::uint8_t> resized(taps.windows.size() * row);
  for (std::size_t y = 0; y < taps.windows.size(); ++y) {
    const auto [first, count] = taps.windows[y];
    simd.blend(&bytes[first * row], row, taps.at(y), count, taps.shift, &resized[y * row], row);
  }
  return resized;
}

Stretch all_of(std::size_t samples) { return {0.0, static_cast<double>(samples)}; }

// Rounded to 8 bits and clipped between the passes, as Pillow does.
std::vector<std::uint8_t> resize_both(const Plane& plane, const Taps& columns, const Taps& rows,
                                      const Primitives& simd) {
  const std::vector<std::uint8_t> narrowed = resize_columns(plane, columns, simd);
  return resize_rows(narrowed, columns.windows.size() * plane.channels, rows, simd);
}

constexpr int kColorBits = 16;  // of the fractions in Coefficients

// What luma and the differences of chroma from 128 add to red, green and blue.
struct Coefficients {
  std::int32_t black;
  std::int32_t luma;
  std::int32_t red_v;
  std::int32_t green_u;
  std::int32_t green_v;
  std::int32_t blue_u;
};

Coefficients coefficients(YuvFormat format) {
  // ITU-R BT.601-7 §2.5.1 and BT.709-6 §3.2: the weights of red and blue in luma.
  const double red = format.matrix == YuvMatrix::kBt601 ? 0.299 : 0.2126;
  const double blue = format.matrix == YuvMatrix::kBt601 ? 0.114 : 0.0722;
  const double green = 1.0 - red - blue;
  const double luma = format.full_range ? 1.0 : 255.0 / 219.0;
  const double chroma = format.full_range ? 1.0 : 255.0 / 224.0;
  const auto fixed = [](double x) {
    return static_cast<std::int32_t>(std::lround(std::ldexp(x, kColorBits)));
  };
  return {.black = format.full_range ? 0 : 16,
          .luma = fixed(luma),
          .red_v = fixed(2.0 * (1.0 - red) * chroma),
          .green_u = fixed(-2.0 * blue * (1.0 - blue) / green * chroma),
          .green_v = fixed(-2.0 * red * (1.0 - red) / green * chroma),
          .blue_u = fixed(2.0 * (1.0 - blue) * chroma)};
}

std::uint8_t to_pixel(std::int32_t color) {
  return static_cast<std::uint8_t>(std::clamp(color >> kColorBits, 0, 255));
}

std::vector<std::uint8_t> to_rgb(const std::vector<std::uint8_t>& luma,
                                 const std::vector<std::uint8_t>& chroma, YuvFormat format) {
  const Coefficients by = coefficients(format);
  std::vector<std::uint8_t> rgb(luma.size() * 3);
  for (std::size_t i = 0; i < luma.size(); ++i) {
    const std::int32_t y = (luma[i] - by.black) * by.luma + (1 << (kColorBits - 1));
    const std::int32_t u = chroma[2 * i] - 128;
    const std::int32_t v = chroma[2 * i + 1] - 128;
    rgb[3 * i] = to_pixel(y + v * by.red_v);
    rgb[3 * i + 1] = to_pixel(y + u * by.green_u + v * by.green_v);
    rgb[3 * i + 2] = to_pixel(y + u * by.blue_u);
  }
  return rgb;
}

}  // namespace

std::vector<std::uint8_t> resize_rgb(std::span<const std::uint8_t> pixels, Extent in, Extent out,
                                     Filter filter, Isa isa) {
  check_sides(in, out);
  if (pixels.size() != in.height * in.width * 3) {
    throw std::invalid_argument("the pixels are not height * width * 3 bytes");
  }
  const Primitives& simd = primitives(isa);
  // An axis that keeps its size keeps its samples.
  std::vector<std::uint8_t> narrowed;
  if (in.width != out.width) {
    const Taps taps = make_taps(filter, in.width, out.width, all_of(in.width));
    narrowed = resize_columns({pixels, in, 3}, taps, simd);
    if (in.height == out.height) {
      return narrowed;
    }
    pixels = narrowed;
  }
  if (in.height == out.height) {
    return {pixels.begin(), pixels.end()};
  }
  const Taps taps = make_taps(filter, in.height, out.height, all_of(in.height));
  return resize_rows(pixels, out.width * 3, taps, simd);
}

std::vector<std::uint8_t> resize_nv12(std::span<const std::uint8_t> luma,
                                      std::span<const std::uint8_t> chroma, Extent in, Extent out,
                                      YuvFormat format, Filter filter, Isa isa) {
  check_sides(in, out);
  const Extent half{(in.height + 1) / 2, (in.width + 1) / 2};
  if (luma.size() != in.height * in.width || chroma.size() != half.height * half.width * 2) {
    throw std::invalid_argument(
        "the planes of NV12 are height * width bytes of luma and as much chroma as half of each,"
        " rounded up, times 2");
  }
  const Primitives& simd = primitives(isa);
  const auto resized_luma =
      resize_both({luma, in, 1}, make_taps(filter, in.width, out.width, all_of(in.width)),
                  make_taps(filter, in.height, out.height, all_of(in.height)), simd);
  // A chroma sample lies on the left one of its two luma columns, and between its two rows.
  const Stretch across{0.25, static_cast<double>(in.width) / 2};
  const Stretch down{0.0, static_cast<double>(in.height) / 2};
  const auto resized_chroma =
      resize_both({chroma, half, 2}, make_taps(filter, half.width, out.width, across),
                  make_taps(filter, half.height, out.height, down), simd);
  return to_rgb(resized_luma, resized_chroma, format);
}

std::vector<float> normalized_planes(std::span<const std::uint8_t> pixels, Extent size,
                                     const std::array<float, 3>& mean,
                                     const std::array<float, 3>& deviation, Isa isa) {
  const std::size_t area = size.height * size.width;
  if (pixels.size() != area * 3) {
    throw std::invalid_argument("the pixels are not height * width * 3 bytes");
  }
  std::array<float, 3> scale{};
  std::array<float, 3> offset{};
  for (std::size_t channel = 0; channel < 3; ++channel) {
    scale[channel] = 1.0F / (255.0F * deviation[channel]);
    offset[channel] = -mean[channel] / deviation[channel];
  }
  std::vector<float> planes(pixels.size());
  primitives(isa).planes(pixels.data(), area, scale.data(), offset.data(), planes.data());
  return planes;
}

}  // namespace omnilive
