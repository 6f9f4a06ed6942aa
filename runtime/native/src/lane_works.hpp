// Jobs of the lanes that belong to Python: callables, and native runnables with an owner.
// Objects of Python's are let go of under the GIL, wherever that happens.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "lanes/runnable.hpp"
#include "lanes/scheduler.hpp"

namespace omnilive {

namespace nb = nanobind;

// What the jobs of one lane needed.
struct Needs {
  std::atomic<std::uint64_t> gil{0};     // times its thread took the GIL to run one
  std::atomic<std::uint64_t> native{0};  // native ones that have run to their end
};
using AllNeeds = std::array<Needs, kLanes>;

// A job with an object that the host knows it by, if it has one.
class OwnedWork : public Work {
 public:
  explicit OwnedWork(nb::object owner) : owner_(std::move(owner)) {}
  ~OwnedWork() override {
    if (owner_.is_valid()) {
      const nb::gil_scoped_acquire acquired;
      owner_.reset();
    }
  }

  // These expect the GIL, and the job to be settled.
  nb::object take_owner() { return std::move(owner_); }
  virtual nb::object take_value() = 0;
  virtual nb::object take_error(const std::exception_ptr& error) = 0;

 private:
  nb::object owner_;
};

// A Python callable as a job.
class PythonWork final : public OwnedWork {
 public:
  PythonWork(nb::object owner, nb::object call, std::shared_ptr<Needs> needs)
      : OwnedWork(std::move(owner)), call_(std::move(call)), needs_(std::move(needs)) {}

  ~PythonWork() override {
    if (call_.is_valid() || value_.is_valid() || error_.is_valid()) {
      const nb::gil_scoped_acquire acquired;
      call_.reset();
      value_.reset();
      error_.reset();
    }
  }

  // Takes the GIL for the length of the call.
  void run() override {
    const nb::gil_scoped_acquire acquired;
    needs_->gil.fetch_add(1, std::memory_order_relaxed);
    bool failed = false;
    try {
      value_ = call_();
    } catch (nb::python_error& error) {
      error_ = nb::borrow(error.value());
#if PY_VERSION_HEX < 0x030C0000
      if (error.traceback().is_valid()) {
        PyException_SetTraceback(error_.ptr(), error.traceback().ptr());
      }
#endif
      failed = true;
    }
    call_.reset();
    if (failed) {
      throw std::runtime_error("a Python job raised an exception");
    }
  }

  nb::object take_value() override { return std::move(value_); }
  nb::object take_error(const std::exception_ptr&) override { return std::move(error_); }

 private:
  nb::object call_;
  nb::object value_;
  nb::object error_;
  std::shared_ptr<Needs> needs_;
};

// One submission of a runnable. Its value is how long it ran, nanoseconds.
class NativeWork final : public OwnedWork {
 public:
  NativeWork(nb::object owner, std::shared_ptr<Runnable> runnable, std::shared_ptr<Needs> needs)
      : OwnedWork(std::move(owner)), runnable_(std::move(runnable)), needs_(std::move(needs)) {}

  // Needs no GIL.
  void run() override {
    const std::int64_t began_ns = steady_now_ns();
    runnable_->run();
    ran_ns_ = steady_now_ns() - began_ns;
    needs_->native.fetch_add(1, std::memory_order_relaxed);
  }

  // What it read may be Python's and is let go of here: nobody has to wait for the GIL for it.
  nb::object take_value() override {
    runnable_.reset();
    return nb::int_(ran_ns_);
  }
  nb::object take_error(const std::exception_ptr& error) override {
    runnable_.reset();
    if (!error) {
      return {};
    }
    return nb::borrow(PyExc_RuntimeError)(nb::str(message_of(error).c_str()));
  }

 private:
  static std::string message_of(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      return e.what();
    } catch (...) {
      return "unknown error";
    }
  }

  std::shared_ptr<Runnable> runnable_;
  std::int64_t ran_ns_ = 0;
  std::shared_ptr<Needs> needs_;
};

// A Python callable that another thread brings to the loop.
class Posted final : public Message {
 public:
  explicit Posted(nb::object call) : call_(std::move(call)) {}
  ~Posted() override {
    if (call_.is_valid()) {
      const nb::gil_scoped_acquire acquired;
      call_.reset();
    }
  }
  nb::object take() { return std::move(call_); }

 private:
  nb::object call_;
};

}  // namespace omnilive
