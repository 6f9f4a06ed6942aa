// What tests of models begin with: the library that stands in for ONNX Runtime, and tensors.
#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fake_ort.hpp"
#include "ort/ort_library.hpp"
#include "ort/ort_model.hpp"
#include "ort/ort_run.hpp"

namespace omnilive::test {

constexpr std::uint32_t kServed = 14;  // the version of the C API that the core asks for

inline std::shared_ptr<const OrtLibrary> library() {
  fake_ort::serve(kServed);
  return OrtLibrary::load(FAKE_ORT);
}

inline std::shared_ptr<const OrtModel> model(const std::string& path,
                                             const OrtOptions& options = {}) {
  return std::make_shared<OrtModel>(library(), path, options);
}

inline std::span<float> numbers(Tensor& tensor) {
  return {static_cast<float*>(tensor.data()), tensor.bytes() / sizeof(float)};
}

// Float32, all of one number.
inline std::shared_ptr<Tensor> tensor(std::vector<std::int64_t> shape, float number = 0) {
  auto made = std::make_shared<Tensor>(Element::float32, std::move(shape));
  std::ranges::fill(numbers(*made), number);
  return made;
}

inline bool all_are(Tensor& tensor, float number) {
  const std::span<float> found = numbers(tensor);
  return !found.empty() && std::ranges::all_of(found, [=](float n) { return n == number; });
}

// An input of `data`, which is kept as long as it.
inline HostTensor host(std::vector<std::int64_t> shape, std::vector<float> data) {
  const auto kept = std::make_shared<const std::vector<float>>(std::move(data));
  return {Element::float32, std::move(shape), kept->data(), kept};
}

// What `action` throws, in words; "" for nothing.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

}  // namespace omnilive::test
