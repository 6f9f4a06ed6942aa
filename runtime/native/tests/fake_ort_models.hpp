// The models that the library that stands in for ONNX Runtime knows; fake_ort.hpp says what they
// compute.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "fake_ort_things.hpp"

namespace fake_ort {

struct Port {
  const char* name;
  omnilive::OrtTypeInfo type;
};

struct Description {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

// By path.
const std::map<std::string, Description>& models();

// The bytes of a tensor of this type and shape.
std::size_t bytes_of(const omnilive::OrtTensorInfo& info);

// Refuses what a port of this name does not take, as the library does; null when it takes it.
omnilive::OrtStatus* refusal(const std::vector<Port>& ports, const char* name,
                             const omnilive::OrtValue& value);

// Computes a model's outputs, into what is given and otherwise into memory of its own.
omnilive::OrtStatus* compute(const Description& model,
                             const std::map<std::string, omnilive::OrtValue*>& inputs,
                             const std::map<std::string, omnilive::OrtValue*>& given,
                             omnilive::OrtValue** outputs);

}  // namespace fake_ort
