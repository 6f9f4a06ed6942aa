// Tests the histogram of durations against the durations themselves.
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "check.hpp"
#include "lanes/histogram.hpp"

using omnilive::Histogram;
using omnilive::test::check;

namespace {

std::vector<std::int64_t> durations() {
  std::mt19937_64 random(7);
  std::vector<std::int64_t> found;
  for (int i = 0; i < 10'000; ++i) {
    found.push_back(static_cast<std::int64_t>(random() >> (24 + random() % 40)));
  }
  return found;
}

Histogram histogram_of(const std::vector<std::int64_t>& durations) {
  Histogram histogram;
  for (const std::int64_t ns : durations) {
    histogram.add(ns);
  }
  return histogram;
}

std::uint64_t at_most(const std::vector<std::int64_t>& durations, std::int64_t ns) {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(durations, [ns](std::int64_t d) { return d <= ns; }));
}

void counts_and_sums_are_exact() {
  const auto all = durations();
  const Histogram histogram = histogram_of(all);
  check(histogram.count() == all.size(), "count");
  check(histogram.sum() ==
            static_cast<std::uint64_t>(std::accumulate(all.begin(), all.end(), std::int64_t{0})),
        "sum");
}

void counts_until_a_bound_are_within_an_eighth_of_it() {
  const auto all = durations();
  const Histogram histogram = histogram_of(all);
  for (std::int64_t bound = 1; bound < (std::int64_t{1} << 40); bound += 1 + bound / 3) {
    const std::uint64_t until = histogram.until(static_cast<std::uint64_t>(bound));
    check(until <= at_most(all, bound), "no more than there are");
    check(until >= at_most(all, bound - bound / 8 - 1), "all that are clearly below");
  }
}

}  // namespace

int main() {
  return omnilive::test::run_all({
      {"counts and sums are exact", counts_and_sums_are_exact},
      {"counts until a bound are within an eighth of it",
       counts_until_a_bound_are_within_an_eighth_of_it},
  });
}
