// A histogram of durations: constant memory, quantiles within 1/8 of the value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace omnilive {

// Buckets are eighths of powers of two, as in HdrHistogram; below 8 ns they are exact.
class Histogram {
 public:
  static constexpr int kSubBits = 3;
  static constexpr std::size_t kBuckets = std::size_t{64 - kSubBits + 1} << kSubBits;

  // Counts one duration; a negative one counts as 0.
  void add(std::int64_t ns) noexcept {
    const auto value = static_cast<std::uint64_t>(std::max<std::int64_t>(ns, 0));
    ++buckets_[bucket_of(value)];
    ++count_;
    sum_ += value;
    longest_ = std::max(longest_, value);
  }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t longest() const noexcept { return longest_; }
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }

  // How many durations are known not to exceed `ns`: all those up to 7/8 of it.
  [[nodiscard]] std::uint64_t until(std::uint64_t ns) const noexcept {
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets && upper_bound_of(i) <= ns; ++i) {
      seen += buckets_[i];
    }
    return seen;
  }

  // The smallest bound that at least `share` of all durations do not exceed; 0 without any.
  [[nodiscard]] std::uint64_t quantile(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) {
        return std::min(upper_bound_of(i), longest_);
      }
    }
    return 0;
  }

 private:
  static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value < (std::uint64_t{1} << kSubBits)) {
      return static_cast<std::size_t>(value);
    }
    const int shift = static_cast<int>(std::bit_width(value)) - 1 - kSubBits;
    const std::uint64_t sub = (value >> shift) & ((std::uint64_t{1} << kSubBits) - 1);
    return (static_cast<std::size_t>(shift + 1) << kSubBits) + static_cast<std::size_t>(sub);
  }

  static constexpr std::uint64_t upper_bound_of(std::size_t bucket) noexcept {
    const std::size_t group = bucket >> kSubBits;
    const std::uint64_t sub = bucket & ((std::size_t{1} << kSubBits) - 1);
    if (group == 0) {
      return sub;
    }
    const std::uint64_t base = (std::uint64_t{1} << kSubBits) + sub;
    return (base << (group - 1)) + ((std::uint64_t{1} << (group - 1)) - 1);
  }

  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t longest_ = 0;
};

}  // namespace omnilive
