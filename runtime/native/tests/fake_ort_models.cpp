#include "fake_ort_models.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fake_ort {

using omnilive::OrtStatus;
using omnilive::OrtTensorInfo;
using omnilive::OrtValue;

namespace {

constexpr int kFloat = 1;
constexpr int kLong = 7;
constexpr int kDouble = 11;
constexpr std::int64_t kColumns = 3;

std::size_t count_in(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (const std::int64_t size : shape) {
    count *= static_cast<std::size_t>(size);
  }
  return count;
}
OrtValue allocated(int element, std::vector<std::int64_t> shape) {
  OrtTensorInfo info{element, std::move(shape), {}};
  const std::size_t bytes = bytes_of(info);
  auto memory = std::make_unique<std::byte[]>(bytes);
  void* data = memory.get();
  return {std::move(info), std::move(memory), data};
}

}  // namespace

const std::map<std::string, Description>& models() {
  static const Port x{"x", {{kFloat, {2, kColumns}, {"", ""}}, true}};
  static const std::map<std::string, Description> known{
      {"increment", {{x}, {{"y", {{kFloat, {2, kColumns}, {"", ""}}, true}}}}},
      {"positives",
       {{{"x", {{kFloat, {-1, kColumns}, {"rows", ""}}, true}}},
        {{"kept", {{kFloat, {-1, kColumns}, {"kept", ""}}, true}},
         {"count", {{kLong, {}, {}}, true}}}}},
      {"sequence", {{x}, {{"list", {{0, {}, {}}, false}}}}},
      {"doubles", {{x}, {{"wide", {{kDouble, {}, {}}, true}}}}}};
  return known;
}

std::size_t bytes_of(const OrtTensorInfo& info) {
  return count_in(info.shape) * (info.element == kFloat ? 4 : 8);
}

OrtStatus* refusal(const std::vector<Port>& ports, const char* name, const OrtValue& value) {
  const auto port = std::ranges::find(ports, std::string_view(name),
                                      [](const Port& p) { return std::string_view(p.name); });
  if (port == ports.end()) {
    return failed(std::string("Invalid name: ") + name);
  }
  const OrtTensorInfo& wanted = port->type.tensor;
  const auto fits = [](std::int64_t size, std::int64_t w) { return w < 0 || size == w; };
  if (value.info.element != wanted.element ||
      !std::ranges::equal(value.info.shape, wanted.shape, fits)) {
    return failed(std::string("Invalid type or dimensions for: ") + name);
  }
  return nullptr;
}

OrtStatus* compute(const Description& model, const std::map<std::string, OrtValue*>& inputs,
                   const std::map<std::string, OrtValue*>& given, OrtValue** outputs) {
  for (const Port& port : model.inputs) {
    if (!inputs.contains(port.name)) {
      return failed(std::string("Missing Input: ") + port.name);
    }
  }
  const OrtValue& x = *inputs.at("x");
  const auto* from = static_cast<const float*>(x.data);
  const auto output = [&](std::size_t index, std::vector<std::int64_t> shape) -> OrtValue* {
    const auto found = given.find(model.outputs[index].name);
    if (found != given.end()) {
      return found->second->info.shape == shape ? found->second : nullptr;
    }
    const int element = model.outputs[index].type.tensor.element;
    return outputs[index] = made<OrtValue>(allocated(element, std::move(shape)));
  };
  if (&model == &models().at("increment")) {
    const OrtValue* y = output(0, x.info.shape);
    std::transform(from, from + count_in(x.info.shape), static_cast<float*>(y->data),
                   [](float number) { return number + 1; });
  } else if (&model == &models().at("positives")) {
    std::vector<float> kept;
    for (const float* row = from; row != from + count_in(x.info.shape); row += kColumns) {
      if (*row > 0) {
        kept.insert(kept.end(), row, row + kColumns);
      }
    }
    const auto rows = static_cast<std::int64_t>(kept.size()) / kColumns;
    const OrtValue* first = output(0, {rows, kColumns});
    if (first == nullptr) {
      return failed("Invalid dimensions of a given output");
    }
    std::copy(kept.begin(), kept.end(), static_cast<float*>(first->data));
    *static_cast<std::int64_t*>(output(1, {})->data) = rows;
  } else {
    output(0, {});
  }
  return nullptr;
}

}  // namespace fake_ort
