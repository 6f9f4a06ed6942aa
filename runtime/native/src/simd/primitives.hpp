// The inner loops that have a version per instruction set. Every version gives the same bits: the
// order of floating-point additions is part of each contract, and products are never fused.
//
// A version is compiled for processors this program may not run on, so the files that implement
// them include nothing with inline code that the linker could share with the rest.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/isa.hpp"

namespace omnilive {

// Independent partial sums of Products: lane i adds elements i, i + 32, i + 64, … in order. The
// lanes are then added pairwise: i with i + 16, with i + 8, … with i + 1.
inline constexpr std::size_t kProductLanes = 32;

// How far ahead of a pass over memory its bytes are asked for: a page, where the hardware's own
// prefetchers stop.
inline constexpr std::size_t kAhead = 4096;

// Values of which block_maxima tells the largest, but for the last block, which may be shorter.
inline constexpr std::size_t kMaximaBlock = 64;

// What the cosine of a row is made of: query · row and row · row, in float32.
struct Products {
  float dot;
  float squares;
};

struct Primitives {
  // Products of `query` [width] with each row of row-major [count, width].
  void (*products_f32)(const float* query, const float* rows, std::size_t count, std::size_t width,
                       Products* out);
  // The same for rows of IEEE binary16, widened exactly.
  void (*products_f16)(const float* query, const std::uint16_t* rows, std::size_t count,
                       std::size_t width, Products* out);
  // Sum of `count` words modulo 2^64: the least that reads every byte.
  std::uint64_t (*sum_words)(const std::uint64_t* words, std::size_t count);
  // out[b] = (Σ weights[i] * rows[i * stride + b] + 2^(shift-1)) >> shift, clipped to 0..255, for
  // b < n. The sums must fit in 31 bits. Nothing beyond byte n of a row is read.
  void (*blend)(const std::uint8_t* rows, std::size_t stride, const std::int16_t* weights,
                std::size_t count, int shift, std::uint8_t* out, std::size_t n);
  // Bytes [rows, columns] at `in_stride` to [columns, rows] at `out_stride`.
  void (*transpose)(const std::uint8_t* in, std::size_t in_stride, std::size_t rows,
                    std::size_t columns, std::uint8_t* out, std::size_t out_stride);
  // out[c * count + i] = rgb[3 * i + c] * scale[c] + offset[c], for i < count and three channels c.
  void (*planes)(const std::uint8_t* rgb, std::size_t count, const float* scale,
                 const float* offset, float* out);
  // Writes the largest of each kMaximaBlock values. False, and maxima without meaning, when one of
  // the values is infinite or not a number.
  bool (*block_maxima)(const float* values, std::size_t count, float* maxima);
};

// The versions of one instruction set. Throws std::invalid_argument when it is not usable here.
const Primitives& primitives(Isa isa);

// What primitives() chooses from; each file defines its own.
extern const Primitives kPortablePrimitives;
#if defined(__x86_64__)
extern const Primitives kAvx2Primitives;
extern const Primitives kAvx512Primitives;
#elif defined(__aarch64__)
extern const Primitives kNeonPrimitives;
#endif

}  // namespace omnilive
