// The inner loops for AVX-512 (F, BW, DQ, VL). See simd/primitives.hpp for what this file may
// include.
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

inline __mmask16 first_16(std::size_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffffU : (1U << count) - 1U);
}

inline __mmask64 first_64(std::size_t count) {
  return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

inline __m512 load(const float* at) { return _mm512_loadu_ps(at); }

inline __m512 load(const std::uint16_t* at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}

// The values of a mask, zero elsewhere: zeros add nothing.
inline __m512 load(const float* at, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, at); }

inline __m512 load(const std::uint16_t* at, __mmask16 mask) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, at));
}

inline float sum_pairwise(__m512 low, __m512 high) {
  const __m512 sixteen = _mm512_add_ps(low, high);
  const __m256 eight =
      _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// 32 lanes of two sums.
struct Sums {
  __m512 dot[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  __m512 squares[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
};

inline void add(Sums& sums, int i, __m512 query, __m512 value) {
  sums.dot[i] = _mm512_add_ps(sums.dot[i], _mm512_mul_ps(query, value));
  sums.squares[i] = _mm512_add_ps(sums.squares[i], _mm512_mul_ps(value, value));
}

template <typename Scalar>
void products(const float* query, const Scalar* rows, std::size_t count, std::size_t width,
              Products* out) {
  const std::size_t whole = width - width % kProductLanes;
  const std::size_t rest = width - whole;
  const __mmask16 low = first_16(rest);
  const __mmask16 high = first_16(rest > 16 ? rest - 16 : 0);
  for (std::size_t r = 0; r < count; ++r, rows += width) {
    Sums sums;
    for (std::size_t at = 0; at < whole; at += kProductLanes) {
      prefetch(rows + at, kProductLanes * sizeof(Scalar));
      add(sums, 0, load(query + at), load(rows + at));
      add(sums, 1, load(query + at + 16), load(rows + at + 16));
    }
    if (rest != 0) {
      add(sums, 0, load(query + whole, low), load(rows + whole, low));
      if (high != 0) {
        add(sums, 1, load(query + whole + 16, high), load(rows + whole + 16, high));
      }
    }
    out[r].dot = sum_pairwise(sums.dot[0], sums.dot[1]);
    out[r].squares = sum_pairwise(sums.squares[0], sums.squares[1]);
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
  __m512i sums[4] = {};
  std::size_t at = 0;
  for (; at + 32 <= count; at += 32) {
    prefetch(words + at, 32 * sizeof(std::uint64_t));
    for (int i = 0; i < 4; ++i) {
      sums[i] = _mm512_add_epi64(sums[i], _mm512_loadu_si512(words + at + 8 * i));
    }
  }
  // Added one by one: the compiler's own reduction adds as signed, where an overflow is undefined.
  alignas(64) std::uint64_t lanes[8];
  _mm512_store_si512(lanes, _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]),
                                             _mm512_add_epi64(sums[2], sums[3])));
  std::uint64_t sum = 0;
  for (const std::uint64_t lane : lanes) {
    sum += lane;
  }
  for (; at < count; ++at) {
    sum += words[at];
  }
  return sum;
}

// Adds two rows by their weights, the first one's in the low half of each 32 bits of `weights`.
inline void add_pair(__m512i* sums, __m512i first, __m512i second, __m512i weights) {
  const __m512i zero = _mm512_setzero_si512();
  const __m512i low = _mm512_unpacklo_epi8(first, second);
  const __m512i high = _mm512_unpackhi_epi8(first, second);
  const __m512i quarters[4] = {_mm512_unpacklo_epi8(low, zero), _mm512_unpackhi_epi8(low, zero),
                               _mm512_unpacklo_epi8(high, zero), _mm512_unpackhi_epi8(high, zero)};
  for (int q = 0; q < 4; ++q) {
    sums[q] = _mm512_add_epi32(sums[q], _mm512_madd_epi16(quarters[q], weights));
  }
}

// Bytes of a mask of the rows: two taps at a time, since VPMADDWD adds neighbouring products.
inline __m512i blend_64(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
                        std::size_t count, int shift, __mmask64 mask) {
  __m512i sums[4];
  for (__m512i& sum : sums) {
    sum = _mm512_set1_epi32(1 << (shift - 1));
  }
  std::size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    std::int32_t pair = 0;  // read as one: a broadcast from memory takes no shuffle
    std::memcpy(&pair, weights + i, sizeof(pair));
    add_pair(sums, _mm512_maskz_loadu_epi8(mask, rows + i * stride),
             _mm512_maskz_loadu_epi8(mask, rows + (i + 1) * stride), _mm512_set1_epi32(pair));
  }
  if (i < count) {
    add_pair(sums, _mm512_maskz_loadu_epi8(mask, rows + i * stride), _mm512_setzero_si512(),
             _mm512_set1_epi32(static_cast<std::uint16_t>(weights[i])));
  }
  const __m128i bits = _mm_cvtsi32_si128(shift);
  for (__m512i& sum : sums) {
    sum = _mm512_sra_epi32(sum, bits);
  }
  return _mm512_packus_epi16(_mm512_packs_epi32(sums[0], sums[1]),
                             _mm512_packs_epi32(sums[2], sums[3]));
}

void blend(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
           std::size_t count, int shift, std::uint8_t* out, std::size_t n) {
  for (std::size_t at = 0; at < n; at += 64) {
    const __mmask64 mask = first_64(n - at);
    _mm512_mask_storeu_epi8(out + at, mask,
                            blend_64(rows + at, stride, weights, count, shift, mask));
  }
}

void transpose(const std::uint8_t* in, std::size_t in_stride, std::size_t rows, std::size_t columns,
               std::uint8_t* out, std::size_t out_stride) {
  // Bound by stores of 16 bytes, which wider registers don't make fewer.
  kAvx2Primitives.transpose(in, in_stride, rows, columns, out, out_stride);
}

void planes(const std::uint8_t* rgb, std::size_t count, const float* scale, const float* offset,
            float* out) {
  kAvx2Primitives.planes(rgb, count, scale, offset, out);  // bound by stores, too
}

bool block_maxima(const float* values, std::size_t count, float* maxima) {
  // x - x is 0 for a finite x and NaN for any other.
  __mmask16 odd = 0;
  std::size_t at = 0;
  for (; at + kMaximaBlock <= count; at += kMaximaBlock) {
    const __m512 a = _mm512_loadu_ps(values + at);
    const __m512 b = _mm512_loadu_ps(values + at + 16);
    const __m512 c = _mm512_loadu_ps(values + at + 32);
    const __m512 d = _mm512_loadu_ps(values + at + 48);
    const __m512 differences = _mm512_or_ps(_mm512_or_ps(_mm512_sub_ps(a, a), _mm512_sub_ps(b, b)),
                                            _mm512_or_ps(_mm512_sub_ps(c, c), _mm512_sub_ps(d, d)));
    odd |= _mm512_cmp_ps_mask(differences, _mm512_setzero_ps(), _CMP_UNORD_Q);
    *maxima++ = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d)));
  }
  return kPortablePrimitives.block_maxima(values + at, count - at, maxima) && odd == 0;
}

}  // namespace

const Primitives kAvx512Primitives = {products_f32, products_f16, sum_words,   blend,
                                      transpose,    planes,       block_maxima};

}  // namespace omnilive
