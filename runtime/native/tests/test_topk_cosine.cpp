// Tests the ranking against the definition of cosine similarity in double precision.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "check.hpp"
#include "topk_cosine.hpp"

using omnilive::Half;
using omnilive::Isa;
using omnilive::Ranking;
using omnilive::Rows;
using omnilive::topk_cosine;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

Rows<float> rows_of(const std::vector<float>& values, std::size_t count, std::size_t width) {
  return {values, count, width};
}

double cosine(const float* a, const float* b, std::size_t width) {
  double dot = 0.0;
  double squares_a = 0.0;
  double squares_b = 0.0;
  for (std::size_t i = 0; i < width; ++i) {
    dot += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    squares_a += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    squares_b += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return dot / std::sqrt(squares_a * squares_b);
}

void scores_are_cosines_in_descending_order() {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  for (const std::size_t width : {1U, 31U, 32U, 33U, 1536U}) {
    constexpr std::size_t kCount = 50;
    std::vector<float> values(kCount * width);
    std::vector<float> query(width);
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    std::generate(query.begin(), query.end(), [&] { return normal(random); });
    const Ranking best = topk_cosine(query, rows_of(values, kCount, width), 10);
    check(best.indices.size() == 10 && best.scores.size() == 10, "ten rows");
    for (std::size_t i = 0; i < best.indices.size(); ++i) {
      const float* row = &values[static_cast<std::size_t>(best.indices[i]) * width];
      check(std::abs(cosine(query.data(), row, width) - static_cast<double>(best.scores[i])) < 1e-6,
            "score");
      check(i == 0 || best.scores[i - 1] >= best.scores[i], "order");
    }
    double kth = static_cast<double>(best.scores.back());
    std::size_t better = 0;
    for (std::size_t i = 0; i < kCount; ++i) {
      better += cosine(query.data(), &values[i * width], width) > kth + 1e-6 ? 1 : 0;
    }
    check(better < 10, "a better row was left out");
  }
}

void ties_go_to_the_lower_index() {
  const std::vector<float> values = {1, 0, 2, 0, 0, 1, 1, 0, 4, 0};
  const Ranking best = topk_cosine(std::vector<float>{3, 0}, rows_of(values, 5, 2), 5);
  check(best.indices == std::vector<std::int64_t>{0, 1, 3, 4, 2}, "indices");
}

void zero_norm_scores_zero() {
  const std::vector<float> values = {-1, 0, 0, 0};
  const Ranking rows = topk_cosine(std::vector<float>{1, 0}, rows_of(values, 2, 2), 2);
  check(rows.indices == std::vector<std::int64_t>{1, 0}, "a zero row ranks over an opposite one");
  check(rows.scores == std::vector<float>{0, -1}, "scores of a zero row");
  const Ranking query = topk_cosine(std::vector<float>{0, 0}, rows_of(values, 2, 2), 2);
  check(query.scores == std::vector<float>{0, 0}, "scores of a zero query");
}

void k_beyond_the_rows_gives_all_rows() {
  const std::vector<float> values = {1, 2, 3};
  check(topk_cosine(std::vector<float>{1}, rows_of(values, 3, 1), 9).indices.size() == 3, "all");
  check(topk_cosine(std::vector<float>{1}, rows_of(values, 3, 1), 0).indices.empty(), "none asked");
  check(topk_cosine(std::vector<float>{1}, rows_of({}, 0, 1), 9).indices.empty(), "no rows");
}

void half_rows_rank_like_their_widened_values() {
  std::mt19937 random(13);
  constexpr std::size_t kCount = 40;
  constexpr std::size_t kWidth = 70;
  std::vector<Half> halves(kCount * kWidth);
  std::vector<float> widened;
  for (Half& half : halves) {
    half.bits = static_cast<std::uint16_t>(random() & 0xbfffU);  // finite, below 2
    widened.push_back(omnilive::widen(half));
  }
  const std::vector<float> query(widened.begin(), widened.begin() + kWidth);
  const Ranking from_half = topk_cosine(query, Rows<Half>{halves, kCount, kWidth}, kCount);
  const Ranking from_float = topk_cosine(query, rows_of(widened, kCount, kWidth), kCount);
  check(from_half.indices == from_float.indices, "indices");
  check(from_half.scores == from_float.scores, "scores, to the last bit");
  check(from_half.indices.front() == 0, "the row equal to the query is first");
}

void threads_and_instruction_sets_change_no_bit() {
  std::mt19937 random(19);
  constexpr std::size_t kCount = 20'000;  // several shares of a mebibyte
  constexpr std::size_t kWidth = 130;
  std::vector<Half> halves(kCount * kWidth);
  for (Half& half : halves) {
    half.bits = static_cast<std::uint16_t>(random() & 0xbfffU);
  }
  const std::vector<float> query(kWidth, 0.5F);
  const Rows<Half> rows{halves, kCount, kWidth};
  const std::span<const std::uint64_t> words(reinterpret_cast<const std::uint64_t*>(halves.data()),
                                             halves.size() / 4);
  const Ranking expected = topk_cosine(query, rows, 50, 1, Isa::kPortable);
  const std::uint64_t sum = std::accumulate(words.begin(), words.end(), std::uint64_t{0});
  for (const Isa isa : omnilive::usable_isas()) {
    for (const std::size_t threads : {1U, 2U, 5U}) {
      const Ranking found = topk_cosine(query, rows, 50, threads, isa);
      check(found.indices == expected.indices && found.scores == expected.scores, "ranking");
      const Ranking all = topk_cosine(query, rows, kCount, threads, isa);
      check(std::ranges::none_of(all.scores, [](float score) { return score == 0.0F; }),
            "a row was not read");
      check(omnilive::sum_words(words, threads, isa) == sum, "sum");
    }
  }
}

void what_has_no_rank_is_refused() {
  const std::vector<float> values = {1, std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> infinite = {std::numeric_limits<float>::infinity()};
  check_throws<std::invalid_argument>(
      [&] { topk_cosine(std::vector<float>{1}, rows_of(values, 2, 1), 1); }, "NaN row accepted");
  check_throws<std::invalid_argument>([&] { topk_cosine(infinite, rows_of({1, 2}, 2, 1), 1); },
                                      "infinite query accepted");
  check_throws<std::invalid_argument>(
      [&] { topk_cosine(std::vector<float>{1, 2, 3}, rows_of({1, 2}, 1, 2), 1); },
      "other width accepted");
  check_throws<std::invalid_argument>(
      [] { topk_cosine(std::vector<float>{1}, rows_of(std::vector<float>{1}, 1, 1), 1, 0); },
      "no threads accepted");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"scores are cosines in descending order", scores_are_cosines_in_descending_order},
      {"ties go to the lower index", ties_go_to_the_lower_index},
      {"a row or query of zero norm scores zero", zero_norm_scores_zero},
      {"k beyond the rows gives all rows", k_beyond_the_rows_gives_all_rows},
      {"half rows rank like their widened values", half_rows_rank_like_their_widened_values},
      {"threads and instruction sets change no bit", threads_and_instruction_sets_change_no_bit},
      {"values that are not finite and other widths are refused", what_has_no_rank_is_refused},
  });
}
