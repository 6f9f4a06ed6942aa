// Finds the best tokens by the largest score of each block, so that almost all logits are read once
// and never sorted.
#include "sampling.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "simd/primitives.hpp"

namespace omnilive {
namespace {

void check(std::span<const float> logits, std::span<const std::int64_t> history,
           const SamplingRule& rule) {
  if (logits.empty() || logits.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw std::invalid_argument("the logits are of 1 to 2^32 - 1 tokens, not " +
                                std::to_string(logits.size()));
  }
  for (const std::int64_t id : history) {
    if (id < 0 || static_cast<std::uint64_t>(id) >= logits.size()) {
      throw std::invalid_argument("token " + std::to_string(id) + " of the history is not among " +
                                  std::to_string(logits.size()) + " logits");
    }
  }
  // Written so that a NaN fails.
  if (!(rule.repetition_penalty > 0.0) || !(rule.temperature >= 0.0) || !(rule.top_p > 0.0) ||
      !(rule.top_p <= 1.0)) {
    throw std::invalid_argument(
        "the penalty must be above 0, the temperature not negative, top_p in (0, 1]");
  }
}

// Copy of the logits with the tokens of `history` penalized, each once.
std::vector<float> penalized(std::span<const float> logits, std::span<const std::int64_t> history,
                             float penalty) {
  std::vector<float> scores(logits.begin(), logits.end());
  for (const std::int64_t id : history) {
    const auto token = static_cast<std::size_t>(id);
    // From the logit, not the score: a token said twice is penalized once.
    const float logit = logits[token];
    scores[token] = logit > 0.0F ? logit / penalty : logit * penalty;
  }
  return scores;
}

// A token as one number that is smaller the better it ranks: score descending, then id.
class Rank {
 public:
  Rank(float score, std::size_t token)
      : key_((std::uint64_t{~ascending(score)} << 32U) | static_cast<std::uint32_t>(token)) {}

  [[nodiscard]] std::size_t token() const { return static_cast<std::uint32_t>(key_); }
  auto operator<=>(const Rank&) const = default;

 private:
  // Bits that ascend with the score; 0 and -0 are equal.
  static std::uint32_t ascending(float score) {
    const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);
    return (bits & 0x80000000U) != 0 ? ~bits : bits | 0x80000000U;
  }

  std::uint64_t key_;
};

// The scores with the largest of each block.
class Scores {
 public:
  Scores(std::span<const float> values, const Primitives& simd)
      : values_(values), maxima_((values.size() + kMaximaBlock - 1) / kMaximaBlock) {
    if (!simd.block_maxima(values.data(), values.size(), maxima_.data())) {
      throw NotFiniteError("the logits are not all finite");
    }
  }

  // The best token.
  [[nodiscard]] std::size_t best() const {
    const auto block =
        static_cast<std::size_t>(std::ranges::max_element(maxima_) - maxima_.begin());
    const auto at = values_.begin() + static_cast<std::ptrdiff_t>(block * kMaximaBlock);
    return static_cast<std::size_t>(std::find(at, values_.end(), maxima_[block]) - values_.begin());
  }

  // The `count` best tokens, best first.
  [[nodiscard]] std::vector<Rank> best(std::size_t count) const {
    std::vector<Rank> ranked = candidates(count);
    const auto kept = ranked.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(ranked.begin(), kept - 1, ranked.end());
    ranked.erase(kept, ranked.end());
    std::ranges::sort(ranked);
    return ranked;
  }

  float operator[](std::size_t token) const { return values_[token]; }

  [[nodiscard]] std::size_t size() const { return values_.size(); }

 private:
  // Every token that may be among the `count` best. As many blocks as are asked for have a token
  // not below the bound, so nothing below it is.
  [[nodiscard]] std::vector<Rank> candidates(std::size_t count) const {
    float bound = -std::numeric_limits<float>::infinity();
    if (count <= maxima_.size()) {
      std::vector<float> maxima = maxima_;
      const auto last = maxima.begin() + static_cast<std::ptrdiff_t>(count - 1);
      std::nth_element(maxima.begin(), last, maxima.end(), std::greater<>());
      bound = *last;
    }
    std::vector<Rank> found;
    for (std::size_t block = 0; block < maxima_.size(); ++block) {
      if (maxima_[block] < bound) {
        continue;
      }
      const std::size_t first = block * kMaximaBlock;
      const std::size_t end = std::min(first + kMaximaBlock, values_.size());
      for (std::size_t token = first; token < end; ++token) {
        if (values_[token] >= bound) {
          found.emplace_back(values_[token], token);
        }
      }
    }
    return found;
  }

  std::span<const float> values_;
  std::vector<float> maxima_;
};

}  // namespace

std::int64_t sample_token(std::span<const float> logits, std::span<const std::int64_t> history,
                          const SamplingRule& rule, const Draw& draw, Isa isa) {
  check(logits, history, rule);
  std::vector<float> changed;
  if (rule.repetition_penalty != 1.0 && !history.empty()) {
    changed = penalized(logits, history, static_cast<float>(rule.repetition_penalty));
    logits = changed;
  }
  const Scores scores(logits, primitives(isa));
  if (rule.temperature == 0.0) {
    return static_cast<std::int64_t>(scores.best());
  }
  const std::size_t count = rule.top_k == 0 ? scores.size() : std::min(rule.top_k, scores.size());
  const std::vector<Rank> ranked = scores.best(count);
  const double best = static_cast<double>(scores[ranked.front().token()]) / rule.temperature;
  std::vector<double> cumulative;
  cumulative.reserve(count);
  double mass = 0.0;
  for (const Rank& rank : ranked) {
    mass += std::exp(static_cast<double>(scores[rank.token()]) / rule.temperature - best);
    cumulative.push_back(mass);
  }
  // The token that crosses top_p is kept. At least the last reaches it, its mass being all.
  const auto last = std::ranges::lower_bound(cumulative, rule.top_p * mass);
  const double drawn = uniform(draw) * *last;
  const auto chosen = std::min(std::ranges::upper_bound(cumulative, drawn), last);
  return static_cast<std::int64_t>(
      ranked[static_cast<std::size_t>(chosen - cumulative.begin())].token());
}

}  // namespace omnilive
