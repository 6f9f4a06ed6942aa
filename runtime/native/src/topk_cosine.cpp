// One pass over the rows for dot products and norms, then a partial selection.
#include "topk_cosine.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

#include "shares.hpp"
#include "simd/primitives.hpp"

namespace omnilive {
namespace {

constexpr std::size_t kLeastShareBytes = std::size_t{1} << 20;  // of one thread

void all_products(const Primitives& simd, const float* query, const Rows<float>& rows,
                  std::size_t begin, std::size_t end, Products* out) {
  simd.products_f32(query, rows.values.data() + begin * rows.width, end - begin, rows.width,
                    out + begin);
}

void all_products(const Primitives& simd, const float* query, const Rows<Half>& rows,
                  std::size_t begin, std::size_t end, Products* out) {
  static_assert(sizeof(Half) == sizeof(std::uint16_t));
  const auto* values = reinterpret_cast<const std::uint16_t*>(rows.values.data());
  simd.products_f16(query, values + begin * rows.width, end - begin, rows.width, out + begin);
}

std::vector<float> cosines(const std::vector<Products>& sums, float query_squares) {
  std::vector<float> scores(sums.size());
  for (std::size_t i = 0; i < sums.size(); ++i) {
    if (!std::isfinite(sums[i].squares) || !std::isfinite(sums[i].dot)) {
      throw std::invalid_argument("row " + std::to_string(i) +
                                  " has values that are not finite or are too large");
    }
    // The roots are multiplied, not the squares: their product would overflow sooner.
    const float norms = std::sqrt(query_squares) * std::sqrt(sums[i].squares);
    scores[i] = norms > 0.0F ? sums[i].dot / norms : 0.0F;
  }
  return scores;
}

Ranking best_of(const std::vector<float>& scores, std::size_t k) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const auto kept = order.begin() + static_cast<std::ptrdiff_t>(std::min(k, scores.size()));
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

template <typename Scalar>
Ranking rank(std::span<const float> query, const Rows<Scalar>& rows, std::size_t k,
             std::size_t threads, Isa isa) {
  if (query.size() != rows.width) {
    throw std::invalid_argument("the query has " + std::to_string(query.size()) +
                                " values, the rows have " + std::to_string(rows.width));
  }
  const Primitives& simd = primitives(isa);
  Products own{};
  simd.products_f32(query.data(), query.data(), 1, query.size(), &own);
  if (!std::isfinite(own.squares)) {
    throw std::invalid_argument("the query has values that are not finite or are too large");
  }
  std::vector<Products> sums(rows.count);
  const std::size_t row_bytes = std::max<std::size_t>(rows.width * sizeof(Scalar), 1);
  in_shares(rows.count, threads, kLeastShareBytes / row_bytes,
            [&](std::size_t begin, std::size_t end) {
              all_products(simd, query.data(), rows, begin, end, sums.data());
            });
  return best_of(cosines(sums, own.squares), k);
}

}  // namespace

Ranking topk_cosine(std::span<const float> query, const Rows<float>& rows, std::size_t k,
                    std::size_t threads, Isa isa) {
  return rank(query, rows, k, threads, isa);
}

Ranking topk_cosine(std::span<const float> query, const Rows<Half>& rows, std::size_t k,
                    std::size_t threads, Isa isa) {
  return rank(query, rows, k, threads, isa);
}

std::uint64_t sum_words(std::span<const std::uint64_t> words, std::size_t threads, Isa isa) {
  const Primitives& simd = primitives(isa);
  std::atomic<std::uint64_t> sum{0};
  in_shares(words.size(), threads, kLeastShareBytes / sizeof(std::uint64_t),
            [&](std::size_t begin, std::size_t end) {
              sum += simd.sum_words(words.data() + begin, end - begin);
            });
  return sum;
}

}  // namespace omnilive
