// What the library that stands in for ONNX Runtime makes of the API's opaque things, and how it
// counts them.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ort/ort_library.hpp"

namespace fake_ort {

// Relaxed, since an order between threads that they don't keep themselves would hide their races.
class Count {
 public:
  int add(int n) { return value_.fetch_add(n, std::memory_order_relaxed) + n; }
  void set(int n) { value_.store(n, std::memory_order_relaxed); }
  [[nodiscard]] int get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int> value_{0};
};

struct Description;

// How many others use a thing, which must not be released before them.
using Users = std::shared_ptr<Count>;

}  // namespace fake_ort

namespace omnilive {

struct OrtTensorInfo {
  int element;
  std::vector<std::int64_t> shape;
  std::vector<const char*> axes;
};
struct OrtTypeInfo {
  OrtTensorInfo tensor;
  bool is_tensor;
};
struct OrtStatus {
  int code;
  std::string message;
};
struct OrtEnv {
  fake_ort::Users sessions;
};
struct OrtMemoryInfo {};
struct OrtAllocator {};
struct OrtSessionOptions {
  std::string text;
};
struct OrtValue {
  OrtTensorInfo info;
  std::unique_ptr<std::byte[]> own;  // empty for memory of the caller's
  void* data;
};
struct OrtSession {
  const fake_ort::Description* model;
  fake_ort::Users env;
  fake_ort::Users bindings;
};
struct OrtIoBinding {
  const fake_ort::Description* model;
  fake_ort::Users session;
  std::map<std::string, OrtValue*> inputs;
  std::map<std::string, OrtValue*> outputs;
};

}  // namespace omnilive

namespace fake_ort {

// Of each type of thing, how many are alive; of char, names from the allocator.
template <typename Thing>
inline Count alive_count;

template <typename Thing>
Thing* made(Thing thing) {
  alive_count<Thing>.add(1);
  return std::make_unique<Thing>(std::move(thing)).release();
}

template <typename Thing>
void released(Thing* thing) {
  if (thing != nullptr) {
    alive_count<Thing>.add(-1);
    const std::unique_ptr<Thing> gone(thing);
  }
}

inline omnilive::OrtStatus* failed(std::string message) {
  constexpr int kFailed = 1;
  return made<omnilive::OrtStatus>({kFailed, std::move(message)});
}

}  // namespace fake_ort
