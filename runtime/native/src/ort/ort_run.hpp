// One run of a model whose outputs have sizes that only the run itself finds out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lanes/runnable.hpp"
#include "ort/ort_model.hpp"

namespace omnilive {

// Row-major host memory of an input, which `keep` keeps as long as it is needed.
struct HostTensor {
  Element element;
  std::vector<std::int64_t> shape;
  const void* data;
  std::shared_ptr<const void> keep;
};

// Feeds what it was given and keeps what comes out. Run again, it replaces that.
class OrtRun final : public Runnable {
 public:
  using Inputs = std::vector<std::pair<std::string, HostTensor>>;
  using Outputs = std::vector<std::pair<std::string, std::shared_ptr<Tensor>>>;

  OrtRun(std::shared_ptr<const OrtModel> model, Inputs inputs);

  // Throws std::runtime_error with the library's words: an input may be missing, unknown, or of
  // another type or shape.
  void run() override;

  // All outputs of the last run; none before it. They are copies: what the library allocates goes
  // back to its arena at once, which a result that is kept for long would leave full of holes.
  [[nodiscard]] const Outputs& outputs() const noexcept { return outputs_; }

 private:
  using Value = std::unique_ptr<OrtValue, void (*)(OrtValue*)>;

  [[nodiscard]] Value input(const HostTensor& tensor) const;
  [[nodiscard]] std::shared_ptr<Tensor> copied(OrtValue* value) const;

  std::shared_ptr<const OrtModel> model_;
  Inputs inputs_;
  Outputs outputs_;
};

}  // namespace omnilive
