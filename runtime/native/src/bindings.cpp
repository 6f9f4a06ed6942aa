// The Python face of the native core: checks, views and conversions only, no arithmetic.
// Every call that does work releases the GIL for it and takes it back to build its result.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pcm_ring.hpp"
#include "resize_rgb.hpp"
#include "topk_cosine.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace omnilive {
void bind_lanes(nb::module_& module);
void bind_ort(nb::module_& module);
}  // namespace omnilive

// Lets NumPy's float16 through as the core's Half.
template <>
struct nb::detail::dtype_traits<omnilive::Half> {
  static constexpr dlpack::dtype value{static_cast<std::uint8_t>(dlpack::dtype_code::Float), 16, 1};
  static constexpr auto name = const_name("float16");
};

namespace {

// Arrays are taken as they are (`noconvert`): a silent cast would turn int16 PCM into samples
// far outside [-1, 1].
template <typename Scalar, int Dims>
using Input = nb::ndarray<const Scalar, nb::ndim<Dims>, nb::device::cpu>;

// Row-major values of an array: the array's own memory, or a copy when it is strided.
template <typename Scalar, int Dims>
class Dense {
 public:
  explicit Dense(const Input<Scalar, Dims>& array) : values_(array.data(), array.size()) {
    std::int64_t expected = 1;
    bool contiguous = true;
    for (std::size_t axis = Dims; axis-- > 0;) {
      contiguous = contiguous && (array.shape(axis) <= 1 || array.stride(axis) == expected);
      expected *= static_cast<std::int64_t>(array.shape(axis));
    }
    if (!contiguous && !values_.empty()) {
      copy_.reserve(array.size());
      append(array, 0, array.data());
      values_ = copy_;
    }
  }

  [[nodiscard]] std::span<const Scalar> values() const { return values_; }

 private:
  void append(const Input<Scalar, Dims>& array, std::size_t axis, const Scalar* at) {
    for (std::size_t i = 0; i < array.shape(axis); ++i, at += array.stride(axis)) {
      if (axis + 1 == Dims) {
        copy_.push_back(*at);
      } else {
        append(array, axis + 1, at);
      }
    }
  }

  std::vector<Scalar> copy_;
  std::span<const Scalar> values_;
};

// A NumPy array that owns `values`.
template <typename Scalar>
nb::ndarray<nb::numpy, Scalar> to_numpy(std::vector<Scalar>&& values,
                                        std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<std::vector<Scalar>>(std::move(values));
  Scalar* data = owned->data();
  nb::capsule owner(owned.get(), [](void* p) noexcept {
    const std::unique_ptr<std::vector<Scalar>> returned(static_cast<std::vector<Scalar>*>(p));
  });
  static_cast<void>(owned.release());  // the capsule has it now
  return nb::ndarray<nb::numpy, Scalar>(data, shape, owner);
}

std::size_t size_from(std::int64_t value, const char* name) {
  if (value < 0) {
    throw std::invalid_argument(std::string(name) + " must not be negative, got " +
                                std::to_string(value));
  }
  return static_cast<std::size_t>(value);
}

void ring_push(omnilive::PcmRing& ring, const Input<float, 1>& samples) {
  const nb::gil_scoped_release released;
  ring.push(Dense<float, 1>(samples).values());
}

nb::ndarray<nb::numpy, float> ring_read(const omnilive::PcmRing& ring, std::int64_t start_index,
                                        std::int64_t n) {
  const std::size_t start = size_from(start_index, "start_index");
  const std::size_t count = size_from(n, "n");
  std::vector<float> samples;
  try {
    const nb::gil_scoped_release released;
    samples = ring.read(start, count);
  } catch (const std::out_of_range& error) {
    // To Python a stream position that is gone is a wrong value, not the end of a sequence.
    throw nb::value_error(error.what());
  }
  return to_numpy(std::move(samples), {count});
}

template <typename Scalar>
nb::tuple topk_cosine(const Input<float, 1>& query, const Input<Scalar, 2>& rows, std::int64_t k) {
  const std::size_t wanted = size_from(k, "k");
  omnilive::Ranking best;
  {
    const nb::gil_scoped_release released;
    const Dense<float, 1> dense_query(query);
    const Dense<Scalar, 2> dense_rows(rows);
    best = omnilive::topk_cosine(
        dense_query.values(),
        omnilive::Rows<Scalar>{dense_rows.values(), rows.shape(0), rows.shape(1)}, wanted);
  }
  const std::size_t found = best.indices.size();
  return nb::make_tuple(to_numpy(std::move(best.indices), {found}),
                        to_numpy(std::move(best.scores), {found}));
}

nb::ndarray<nb::numpy, std::uint8_t> resize_rgb(const Input<std::uint8_t, 3>& rgb,
                                                std::int64_t out_h, std::int64_t out_w,
                                                const std::string& filter) {
  if (filter != "bicubic") {
    throw std::invalid_argument("filter must be 'bicubic', got '" + filter + "'");
  }
  if (rgb.shape(2) != 3) {
    throw std::invalid_argument("rgb must be [height, width, 3], its last axis has " +
                                std::to_string(rgb.shape(2)));
  }
  const omnilive::Extent in{rgb.shape(0), rgb.shape(1)};
  const omnilive::Extent out{size_from(out_h, "out_h"), size_from(out_w, "out_w")};
  std::vector<std::uint8_t> pixels;
  {
    const nb::gil_scoped_release released;
    pixels = omnilive::resize_rgb(Dense<std::uint8_t, 3>(rgb).values(), in, out);
  }
  return to_numpy(std::move(pixels), {out.height, out.width, std::size_t{3}});
}

}  // namespace

// Signatures and docstrings are in runtime/omnilive/_native.pyi.
NB_MODULE(_native, module) {
  omnilive::bind_lanes(module);
  omnilive::bind_ort(module);

  nb::class_<omnilive::PcmRing>(module, "PcmRing")
      .def(
          "__init__",
          [](omnilive::PcmRing* self, std::int64_t capacity) {
            new (self) omnilive::PcmRing(size_from(capacity, "capacity_samples"));
          },
          "capacity_samples"_a)
      .def("push", &ring_push, nb::arg("samples").noconvert())
      .def("read", &ring_read, "start_index"_a, "n"_a)
      .def_prop_ro("written", &omnilive::PcmRing::written)
      .def_prop_ro("oldest", &omnilive::PcmRing::oldest)
      .def("__len__", &omnilive::PcmRing::size);

  module.def("topk_cosine", &topk_cosine<float>, nb::arg("query").noconvert(),
             nb::arg("rows").noconvert(), "k"_a);
  module.def("topk_cosine", &topk_cosine<omnilive::Half>, nb::arg("query").noconvert(),
             nb::arg("rows").noconvert(), "k"_a);
  module.def("resize_rgb", &resize_rgb, nb::arg("rgb").noconvert(), "out_h"_a, "out_w"_a,
             nb::kw_only(), "filter"_a = "bicubic");
}
