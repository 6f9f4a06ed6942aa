// Tests that every instruction set this machine runs gives the bits of the portable versions:
// AVX2 and AVX-512 on x86-64, NEON on AArch64.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iostream>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "half.hpp"
#include "resize_taps.hpp"
#include "simd/primitives.hpp"

using omnilive::Isa;
using omnilive::Primitives;
using omnilive::Products;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

const Primitives& portable() { return omnilive::primitives(Isa::kPortable); }

void with_each(const std::function<void(const Primitives&, const std::string&)>& test) {
  for (const Isa isa : omnilive::usable_isas()) {
    test(omnilive::primitives(isa), std::string(name_of(isa)));
  }
}

// Vectors end where their values end, so that the address sanitizer sees a read beyond.
std::vector<std::uint8_t> bytes(std::mt19937& random, std::size_t count) {
  std::vector<std::uint8_t> values(count);
  std::generate(values.begin(), values.end(), [&] { return static_cast<std::uint8_t>(random()); });
  return values;
}

bool same_bits(const std::vector<Products>& a, const std::vector<Products>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), [](const Products& x, const Products& y) {
    return std::bit_cast<std::uint64_t>(x) == std::bit_cast<std::uint64_t>(y);
  });
}

void products_are_the_same() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t width : {1U, 15U, 16U, 17U, 31U, 32U, 33U, 63U, 100U, 1536U}) {
    for (const std::size_t count : {0U, 1U, 2U, 7U}) {
      std::vector<float> query(width);
      std::vector<float> singles(count * width);
      std::vector<std::uint16_t> halves(count * width);
      for (std::vector<float>* values : {&query, &singles}) {
        std::generate(values->begin(), values->end(), [&] { return normal(random); });
      }
      // Finite ones of every exponent, subnormals too.
      std::generate(halves.begin(), halves.end(), [&] {
        const auto half = static_cast<std::uint16_t>(random());
        return (half & 0x7c00U) == 0x7c00U ? std::uint16_t{0x0001} : half;
      });
      std::vector<Products> expected(count);
      std::vector<Products> found(count);
      with_each([&](const Primitives& simd, const std::string& name) {
        portable().products_f32(query.data(), singles.data(), count, width, expected.data());
        simd.products_f32(query.data(), singles.data(), count, width, found.data());
        check(same_bits(expected, found), name + ", float32, width " + std::to_string(width));
        portable().products_f16(query.data(), halves.data(), count, width, expected.data());
        simd.products_f16(query.data(), halves.data(), count, width, found.data());
        check(same_bits(expected, found), name + ", float16, width " + std::to_string(width));
      });
    }
  }
}

void every_half_widens_alike() {
  const float one = 1.0F;
  std::vector<std::uint16_t> all(1U << 16U);
  for (std::size_t bits = 0; bits < all.size(); ++bits) {
    all[bits] = static_cast<std::uint16_t>(bits);
  }
  with_each([&](const Primitives& simd, const std::string& name) {
    std::vector<Products> found(all.size());
    simd.products_f16(&one, all.data(), all.size(), 1, found.data());
    for (std::size_t bits = 0; bits < all.size(); ++bits) {
      const float value = omnilive::widen(omnilive::Half{all[bits]});
      const float dot = found[bits].dot;
      check(std::isnan(value) ? std::isnan(dot) : dot == value,
            name + ", bits " + std::to_string(bits));
    }
  });
}

void sums_of_words_are_the_same() {
  std::mt19937_64 random(2);
  for (std::size_t count = 0; count < 100; ++count) {
    std::vector<std::uint64_t> words(count);
    std::generate(words.begin(), words.end(), [&] { return random(); });
    with_each([&](const Primitives& simd, const std::string& name) {
      check(simd.sum_words(words.data(), count) == portable().sum_words(words.data(), count),
            name + ", " + std::to_string(count) + " words");
    });
  }
}

void blends_are_the_same() {
  std::mt19937 random(3);
  for (const std::size_t n : {1U, 15U, 16U, 31U, 32U, 33U, 63U, 64U, 65U, 129U, 200U}) {
    for (const std::size_t in : {1U, 2U, 9U, 40U}) {
      for (const std::size_t out : {1U, 3U, 40U}) {
        for (const omnilive::Filter filter :
             {omnilive::Filter::kBicubic, omnilive::Filter::kBilinear}) {
          const omnilive::Taps taps = make_taps(filter, in, out, {0.0, static_cast<double>(in)});
          std::vector<std::uint8_t> rows = bytes(random, in * n);
          // Extremes, where the sums overshoot.
          std::for_each(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(rows.size() / 2),
                        [](std::uint8_t& byte) { byte = byte < 128 ? 0 : 255; });
          with_each([&](const Primitives& simd, const std::string& name) {
            for (std::size_t o = 0; o < out; ++o) {
              const auto [first, count] = taps.windows[o];
              std::vector<std::uint8_t> expected(n);
              std::vector<std::uint8_t> found(n);
              portable().blend(&rows[first * n], n, taps.at(o), count, taps.shift, expected.data(),
                               n);
              simd.blend(&rows[first * n], n, taps.at(o), count, taps.shift, found.data(), n);
              check(found == expected, name + ", " + std::to_string(n) + " bytes");
            }
          });
        }
      }
    }
  }
}

void transposes_are_transposes() {
  std::mt19937 random(4);
  for (const std::size_t rows : {1U, 15U, 16U, 17U, 48U, 64U}) {
    for (const std::size_t columns : {1U, 15U, 16U, 31U, 32U, 33U, 100U}) {
      const std::vector<std::uint8_t> in = bytes(random, rows * columns);
      with_each([&](const Primitives& simd, const std::string& name) {
        std::vector<std::uint8_t> out(in.size());
        simd.transpose(in.data(), columns, rows, columns, out.data(), rows);
        for (std::size_t i = 0; i < in.size(); ++i) {
          check(out[i % columns * rows + i / columns] == in[i],
                name + ", " + std::to_string(rows) + " x " + std::to_string(columns));
        }
      });
    }
  }
}

void planes_are_the_same() {
  std::mt19937 random(6);
  const std::vector<float> scale = {0.01F, 0.02F, -0.5F};
  const std::vector<float> offset = {-1.5F, 0.25F, 3.0F};
  for (std::size_t count = 0; count < 70; ++count) {
    const std::vector<std::uint8_t> rgb = bytes(random, 3 * count);
    std::vector<float> expected(3 * count);
    std::vector<float> found(3 * count);
    portable().planes(rgb.data(), count, scale.data(), offset.data(), expected.data());
    with_each([&](const Primitives& simd, const std::string& name) {
      simd.planes(rgb.data(), count, scale.data(), offset.data(), found.data());
      check(found == expected, name + ", " + std::to_string(count) + " pixels");
    });
  }
}

void maxima_are_the_same() {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (std::size_t count = 1; count < 300; count += 7) {
    std::vector<float> values(count);
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    std::vector<float> expected((count + omnilive::kMaximaBlock - 1) / omnilive::kMaximaBlock);
    std::vector<float> found(expected.size());
    with_each([&](const Primitives& simd, const std::string& name) {
      check(portable().block_maxima(values.data(), count, expected.data()), "portable: finite");
      check(simd.block_maxima(values.data(), count, found.data()), name + ": finite");
      check(found == expected, name + ", " + std::to_string(count) + " values");
    });
    values[random() % count] = std::numeric_limits<float>::quiet_NaN();
    with_each([&](const Primitives& simd, const std::string& name) {
      check(!simd.block_maxima(values.data(), count, found.data()), name + ": NaN");
    });
  }
}

void this_machine_has_a_version_of_its_own() {
  const std::vector<Isa> usable = omnilive::usable_isas();
  check(usable.back() == Isa::kPortable, "portable is the last");
#if defined(__aarch64__)
  check(usable.front() == Isa::kNeon, "every AArch64 has NEON");
  check_throws<std::invalid_argument>([] { static_cast<void>(omnilive::primitives(Isa::kAvx2)); },
                                      "AVX2 was found on AArch64");
#else
  check_throws<std::invalid_argument>([] { static_cast<void>(omnilive::primitives(Isa::kNeon)); },
                                      "NEON was found elsewhere");
#endif
  for (const Isa isa : usable) {
    std::cout << "      tested: " << name_of(isa) << '\n';
    check(omnilive::isa_named(name_of(isa)) == isa, "its name names it");
  }
  check_throws<std::invalid_argument>([] { static_cast<void>(omnilive::isa_named("mmx")); },
                                      "an unknown name was taken");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"the usable instruction sets are named, the portable last",
       this_machine_has_a_version_of_its_own},
      {"products have the portable bits", products_are_the_same},
      {"every binary16 widens as the portable version does", every_half_widens_alike},
      {"sums of words are the portable ones", sums_of_words_are_the_same},
      {"blends have the portable bytes", blends_are_the_same},
      {"transposes are transposes", transposes_are_transposes},
      {"planes are the portable ones", planes_are_the_same},
      {"block maxima are the portable ones", maxima_are_the_same},
  });
}
