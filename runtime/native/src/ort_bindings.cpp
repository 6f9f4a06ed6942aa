// The Python face of models run by the native core: loading, tensors as NumPy views, and calls as
// native jobs. Loading and direct runs release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lanes_bindings.hpp"
#include "ort/ort_library.hpp"
#include "ort/ort_model.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using omnilive::Element;
using omnilive::NativeJob;
using omnilive::OrtCall;
using omnilive::OrtLibrary;
using omnilive::OrtModel;
using omnilive::Tensor;
using omnilive::TensorSpec;

// What Python holds. What is shared with lanes is inside, so that letting go of it needs no GIL.
struct PyLibrary {
  std::shared_ptr<const OrtLibrary> library;
};
struct PyModel {
  std::shared_ptr<const OrtModel> model;
};
struct PyTensor {
  std::shared_ptr<Tensor> tensor;
};

struct DtypeName {
  Element element;
  const char* name;
};
constexpr DtypeName kDtypes[] = {{Element::float32, "float32"},
                                 {Element::float16, "float16"},
                                 {Element::uint8, "uint8"},
                                 {Element::int32, "int32"},
                                 {Element::int64, "int64"}};

std::string name_of(Element element) {
  for (const DtypeName& dtype : kDtypes) {
    if (dtype.element == element) {
      return dtype.name;
    }
  }
  return "element type " + std::to_string(static_cast<int>(element));
}

Element element_of(const std::string& name) {
  for (const DtypeName& dtype : kDtypes) {
    if (name == dtype.name) {
      return dtype.element;
    }
  }
  throw std::invalid_argument("tensors of dtype " + name + " are not passed to models");
}

nb::dlpack::dtype dlpack_of(Element element) {
  using nb::dlpack::dtype_code;
  const auto bits = static_cast<std::uint8_t>(8 * omnilive::size_of(element));
  switch (element) {
    case Element::float32:
    case Element::float16:
      return {static_cast<std::uint8_t>(dtype_code::Float), bits, 1};
    case Element::uint8:
      return {static_cast<std::uint8_t>(dtype_code::UInt), bits, 1};
    case Element::int32:
    case Element::int64:
      return {static_cast<std::uint8_t>(dtype_code::Int), bits, 1};
  }
  throw std::invalid_argument("unknown element type");
}

// A view of the tensor's memory, which lives as long as the view.
nb::ndarray<nb::numpy> view_of(const PyTensor& held) {
  auto keep = std::make_unique<std::shared_ptr<Tensor>>(held.tensor);
  Tensor& tensor = *held.tensor;
  nb::capsule owner(keep.get(), [](void* p) noexcept {
    const std::unique_ptr<std::shared_ptr<Tensor>> returned(
        static_cast<std::shared_ptr<Tensor>*>(p));
  });
  static_cast<void>(keep.release());  // the capsule has it now
  std::vector<std::size_t> shape(tensor.shape().begin(), tensor.shape().end());
  return nb::ndarray<nb::numpy>(tensor.data(), shape.size(), shape.data(), owner, nullptr,
                                dlpack_of(tensor.element()));
}

nb::list specs_of(const std::vector<TensorSpec>& specs) {
  nb::list found;
  for (const TensorSpec& spec : specs) {
    nb::list shape;
    for (const std::int64_t size : spec.shape) {
      shape.append(size);
    }
    found.append(nb::make_tuple(spec.name, name_of(spec.element), nb::tuple(shape)));
  }
  return found;
}

OrtCall::Bound bound(const nb::dict& tensors) {
  OrtCall::Bound result;
  for (const auto& [name, tensor] : tensors) {
    result.emplace_back(nb::cast<std::string>(name), nb::cast<PyTensor&>(tensor).tensor);
  }
  return result;
}

}  // namespace

namespace omnilive {

// Signatures and docstrings are in runtime/omnilive/_native.pyi.
void bind_ort(nb::module_& module) {
  nb::class_<PyLibrary>(module, "OrtLibrary")
      .def(
          "__init__",
          [](PyLibrary* self, const std::string& path) {
            const nb::gil_scoped_release released;
            new (self) PyLibrary{OrtLibrary::load(path)};
          },
          "path"_a)
      .def_prop_ro("version", [](const PyLibrary& self) { return self.library->version(); });

  nb::class_<PyTensor>(module, "OrtTensor")
      .def(
          "__init__",
          [](PyTensor* self, const std::string& dtype, std::vector<std::int64_t> shape) {
            new (self) PyTensor{std::make_shared<Tensor>(element_of(dtype), std::move(shape))};
          },
          "dtype"_a, "shape"_a)
      .def_prop_ro("array", &view_of, nb::rv_policy::automatic);

  nb::class_<PyModel>(module, "OrtModel")
      .def(
          "__init__",
          [](PyModel* self, const PyLibrary& library, const std::string& path, int threads,
             bool spinning, bool memory_arena, bool memory_pattern, const std::string& affinity) {
            const OrtOptions options{threads, spinning, memory_arena, memory_pattern, affinity};
            const nb::gil_scoped_release released;
            new (self) PyModel{std::make_shared<OrtModel>(library.library, path, options)};
          },
          "library"_a, "path"_a, nb::kw_only(), "threads"_a = 0, "spinning"_a = false,
          "memory_arena"_a = true, "memory_pattern"_a = false, "affinity"_a = "")
      .def_prop_ro("inputs", [](const PyModel& self) { return specs_of(self.model->inputs()); })
      .def_prop_ro("outputs", [](const PyModel& self) { return specs_of(self.model->outputs()); })
      .def(
          "call",
          [](const PyModel& self, const nb::dict& inputs, const nb::dict& outputs) {
            return NativeJob{std::make_shared<OrtCall>(self.model, bound(inputs), bound(outputs))};
          },
          "inputs"_a, "outputs"_a);
}

}  // namespace omnilive
