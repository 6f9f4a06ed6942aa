// Threads that serve a scheduler's lanes for the length of a test, and jobs made of lambdas.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "lanes/scheduler.hpp"

namespace omnilive::test {

inline constexpr std::chrono::seconds kLong{30};

class Call final : public Work {
 public:
  explicit Call(std::function<void()> does) : does_(std::move(does)) {}
  void run() override { does_(); }

 private:
  std::function<void()> does_;
};

// Serves the first `lanes` lanes until it goes out of scope, which closes the scheduler.
class Served {
 public:
  explicit Served(const SchedulerSettings& settings = {}, std::size_t lanes = kLanes)
      : scheduler(settings) {
    for (std::size_t i = 0; i < lanes; ++i) {
      threads_.emplace_back([this, i] { scheduler.serve(static_cast<Lane>(i)); });
    }
  }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  ~Served() { stop(); }

  void stop() {
    scheduler.close();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) {
        thread.join();
      }
    }
  }

  Submission submit(Lane lane, std::function<void()> does, std::int64_t generation = kAgeless,
                    std::vector<Ticket> after = {}) {
    return scheduler.submit({.lane = lane,
                             .work = std::make_unique<Call>(std::move(does)),
                             .generation = generation,
                             .deadline_ns = kNoDeadline,
                             .after = after,
                             .reports = true,
                             .name = {}});
  }

  // The next job that is reported; null when none is for a long time.
  Ticket take() {
    Arrival arrival;
    while (true) {
      const Inbox::Waited waited = scheduler.take(arrival, kLong);
      if (waited == Inbox::Waited::timed_out) {
        return nullptr;
      }
      if (waited == Inbox::Waited::arrived) {
        return std::get<Ticket>(arrival);
      }
    }
  }

  Scheduler scheduler;

 private:
  std::vector<std::thread> threads_;
};

// A list that several threads write.
class Log {
 public:
  void add(const std::string& what) {
    const std::lock_guard lock(mutex_);
    text_ += what;
  }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

// Something a thread waits for until another opens it.
class Gate {
 public:
  void open() {
    open_.store(true);
    open_.notify_all();
  }
  void pass() const { open_.wait(false); }

 private:
  std::atomic<bool> open_{false};
};

}  // namespace omnilive::test
