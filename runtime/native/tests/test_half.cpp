// Tests widening of binary16 against the definition of the format, for all 65,536 values.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "check.hpp"
#include "half.hpp"

using omnilive::Half;
using omnilive::test::check;

namespace {

// The value by the format's definition: sign, 5 exponent bits with bias 15, 10 mantissa bits.
float by_definition(std::uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  if (exponent == 31) {
    return mantissa == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  if (exponent == 0) {
    return sign * std::ldexp(static_cast<float>(mantissa), -24);
  }
  return sign * std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
}

void every_value_widens_exactly() {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float expected = by_definition(half);
    const float actual = omnilive::widen(Half{half});
    const bool same = std::isnan(expected) ? std::isnan(actual)
                                           : std::bit_cast<std::uint32_t>(expected) ==
                                                 std::bit_cast<std::uint32_t>(actual);
    check(same, "bits " + std::to_string(bits) + " gave " + std::to_string(actual));
  }
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"every binary16 value, subnormals and infinities too, widens exactly",
       every_value_widens_exactly},
  });
}
