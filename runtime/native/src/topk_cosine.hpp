// Ranks memory rows by cosine similarity to a query. It only reads its inputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "half.hpp"
#include "simd/isa.hpp"

namespace omnilive {

// Row-major [count, width] view of rows.
template <typename Scalar>
struct Rows {
  std::span<const Scalar> values;
  std::size_t count;
  std::size_t width;
};

// The best rows, score descending, ties by lower index.
struct Ranking {
  std::vector<std::int64_t> indices;
  std::vector<float> scores;
};

// The min(k, rows.count) rows with the highest cosine to the query, in float32 arithmetic; the same
// bits by every instruction set and number of threads. A row or query of zero norm scores 0.
// `threads` read the rows, the caller's among them, where there are enough to share.
// Throws std::invalid_argument when widths differ, `threads` is 0, or a value is not finite (or so
// large that its square isn't): a NaN has no rank.
Ranking topk_cosine(std::span<const float> query, const Rows<float>& rows, std::size_t k,
                    std::size_t threads = 1, Isa isa = best_isa());
Ranking topk_cosine(std::span<const float> query, const Rows<Half>& rows, std::size_t k,
                    std::size_t threads = 1, Isa isa = best_isa());

// Sum of the words modulo 2^64, read as topk_cosine reads rows: the least work that touches every
// byte, so its speed is the memory's. Throws std::invalid_argument when `threads` is 0.
std::uint64_t sum_words(std::span<const std::uint64_t> words, std::size_t threads = 1,
                        Isa isa = best_isa());

}  // namespace omnilive
