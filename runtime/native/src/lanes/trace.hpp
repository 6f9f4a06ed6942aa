// What ran when, kept for a trace: a bounded record that forgets its oldest entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lanes/job.hpp"

namespace omnilive {

// One job that has ended, or never began (then `started_ns` is 0).
struct Span {
  std::uint64_t id = 0;
  Lane lane = Lane::listen;
  JobState state = JobState::done;
  std::int64_t generation = kAgeless;
  std::int64_t submitted_ns = 0;
  std::int64_t started_ns = 0;
  std::int64_t ended_ns = 0;
  std::string name;
};

// Keeps the last `capacity` spans; with 0 it keeps none and costs nothing.
class Trace {
 public:
  explicit Trace(std::size_t capacity) : capacity_(capacity) {}

  void add(const Job& job) {
    if (capacity_ == 0) {
      return;
    }
    Span span{job.id,         job.lane,         job.state.load(std::memory_order_relaxed),
              job.generation, job.submitted_ns, job.started_ns,
              job.ended_ns,   job.name};
    if (spans_.size() < capacity_) {
      spans_.push_back(std::move(span));
    } else {
      spans_[next_] = std::move(span);
      next_ = (next_ + 1) % capacity_;
      ++forgotten_;
    }
  }

  // Oldest first.
  [[nodiscard]] std::vector<Span> spans() const {
    std::vector<Span> ordered;
    ordered.reserve(spans_.size());
    for (std::size_t i = 0; i < spans_.size(); ++i) {
      ordered.push_back(spans_[(next_ + i) % spans_.size()]);
    }
    return ordered;
  }

  [[nodiscard]] std::uint64_t forgotten() const noexcept { return forgotten_; }

 private:
  std::size_t capacity_;
  std::size_t next_ = 0;
  std::uint64_t forgotten_ = 0;
  std::vector<Span> spans_;
};

}  // namespace omnilive
