// IEEE binary16 as stored by engines and NumPy: widening only, since nothing here writes it.
#pragma once

#include <bit>
#include <cstdint>

namespace omnilive {

// A binary16 value by its bits.
struct Half {
  std::uint16_t bits;
};

// The float32 of the same value; infinities and NaNs stay what they are. Integer and float
// operations only, without a branch, so that loops over it vectorize on every target.
inline float widen(Half value) {
  const std::uint32_t magnitude = (value.bits & 0x7fffU) << 13U;
  const std::uint32_t sign = (value.bits & 0x8000U) << 16U;
  const std::uint32_t special = magnitude >= 0x0f800000U ? 0x7f800000U : 0U;
  // The exponent is rebased by a multiplication because that also normalizes subnormals.
  const float rebased = std::bit_cast<float>(magnitude) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(rebased) | special | sign);
}

inline float widen(float value) { return value; }

}  // namespace omnilive
