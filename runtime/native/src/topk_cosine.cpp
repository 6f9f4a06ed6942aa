// One pass over the rows for dot products and norms, then a partial selection.
#include "topk_cosine.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "dispatch.hpp"

namespace omnilive {
namespace {

// Independent partial sums: they fill vector registers of every width without reassociating
// floating-point additions, so each instruction set adds in the same order.
constexpr std::size_t kLanes = 32;

struct Products {
  float dot;
  float squares;
};

inline float sum_pairwise(std::array<float, kLanes>& lanes) {
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t i = 0; i < width; ++i) {
      lanes[i] += lanes[i + width];
    }
  }
  return lanes[0];
}

template <typename Scalar>
inline Products products(const float* query, const Scalar* row, std::size_t width) {
  std::array<float, kLanes> dot{};
  std::array<float, kLanes> squares{};
  const std::size_t whole = width - width % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const float value = widen(row[i + lane]);
      dot[lane] += query[i + lane] * value;
      squares[lane] += value * value;
    }
  }
  for (std::size_t i = whole; i < width; ++i) {
    const float value = widen(row[i]);
    dot[i - whole] += query[i] * value;
    squares[i - whole] += value * value;
  }
  return {sum_pairwise(dot), sum_pairwise(squares)};
}

// Separate functions rather than one template: function multiversioning applies to functions.
OMNILIVE_MULTIVERSION void all_products(const float* query, const Rows<float>& rows,
                                        Products* out) {
  for (std::size_t i = 0; i < rows.count; ++i) {
    out[i] = products(query, rows.row(i).data(), rows.width);
  }
}

OMNILIVE_MULTIVERSION void all_products(const float* query, const Rows<Half>& rows, Products* out) {
  for (std::size_t i = 0; i < rows.count; ++i) {
    out[i] = products(query, rows.row(i).data(), rows.width);
  }
}

template <typename Scalar>
Ranking rank(std::span<const float> query, const Rows<Scalar>& rows, std::size_t k) {
  if (query.size() != rows.width) {
    throw std::invalid_argument("the query has " + std::to_string(query.size()) +
                                " values, the rows have " + std::to_string(rows.width));
  }
  const float query_squares = products(query.data(), query.data(), query.size()).squares;
  if (!std::isfinite(query_squares)) {
    throw std::invalid_argument("the query has values that are not finite or are too large");
  }

  std::vector<Products> sums(rows.count);
  all_products(query.data(), rows, sums.data());
  std::vector<float> scores(rows.count);
  for (std::size_t i = 0; i < rows.count; ++i) {
    if (!std::isfinite(sums[i].squares) || !std::isfinite(sums[i].dot)) {
      throw std::invalid_argument("row " + std::to_string(i) +
                                  " has values that are not finite or are too large");
    }
    // The roots are multiplied, not the squares: their product would overflow sooner.
    const float norms = std::sqrt(query_squares) * std::sqrt(sums[i].squares);
    scores[i] = norms > 0.0F ? sums[i].dot / norms : 0.0F;
  }

  std::vector<std::int64_t> order(rows.count);
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto kept = order.begin() + static_cast<std::ptrdiff_t>(std::min(k, rows.count));
  std::partial_sort(order.begin(), kept, order.end(), [&scores](std::int64_t a, std::int64_t b) {
    const float score_a = scores[static_cast<std::size_t>(a)];
    const float score_b = scores[static_cast<std::size_t>(b)];
    return score_a != score_b ? score_a > score_b : a < b;
  });

  Ranking best;
  best.indices.assign(order.begin(), kept);
  best.scores.reserve(best.indices.size());
  for (const std::int64_t index : best.indices) {
    best.scores.push_back(scores[static_cast<std::size_t>(index)]);
  }
  return best;
}

}  // namespace

Ranking topk_cosine(std::span<const float> query, const Rows<float>& rows, std::size_t k) {
  return rank(query, rows, k);
}

Ranking topk_cosine(std::span<const float> query, const Rows<Half>& rows, std::size_t k) {
  return rank(query, rows, k);
}

}  // namespace omnilive
