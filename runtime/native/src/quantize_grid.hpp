// What block quantization gives, and the work of one strip of rows. Layout of the results: that of
// ONNX Runtime's MatMulNBits (see export/omnilive_export/quantize.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace omnilive {

// `bits` is 4 or 8; `block` weights along a row share a scale and, unless symmetric, a zero point.
struct BlockGrid {
  std::size_t bits;
  std::size_t block;
  bool symmetric;

  [[nodiscard]] std::size_t levels() const { return std::size_t{1} << bits; }
  [[nodiscard]] std::size_t blocks(std::size_t width) const { return (width + block - 1) / block; }
  [[nodiscard]] std::size_t packed_bytes() const { return block * bits / 8; }
  [[nodiscard]] std::size_t zero_point_bytes(std::size_t width) const {
    return (blocks(width) * bits + 7) / 8;
  }
};

// Rows of weights, row-major [count, width].
struct WeightRows {
  std::span<const float> values;
  std::size_t count;
  std::size_t width;
};

// The grid's codes: `packed` [count, blocks, packed_bytes], `scales` [count, blocks], `zero_points`
// [count, zero_point_bytes], empty for symmetric grids. A weight is (code - zero point) * scale.
struct QuantizedRows {
  std::vector<std::uint8_t> packed;
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
};

}  // namespace omnilive
