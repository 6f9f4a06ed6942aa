// The inner loops for NEON (Advanced SIMD), which every AArch64 has.
#include <arm_neon.h>

#include <cstring>

#include "simd/primitives.hpp"

namespace omnilive {
namespace {

// Asks for the `bytes` that a pass in order comes to kAhead bytes after `at`. The address may lie
// beyond the end: a prefetch never faults.
inline void prefetch(const void* at, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(at) + kAhead;
  for (std::size_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch(reinterpret_cast<const char*>(address + line));
  }
}

// 32 lanes of two sums.
struct Sums {
  float32x4_t dot[8];
  float32x4_t squares[8];
};

inline void clear(Sums& sums) {
  for (int i = 0; i < 8; ++i) {
    sums.dot[i] = vdupq_n_f32(0.0F);
    sums.squares[i] = vdupq_n_f32(0.0F);
  }
}

inline void add(Sums& sums, int i, float32x4_t query, float32x4_t value) {
  sums.dot[i] = vaddq_f32(sums.dot[i], vmulq_f32(query, value));
  sums.squares[i] = vaddq_f32(sums.squares[i], vmulq_f32(value, value));
}

inline float sum_pairwise(const float32x4_t* lanes) {
  float32x4_t eight[2];
  for (int i = 0; i < 2; ++i) {
    eight[i] = vaddq_f32(vaddq_f32(lanes[i], lanes[i + 4]), vaddq_f32(lanes[i + 2], lanes[i + 6]));
  }
  const float32x4_t four = vaddq_f32(eight[0], eight[1]);
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

inline float32x4_t load(const float* at) { return vld1q_f32(at); }

inline float32x4_t load(const std::uint16_t* at) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(at)));
}

template <typename Scalar>
void products(const float* query, const Scalar* rows, std::size_t count, std::size_t width,
              Products* out) {
  const std::size_t whole = width - width % kProductLanes;
  const std::size_t rest = width - whole;
  // What is left of the query and of a row, filled up with zeros, which add nothing.
  float query_rest[kProductLanes] = {};
  std::memcpy(query_rest, query + whole, rest * sizeof(float));
  for (std::size_t r = 0; r < count; ++r, rows += width) {
    Sums sums;
    clear(sums);
    for (std::size_t at = 0; at < whole; at += kProductLanes) {
      prefetch(rows + at, kProductLanes * sizeof(Scalar));
      for (int i = 0; i < 8; ++i) {
        add(sums, i, load(query + at + 4 * i), load(rows + at + 4 * i));
      }
    }
    if (rest != 0) {
      Scalar row_rest[kProductLanes] = {};
      std::memcpy(row_rest, rows + whole, rest * sizeof(Scalar));
      for (int i = 0; i < 8; ++i) {
        add(sums, i, load(query_rest + 4 * i), load(row_rest + 4 * i));
      }
    }
    out[r].dot = sum_pairwise(sums.dot);
    out[r].squares = sum_pairwise(sums.squares);
  }
}

void products_f32(const float* query, const float* rows, std::size_t count, std::size_t width,
                  Products* out) {
  products(query, rows, count, width, out);
}

void products_f16(const float* query, const std::uint16_t* rows, std::size_t count,
                  std::size_t width, Products* out) {
  products(query, rows, count, width, out);
}

std::uint64_t sum_words(const std::uint64_t* words, std::size_t count) {
  uint64x2_t sums[4] = {};
  std::size_t at = 0;
  for (; at + 8 <= count; at += 8) {
    prefetch(words + at, 8 * sizeof(std::uint64_t));
    for (int i = 0; i < 4; ++i) {
      sums[i] = vaddq_u64(sums[i], vld1q_u64(words + at + 2 * i));
    }
  }
  std::uint64_t sum =
      vaddvq_u64(vaddq_u64(vaddq_u64(sums[0], sums[1]), vaddq_u64(sums[2], sums[3])));
  for (; at < count; ++at) {
    sum += words[at];
  }
  return sum;
}

// Bytes [0, 16) of the rows.
inline uint8x16_t blend_16(const std::uint8_t* rows, std::size_t stride,
                           const std::int16_t* weights, std::size_t count, int32x4_t down,
                           int32x4_t half) {
  int32x4_t sums[4] = {half, half, half, half};
  for (std::size_t i = 0; i < count; ++i) {
    const uint8x16_t row = vld1q_u8(rows + i * stride);
    const int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(row)));
    const int16x8_t high = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(row)));
    const std::int16_t weight = weights[i];
    sums[0] = vmlal_n_s16(sums[0], vget_low_s16(low), weight);
    sums[1] = vmlal_n_s16(sums[1], vget_high_s16(low), weight);
    sums[2] = vmlal_n_s16(sums[2], vget_low_s16(high), weight);
    sums[3] = vmlal_n_s16(sums[3], vget_high_s16(high), weight);
  }
  for (int32x4_t& sum : sums) {
    sum = vshlq_s32(sum, down);
  }
  return vcombine_u8(vqmovun_s16(vcombine_s16(vqmovn_s32(sums[0]), vqmovn_s32(sums[1]))),
                     vqmovun_s16(vcombine_s16(vqmovn_s32(sums[2]), vqmovn_s32(sums[3]))));
}

void blend(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
           std::size_t count, int shift, std::uint8_t* out, std::size_t n) {
  if (n < 16) {
    kPortablePrimitives.blend(rows, stride, weights, count, shift, out, n);
    return;
  }
  const int32x4_t down = vdupq_n_s32(-shift);  // a shift to the left by less than nothing
  const int32x4_t half = vdupq_n_s32(1 << (shift - 1));
  for (std::size_t at = 0; at < n; at += 16) {
    // The last 16 bytes overlap those before rather than pass the end.
    const std::size_t from = at + 16 <= n ? at : n - 16;
    vst1q_u8(out + from, blend_16(rows + from, stride, weights, count, down, half));
  }
}

// Interleaving row i with row i + 8 four times over transposes a tile of 16x16.
inline void transpose_16x16(const std::uint8_t* in, std::size_t in_stride, std::uint8_t* out,
                            std::size_t out_stride) {
  uint8x16_t a[16];
  uint8x16_t b[16];
  for (std::size_t r = 0; r < 16; ++r) {
    a[r] = vld1q_u8(in + r * in_stride);
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = vzip1q_u8(a[i], a[i + 8]);
      b[2 * i + 1] = vzip2q_u8(a[i], a[i + 8]);
    }
    for (int i = 0; i < 8; ++i) {
      a[2 * i] = vzip1q_u8(b[i], b[i + 8]);
      a[2 * i + 1] = vzip2q_u8(b[i], b[i + 8]);
    }
  }
  for (std::size_t c = 0; c < 16; ++c) {
    vst1q_u8(out + c * out_stride, a[c]);
  }
}

void transpose(const std::uint8_t* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
               std::uint8_t* out, std::size_t out_stride) {
  const std::size_t whole_rows = rows - rows % 16;
  const std::size_t whole_columns = columns - columns % 16;
  for (std::size_t c = 0; c < whole_columns; c += 16) {
    for (std::size_t r = 0; r < whole_rows; r += 16) {
      transpose_16x16(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    }
  }
  const auto edge = kPortablePrimitives.transpose;
  edge(in + whole_columns, in_stride, whole_rows, columns - whole_columns,
       out + whole_columns * out_stride, out_stride);
  edge(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns, out + whole_rows,
       out_stride);
}

inline float32x4_t scaled(uint16x4_t values, float scale, float offset) {
  return vaddq_f32(vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(values)), scale), vdupq_n_f32(offset));
}

void planes(const std::uint8_t* rgb, std::size_t count, const float* scale, const float* offset,
            float* out) {
  const std::size_t whole = count - count % 8;
  for (std::size_t i = 0; i < whole; i += 8) {
    const uint8x8x3_t pixels = vld3_u8(rgb + 3 * i);
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const uint16x8_t values = vmovl_u8(pixels.val[channel]);
      float* at = out + channel * count + i;
      vst1q_f32(at, scaled(vget_low_u16(values), scale[channel], offset[channel]));
      vst1q_f32(at + 4, scaled(vget_high_u16(values), scale[channel], offset[channel]));
    }
  }
  for (std::size_t channel = 0; channel < 3; ++channel) {
    for (std::size_t i = whole; i < count; ++i) {
      out[channel * count + i] =
          static_cast<float>(rgb[3 * i + channel]) * scale[channel] + offset[channel];
    }
  }
}

bool block_maxima(const float* values, std::size_t count, float* maxima) {
  // x - x is 0 for a finite x and NaN for any other, and a NaN is not equal to itself.
  uint32x4_t finite = vdupq_n_u32(~0U);
  std::size_t at = 0;
  for (; at + kMaximaBlock <= count; at += kMaximaBlock) {
    float32x4_t largest = vld1q_f32(values + at);
    for (std::size_t i = 0; i < kMaximaBlock; i += 4) {
      const float32x4_t x = vld1q_f32(values + at + i);
      const float32x4_t difference = vsubq_f32(x, x);
      finite = vandq_u32(finite, vceqq_f32(difference, difference));
      largest = vmaxq_f32(largest, x);
    }
    *maxima++ = vmaxvq_f32(largest);
  }
  const bool rest = kPortablePrimitives.block_maxima(values + at, count - at, maxima);
  return rest && vminvq_u32(finite) != 0;
}

}  // namespace

const Primitives kNeonPrimitives = {products_f32, products_f16, sum_words,   blend,
                                    transpose,    planes,       block_maxima};

}  // namespace omnilive
