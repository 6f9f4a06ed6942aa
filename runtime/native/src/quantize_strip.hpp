// A strip of rows, one per lane: reads its blocks into lanes, writes codes, scales and zero points.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "quantize_grid.hpp"
#include "quantize_tile.hpp"

namespace omnilive::quantizing {

// Where the results of a strip's first row begin; rows lie one after another.
struct StripResult {
  std::uint8_t* packed;
  float* scales;
  std::uint8_t* zero_points;  // null for symmetric grids
};

// Up to kLanes rows of `width` weights; lanes beyond `count` hold zeros.
struct Strip {
  const float* rows;
  std::size_t count;
  std::size_t width;
  BlockGrid grid;
  StripResult result;
};

// Columns [first, first + length) in lanes, zeros past the row's end. Adds values * 0 to `odd`,
// which stays 0 while every value is finite.
inline void load(const Strip& strip, std::size_t first, std::size_t length, Lanes* values,
                 Lanes& odd) {
  const std::size_t inside = std::min(length, strip.width - std::min(first, strip.width));
  for (std::size_t j = 0; j < length; ++j) {
    values[j] = filled(0.0F);
  }
  for (std::size_t r = 0; r < strip.count; ++r) {
    const float* row = strip.rows + r * strip.width + first;
    for (std::size_t j = 0; j < inside; ++j) {
      values[j].at[r] = row[j];
    }
  }
  for (std::size_t j = 0; j < length; ++j) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      odd.at[r] += values[j].at[r] * 0.0F;
    }
  }
}

// Writes one block. `codes` are 0 to levels - 1; its zero points must be written in order.
inline void store(const Strip& strip, std::size_t block, const Lanes* codes, const Choice& choice) {
  const BlockGrid& grid = strip.grid;
  std::array<std::array<std::uint8_t, kLanes>, kMaxBlock> bytes;
  for (std::size_t j = 0; j < grid.block; ++j) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      bytes[j][r] = static_cast<std::uint8_t>(static_cast<std::int32_t>(codes[j].at[r]));
    }
  }
  const std::size_t blocks = grid.blocks(strip.width);
  for (std::size_t r = 0; r < strip.count; ++r) {
    std::uint8_t* packed = strip.result.packed + (r * blocks + block) * grid.packed_bytes();
    if (grid.bits == 8) {
      for (std::size_t j = 0; j < grid.block; ++j) {
        packed[j] = bytes[j][r];
      }
    } else {
      for (std::size_t j = 0; j < grid.block; j += 2) {
        packed[j / 2] = static_cast<std::uint8_t>(bytes[j][r] | (bytes[j + 1][r] << 4));
      }
    }
    strip.result.scales[r * blocks + block] = choice.scale.at[r];
    if (grid.symmetric) {
      continue;
    }
    const auto zero = static_cast<std::uint8_t>(choice.zero.at[r]);
    std::uint8_t* zeros = strip.result.zero_points + r * grid.zero_point_bytes(strip.width);
    if (grid.bits == 8) {
      zeros[block] = zero;
    } else if (block % 2 == 0) {
      zeros[block / 2] = zero;
    } else {
      zeros[block / 2] = static_cast<std::uint8_t>(zeros[block / 2] | (zero << 4));
    }
  }
}

// Codes 0 to levels - 1 of a block's values.
inline void encode(const Lanes* values, const BlockGrid& grid, const Choice& choice, Lanes* codes) {
  const auto last = static_cast<float>(grid.levels() - 1);
  const Lanes inverse = reciprocal(choice.scale);
  for (std::size_t j = 0; j < grid.block; ++j) {
    for (std::size_t r = 0; r < kLanes; ++r) {
      const float zero = choice.zero.at[r];
      const float step = limited(values[j].at[r] * inverse.at[r], -zero, last - zero);
      codes[j].at[r] = nearest(step) + zero;
    }
  }
}

}  // namespace omnilive::quantizing
