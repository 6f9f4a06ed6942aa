// Tests the block quantizers: the layout of their results, their bounds, and what they refuse.
// Against their definitions they are tested from Python, in tests/unit/test_native_quantize.py.
#include <array>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "quantize_blocks.hpp"

using omnilive::BlockGrid;
using omnilive::Feedback;
using omnilive::QuantizedRows;
using omnilive::WeightRows;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

constexpr std::size_t kGroup = 128;

std::vector<float> normal(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> draw;
  std::vector<float> values(count);
  for (float& value : values) {
    value = draw(engine);
  }
  return values;
}

// Factors of uncorrelated inputs of equal size: feedback hands nothing on.
std::vector<float> identities(std::size_t groups) {
  std::vector<float> factors(groups * kGroup * kGroup, 0.0F);
  for (std::size_t i = 0; i < groups * kGroup; ++i) {
    factors[i * kGroup + i % kGroup] = 1.0F;
  }
  return factors;
}

using Quantizer = std::function<QuantizedRows(const WeightRows&, const BlockGrid&, std::size_t)>;

struct Named {
  std::string name;
  Quantizer quantize;
};

std::vector<Named> quantizers() {
  return {{"nearest", omnilive::quantize_nearest},
          {"half-quadratic", omnilive::quantize_half_quadratic},
          {"calibrated", [](const WeightRows& rows, const BlockGrid& grid, std::size_t threads) {
             const std::vector<float> factors = identities((rows.width + kGroup - 1) / kGroup);
             return omnilive::quantize_calibrated(rows, grid, Feedback{factors, kGroup}, threads);
           }}};
}

// What the codes of 4 bits stand for.
std::vector<float> values_of(const QuantizedRows& found, const WeightRows& rows,
                             const BlockGrid& grid) {
  const std::size_t blocks = grid.blocks(rows.width);
  std::vector<float> values;
  for (std::size_t i = 0; i < rows.count; ++i) {
    for (std::size_t j = 0; j < rows.width; ++j) {
      const std::size_t block = i * blocks + j / grid.block;
      const std::size_t in_block = j % grid.block;
      const int pair = found.packed[block * grid.packed_bytes() + in_block / 2];
      const int code = in_block % 2 == 0 ? pair & 0xf : pair >> 4;
      int zero = 8;
      if (!grid.symmetric) {
        const std::size_t b = j / grid.block;
        const int zeros = found.zero_points[i * grid.zero_point_bytes(rows.width) + b / 2];
        zero = b % 2 == 0 ? zeros & 0xf : zeros >> 4;
      }
      values.push_back(static_cast<float>(code - zero) * found.scales[block]);
    }
  }
  return values;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b) {
  double total = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    total += (static_cast<double>(a[i]) - b[i]) * (static_cast<double>(a[i]) - b[i]);
  }
  return total;
}

void codes_stand_for_values_near_the_weights() {
  for (const bool symmetric : {true, false}) {
    for (const std::size_t block : {std::size_t{32}, std::size_t{64}, std::size_t{128}}) {
      const std::vector<float> weights = normal(45 * 200, 1);
      const WeightRows rows{weights, 45, 200};
      const BlockGrid grid{4, block, symmetric};
      double squares = 0.0;
      for (const float weight : weights) {
        squares += static_cast<double>(weight) * weight;
      }
      const double rounded =
          squared_error(values_of(omnilive::quantize_nearest(rows, grid, 1), rows, grid), weights);
      for (const Named& method : quantizers()) {
        const QuantizedRows found = method.quantize(rows, grid, 2);
        const double error = squared_error(values_of(found, rows, grid), weights);
        check(error < 0.02 * squares, method.name + " is off by " + std::to_string(error));
        check(error <= rounded * 1.000001, method.name + " is worse than round-to-nearest");
      }
    }
  }
}

void threads_change_nothing() {
  const std::vector<float> weights = normal(300 * 128, 2);
  const WeightRows rows{weights, 300, 128};
  for (const Named& method : quantizers()) {
    const QuantizedRows one = method.quantize(rows, {4, 32, false}, 1);
    const QuantizedRows many = method.quantize(rows, {4, 32, false}, 5);
    check(one.packed == many.packed && one.scales == many.scales &&
              one.zero_points == many.zero_points,
          method.name + " differs between 1 and 5 threads");
  }
}

void odd_weights_are_refused() {
  for (const float odd :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> weights = normal(40 * 128, 3);
    weights[33 * 128 + 5] = odd;
    for (const Named& method : quantizers()) {
      for (const bool symmetric : {true, false}) {
        check_throws<std::invalid_argument>(
            [&] { static_cast<void>(method.quantize({weights, 40, 128}, {4, 32, symmetric}, 2)); },
            method.name + " took a weight that is not finite");
      }
    }
  }
}

void odd_grids_and_factors_are_refused() {
  const std::vector<float> weights(256, 1.0F);
  const std::vector<float> factors = identities(2);
  for (const BlockGrid grid : {BlockGrid{4, 48, true}, BlockGrid{3, 32, true}}) {
    check_throws<std::invalid_argument>(
        [&] { static_cast<void>(omnilive::quantize_nearest({weights, 1, 256}, grid, 1)); },
        "an odd grid was taken");
  }
  for (const std::size_t width : {std::size_t{0}, std::size_t{64}, std::size_t{256}}) {
    check_throws<std::invalid_argument>(
        [&] {
          static_cast<void>(
              omnilive::quantize_calibrated({weights, 1, 256}, {4, 32, true}, {factors, width}, 1));
        },
        "factors of another width were taken");
  }
}

void errors_are_handed_on() {
  // Two inputs that are always equal: what one weight lacks the other makes up for.
  std::vector<float> factors = identities(1);
  factors[0] = 1.0F;
  factors[1] = -1.0F;
  std::vector<float> weights(kGroup, 0.0F);
  weights[0] = 0.3F;
  weights[1] = 0.0F;
  weights[2] = 8.0F;  // one block with steps of about 1
  const WeightRows rows{weights, 1, kGroup};
  const BlockGrid grid{4, 128, true};
  const std::vector<float> alone =
      values_of(omnilive::quantize_calibrated(rows, grid, {identities(1), kGroup}, 1), rows, grid);
  weights[1] = 0.3F;
  const std::vector<float> both = values_of(
      omnilive::quantize_calibrated({weights, 1, kGroup}, grid, {factors, kGroup}, 1), rows, grid);
  check(alone[0] == 0.0F && alone[1] == 0.0F, "small weights alone are rounded away");
  check(both[0] == 0.0F && std::abs(both[1] - 0.6F) < 0.5F && both[1] > 0.0F,
        "the second weight was to make up for the first, it became " + std::to_string(both[1]));
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"codes stand for values near the weights, no farther than round-to-nearest",
       codes_stand_for_values_near_the_weights},
      {"the number of threads changes nothing", threads_change_nothing},
      {"weights that are not finite are refused", odd_weights_are_refused},
      {"odd grids and factors are refused", odd_grids_and_factors_are_refused},
      {"a column's error is handed on to the columns that go with it", errors_are_handed_on},
  });
}
