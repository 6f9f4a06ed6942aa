// The copies in and out of the PCM ring, each in at most two runs around the wrap.
#include "pcm_ring.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace omnilive {

PcmRing::PcmRing(std::size_t capacity) : samples_(capacity) {
  if (capacity == 0) {
    throw std::invalid_argument("the capacity of a PCM ring must be at least 1 sample");
  }
}

void PcmRing::push(std::span<const float> samples) {
  const std::lock_guard lock(mutex_);
  const std::size_t capacity = samples_.size();
  const std::size_t kept = std::min(samples.size(), capacity);
  written_ += samples.size() - kept;
  const auto tail = samples.last(kept);
  const auto at = static_cast<std::size_t>(written_ % capacity);
  const std::size_t before_wrap = std::min(kept, capacity - at);
  std::ranges::copy(tail.first(before_wrap), std::span(samples_).subspan(at).begin());
  std::ranges::copy(tail.subspan(before_wrap), samples_.begin());
  written_ += kept;
}

std::vector<float> PcmRing::read(std::uint64_t start, std::size_t count) const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t oldest = oldest_locked();
  // Compared by subtraction: start + count could wrap around.
  if (start < oldest || start > written_ || count > written_ - start) {
    throw std::out_of_range(std::to_string(count) + " samples from " + std::to_string(start) +
                            " are not in the ring, which holds [" + std::to_string(oldest) + ", " +
                            std::to_string(written_) + ")");
  }
  const std::size_t capacity = samples_.size();
  const auto at = static_cast<std::size_t>(start % capacity);
  const std::size_t before_wrap = std::min(count, capacity - at);
  const std::span<const float> held(samples_);
  const auto head = held.subspan(at, before_wrap);
  const auto rest = held.first(count - before_wrap);
  std::vector<float> samples(head.begin(), head.end());
  samples.insert(samples.end(), rest.begin(), rest.end());
  return samples;
}

std::uint64_t PcmRing::written() const {
  const std::lock_guard lock(mutex_);
  return written_;
}

std::uint64_t PcmRing::oldest() const {
  const std::lock_guard lock(mutex_);
  return oldest_locked();
}

std::size_t PcmRing::size() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(written_ - oldest_locked());
}

std::uint64_t PcmRing::oldest_locked() const noexcept {
  return written_ > samples_.size() ? written_ - samples_.size() : 0;
}

}  // namespace omnilive
