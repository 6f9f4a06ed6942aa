// A model run through ONNX Runtime's C API, and calls of it whose tensors are bound beforehand.
// Nothing here knows what a model computes, or needs the interpreter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lanes/runnable.hpp"
#include "ort/ort_library.hpp"

namespace omnilive {

// Element types we pass, numbered as the library does.
enum class Element : std::int32_t {
  float32 = 1,
  uint8 = 2,
  int8 = 3,
  int32 = 6,
  int64 = 7,
  float16 = 10
};

// Bytes of one element. Throws std::invalid_argument for a type we do not pass.
std::size_t size_of(Element element);

// An input or output of a model; -1 for an axis whose size is free, and what it is called.
struct TensorSpec {
  std::string name;
  Element element;
  std::vector<std::int64_t> shape;
  std::vector<std::string> axes;
};

// Host memory for one tensor, zeroed. Calls that share one hand results on without a copy.
class Tensor {
 public:
  // Throws std::invalid_argument for a negative size, or more bytes than memory has addresses.
  Tensor(Element element, std::vector<std::int64_t> shape);

  [[nodiscard]] Element element() const noexcept { return element_; }
  [[nodiscard]] const std::vector<std::int64_t>& shape() const noexcept { return shape_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] void* data() noexcept { return data_.get(); }
  [[nodiscard]] const void* data() const noexcept { return data_.get(); }

 private:
  struct Free {
    void operator()(void* memory) const noexcept;
  };

  Element element_;
  std::vector<std::int64_t> shape_;
  std::size_t bytes_;
  std::unique_ptr<void, Free> data_;
};

struct OrtOptions {
  // Threads that run one model; 0 lets the library take the physical cores.
  int threads = 0;
  // Whether idle pool threads burn their core between operators.
  bool spinning = false;
  bool memory_arena = true;
  bool memory_pattern = false;
  // Cores of the pool's threads as the library writes them ("1;2"); empty leaves them free.
  std::string affinity;
};

// A loaded model. May be called from several threads at once.
class OrtModel {
 public:
  // Throws std::runtime_error when the library cannot load it.
  OrtModel(std::shared_ptr<const OrtLibrary> library, const std::string& path,
           const OrtOptions& options);

  [[nodiscard]] const std::vector<TensorSpec>& inputs() const noexcept { return inputs_; }
  [[nodiscard]] const std::vector<TensorSpec>& outputs() const noexcept { return outputs_; }
  [[nodiscard]] const OrtLibrary& library() const noexcept { return *library_; }
  [[nodiscard]] OrtSession* session() const noexcept { return session_.get(); }

 private:
  std::vector<TensorSpec> specs(bool inputs) const;

  std::shared_ptr<const OrtLibrary> library_;
  std::shared_ptr<OrtSession> session_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

// One call of a model with everything bound: a job that may run any number of times, one at a time.
class OrtCall final : public Runnable {
 public:
  using Bound = std::vector<std::pair<std::string, std::shared_ptr<Tensor>>>;

  // Binds a tensor to every input and output.
  // Throws std::invalid_argument when one is missing, unknown, or of another type or shape.
  OrtCall(std::shared_ptr<const OrtModel> model, const Bound& inputs, const Bound& outputs);

  // Throws std::runtime_error with the library's words.
  void run() override;

 private:
  void bind(const Bound& tensors, const std::vector<TensorSpec>& specs, bool inputs);

  std::shared_ptr<const OrtModel> model_;
  std::vector<std::shared_ptr<Tensor>> tensors_;
  std::vector<std::shared_ptr<OrtValue>> values_;
  std::shared_ptr<OrtIoBinding> binding_;
};

}  // namespace omnilive
