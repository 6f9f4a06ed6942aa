// The inner loops for AVX2 with F16C. See simd/primitives.hpp for what this file may include.
#include <immintrin.h>

#include <cstring>

#include "simd/primitives.hpp"

namespace omnilive {
namespace {

// Asks for the `bytes` that a pass in order comes to kAhead bytes after `at`. The address may lie
// beyond the end: a prefetch never faults.
inline void prefetch(const void* at, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(at) + kAhead;
  for (std::size_t line = 0; line < bytes; line += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(address + line), _MM_HINT_T0);
  }
}

// 32 lanes of two sums.
struct Sums {
  __m256 dot[4];
  __m256 squares[4];
};

inline void clear(Sums& sums) {
  for (int i = 0; i < 4; ++i) {
    sums.dot[i] = _mm256_setzero_ps();
    sums.squares[i] = _mm256_setzero_ps();
  }
}

inline void add(Sums& sums, int i, __m256 query, __m256 value) {
  sums.dot[i] = _mm256_add_ps(sums.dot[i], _mm256_mul_ps(query, value));
  sums.squares[i] = _mm256_add_ps(sums.squares[i], _mm256_mul_ps(value, value));
}

inline float sum_pairwise(const __m256* lanes) {
  const __m256 eight =
      _mm256_add_ps(_mm256_add_ps(lanes[0], lanes[2]), _mm256_add_ps(lanes[1], lanes[3]));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline __m256 load(const float* at) { return _mm256_loadu_ps(at); }

inline __m256 load(const std::uint16_t* at) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
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
      for (int i = 0; i < 4; ++i) {
        add(sums, i, load(query + at + 8 * i), load(rows + at + 8 * i));
      }
    }
    if (rest != 0) {
      Scalar row_rest[kProductLanes] = {};
      std::memcpy(row_rest, rows + whole, rest * sizeof(Scalar));
      for (int i = 0; i < 4; ++i) {
        add(sums, i, load(query_rest + 8 * i), load(row_rest + 8 * i));
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
  __m256i sums[4] = {};
  std::size_t at = 0;
  for (; at + 16 <= count; at += 16) {
    prefetch(words + at, 16 * sizeof(std::uint64_t));
    for (int i = 0; i < 4; ++i) {
      sums[i] = _mm256_add_epi64(
          sums[i], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words + at + 4 * i)));
    }
  }
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(
      reinterpret_cast<__m256i*>(lanes),
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3])));
  std::uint64_t sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; at < count; ++at) {
    sum += words[at];
  }
  return sum;
}

inline __m256i load_bytes(const std::uint8_t* at) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
}

// Adds two rows by their weights, the first one's in the low half of each 32 bits of `weights`.
inline void add_pair(__m256i* sums, __m256i first, __m256i second, __m256i weights) {
  const __m256i zero = _mm256_setzero_si256();
  const __m256i low = _mm256_unpacklo_epi8(first, second);
  const __m256i high = _mm256_unpackhi_epi8(first, second);
  const __m256i quarters[4] = {_mm256_unpacklo_epi8(low, zero), _mm256_unpackhi_epi8(low, zero),
                               _mm256_unpacklo_epi8(high, zero), _mm256_unpackhi_epi8(high, zero)};
  for (int q = 0; q < 4; ++q) {
    sums[q] = _mm256_add_epi32(sums[q], _mm256_madd_epi16(quarters[q], weights));
  }
}

// Bytes [0, 32) of the rows: two taps at a time, since VPMADDWD adds neighbouring products.
inline __m256i blend_32(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
                        std::size_t count, int shift) {
  __m256i sums[4];
  for (__m256i& sum : sums) {
    sum = _mm256_set1_epi32(1 << (shift - 1));
  }
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    std::int32_t pair = 0;  // read as one: a broadcast from memory takes no shuffle
    std::memcpy(&pair, weights + i, sizeof(pair));
    add_pair(sums, load_bytes(rows + i * stride), load_bytes(rows + (i + 1) * stride),
             _mm256_set1_epi32(pair));
  }
  if (i < count) {
    add_pair(sums, load_bytes(rows + i * stride), _mm256_setzero_si256(),
             _mm256_set1_epi32(static_cast<std::uint16_t>(weights[i])));
  }
  const __m128i bits = _mm_cvtsi32_si128(shift);
  for (__m256i& sum : sums) {
    sum = _mm256_sra_epi32(sum, bits);
  }
  return _mm256_packus_epi16(_mm256_packs_epi32(sums[0], sums[1]),
                             _mm256_packs_epi32(sums[2], sums[3]));
}

void blend(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
           std::size_t count, int shift, std::uint8_t* out, std::size_t n) {
  if (n < 32) {
    kPortablePrimitives.blend(rows, stride, weights, count, shift, out, n);
    return;
  }
  for (std::size_t at = 0; at < n; at += 32) {
    // The last 32 bytes overlap those before rather than pass the end.
    const std::size_t from = at + 32 <= n ? at : n - 32;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + from),
                        blend_32(rows + from, stride, weights, count, shift));
  }
}

// Two tiles of 16x16 side by side: interleaving row i with row i + 8 four times over transposes
// each 128-bit half.
inline void transpose_16x32(const std::uint8_t* in, std::size_t in_stride, std::uint8_t* out,
                            std::size_t out_stride) {
  __m256i a[16];
  __m256i b[16];
  for (std::size_t r = 0; r < 16; ++r) {
    a[r] = load_bytes(in + r * in_stride);
  }
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = _mm256_unpacklo_epi8(a[i], a[i + 8]);
      b[2 * i + 1] = _mm256_unpackhi_epi8(a[i], a[i + 8]);
    }
    for (int i = 0; i < 8; ++i) {
      a[2 * i] = _mm256_unpacklo_epi8(b[i], b[i + 8]);
      a[2 * i + 1] = _mm256_unpackhi_epi8(b[i], b[i + 8]);
    }
  }
  for (std::size_t c = 0; c < 16; ++c) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + c * out_stride),
                     _mm256_castsi256_si128(a[c]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (c + 16) * out_stride),
                     _mm256_extracti128_si256(a[c], 1));
  }
}

void transpose(const std::uint8_t* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
               std::uint8_t* out, std::size_t out_stride) {
  const std::size_t whole_rows = rows - rows % 16;
  const std::size_t whole_columns = columns - columns % 32;
  for (std::size_t c = 0; c < whole_columns; c += 32) {
    for (std::size_t r = 0; r < whole_rows; r += 16) {
      transpose_16x32(in + r * in_stride + c, in_stride, out + c * out_stride + r, out_stride);
    }
  }
  const auto edge = kPortablePrimitives.transpose;
  edge(in + whole_columns, in_stride, whole_rows, columns - whole_columns,
       out + whole_columns * out_stride, out_stride);
  edge(in + whole_rows * in_stride, in_stride, rows - whole_rows, columns, out + whole_rows,
       out_stride);
}

// The bytes of one channel of eight pixels. The pixels lie in 24 bytes, which two loads of 16
// cover; the table says where channel 0 is in each, and the others are one and two bytes further.
inline __m128i channel_of_8(const std::uint8_t* rgb, char channel) {
  // Bytes that the other load gives; a negative index gives 0, also after adding the channel.
  constexpr char no = -128;
  const __m128i shift = _mm_set1_epi8(channel);
  const __m128i in_first = _mm_add_epi8(
      _mm_setr_epi8(0, 3, 6, 9, 12, no, no, no, no, no, no, no, no, no, no, no), shift);
  const __m128i in_second = _mm_add_epi8(
      _mm_setr_epi8(no, no, no, no, no, 7, 10, 13, no, no, no, no, no, no, no, no), shift);
  const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rgb));
  const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rgb + 8));
  return _mm_or_si128(_mm_shuffle_epi8(first, in_first), _mm_shuffle_epi8(second, in_second));
}

void planes(const std::uint8_t* rgb, std::size_t count, const float* scale, const float* offset,
            float* out) {
  const std::size_t whole = count - count % 8;
  for (std::size_t channel = 0; channel < 3; ++channel, out += count) {
    const __m256 by = _mm256_set1_ps(scale[channel]);
    const __m256 from = _mm256_set1_ps(offset[channel]);
    for (std::size_t i = 0; i < whole; i += 8) {
      const __m128i bytes = channel_of_8(rgb + 3 * i, static_cast<char>(channel));
      const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
      _mm256_storeu_ps(out + i, _mm256_add_ps(_mm256_mul_ps(values, by), from));
    }
    for (std::size_t i = whole; i < count; ++i) {
      out[i] = static_cast<float>(rgb[3 * i + channel]) * scale[channel] + offset[channel];
    }
  }
}

bool block_maxima(const float* values, std::size_t count, float* maxima) {
  // x - x is 0 for a finite x and NaN for any other.
  __m256 odd = _mm256_setzero_ps();
  std::size_t at = 0;
  for (; at + kMaximaBlock <= count; at += kMaximaBlock) {
    __m256 largest = _mm256_loadu_ps(values + at);
    odd = _mm256_or_ps(odd, _mm256_sub_ps(largest, largest));
    for (std::size_t i = 8; i < kMaximaBlock; i += 8) {
      const __m256 x = _mm256_loadu_ps(values + at + i);
      odd = _mm256_or_ps(odd, _mm256_sub_ps(x, x));
      largest = _mm256_max_ps(largest, x);
    }
    const __m128 four =
        _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    *maxima++ = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
  }
  const bool finite =
      _mm256_movemask_ps(_mm256_cmp_ps(odd, _mm256_setzero_ps(), _CMP_UNORD_Q)) == 0;
  return kPortablePrimitives.block_maxima(values + at, count - at, maxima) && finite;
}

}  // namespace

const Primitives kAvx2Primitives = {products_f32, products_f16, sum_words,   blend,
                                    transpose,    planes,       block_maxima};

}  // namespace omnilive
