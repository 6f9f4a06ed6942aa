// A bounded ring of PCM samples addressed by their absolute index in the stream.
// It never blocks for longer than one copy, and never grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

namespace omnilive {

// Keeps the last `capacity` samples pushed. Sample 0 is the first ever pushed, so a reader names
// samples by stream position and learns when one is gone instead of getting another's value.
// Every member may be called from any thread.
class PcmRing {
 public:
  // Throws std::invalid_argument when capacity is 0.
  explicit PcmRing(std::size_t capacity);

  // Appends samples; the oldest beyond the capacity are overwritten.
  void push(std::span<const float> samples);

  // A copy of samples [start, start + count). Throws std::out_of_range when one of them is
  // overwritten or not yet written.
  [[nodiscard]] std::vector<float> read(std::uint64_t start, std::size_t count) const;

  // Samples pushed since the start: the absolute index of the next one.
  [[nodiscard]] std::uint64_t written() const;

  // Absolute index of the oldest sample still held.
  [[nodiscard]] std::uint64_t oldest() const;

  // Samples held now.
  [[nodiscard]] std::size_t size() const;

  [[nodiscard]] std::size_t capacity() const noexcept { return samples_.size(); }

 private:
  [[nodiscard]] std::uint64_t oldest_locked() const noexcept;

  mutable std::mutex mutex_;
  std::vector<float> samples_;
  std::uint64_t written_ = 0;
};

}  // namespace omnilive
