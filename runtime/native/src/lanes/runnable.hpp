// A native job that may be submitted any number of times; it never needs the interpreter.
#pragma once

#include <memory>
#include <utility>

#include "lanes/job.hpp"

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

// One submission of a runnable.
class RunnableWork final : public Work {
 public:
  explicit RunnableWork(std::shared_ptr<Runnable> runnable) : runnable_(std::move(runnable)) {}
  void run() override { runnable_->run(); }

 private:
  std::shared_ptr<Runnable> runnable_;
};

}  // namespace omnilive
