// Ranks memory rows by cosine similarity to a query. It only reads its inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "half.hpp"

namespace omnilive {

// Row-major [count, width] view of rows.
template <typename Scalar>
struct Rows {
  std::span<const Scalar> values;
  std::size_t count;
  std::size_t width;

  [[nodiscard]] std::span<const Scalar> row(std::size_t i) const {
    return values.subspan(i * width, width);
  }
};

// The best rows, score descending, ties by lower index.
struct Ranking {
  std::vector<std::int64_t> indices;
  std::vector<float> scores;
};

// The min(k, rows.count) rows with the highest cosine to the query, in float32 arithmetic. A row
// or query of zero norm scores 0. Throws std::invalid_argument when widths differ or a value is
// not finite (or so large that its square isn't): a NaN has no rank.
Ranking topk_cosine(std::span<const float> query, const Rows<float>& rows, std::size_t k);
Ranking topk_cosine(std::span<const float> query, const Rows<Half>& rows, std::size_t k);

}  // namespace omnilive
