// The Python face of models run by the native core: loading, tensors as NumPy views, and calls and
// runs as native jobs. Loading and direct runs release the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lanes_bindings.hpp"
#include "ort/ort_library.hpp"
#include "ort/ort_model.hpp"
#include "ort/ort_run.hpp"
#include "resize.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using omnilive::Element;
using omnilive::HostTensor;
using omnilive::NativeJob;
using omnilive::OrtCall;
using omnilive::OrtLibrary;
using omnilive::OrtModel;
using omnilive::OrtRun;
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
struct PyRun {
  std::shared_ptr<OrtRun> run;
};

struct DtypeName {
  Element element;
  const char* name;
};
constexpr DtypeName kDtypes[] = {{Element::float32, "float32"}, {Element::float16, "float16"},
                                 {Element::uint8, "uint8"},     {Element::int8, "int8"},
                                 {Element::int32, "int32"},     {Element::int64, "int64"}};

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
    case Element::int8:
    case Element::int32:
    case Element::int64:
      return {static_cast<std::uint8_t>(dtype_code::Int), bits, 1};
  }
  throw std::invalid_argument("unknown element type");
}

// A view of the tensor's memory, which lives as long as the view.
nb::ndarray<nb::numpy> view_of(const std::shared_ptr<Tensor>& held) {
  auto keep = std::make_unique<std::shared_ptr<Tensor>>(held);
  Tensor& tensor = *held;
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
    for (std::size_t i = 0; i < spec.shape.size(); ++i) {
      if (spec.shape[i] < 0) {
        shape.append(spec.axes[i]);
      } else {
        shape.append(spec.shape[i]);
      }
    }
    found.append(nb::make_tuple(spec.name, name_of(spec.element), nb::tuple(shape)));
  }
  return found;
}

using Array = nb::ndarray<nb::ro, nb::device::cpu, nb::c_contig>;

// The memory of an array, which is kept until nobody needs it: then, on whatever thread that is,
// the GIL is taken to let go of it.
HostTensor host_tensor(Array array) {
  const auto same = [type = array.dtype()](const DtypeName& known) {
    return dlpack_of(known.element) == type;
  };
  const auto* const known = std::ranges::find_if(kDtypes, same);
  if (known == std::end(kDtypes)) {
    throw std::invalid_argument("arrays of this dtype are not passed to models");
  }
  HostTensor tensor{known->element, {}, array.data(), nullptr};
  for (std::size_t axis = 0; axis < array.ndim(); ++axis) {
    tensor.shape.push_back(static_cast<std::int64_t>(array.shape(axis)));
  }
  auto held = std::make_unique<Array>(std::move(array));
  tensor.keep = std::shared_ptr<const void>(held.release(), [](const void* kept) {
    const nb::gil_scoped_acquire acquired;
    const std::unique_ptr<const Array> returned(static_cast<const Array*>(kept));
  });
  return tensor;
}

// Squashes or stretches a picture into the memory of a tensor.
class ResizeInto final : public omnilive::Runnable {
 public:
  // Throws std::invalid_argument unless `picture` is uint8 [h, w, 3] and `into` [1, h, w, 3].
  ResizeInto(HostTensor picture, std::shared_ptr<Tensor> into)
      : picture_(std::move(picture)), into_(std::move(into)) {
    const auto& from = picture_.shape;
    const auto& to = into_->shape();
    if (picture_.element != Element::uint8 || from.size() != 3 || from[2] != 3 || from[0] < 1 ||
        from[1] < 1) {
      throw std::invalid_argument("a picture is uint8 [h, w, 3]");
    }
    if (into_->element() != Element::uint8 || to.size() != 4 || to[0] != 1 || to[3] != 3) {
      throw std::invalid_argument("pictures are resized into uint8 [1, h, w, 3]");
    }
  }

  void run() override {
    const omnilive::Extent in = extent(picture_.shape, 0);
    const std::vector<std::uint8_t> pixels = omnilive::resize_rgb(
        {static_cast<const std::uint8_t*>(picture_.data), in.height * in.width * 3}, in,
        extent(into_->shape(), 1));
    std::memcpy(into_->data(), pixels.data(), pixels.size());
  }

 private:
  static omnilive::Extent extent(const std::vector<std::int64_t>& shape, std::size_t first) {
    return {static_cast<std::size_t>(shape[first]), static_cast<std::size_t>(shape[first + 1])};
  }

  HostTensor picture_;
  std::shared_ptr<Tensor> into_;
};

OrtRun::Inputs inputs_of(const nb::dict& feeds) {
  OrtRun::Inputs inputs;
  for (const auto& [name, array] : feeds) {
    inputs.emplace_back(nb::cast<std::string>(name), host_tensor(nb::cast<Array>(array, false)));
  }
  return inputs;
}

nb::dict outputs_of(const PyRun& self) {
  nb::dict outputs;
  for (const auto& [name, tensor] : self.run->outputs()) {
    outputs[name.c_str()] = view_of(tensor);
  }
  return outputs;
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
      .def_prop_ro(
          "array", [](const PyTensor& self) { return view_of(self.tensor); },
          nb::rv_policy::automatic);

  nb::class_<PyRun>(module, "OrtRun")
      .def_prop_ro("job", [](const PyRun& self) { return NativeJob{self.run}; })
      .def_prop_ro("outputs", &outputs_of);

  module.def(
      "resize_into",
      [](Array rgb, const PyTensor& tensor) {
        return NativeJob{std::make_shared<ResizeInto>(host_tensor(std::move(rgb)), tensor.tensor)};
      },
      nb::arg("rgb").noconvert(), "tensor"_a);

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
          "inputs"_a, "outputs"_a)
      .def(
          "run_of",
          [](const PyModel& self, const nb::dict& feeds) {
            return PyRun{std::make_shared<OrtRun>(self.model, inputs_of(feeds))};
          },
          "feeds"_a);
}

}  // namespace omnilive
