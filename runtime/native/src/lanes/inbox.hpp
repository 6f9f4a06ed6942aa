// What lanes and other threads bring to the host's loop, in the order it came.
// Waiting costs no CPU and ends when a signal arrives, so that Ctrl-C is felt at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <variant>

#include "lanes/job.hpp"

namespace omnilive {

// Something another thread brings, besides jobs.
class Message {
 public:
  Message() = default;
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  virtual ~Message() = default;
};

using Arrival = std::variant<Ticket, std::unique_ptr<Message>>;

// Many threads put, one takes. It is as bounded as what feeds it: the lanes count a job until it
// has been taken, and whoever posts messages expects each of them once.
class Inbox {
 public:
  enum class Waited : std::uint8_t { arrived, timed_out, interrupted };

  // Throws std::system_error when the system has no event descriptor left.
  Inbox();
  ~Inbox();
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  void put(Arrival arrival);

  // Takes the oldest into `arrival`, after waiting for it at most `longest`. A signal that the
  // calling thread handles ends the wait.
  Waited take(Arrival& arrival, std::chrono::nanoseconds longest);

  // Empties it; what was in it is destroyed by the caller's going out of scope.
  std::deque<Arrival> clear();

 private:
  bool pop(Arrival& arrival);

  std::mutex mutex_;
  std::deque<Arrival> arrivals_;
  bool asleep_ = false;
  int descriptor_;  // wakes a taker that sleeps
};

}  // namespace omnilive
