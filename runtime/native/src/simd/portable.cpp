// The inner loops in plain C++: the reference of every other version, and what runs where there is
// none.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "half.hpp"
#include "simd/primitives.hpp"

namespace omnilive {
namespace {

using Lanes = std::array<float, kProductLanes>;

float sum_pairwise(Lanes& lanes) {
  for (std::size_t width = kProductLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) {
      lanes[i] += lanes[i + width];
    }
  }
  return lanes[0];
}

template <typename Scalar>
void products(const float* query, const Scalar* rows, std::size_t count, std::size_t width,
              Products* out) {
  for (std::size_t r = 0; r < count; ++r, rows += width) {
    Lanes dot{};
    Lanes squares{};
    for (std::size_t i = 0; i < width; i += kProductLanes) {
      const std::size_t lanes = std::min(kProductLanes, width - i);
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const float value = widen(rows[i + lane]);
        dot[lane] += query[i + lane] * value;
        squares[lane] += value * value;
      }
    }
    out[r] = {sum_pairwise(dot), sum_pairwise(squares)};
  }
}

void products_f32(const float* query, const float* rows, std::size_t count, std::size_t width,
                  Products* out) {
  products(query, rows, count, width, out);
}

void products_f16(const float* query, const std::uint16_t* rows, std::size_t count,
                  std::size_t width, Products* out) {
  static_assert(sizeof(Half) == sizeof(std::uint16_t));
  products(query, reinterpret_cast<const Half*>(rows), count, width, out);
}

std::uint64_t sum_words(const std::uint64_t* words, std::size_t count) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += words[i];
  }
  return sum;
}

void blend(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
           std::size_t count, int shift, std::uint8_t* out, std::size_t n) {
  constexpr std::size_t kChunk = 64;  // sums kept on the stack
  std::array<std::int32_t, kChunk> sums;
  for (std::size_t at = 0; at < n; at += kChunk) {
    const std::size_t bytes = std::min(kChunk, n - at);
    sums.fill(1 << (shift - 1));
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint8_t* row = rows + i * stride + at;
      const std::int32_t weight = weights[i];
      for (std::size_t b = 0; b < bytes; ++b) {
        sums[b] += row[b] * weight;
      }
    }
    for (std::size_t b = 0; b < bytes; ++b) {
      out[at + b] = static_cast<std::uint8_t>(std::clamp(sums[b] >> shift, 0, 255));
    }
  }
}

void transpose(const std::uint8_t* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
               std::uint8_t* out, std::size_t out_stride) {
  constexpr std::size_t kTile = 16;  // lines of a tile stay in the first-level cache
  for (std::size_t r0 = 0; r0 < rows; r0 += kTile) {
    for (std::size_t c = 0; c < columns; ++c) {
      for (std::size_t r = r0; r < std::min(r0 + kTile, rows); ++r) {
        out[c * out_stride + r] = in[r * in_stride + c];
      }
    }
  }
}

void planes(const std::uint8_t* rgb, std::size_t count, const float* scale, const float* offset,
            float* out) {
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t i = 0; i < count; ++i) {
      *out++ = static_cast<float>(rgb[3 * i + channel]) * scale[channel] + offset[channel];
    }
  }
}

bool block_maxima(const float* values, std::size_t count, float* maxima) {
  bool finite = true;
  for (std::size_t at = 0; at < count; at += kMaximaBlock) {
    float largest = -std::numeric_limits<float>::infinity();
    for (std::size_t i = at; i < std::min(at + kMaximaBlock, count); ++i) {
      finite = finite && std::isfinite(values[i]);
      largest = std::max(largest, values[i]);
    }
    *maxima++ = largest;
  }
  return finite;
}

}  // namespace

const Primitives kPortablePrimitives = {products_f32, products_f16, sum_words,   blend,
                                        transpose,    planes,       block_maxima};

}  // namespace omnilive
