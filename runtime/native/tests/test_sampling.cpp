// Tests the choice of a token against a full sort of the scores.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.hpp"
#include "sampling.hpp"

using omnilive::Draw;
using omnilive::Isa;
using omnilive::sample_token;
using omnilive::SamplingRule;
using omnilive::test::check;
using omnilive::test::check_throws;

namespace {

constexpr SamplingRule kGreedy{
    .repetition_penalty = 1.0, .temperature = 0.0, .top_k = 0, .top_p = 1.0};

// Values on a coarse grid, so that there are many ties.
std::vector<float> coarse(std::mt19937& random, std::size_t count) {
  std::vector<float> logits(count);
  std::generate(logits.begin(), logits.end(),
                [&] { return static_cast<float>(static_cast<int>(random() % 41) - 20) / 4.0F; });
  return logits;
}

std::vector<std::size_t> sorted(const std::vector<float>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  return order;
}

void the_token_is_that_of_a_full_sort() {
  std::mt19937 random(17);
  for (const std::size_t vocabulary : {1U, 63U, 64U, 65U, 1000U, 92'544U}) {
    for (const std::size_t top_k : {0U, 1U, 7U, 50U, 2000U}) {
      const std::vector<float> logits = coarse(random, vocabulary);
      const std::vector<std::int64_t> history = {0, static_cast<std::int64_t>(vocabulary) - 1, 0};
      const SamplingRule rule{
          .repetition_penalty = 1.5, .temperature = 0.7, .top_k = top_k, .top_p = 0.9};
      const Draw draw{3, 4, random()};

      std::vector<float> scores = logits;
      for (const std::int64_t id : history) {
        const auto token = static_cast<std::size_t>(id);
        scores[token] = logits[token] > 0 ? logits[token] / 1.5F : logits[token] * 1.5F;
      }
      std::vector<std::size_t> order = sorted(scores);
      order.resize(top_k == 0 ? vocabulary : std::min(top_k, vocabulary));
      std::vector<double> weights;
      for (const std::size_t token : order) {
        weights.push_back(std::exp(static_cast<double>(scores[token]) / 0.7 -
                                   static_cast<double>(scores[order.front()]) / 0.7));
      }
      const double mass = std::accumulate(weights.begin(), weights.end(), 0.0);
      double kept = 0.0;
      std::size_t last = 0;
      while ((kept += weights[last]) < 0.9 * mass) {
        ++last;
      }
      double left = omnilive::uniform(draw) * kept;
      std::size_t chosen = 0;
      while (chosen < last && left >= weights[chosen]) {
        left -= weights[chosen++];
      }
      for (const Isa isa : omnilive::usable_isas()) {
        check(sample_token(logits, history, rule, draw, isa) ==
                  static_cast<std::int64_t>(order[chosen]),
              std::string(name_of(isa)) + ", " + std::to_string(vocabulary) + " tokens, top " +
                  std::to_string(top_k));
        check(sample_token(logits, {}, kGreedy, draw, isa) ==
                  static_cast<std::int64_t>(sorted(logits).front()),
              "greedy");
      }
    }
  }
}

void what_is_not_finite_is_refused() {
  for (const float odd :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    for (std::size_t at = 0; at < 130; ++at) {
      std::vector<float> logits(130);
      logits[at] = odd;
      for (const Isa isa : omnilive::usable_isas()) {
        check_throws<omnilive::NotFiniteError>(
            [&] { static_cast<void>(sample_token(logits, {}, kGreedy, {}, isa)); },
            "a logit that is not finite was taken");
      }
    }
  }
}

void rules_out_of_range_are_refused() {
  const std::vector<float> logits(3);
  const auto refused = [&](const SamplingRule& rule, const std::vector<std::int64_t>& history) {
    check_throws<std::invalid_argument>(
        [&] { static_cast<void>(sample_token(logits, history, rule, {})); },
        "a bad rule was taken");
  };
  SamplingRule rule = kGreedy;
  rule.top_p = 0.0;
  refused(rule, {});
  rule = kGreedy;
  rule.temperature = std::numeric_limits<double>::quiet_NaN();
  refused(rule, {});
  rule = kGreedy;
  rule.repetition_penalty = -1.0;
  refused(rule, {});
  refused(kGreedy, {3});
  refused(kGreedy, {-1});
  check_throws<std::invalid_argument>([] { static_cast<void>(sample_token({}, {}, kGreedy, {})); },
                                      "no logits were taken");
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"the token is that of a full sort", the_token_is_that_of_a_full_sort},
      {"logits that are not finite are refused wherever they are", what_is_not_finite_is_refused},
      {"rules out of range are refused", rules_out_of_range_are_refused},
  });
}
