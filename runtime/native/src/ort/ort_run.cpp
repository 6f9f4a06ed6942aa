#include "ort/ort_run.hpp"

#include <cstddef>
#include <cstring>
#include <utility>

namespace omnilive {

OrtRun::OrtRun(std::shared_ptr<const OrtModel> model, Inputs inputs)
    : model_(std::move(model)), inputs_(std::move(inputs)) {}

void OrtRun::run() {
  const OrtLibrary& library = model_->library();
  std::vector<Value> inputs;
  std::vector<const char*> input_names;
  std::vector<const OrtValue*> input_values;
  for (const auto& [name, tensor] : inputs_) {
    inputs.push_back(input(tensor));
    input_names.push_back(name.c_str());
    input_values.push_back(inputs.back().get());
  }
  std::vector<const char*> output_names;
  for (const TensorSpec& spec : model_->outputs()) {
    output_names.push_back(spec.name.c_str());
  }
  std::vector<OrtValue*> raw_outputs(output_names.size());
  OrtStatus* status = library.call().run(model_->session(), nullptr, input_names.data(),
                                         input_values.data(), inputs.size(), output_names.data(),
                                         output_names.size(), raw_outputs.data());
  std::vector<Value> values;
  for (OrtValue* raw : raw_outputs) {
    values.emplace_back(raw, library.call().release_value);
  }
  library.check(status);
  Outputs outputs;
  for (std::size_t i = 0; i < values.size(); ++i) {
    outputs.emplace_back(output_names[i], copied(values[i].get()));
  }
  outputs_ = std::move(outputs);
}

OrtRun::Value OrtRun::input(const HostTensor& tensor) const {
  const OrtLibrary& library = model_->library();
  std::size_t bytes = size_of(tensor.element);
  for (const std::int64_t size : tensor.shape) {
    bytes *= static_cast<std::size_t>(size);
  }
  OrtValue* raw = nullptr;
  // The library takes memory of inputs as writable and only reads it.
  library.check(library.call().create_tensor(library.cpu(), const_cast<void*>(tensor.data), bytes,
                                             tensor.shape.data(), tensor.shape.size(),
                                             static_cast<int>(tensor.element), &raw));
  return {raw, library.call().release_value};
}

std::shared_ptr<Tensor> OrtRun::copied(OrtValue* value) const {
  const OrtLibrary& library = model_->library();
  OrtTensorInfo* raw_info = nullptr;
  library.check(library.call().get_tensor_info(value, &raw_info));
  const std::unique_ptr<OrtTensorInfo, void (*)(OrtTensorInfo*)> info(
      raw_info, library.call().release_tensor_info);
  int element = 0;
  std::size_t rank = 0;
  library.check(library.call().get_element(raw_info, &element));
  library.check(library.call().get_rank(raw_info, &rank));
  std::vector<std::int64_t> shape(rank);
  library.check(library.call().get_shape(raw_info, shape.data(), rank));
  void* data = nullptr;
  library.check(library.call().get_tensor_data(value, &data));
  auto tensor = std::make_shared<Tensor>(static_cast<Element>(element), std::move(shape));
  if (tensor->bytes() > 0) {
    std::memcpy(tensor->data(), data, tensor->bytes());
  }
  return tensor;
}

}  // namespace omnilive
