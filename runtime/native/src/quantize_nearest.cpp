// Round-to-nearest, strip by strip.
#include <array>

#include "dispatch.hpp"
#include "quantize_blocks.hpp"
#include "quantize_strip.hpp"
#include "quantize_strips.hpp"

namespace omnilive {
namespace {

using namespace quantizing;

OMNILIVE_MULTIVERSION bool nearest_strip(const Strip& strip) {
  std::array<Lanes, kMaxBlock> values;
  Lanes odd = filled(0.0F);
  for (std::size_t b = 0; b < strip.grid.blocks(strip.width); ++b) {
    load(strip, b * strip.grid.block, strip.grid.block, values.data(), odd);
    const Choice choice = nearest_choice(range_of(values.data(), strip.grid.block), strip.grid);
    encode(values.data(), strip.grid, choice, values.data());
    store(strip, b, values.data(), choice);
  }
  return all_zero(odd);
}

}  // namespace

QuantizedRows quantize_nearest(const WeightRows& weights, const BlockGrid& grid,
                               std::size_t threads) {
  return over_strips(weights, grid, threads, nearest_strip);
}

}  // namespace omnilive
