// A native job that may be submitted any number of times; it never needs the interpreter.
#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace omnilive {

class Runnable {
 public:
  Runnable() = default;
  Runnable(const Runnable&) = delete;
  Runnable& operator=(const Runnable&) = delete;
  virtual ~Runnable() = default;
  virtual void run() = 0;
};

// Does nothing, to measure what a scheduler costs by itself.
class Noop final : public Runnable {
 public:
  void run() override {}
};

// Several in a row; what one throws ends it.
class Chain final : public Runnable {
 public:
  explicit Chain(std::vector<std::shared_ptr<Runnable>> links) : links_(std::move(links)) {}
  void run() override {
    for (const std::shared_ptr<Runnable>& link : links_) {
      link->run();
    }
  }

 private:
  std::vector<std::shared_ptr<Runnable>> links_;
};

}  // namespace omnilive
